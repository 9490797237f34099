"""How long work tells where it is: a callable that takes one line."""

from collections.abc import Callable

Say = Callable[[str], None]


def silent(line: str) -> None:
    """Say nothing: the default of every function that can report progress."""
