"""The one error a user meets: what was expected, what was found, what to do."""

from typing import Any


class RenewalError(Exception):
    """A mistake in the input or the settings, reported in one line.

    Args:
        expected: what Perennial needed.
        found: what it met instead.
        do: the next step for the person reading.
    """

    exit_code = 2

    def __init__(self, *, expected: str, found: str, do: str) -> None:
        self.expected, self.found, self.do = expected, found, do
        super().__init__(" ".join(f"Expected {expected}; found {found}. {do}".split()))


class NothingDoneError(RenewalError):
    """A mistake in all of the input, with what is still to be shown of it.

    Args:
        result: what the command would have returned.
        expected: as above.
        found: as above.
        do: as above.
    """

    def __init__(self, result: dict[str, Any], *, expected: str, found: str, do: str) -> None:
        super().__init__(expected=expected, found=found, do=do)
        self.result = result
