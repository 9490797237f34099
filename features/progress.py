"""How long work reports progress, by a callable that takes one line, and learns that nobody waits for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event
from typing import TypeVar

T = TypeVar("T")
Say = Callable[[str], None]


def silent(line: str) -> None:
    """Say nothing: the default of every function that can report progress."""


class GivenUpError(Exception):
    """Whoever asked for the work does not wait for it any more."""


_given_up: ContextVar[Event | None] = ContextVar("given_up", default=None)


@contextmanager
def until_given_up() -> Iterator[Event]:
    """What is begun inside, in threads too that inherit the context, ends at a checkpoint after the event."""
    event = Event()
    token = _given_up.set(event)
    try:
        yield event
    finally:
        event.set()
        _given_up.reset(token)


def checkpoint() -> None:
    """To be called between two units of long work.

    Raises:
        GivenUpError: nobody waits for it any more.
    """
    event = _given_up.get()
    if event is not None and event.is_set():
        raise GivenUpError("nobody waits for this any more")


def stoppable(work: Callable[..., T]) -> Callable[..., T]:
    """`work` for a pool of threads, which inherit no context: each unit begins at a checkpoint of ours."""
    event = _given_up.get()

    def unit(*given: object) -> T:
        if event is not None and event.is_set():
            raise GivenUpError("nobody waits for this any more")
        return work(*given)

    return unit
