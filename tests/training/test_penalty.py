from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from model_data import undated

from training.candidates import encoded_rows
from training.dataset import dataset
from training.linear import fit_logistic
from training.metrics import to_probability
from training.penalty import choose_penalty
from training.search import search
from training.split import grouped_folds
from training.training_rows import SCREENED, WEIGHTED

TELLING = ["real 0", "real 1", "real 2"]


@pytest.fixture(scope="module")
def wide():
    """Three informative columns, 60 idle ones."""
    rng = np.random.default_rng(3)
    X = pd.DataFrame({name: rng.normal(size=700) for name in TELLING})
    X = X.assign(**{f"noise {at}": rng.normal(size=700) for at in range(60)})
    y = (rng.random(700) < to_probability(0.3 + X[TELLING].sum(axis=1).to_numpy())).astype(float)
    return dataset(X, y, undated(700).snapshots, {}, "win", False)


def test_among_many_idle_columns_the_lasso_is_chosen(wide):
    rows, encoding = encoded_rows(wide)
    folds = grouped_folds(wide, 4)
    chosen = choose_penalty(rows, folds)
    assert chosen.regression.sparse
    assert len(chosen.margins) == sum(len(fold.test) for fold in folds)
    kept = replace(rows, screen=chosen.screen).read(SCREENED, np.arange(700))
    named = [encoding.columns[at] for at in kept]
    assert set(TELLING) <= set(named)
    assert len(named) < 30


def test_where_every_column_tells_a_little_the_ridge_is_chosen():
    rng = np.random.default_rng(5)
    X = pd.DataFrame(rng.normal(size=(500, 40)), columns=[f"c{at}" for at in range(40)])
    y = (rng.random(500) < to_probability(0.18 * X.sum(axis=1).to_numpy())).astype(float)
    ds = dataset(X, y, undated(500).snapshots, {}, "win", False)
    assert not choose_penalty(encoded_rows(ds)[0], grouped_folds(ds, 4)).regression.sparse


def test_a_lasso_that_leaves_columns_out_still_adds_up_and_hits_the_base_rate(wide):
    rows, _ = encoded_rows(wide)
    fitted = fit_logistic(rows.E, rows.y, rows.weight, rows.types, C=0.05, sparse=True)
    assert 0 < len(fitted.terms) < 40
    start, own = fitted.contributions(rows.E)
    assert np.allclose(start + own.sum(axis=1), fitted.margin(rows.E), atol=1e-12)
    mean = np.average(to_probability(fitted.margin(rows.E)), weights=rows.weight)
    assert mean == pytest.approx(np.average(rows.y, weights=rows.weight), abs=0.005)


def test_a_penalty_that_keeps_nothing_screens_nothing_away(wide):
    rows, _ = encoded_rows(wide)
    assert len(replace(rows, screen=1e-6).read(SCREENED, np.arange(700))) == 63


def test_a_search_tries_all_columns_the_stable_ones_first_and_the_screened_ones(wide):
    rows = replace(encoded_rows(wide)[0], screen=0.05)
    tuned = search(rows, grouped_folds(wide, 3), name="wide", storage=None, trials=3)
    tried = [trial["params"]["features"] for trial in tuned.history]
    assert tried == ["all", WEIGHTED, SCREENED]
    assert tuned.params["features"] == SCREENED
