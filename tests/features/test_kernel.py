"""The kernel against counting one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.kernel import (
    DAY,
    MISSING,
    Clock,
    Presence,
    Selection,
    Stream,
    Timeline,
    View,
    elapsed_days,
    running_total,
)

MOMENTS = st.integers(0, 12).map(lambda day: day * DAY) | st.sampled_from([1, DAY - 1, 3 * DAY + 1])
EVENT = st.tuples(
    st.integers(-1, 2), MOMENTS | st.just(MISSING), st.none() | MOMENTS, st.integers(-1, 3), st.booleans(),
    st.integers(-9, 9)
)  # fmt: skip
SNAPSHOT = st.tuples(st.integers(-1, 2), MOMENTS)


def put(events: list, snapshots: list):
    """A stream of the chosen events, seen from the snapshots, and the values and weights of the chosen."""
    columns = list(zip(*events, strict=True)) or [()] * 6
    group, at, value, weight = (np.array(columns[place], np.int64) for place in (0, 1, 3, 5))
    recorded = np.array([MISSING if late is None else late for late in columns[2]], np.int64)
    line = Timeline(group, at, groups=3, recorded=recorded, ties=lambda rows: (rows,))
    chosen = Selection(line, np.array(columns[4], bool)[line.rows])
    where, when = (np.array([snapshot[place] for snapshot in snapshots], np.int64) for place in (0, 1))
    return Stream(View(line, where, when), chosen), value[chosen.rows], weight[chosen.rows]


def seen(events: list, snapshot: tuple, days: int | None) -> list[tuple]:
    """(moment, number, value, weight) of the chosen events a snapshot knows of, in their order."""
    where, when = snapshot
    low = -(2**60) if days is None else when - days * DAY
    return sorted(
        (at, number, value, weight)
        for number, (group, at, late, value, chosen, weight) in enumerate(events)
        if chosen
        and 0 <= group == where
        and at != MISSING
        and low <= at < when
        and (late is None or late < when)
    )


@given(
    st.lists(EVENT, max_size=25), st.lists(SNAPSHOT, min_size=1, max_size=8), st.sampled_from([None, 1, 3, 7])
)
def test_every_answer_equals_counting_one_by_one(events, snapshots, days):
    stream, value, weight = put(events, snapshots)
    start = stream.view.begin if days is None else stream.view.days(days)
    known = [seen(events, snapshot, days) for snapshot in snapshots]
    assert stream.count(start).tolist() == [len(line) for line in known]
    assert stream.sum(running_total(weight), start).tolist() == [
        sum(event[3] for event in line) for line in known
    ]
    numbers = stream.chosen.rows
    for ranks, place in ((stream.last(start), -1), (stream.previous(start), -2), (stream.first(start), 0)):
        expected = [line[place][1] if len(line) > (place == -2) else -1 for line in known]
        assert [numbers[rank] if rank >= 0 else -1 for rank in ranks] == expected
    last = stream.at(stream.last(start))
    assert last.tolist() == [line[-1][0] if line else MISSING for line in known]
    present = Presence(stream.chosen, value).count(days, stream.view.group, stream.view.as_of)
    assert present.tolist() == [len({event[2] for event in line} - {-1}) for line in known]


@given(st.lists(EVENT, max_size=20), st.lists(SNAPSHOT, min_size=1, max_size=5))
def test_moments_of_wild_years_answer_the_same(events, snapshots):
    wild = [(0, -300_000 * DAY, None, 1, True, 5), (1, 2_900_000 * DAY, None, 1, True, 7), *events]
    stream, _, weight = put(wild, snapshots)
    known = [seen(wild, snapshot, None) for snapshot in snapshots]
    assert stream.count(stream.view.begin).tolist() == [len(line) for line in known]
    assert stream.sum(running_total(weight), stream.view.begin).tolist() == [
        sum(e[3] for e in line) for line in known
    ]


@pytest.mark.parametrize("groups", [3, 2**20])
def test_keys_order_by_group_then_moment_whether_as_moments_or_as_ranks(groups):
    at = np.array([0, 5, 2**52, 5, 7], np.int64)
    clock = Clock(at, groups)
    assert (clock.ticks is None) == (groups == 3)
    group = np.array([0, 0, 0, 1, 2])
    keys = clock.key(group, at)
    assert (np.diff(keys) > 0).all()
    assert (clock.key(group, at + 1) > keys).all()


def test_bounds_are_strict_to_the_microsecond():
    events = [(0, 10 * DAY, None, 0, True, 1), (0, 3 * DAY, None, 0, True, 1)]
    stream, _, _ = put(events, [(0, 10 * DAY), (0, 10 * DAY + 1), (0, 10 * DAY - 1)])
    assert stream.count(stream.view.days(7)).tolist() == [1, 1, 1]
    assert stream.count(stream.view.begin).tolist() == [1, 2, 1]


def test_an_event_recorded_late_counts_from_its_recording_on():
    events = [(0, 2 * DAY, 5 * DAY, 0, True, 1), (0, DAY, None, 0, True, 1)]
    stream, _, _ = put(events, [(0, 4 * DAY), (0, 5 * DAY), (0, 5 * DAY + 1)])
    assert stream.count(stream.view.begin).tolist() == [1, 1, 2]
    assert elapsed_days(stream.view.as_of, stream.at(stream.last(stream.view.begin))).tolist()[:2] == [
        3.0,
        4.0,
    ]


def test_no_events_and_no_snapshots_are_answered():
    stream, _, _ = put([], [(0, DAY), (-1, DAY)])
    assert stream.count(stream.view.begin).tolist() == [0, 0]
    assert stream.at(stream.last(stream.view.begin)).tolist() == [MISSING, MISSING]
    nobody, _, _ = put([(0, DAY, None, 0, True, 1)], [])
    assert nobody.count(nobody.view.begin).tolist() == []
