"""The one error a user meets: what was expected, what was found, what to do."""


class RenewalError(Exception):
    """A mistake in the input or the settings, told in one line.

    Args:
        expected: what Perennial needed.
        found: what it met instead.
        do: the next step for the person reading.
    """

    exit_code = 2

    def __init__(self, *, expected: str, found: str, do: str) -> None:
        self.expected, self.found, self.do = expected, found, do
        super().__init__(" ".join(f"Expected {expected}; found {found}. {do}".split()))
