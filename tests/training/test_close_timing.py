"""Young deals teach what they would teach when all of them are decided; by which day a deal will be won."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features.catalog.declare import Info
from training.close_timing import CloseTiming, learn_timing, open_so_far
from training.dataset import Dataset, dataset
from training.linear import fit_logistic
from training.metrics import to_probability
from training.split import blocked_folds, forward_folds, is_usable

HORIZON = 120
DAY = np.timedelta64(1, "D")
START = np.datetime64("2023-01-01", "us")


def deals(n=6000, days=700, seed=0, drift=0.0, silent=False) -> tuple[Dataset, np.ndarray]:
    """Deals seen at creation: won ones close after some 40 days, lost ones after some 70, a tenth never.

    Returns the dataset as known at the last day, and every deal's true label. `silent`: no loss is recorded.
    """
    rng = np.random.default_rng(seed)
    at = rng.uniform(0, days, n)
    won = rng.random(n) < 0.2 + drift * at / days
    takes = np.where(won, np.minimum(rng.gamma(4, 10, n), HORIZON), rng.gamma(5, 14, n))
    takes[~won & (silent | (rng.random(n) < 0.1))] = 10_000
    known_after = np.minimum(takes, HORIZON)
    as_of = START + (at * DAY.astype("timedelta64[us]").astype(float)).astype("timedelta64[us]")
    known_at = as_of + (known_after * DAY.astype("timedelta64[us]").astype(float)).astype("timedelta64[us]")
    until = START + days * DAY
    ids = [f"o{i}" for i in range(n)]
    rows = pd.DataFrame(
        {
            "subject_id": ids,
            "account_id": ids,
            "as_of": as_of,
            "lead_days": 0.0,
            "matured_at": as_of + HORIZON * DAY,
            "known_at": known_at,
        }
    )
    ended = np.where(known_at <= until, won, np.nan)
    x = pd.DataFrame({"x": rng.normal(size=n)})
    infos = {"x": Info("x", "x", "number", "deal", "opportunities.x")}
    made = replace(dataset(x, ended, rows, infos, "win", True), horizon_days=HORIZON, ended=ended)
    return made.as_known_at(until).weighed(None), won


def test_the_distributions_are_those_of_all_deals_though_the_newest_are_open():
    ds, _ = deals()
    timing = learn_timing(ds, ds.until)
    rng = np.random.default_rng(1)
    truth = np.minimum(rng.gamma(4, 10, 100_000), HORIZON)
    for day in (20, 40, 80):
        known = timing.known_share(np.ones(1), np.zeros(1), np.array([float(day)]))[0]
        assert known == pytest.approx((truth < day + 1).mean(), abs=0.03)
    assert timing.known_share(np.zeros(1), np.zeros(1), np.array([float(HORIZON)]))[0] == 1


@pytest.mark.parametrize("silent", [False, True])
def test_the_share_won_of_young_deals_is_right_with_the_open_ones_and_wrong_without(silent):
    errors, naive = [], []
    for seed in range(8):
        ds, _ = deals(seed=seed, silent=silent)
        young = ds.snapshots["as_of"].to_numpy() > ds.until - 90 * DAY
        errors.append(np.average(ds.y[young], weights=ds.worth[young]) - 0.2)
        naive.append(ds.y[young & ds.is_known].mean() - 0.2)
    assert abs(np.mean(errors)) < 2 * np.std(errors) / np.sqrt(8) + 0.015
    assert np.mean(naive) > 0.08


def test_a_month_has_its_own_rate_while_the_rate_drifts():
    ds, _ = deals(n=12_000, drift=0.3)
    at = (ds.snapshots["as_of"].to_numpy() - START) / DAY
    month = (at > 600) & (at < 650)
    assert np.average(ds.y[month], weights=ds.worth[month]) == pytest.approx(0.2 + 0.3 * 625 / 700, abs=0.05)


def test_a_decided_deal_is_worth_one_and_an_open_one_less_the_younger_it_is():
    ds, _ = deals()
    y, worth = open_so_far(ds, ds.until)
    assert (worth[ds.is_known] == 1).all()
    assert (y[ds.is_known] == ds.ended[ds.is_known]).all()
    age = (ds.until - ds.snapshots["as_of"].to_numpy()) / DAY
    young, older = (~ds.is_known & (age > low) & (age < low + 10) for low in (5, 40))
    assert worth[young].mean() < 0.1 < worth[older].mean() < 1
    assert (y[older] == 0).all()


def test_open_deals_teach_a_regression_what_it_would_learn_of_all_outcomes():
    """Its slope on the newest deals: as with every outcome known, and too flat from decided ones alone."""
    slopes = {"open so far": [], "all": [], "decided": []}
    for seed in range(4):
        ds, _ = deals(n=5000, days=110, seed=seed, silent=True)
        rng = np.random.default_rng(seed)
        x = rng.normal(size=len(ds))
        won = rng.random(len(ds)) < to_probability(-1.5 + x)
        takes = np.where(won, rng.gamma(4, 10, len(ds)), 10_000)
        snapshots = ds.snapshots.copy()
        days = np.minimum(takes, HORIZON) * DAY.astype("timedelta64[us]").astype(float)
        snapshots["known_at"] = snapshots["as_of"].to_numpy() + days.astype("timedelta64[us]")
        ended = np.where(snapshots["known_at"] <= ds.until, won, np.nan)
        ds = replace(ds, snapshots=snapshots, ended=ended).as_known_at(ds.until)
        weights = {"open so far": ds.worth, "all": np.ones(len(ds)), "decided": ds.is_known.astype(float)}
        for name, weight in weights.items():
            y = won.astype(float) if name == "all" else ds.y
            fitted = fit_logistic(x[:, None], y, weight, ["q"], C=100.0)
            slopes[name].append(float(np.diff(fitted.margin(np.array([[0.0], [1.0]])))[0]))
    mean = {name: np.mean(values) for name, values in slopes.items()}
    assert mean["open so far"] == pytest.approx(mean["all"], abs=0.15)
    assert mean["decided"] < 0.6 * mean["all"]


def test_at_an_earlier_day_only_what_was_known_then_counts():
    ds, _ = deals()
    cut = START + 400 * DAY
    as_of = ds.snapshots["as_of"].to_numpy()
    earlier = ds.take(np.flatnonzero(as_of < cut), cut)
    assert (earlier.ended[~earlier.is_known] >= 0).all(), "known today, but not then"
    assert (earlier.worth[~earlier.is_known] < 1).all()
    assert earlier.base_rate == pytest.approx(0.2, abs=0.03)
    shuffled = np.where(ds.known_at > cut, 1 - ds.ended, ds.ended)
    other = replace(ds, ended=shuffled).take(np.flatnonzero(as_of < cut), cut)
    assert (other.y == earlier.y).all()
    assert (other.worth == earlier.worth).all()


def test_by_a_day_rises_to_the_probability_and_dates_are_quantiles():
    timing = CloseTiming(
        (0.0, 30.0), ((0.0, 0.25, 0.5, 1.0), (0.5, 0.5, 1.0, 1.0)), ((0.0, 0.0, 0.0, 1.0),) * 2
    )
    p, age = np.array([0.4, 0.4]), np.array([10.0, 45.0])
    assert timing.won_by(p, age, np.array([1.0, 1.0])) == pytest.approx([0.1, 0.2])
    assert timing.won_by(p, age, np.array([300.0, 300.0])) == pytest.approx([0.4, 0.4])
    assert timing.days_to_win(age, 0.5).tolist() == [2, 0]
    assert timing.days_to_win(age, 0.95).tolist() == [3, 2]


def test_folds_teach_what_was_known_when_they_began_though_losing_is_never_recorded():
    ds, _ = deals(n=3000, silent=True)
    folds = forward_folds(ds)
    assert folds
    for fold in [*folds, *blocked_folds(ds)]:
        assert is_usable(ds, fold)
        assert (ds.worth[fold.test] > 0).all()
    for fold in folds:
        start = ds.snapshots["as_of"].to_numpy()[fold.test].min()
        known = fold.train[ds.known_at[fold.train] <= start]
        assert (fold.then.y[known] == ds.ended[known]).all()
        still = np.setdiff1d(fold.train, known)
        assert len(still)
        assert (fold.then.y[still] == 0).all()
        assert fold.then.information[still].mean() < 0.9
