"""The kernel: the only code that joins events to snapshots. numpy and nothing else.

Events are sorted by (group, moment, id), a group being an account, a contract or an opportunity. One binary search
for each window bound tells every snapshot which events lie before it; counts and sums are then two look-ups in a
running total and a subtraction, last and first are one look-up. Moments are int64 microseconds since 1970 (UTC),
`MISSING` where there is none. Sums run over whole numbers, so neither row order nor partitioning can change a bit.

An event is visible at `as_of` if its moment and, where given, the moment it was recorded both lie strictly before
`as_of`; a window of n days is `[as_of - n days, as_of)` by the event's moment.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

DAY = 86_400_000_000
MISSING = np.iinfo(np.int64).min
_KEY_BITS = 62
_FOREVER = np.iinfo(np.int64).max


class _Clock:
    """One sortable int64 for (group, moment): exact microseconds while they fit, ranks of moments otherwise."""

    def __init__(self, at: Ints, groups: int) -> None:
        self.base = int(at.min()) if len(at) else 0
        self.span = (int(at.max()) - self.base + 1) if len(at) else 1
        self.ticks: Ints | None = None
        if self.span.bit_length() + groups.bit_length() > _KEY_BITS:
            self.ticks = np.unique(at)
            self.span = len(self.ticks)
        self.bits = self.span.bit_length()

    def key(self, group: Ints, at: Ints) -> Ints:
        """(n,) keys; events strictly before a moment have strictly smaller keys within the group."""
        if self.ticks is None:
            tick = np.minimum(np.maximum(at, self.base), self.base + self.span) - self.base
        else:
            tick = np.searchsorted(self.ticks, at, side="left")
        return (group << self.bits) | tick


@dataclass(frozen=True)
class Timeline:
    """Events of one table by one of their moments, sorted by (group, moment, id).

    `rows` are the row numbers in the source table, `known` the later of the moment and its recording where rows are
    recorded late (else None), `group` in [0, groups).
    """

    rows: Ints
    group: Ints
    at: Ints
    known: Ints | None
    groups: int
    clock: _Clock
    key: Ints


def timeline(
    group: Ints,
    at: Ints,
    *,
    groups: int,
    before: int,
    recorded: Ints | None = None,
    ties: Callable[[], tuple[NDArray, ...]] | None = None,
) -> Timeline:
    """Sort events for the kernel, leaving out those without group or moment and those from `before` on.

    Args:
        group: (n,) group of each event, -1 for none.
        at: (n,) moment of each event, `MISSING` for none.
        groups: number of groups.
        before: a moment no snapshot is later than.
        recorded: (n,) when each event entered the CRM; `MISSING` means at once.
        ties: gives the (n,) arrays that order events of one group and moment; asked only if there are such.
    """
    rows = np.flatnonzero((group >= 0) & (at != MISSING) & (at < before))
    clock = _Clock(at[rows], groups)
    key = clock.key(group[rows], at[rows])
    if len(key) > 1 and not (key[1:] > key[:-1]).all():
        order = np.argsort(key, kind="stable")
        rows, key = rows[order], key[order]
        rows = _order_ties(rows, key, ties)
    moment = at[rows]
    known = None
    if recorded is not None:
        known = np.maximum(moment, recorded[rows])
        if (known == moment).all():
            known = None
    return Timeline(rows, group[rows], moment, known, groups, clock, key)


def _order_ties(rows: Ints, key: Ints, ties: Callable[[], tuple[NDArray, ...]] | None) -> Ints:
    """Put rows of equal key into the order of `ties`; only tied rows are touched."""
    same = np.flatnonzero(key[1:] == key[:-1])
    if not len(same) or ties is None:
        return rows
    tied = np.union1d(same, same + 1)
    order = np.lexsort([*(column[rows[tied]] for column in reversed(ties())), key[tied]])
    ordered = rows.copy()
    ordered[tied] = rows[tied][order]
    return ordered


@dataclass(frozen=True)
class View:
    """A timeline as a set of snapshots sees it: (m,) groups (-1: none) and moments of the snapshots."""

    line: Timeline
    group: Ints
    as_of: Ints
    _starts: dict[object, Ints] = field(default_factory=dict)

    @cached_property
    def upto(self) -> Ints:
        """(m,) position of the first event not before the snapshot."""
        return self._position(self.as_of)

    @cached_property
    def begin(self) -> Ints:
        """(m,) position of the group's first event."""
        starts = np.searchsorted(self.line.group, np.arange(self.line.groups + 1))
        position = starts[self.group]
        return np.where(self.group < 0, 0, position)

    def since(self, name: object, moment: Ints) -> Ints:
        """(m,) position of the first event at or after `moment` (`MISSING`: nothing is), kept under `name`."""
        if name not in self._starts:
            position = self._position(np.minimum(moment, self.as_of))
            self._starts[name] = np.where(moment == MISSING, self.upto, position)
        return self._starts[name]

    def days(self, days: int) -> Ints:
        """(m,) position of the first event in the last `days` days."""
        if days not in self._starts:
            self._starts[days] = self._position(self.as_of - days * DAY)
        return self._starts[days]

    def _position(self, moment: Ints) -> Ints:
        found = np.searchsorted(self.line.key, self.line.clock.key(self.group, moment), side="left")
        return np.where(self.group < 0, 0, found)

    @cached_property
    def hidden(self) -> tuple[Ints, Ints]:
        """(k,) event positions and (k,) snapshots that lie after the event but not after its recording."""
        line = self.line
        if line.known is None or not len(self.as_of):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        late = np.flatnonzero(line.known > line.at)
        seen = np.flatnonzero(self.group >= 0)
        clock = _Clock(self.as_of[seen], line.groups)
        keys = clock.key(self.group[seen], self.as_of[seen])
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        # moments are whole microseconds: "after t" is "at or after t + 1"
        first = np.searchsorted(keys, clock.key(line.group[late], line.at[late] + 1), side="left")
        last = np.searchsorted(keys, clock.key(line.group[late], line.known[late] + 1), side="left")
        counts = np.maximum(last - first, 0)
        offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(late, counts), seen[order[np.repeat(first, counts) + offset]]


@dataclass(frozen=True)
class Stream:
    """The events of a view that pass a filter.

    Args:
        view: the timeline seen from the snapshots.
        passes: (n,) whether each event of the timeline passes; None: all do.
    """

    view: View
    passes: Bools | None
    _ranks: dict[int, tuple[Ints, Ints]] = field(default_factory=dict)

    @cached_property
    def picked(self) -> Ints:
        """(k,) positions of the events that pass."""
        n = len(self.view.line.rows)
        return np.arange(n) if self.passes is None else np.flatnonzero(self.passes)

    @cached_property
    def _running(self) -> Ints:
        running = np.zeros(len(self.view.line.rows) + 1, np.int64)
        assert self.passes is not None
        np.cumsum(self.passes, out=running[1:])
        return running

    def rank(self, position: Ints) -> Ints:
        """(m,) how many passing events lie before each position; computed once for each bound."""
        if self.passes is None:
            return position
        if id(position) not in self._ranks:
            self._ranks[id(position)] = (
                position,
                self._running[position],
            )  # keeps `position`, so its id, alive
        return self._ranks[id(position)][1]

    @cached_property
    def hidden(self) -> tuple[Ints, Ints] | None:
        """Pairs of passing events (as ranks) and snapshots that do not know of them yet; None: no such pair."""
        event, snapshot = self.view.hidden
        if self.passes is not None and len(event):
            keep = self.passes[event]
            event, snapshot = event[keep], snapshot[keep]
        if not len(event):
            return None
        return (event if self.passes is None else self._running[event]), snapshot

    def count(self, start: Ints) -> Ints:
        """(m,) visible events from position `start` on."""
        low = self.rank(start)
        total = self.rank(self.view.upto) - low
        if self.hidden is not None:
            rank, snapshot = self.hidden
            inside = rank >= low[snapshot]
            total -= np.bincount(snapshot[inside], minlength=len(total))
        return total

    def sum(self, value: Ints, start: Ints) -> Ints:
        """(m,) sum of `value` ((k,) whole numbers of the passing events) over visible events from `start` on."""
        running = np.zeros(len(value) + 1, np.int64)
        np.cumsum(value, out=running[1:])
        low = self.rank(start)
        total = running[self.rank(self.view.upto)] - running[low]
        if self.hidden is not None:
            rank, snapshot = self.hidden
            inside = rank >= low[snapshot]
            np.subtract.at(total, snapshot[inside], value[rank[inside]])
        return total

    def last(self, start: Ints) -> Ints:
        """(m,) rank of the last visible event from `start` on, -1 if there is none."""
        return self.before(self.rank(self.view.upto), start)

    def before(self, bound: Ints, start: Ints) -> Ints:
        """(m,) rank of the last visible event before rank `bound` and from `start` on, -1 if there is none."""
        low = self.rank(start)
        rank = np.where(bound > low, bound - 1, -1)
        return self._step(rank, low, -1)

    def first(self, start: Ints) -> Ints:
        """(m,) rank of the first visible event from `start` on, -1 if there is none."""
        low, high = self.rank(start), self.rank(self.view.upto)
        rank = np.where(high > low, low, -1)
        return self._step(rank, low, 1)

    def _step(self, rank: Ints, low: Ints, step: int) -> Ints:
        """Move ranks of events not yet known in steps until each is known or the window ends (-1)."""
        known = self.view.line.known
        if known is None or self.hidden is None:
            return rank
        high = self.rank(self.view.upto)
        waiting = np.unique(self.hidden[1])
        waiting = waiting[rank[waiting] >= 0]
        while len(waiting):
            waiting = waiting[known[self.picked[rank[waiting]]] >= self.view.as_of[waiting]]
            rank[waiting] += step
            ended = (rank[waiting] < low[waiting]) | (rank[waiting] >= high[waiting])
            rank[waiting[ended]] = -1
            waiting = waiting[~ended]
        return rank

    def at(self, rank: Ints) -> Ints:
        """(m,) moment of the event of each rank, `MISSING` for rank -1."""
        return take(self.view.line.at[self.picked], rank, MISSING)

    def distinct(self, value: Ints, days: int | None) -> Ints:
        """(m,) different values ((k,) codes, -1: none) among visible events of the last `days` days (None: ever).

        Each event makes its value present from when it is known to when it leaves the window; what is counted is
        how many values' unions of such spans cover `as_of`.
        """
        line, view = self.view.line, self.view
        at, group = line.at[self.picked], line.group[self.picked]
        begin = at if line.known is None else line.known[self.picked]
        end = np.full(len(at), _FOREVER) if days is None else at + days * DAY
        use = (value >= 0) & (begin < end)
        group, begin, end = _unions(group[use], value[use], begin[use], end[use])
        return _started(group, begin, view) - _started(group, end, view)


def _unions(group: Ints, value: Ints, begin: Ints, end: Ints) -> tuple[Ints, Ints, Ints]:
    """Merge overlapping spans (begin, end] of one (group, value); returns the merged spans' group, begin, end."""
    if not len(group):
        return group, begin, end
    order = np.lexsort((begin, value, group))
    group, value, begin, end = group[order], value[order], begin[order], end[order]
    new = np.ones(len(group), bool)
    new[1:] = (group[1:] != group[:-1]) | (value[1:] != value[:-1])
    ticks, tick = np.unique(end, return_inverse=True)
    bits = len(ticks).bit_length()
    owner = np.cumsum(new) - 1
    reach = np.maximum.accumulate((owner << bits) | tick)
    covered = ticks[reach & ((1 << bits) - 1)]
    opens = new.copy()
    opens[1:] |= begin[1:] > covered[:-1]
    closes = np.append(opens[1:], True)
    return group[opens], begin[opens], covered[closes]


def _started(group: Ints, at: Ints, view: View) -> Ints:
    """(m,) how many of the moments `at` of the snapshot's group lie strictly before it."""
    line = timeline(group, at, groups=view.line.groups, before=_FOREVER)
    seen = View(line, view.group, view.as_of)
    return seen.upto - seen.begin


def take(values: NDArray, index: Ints, missing: object) -> NDArray:
    """(m,) `values[index]`, `missing` where the index is -1."""
    if not len(values):
        return np.full(len(index), missing, dtype=values.dtype)
    return np.where(index < 0, np.asarray(missing, dtype=values.dtype), values[index])


def elapsed_days(as_of: Ints, moment: Ints) -> Floats:
    """(m,) days from `moment` to `as_of`, NaN where the moment is missing."""
    return np.where(moment == MISSING, np.nan, (as_of - moment) / DAY)
