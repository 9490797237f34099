"""The kernel: the only code that joins events to snapshots. numpy and nothing else.

Events are sorted by (group, moment, id), a group being an account, a contract or an opportunity. One
binary search for each window bound finds the events before it for every snapshot; counts and sums are
then two look-ups in a running total and a subtraction, last and first are one look-up. Moments are int64
microseconds since 1970 (UTC), `MISSING` where there is none. Sums run over whole numbers, so neither the
order of rows nor the cut of partitions can change a bit.

An event is visible at `as_of` if its moment and, where given, the moment it was recorded both lie strictly
before `as_of`; a window of n days is `[as_of - n days, as_of)` by the event's moment.

The kernel's answer to "how many different": which values are present, by time. numpy and nothing else.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

DAY = 86_400_000_000
MISSING = np.iinfo(np.int64).min
FOREVER = np.iinfo(np.int64).max
KEY_BITS = 62
"""Bits of a key for group and moment together."""
_NOTHING = np.zeros(0, np.int64)


class Clock:
    """One sortable int64 for (group, moment): whole microseconds while they fit, ranks of moments
    otherwise."""

    def __init__(self, at: Ints, groups: int) -> None:
        self.base = int(at.min()) if len(at) else 0
        self.span = (int(at.max()) - self.base + 1) if len(at) else 1
        self.ticks: Ints | None = None
        if self.span.bit_length() + groups.bit_length() > KEY_BITS:
            self.ticks = np.unique(at)
            self.span = len(self.ticks)
        self.bits = self.span.bit_length()

    def key(self, group: Ints, at: Ints) -> Ints:
        """(n,) keys; within a group, events strictly before a moment have strictly smaller ones."""
        if self.ticks is None:
            tick = np.minimum(np.maximum(at, self.base), self.base + self.span) - self.base
        else:
            tick = np.searchsorted(self.ticks, at, side="left")
        return (group << self.bits) | tick


class Timeline:
    """Events of one table by one of their moments, sorted by (group, moment, id).

    Events without group or moment, and those from `before` on, are left out. `rows` are the row numbers of
    the others in the source, `known_at` the later of the moment and its recording (None where that is always
    the moment).

    Args:
        group: (n,) group of each event, -1 for none.
        at: (n,) moment of each event, `MISSING` for none.
        groups: number of groups.
        before: a moment no snapshot is later than.
        recorded: (n,) when each event entered the CRM; `MISSING` means at once.
        ties: gives arrays that order rows (their numbers are handed over) of one group and moment.
    """

    def __init__(
        self,
        group: Ints,
        at: Ints,
        *,
        groups: int,
        before: int = FOREVER,
        recorded: Ints | None = None,
        ties: Callable[[Ints], tuple[NDArray, ...]] | None = None,
    ) -> None:
        usable = (group >= 0) & (at != MISSING)
        if before != FOREVER:
            usable &= at < before
        rows = np.flatnonzero(usable)
        self.groups = groups
        self.clock = Clock(at[rows], groups)
        key = self.clock.key(group[rows], at[rows])
        if len(key) > 1 and not (key[1:] > key[:-1]).all():
            order = np.argsort(key, kind="stable")
            rows, key = rows[order], key[order]
            rows = _order_ties(rows, key, ties)
        self.rows, self.key, self.at, self.group = rows, key, at[rows], group[rows]
        self.known_at = None if recorded is None else _known(self.at, recorded[rows])
        self.starts = np.searchsorted(self.group, np.arange(groups + 1))


def _known(at: Ints, recorded: Ints) -> Ints | None:
    late = recorded > at
    return np.where(late, recorded, at) if late.any() else None


def _order_ties(rows: Ints, key: Ints, ties: Callable[[Ints], tuple[NDArray, ...]] | None) -> Ints:
    """Put rows of equal key into the order of `ties`; only tied rows are touched."""
    same = np.flatnonzero(key[1:] == key[:-1])
    if not len(same) or ties is None:
        return rows
    tied = np.union1d(same, same + 1)
    order = np.lexsort([*reversed(ties(rows[tied])), key[tied]])
    ordered = rows.copy()
    ordered[tied] = rows[tied][order]
    return ordered


class Selection:
    """The events of a timeline that pass a filter: (n,) `passes`, None if all do.

    `picked` are their (k,) positions in the timeline, `rows` their row numbers, `running` (n + 1,) how many
    lie before each position.
    """

    def __init__(self, line: Timeline, passes: Bools | None) -> None:
        self.line, self.passes = line, passes
        if passes is None:
            self.picked, self.rows, self.at = None, line.rows, line.at
            return
        self.picked = np.flatnonzero(passes)
        self.rows, self.at = line.rows[self.picked], line.at[self.picked]
        self.running = np.zeros(len(passes) + 1, np.int64)
        np.cumsum(passes, out=self.running[1:])

    @property
    def known_at(self) -> Ints | None:
        """(k,) when each event was known; None: at once."""
        known_at = self.line.known_at
        return known_at if known_at is None or self.picked is None else known_at[self.picked]

    def ranks(self, positions: Ints) -> Ints:
        """(m,) how many passing events lie before each position."""
        return positions if self.passes is None else self.running[positions]


def running_total(value: Ints) -> Ints:
    """(k + 1,) sums of the first 0, 1, … k values."""
    total = np.zeros(len(value) + 1, np.int64)
    np.cumsum(value, out=total[1:])
    return total


class View:
    """A timeline as snapshots see it: (m,) `group` of each (-1: none) and `as_of`.

    `begin` and `upto` are (m,) positions of the group's first event and of the first not before the snapshot.
    """

    def __init__(self, line: Timeline, group: Ints, as_of: Ints) -> None:
        self.line, self.group, self.as_of = line, group, as_of
        self.outside = group < 0 if len(group) and int(group.min()) < 0 else None
        self.begin = self._inside(line.starts[group])
        self.upto = self.position(as_of)
        self.starts: dict[object, Ints] = {}
        self._hidden: tuple[Ints, Ints] | None = None

    def _inside(self, position: Ints) -> Ints:
        return position if self.outside is None else np.where(self.outside, 0, position)

    def position(self, moment: Ints) -> Ints:
        """(m,) position of the first event at or after each moment."""
        return self._inside(self.line.key.searchsorted(self.line.clock.key(self.group, moment)))

    def days(self, days: int) -> Ints:
        """(m,) position of the first event in the last `days` days."""
        if days not in self.starts:
            self.starts[days] = self.position(self.as_of - days * DAY)
        return self.starts[days]

    def since(self, name: object, moment: Ints) -> Ints:
        """(m,) position of the first event at or after `moment` (`MISSING`: there is none), kept as
        `name`."""
        if name not in self.starts:
            position = self.position(np.minimum(moment, self.as_of))
            self.starts[name] = np.where(moment == MISSING, self.upto, position)
        return self.starts[name]

    @property
    def hidden(self) -> tuple[Ints, Ints]:
        """(k,) event positions and (k,) snapshots that lie after the event but not after its recording."""
        if self._hidden is None:
            self._hidden = self._find_hidden()
        return self._hidden

    def _find_hidden(self) -> tuple[Ints, Ints]:
        line, grouped = self.line, np.flatnonzero(self.group >= 0)
        if line.known_at is None or not len(grouped):
            return _NOTHING, _NOTHING
        late = np.flatnonzero(line.known_at > line.at)
        clock = Clock(self.as_of[grouped], line.groups)
        keys = clock.key(self.group[grouped], self.as_of[grouped])
        order = np.argsort(keys, kind="stable")
        keys, group = keys[order], line.group[late]
        # moments are whole microseconds: "after t" is "at or after t + 1"
        first = keys.searchsorted(clock.key(group, line.at[late] + 1))
        last = keys.searchsorted(clock.key(group, line.known_at[late] + 1))
        some = np.flatnonzero(last > first)
        late, first, counts = late[some], first[some], (last - first)[some]
        offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(late, counts), grouped[order[np.repeat(first, counts) + offset]]


class Stream:
    """A selection of events, seen from snapshots. Its answers are (m,), a rank being a place in the
    selection."""

    def __init__(self, view: View, chosen: Selection) -> None:
        self.view, self.chosen = view, chosen
        self.high = chosen.ranks(view.upto)
        self._low: dict[int, tuple[Ints, Ints]] = {}
        self.hidden = self._own_hidden() if view.line.known_at is not None else None

    def _own_hidden(self) -> tuple[Ints, Ints] | None:
        """Pairs of chosen events (as ranks) and snapshots that do not know of them yet; None: no such
        pair."""
        event, snapshot = self.view.hidden
        if self.chosen.passes is not None and len(event):
            keep = self.chosen.passes[event]
            event, snapshot = event[keep], snapshot[keep]
        return (self.chosen.ranks(event), snapshot) if len(event) else None

    def low(self, start: Ints) -> Ints:
        """(m,) rank of the first event from each position on."""
        if self.chosen.passes is None:
            return start
        if id(start) not in self._low:
            self._low[id(start)] = (start, self.chosen.ranks(start))  # keeps `start`, so its id, alive
        return self._low[id(start)][1]

    def count(self, start: Ints) -> Ints:
        """(m,) visible events from position `start` on."""
        low = self.low(start)
        total = self.high - low
        if self.hidden is not None:
            rank, snapshot = self.hidden
            total -= np.bincount(snapshot[rank >= low[snapshot]], minlength=len(total))
        return total

    def sum(self, total: Ints, start: Ints) -> Ints:
        """(m,) sum over visible events from `start` on of the values whose `running_total` is given."""
        low = self.low(start)
        result = total[self.high] - total[low]
        if self.hidden is not None:
            rank, snapshot = self.hidden
            inside = rank >= low[snapshot]
            rank = rank[inside]
            np.subtract.at(result, snapshot[inside], total[rank + 1] - total[rank])
        return result

    def last(self, start: Ints) -> Ints:
        """(m,) rank of the last visible event from `start` on, -1 if there is none."""
        low = self.low(start)
        return self._known(np.where(self.high > low, self.high - 1, -1), low, -1)

    def previous(self, start: Ints) -> Ints:
        """(m,) rank of the last visible event but one from `start` on, -1 if there is none."""
        low, last = self.low(start), self.last(start)
        return self._known(np.where(last > low, last - 1, -1), low, -1)

    def first(self, start: Ints) -> Ints:
        """(m,) rank of the first visible event from `start` on, -1 if there is none."""
        low = self.low(start)
        return self._known(np.where(self.high > low, low, -1), low, 1)

    def _known(self, rank: Ints, low: Ints, step: int) -> Ints:
        """Move ranks of events not yet known in steps until each is known or the window ends (-1)."""
        if self.hidden is None:
            return rank
        known_at = self.chosen.known_at
        assert known_at is not None
        waiting = np.unique(self.hidden[1])
        waiting = waiting[rank[waiting] >= 0]
        while len(waiting):
            waiting = waiting[known_at[rank[waiting]] >= self.view.as_of[waiting]]
            rank[waiting] += step
            ended = (rank[waiting] < low[waiting]) | (rank[waiting] >= self.high[waiting])
            rank[waiting[ended]] = -1
            waiting = waiting[~ended]
        return rank

    def at(self, rank: Ints) -> Ints:
        """(m,) moment of the event of each rank, `MISSING` for rank -1."""
        return take(self.chosen.at, rank, MISSING)


def take(values: NDArray, index: Ints, missing: float) -> NDArray:
    """(m,) `values[index]`, `missing` where the index is -1."""
    if not len(values):
        return np.full(len(index), missing, dtype=values.dtype)
    result = values[index]
    result[index < 0] = missing
    return result


def elapsed_days(as_of: Ints, moment: Ints) -> Floats:
    """(m,) days from `moment` to `as_of`, NaN where the moment is missing."""
    days = (as_of - moment) / DAY
    days[moment == MISSING] = np.nan
    return days


class Presence:
    """How many different values are present, by time: what `distinct` looks up.

    Each event makes its value present from when it is known to when it leaves the window. What is counted at
    a moment is how many values' unions of such spans cover it.

    Args:
        chosen: the events.
        value: (k,) whole numbers that identify values, negative for none.
    """

    def __init__(self, chosen: Selection, value: Ints) -> None:
        self.groups = chosen.line.groups
        group = chosen.line.group if chosen.picked is None else chosen.line.group[chosen.picked]
        known_at = chosen.known_at
        begin = chosen.at if known_at is None else known_at
        valued = np.flatnonzero(value >= 0)
        order = valued[
            _by_value(group[valued], value[valued], begin[valued] if known_at is not None else None)
        ]
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
        result = opened.upto - opened.begin
        if ends is not None:
            closed = View(ends, group, as_of)
            result -= closed.upto - closed.begin
        return result


def _by_value(group: Ints, value: Ints, begin: Ints | None) -> Ints:
    """The order by group, value and `begin`; None: the events are in that order within each value
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
