"""The kernel's answer to "how many different": which values are present, by time. numpy and nothing else."""

import numpy as np

from features.as_of import DAY, KEY_BITS, Bools, Ints, Selection, Timeline, View


class Presence:
    """How many different values are present, by time: what `distinct` looks up.

    Each event makes its value present from when it is known to when it leaves the window. What is counted at
    a moment is how many values' unions of such spans cover it.

    Args:
        chosen: the events.
        value: (k,) whole numbers that tell values apart, negative for none.
    """

    def __init__(self, chosen: Selection, value: Ints) -> None:
        self.groups = chosen.line.groups
        group = chosen.line.group if chosen.picked is None else chosen.line.group[chosen.picked]
        known = chosen.known
        begin = chosen.at if known is None else known
        kept = np.flatnonzero(value >= 0)
        order = kept[_by_value(group[kept], value[kept], begin[kept] if known is not None else None)]
        self.group, self.begin, self.at = group[order], begin[order], chosen.at[order]
        self.new = np.ones(len(order), bool)
        self.new[1:] = (self.group[1:] != self.group[:-1]) | (value[order[1:]] != value[order[:-1]])
        self._spans: dict[int | None, tuple[Timeline, Timeline | None]] = {}

    def spans(self, days: int | None) -> tuple[Timeline, Timeline | None]:
        """When values become present, and when they cease to be (None: never), within the last `days`
        days."""
        if days not in self._spans:
            self._spans[days] = self._merged(days)
        return self._spans[days]

    def _merged(self, days: int | None) -> tuple[Timeline, Timeline | None]:
        if days is None:
            return Timeline(self.group[self.new], self.begin[self.new], groups=self.groups), None
        end = self.at + days * DAY
        use = self.begin < end
        new, group, begin, end = self.new, self.group, self.begin, end
        if not use.all():
            run = np.cumsum(new)[use]
            new = np.append(True, run[1:] != run[:-1])[: len(run)]
            group, begin, end = group[use], begin[use], end[use]
        opens, covered = _unions(new, begin, end)
        closes = np.append(opens[1:], True)[: len(opens)]
        return (
            Timeline(group[opens], begin[opens], groups=self.groups),
            Timeline(group[closes], covered[closes], groups=self.groups),
        )

    def count(self, days: int | None, group: Ints, as_of: Ints) -> Ints:
        """(m,) values present for each snapshot."""
        begins, ends = self.spans(days)
        opened = View(begins, group, as_of)
        found = opened.upto - opened.begin
        if ends is not None:
            closed = View(ends, group, as_of)
            found -= closed.upto - closed.begin
        return found


def _by_value(group: Ints, value: Ints, begin: Ints | None) -> Ints:
    """The order by group, value and `begin`; None: the events stand in that order within each value
    already."""
    if begin is not None:
        return np.lexsort((begin, value, group))
    width = int(value.max()) + 1 if len(value) else 1
    if width.bit_length() + (int(group[-1]) if len(group) else 0).bit_length() > KEY_BITS:
        return np.lexsort((value, group))
    return np.argsort(group * width + value, kind="stable")


def _unions(new: Bools, begin: Ints, end: Ints) -> tuple[Bools, Ints]:
    """Which spans (begin, end], sorted by value and begin, open a union, and (n,) how far each union
    reaches so far.

    `new` marks each value's first span.
    """
    ticks, tick = np.unique(end, return_inverse=True)
    bits = len(ticks).bit_length()
    reach = np.maximum.accumulate(((np.cumsum(new) - 1) << bits) | tick)
    covered = ticks[reach & ((1 << bits) - 1)]
    opens = new.copy()
    opens[1:] |= begin[1:] > covered[:-1]
    return opens, covered
