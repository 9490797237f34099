from itertools import pairwise

import numpy as np
import pytest
from model_data import dated, undated

from training.split import blocked_folds, forward_folds, forward_split, grouped_folds, random_split


def test_forward_split_learns_only_from_what_was_known_when_the_first_later_row_was_scored():
    ds = dated(400)
    split = forward_split(ds)
    start = ds.snapshots["as_of"].iloc[split.test].min()
    assert (ds.snapshots["matured_at"].iloc[split.train] <= start).all()
    assert not set(split.train) & set(split.test)
    assert len(split.test) == pytest.approx(len(ds) / 4, rel=0.05)


def test_purging_leaves_out_rows_that_a_split_by_as_of_alone_would_learn_from():
    ds = dated(400)
    split = forward_split(ds)
    before = (ds.snapshots["as_of"] < ds.snapshots["as_of"].iloc[split.test].min()).sum()
    assert len(split.train) < before


def test_forward_folds_go_forward_and_expand():
    ds = dated(600)
    folds = forward_folds(ds, 4)
    assert len(folds) == 4
    as_of = ds.snapshots["as_of"].to_numpy()
    for earlier, later in pairwise(folds):
        assert as_of[earlier.test].max() < as_of[later.test].min()
        assert set(earlier.train) < set(later.train)


def test_folds_without_enough_of_either_outcome_are_left_out():
    ds = dated(600)
    ds.y[:] = 1.0
    assert forward_folds(ds) == []


def test_blocked_folds_are_spans_of_time_and_share_no_contract():
    ds = dated(600)
    folds = blocked_folds(ds, 4)
    assert len(folds) == 4
    as_of = ds.snapshots["as_of"].to_numpy()
    for earlier, later in pairwise(folds):
        assert as_of[earlier.test].max() <= as_of[later.test].min()
    for fold in folds:
        assert not set(ds.subjects[fold.train]) & set(ds.subjects[fold.test])


@pytest.mark.parametrize("make", [dated, undated])
def test_grouped_folds_judge_every_row_once_and_never_part_what_belongs_together(make):
    ds = make(300)
    folds = grouped_folds(ds, 5, seed=3)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(ds)))
    for fold in folds:
        assert not set(ds.together[fold.train]) & set(ds.together[fold.test])


def test_grouped_folds_deal_outcomes_evenly_and_repeats_differ():
    ds = undated(500)
    rates = [ds.y[fold.test].mean() for fold in grouped_folds(ds, 5)]
    assert max(rates) - min(rates) < 0.05
    first, second = grouped_folds(ds, 5, repeats=2)[:5], grouped_folds(ds, 5, repeats=2)[5:]
    assert any(set(a.test) != set(b.test) for a, b in zip(first, second, strict=True))


def test_equal_rows_of_undated_data_stay_together():
    ds = undated(300)
    doubled = ds.take(np.array([*range(300), *range(0, 300, 3)])).without([])
    for fold in grouped_folds(doubled, 5):
        assert not set(doubled.groups[fold.train]) & set(doubled.groups[fold.test])


def test_random_split_keeps_contracts_whole():
    ds = dated(200)
    split = random_split(ds, 0.25)
    assert not set(ds.subjects[split.train]) & set(ds.subjects[split.test])
    assert len(split.test) == pytest.approx(len(ds) / 4, rel=0.05)
