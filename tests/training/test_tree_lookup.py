"""Margins by look-up are XGBoost's own, to the bit, whatever the trees ask and whatever is missing."""

import numpy as np
import pytest
import xgboost as xgb

from training.boosting import MANY_ROWS, Trees
from training.tree_lookup import MOST_DEPTH, lookup, margins
from training.treeshap import read_trees

TYPES = ["q", "c", "q", "c", "q", "q"]


def rows(n, seed):
    """(n, 6) encoded rows: quantities with ties and two categories, a fifth of it missing."""
    drawn = np.random.default_rng(seed)
    E = drawn.normal(size=(n, 6)).round(1)
    E[:, 1], E[:, 3] = drawn.integers(0, 5, n), drawn.integers(0, 40, n)
    E[drawn.random(E.shape) < 0.2] = np.nan
    return E.astype(np.float32)


def booster(depth, rounds=30, seed=0, **settings):
    E = rows(1_000, seed)
    p = 1 / (1 + np.exp(-np.nan_to_num(E[:, 0]) - (E[:, 3] % 3 == 1) + 0.5 * np.isnan(E[:, 2])))
    y = np.random.default_rng(seed).random(len(E)) < p
    data = xgb.QuantileDMatrix(E, y, feature_types=TYPES, enable_categorical=True)
    chosen = {"objective": "binary:logistic", "max_depth": depth, "max_cat_to_onehot": 8, **settings}
    return xgb.train(chosen, data, num_boost_round=rounds)


@pytest.mark.parametrize("depth", range(1, MOST_DEPTH + 1))
@pytest.mark.parametrize("seed", range(3))
def test_it_says_what_xgboost_says(depth, seed):
    asked = booster(depth, seed=seed)
    E = rows(1_537, seed + 100)
    E[:7, 3] = [39, 40, 41, 1_000, 0, np.nan, 7]  # codes the trees never met among them
    made = lookup(asked)
    assert made is not None
    for some in (E, E[:1], E[:2], E[:3], E[700:1_213]):
        says = asked.inplace_predict(some, predict_type="margin")
        assert np.array_equal(margins(made, np.ascontiguousarray(some.T)), says)


def test_trees_without_splits_with_few_and_from_another_base():
    E = rows(600, 3)
    assert lookup(booster(3, min_child_weight=1e9)) is None
    for settings in ({"gamma": 8.0}, {"interaction_constraints": "[[1, 3]]"}, {"base_score": 0.9}):
        asked = booster(3, **settings)
        found = lookup(asked)
        assert found is not None
        says = asked.inplace_predict(E, predict_type="margin")
        assert np.array_equal(margins(found, np.ascontiguousarray(E.T)), says)


def test_deeper_trees_are_left_to_xgboost():
    assert lookup(booster(MOST_DEPTH + 2)) is None
    deep = Trees(booster(MOST_DEPTH + 2), np.arange(6))
    E = rows(MANY_ROWS, 4)
    assert np.array_equal(deep.margin_of_many(E), deep.margin(E))


def test_the_columns_that_are_read_are_found_among_others():
    E = np.column_stack([np.full(900, 7, np.float32), rows(900, 5)])
    trees = Trees(booster(4), np.arange(1, 7))
    assert np.array_equal(trees.margin_of_many(E), trees.margin(E))
    assert np.array_equal(trees.margin_of_many(np.asfortranarray(E)), trees.margin(E))
    assert np.array_equal(trees.margin_of_many(E[:9]), trees.margin(E)[:9])


def test_a_booster_that_adds_otherwise_is_asked_itself(monkeypatch):
    asked = booster(3)
    assert lookup(asked) is not None
    first, *others = read_trees(asked)[0]
    monkeypatch.setattr("training.tree_lookup.read_trees", lambda _: ([*others, first], 0.0))
    assert lookup(asked) is None
