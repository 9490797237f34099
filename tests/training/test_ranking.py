"""A ranking is claimed where there is one, whatever the base rate does and however often one looks."""

import numpy as np
import pytest

from training.metrics import auc
from training.ranking import ranking, strata


def test_with_one_stratum_it_is_the_auc():
    rng = np.random.default_rng(0)
    y, score = (rng.random(300) < 0.4).astype(float), rng.normal(size=300).round(1)
    found = ranking(y, score + y, np.zeros(300), np.arange(300))
    assert found.auc == pytest.approx(auc(y, score + y))
    assert found.is_real


def test_a_small_case_by_hand():
    y = np.array([1.0, 0.0, 1.0, 0.0, 1.0])
    found = ranking(y, np.array([2.0, 1.0, 0.5, 0.7, 0.7]), np.array([0, 0, 1, 1, 1]), np.arange(5))
    first, second = 1.0, 0.25  # one of two pairs tied, one wrong
    weights = np.array([1 * 1 / 2, 2 * 1 / 3])
    assert found.auc == pytest.approx(weights @ [first, second] / weights.sum())
    assert not found.is_real


def test_drift_alone_is_no_ranking():
    """The score knows the month, and months differ: over all rows an AUC of .8, within months nothing."""
    rng = np.random.default_rng(1)
    month = np.repeat(np.arange(24), 60)
    y = (rng.random(len(month)) < 0.05 + 0.035 * month).astype(float)
    score = month + 0.1 * rng.normal(size=len(month))
    assert auc(y, score) > 0.75
    assert not ranking(y, score, month, np.arange(len(month))).is_real


@pytest.mark.parametrize(("rate", "per_account", "n"), [(0.5, 1, 200), (0.08, 7, 700), (0.3, 21, 2100)])
def test_chance_is_taken_for_a_ranking_in_one_case_of_forty(rate, per_account, n):
    """Looks share their contract's outcome and nearly its score; contracts share an account's."""
    claims, runs = 0, 400
    rng = np.random.default_rng(2)
    account = np.repeat(np.arange(n // per_account), per_account)
    for _ in range(runs):
        y = (rng.random(n // per_account) < rate).astype(float)[account]
        score = rng.normal(size=n // per_account)[account] + 0.2 * rng.normal(size=n)
        claims += ranking(y, score, np.arange(n) % 3, account).is_real
    assert claims / runs <= 0.025 + 2 * np.sqrt(0.025 * 0.975 / runs)


def test_a_weak_ranking_of_many_is_found():
    rng = np.random.default_rng(3)
    score, span = rng.normal(size=3000), np.repeat(np.arange(10), 300)
    y = (rng.random(3000) < 1 / (1 + np.exp(-(0.3 * score + span / 5 - 1)))).astype(float)
    found = ranking(y, score, span, np.arange(3000))
    assert found.is_real
    assert 0.54 < found.low < found.auc < found.high < 0.62


def test_a_single_outcome_tells_nothing():
    assert not ranking(np.ones(20), np.arange(20.0), np.zeros(20), np.arange(20)).is_real


def test_strata_are_months_of_a_fold():
    as_of = np.array(["2024-01-01", "2024-01-31", "2024-02-01", "2024-02-02", "NaT"], "datetime64[us]")
    codes = strata(as_of, np.array([0, 0, 0, 1, 0]))
    assert codes[0] == codes[1]
    assert len(np.unique(codes)) == 4
    assert (strata(np.full(3, np.datetime64("NaT", "us")), np.zeros(3)) == 0).all()


def test_a_deals_age_ranks_the_pipeline_of_a_month():
    """Old deals are rarely won; the age says so for deals open at the same time, though not among one age."""
    rng = np.random.default_rng(5)
    age, days = rng.choice([0, 7, 30, 90], 2000), rng.integers(0, 360, 2000)
    y = (rng.random(2000) < 0.4 * np.exp(-age / 40)).astype(float)
    as_of = np.datetime64("2024-01-01", "us") + days * np.timedelta64(1, "D")
    found = ranking(y, -age.astype(float), strata(as_of, np.zeros(2000)), np.arange(2000))
    assert found.low > 0.6
