"""Young deals teach what they would teach when all of them are decided; by which day a deal will be won."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features.catalog.declare import Info
from training.close_timing import CloseTiming, known_weights, learn_timing
from training.dataset import Dataset, dataset
from training.split import blocked_folds, forward_folds, has_outcomes, is_usable

HORIZON = 120
DAY = np.timedelta64(1, "D")
START = np.datetime64("2023-01-01", "us")


def deals(n=6000, days=700, seed=0, drift=0.0) -> tuple[Dataset, np.ndarray]:
    """Deals seen at creation: won ones close after some 40 days, lost ones after some 70, a tenth never.

    Returns the dataset as known at the last day, and every deal's true label.
    """
    rng = np.random.default_rng(seed)
    at = rng.uniform(0, days, n)
    won = rng.random(n) < 0.2 + drift * at / days
    takes = np.where(won, np.minimum(rng.gamma(4, 10, n), HORIZON), rng.gamma(5, 14, n))
    takes[~won & (rng.random(n) < 0.1)] = 10_000
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
    known = known_at <= until
    x = pd.DataFrame({"x": rng.normal(size=n)})
    infos = {"x": Info("x", "x", "number", "deal", "opportunities.x")}
    made = dataset(x[known], won[known].astype(float), rows[known], infos, "win", True)
    still = rows.loc[~known, ["as_of", "lead_days"]]
    return replace(made, until=until, horizon_days=HORIZON, open_looks=still).weighed(None), won


def test_the_distributions_are_those_of_all_deals_though_the_newest_are_open():
    ds, _ = deals()
    timing = learn_timing(ds, ds.until)
    rng = np.random.default_rng(1)
    truth = np.minimum(rng.gamma(4, 10, 100_000), HORIZON)
    for day in (20, 40, 80):
        known = timing.known_share(np.ones(1), np.zeros(1), np.array([float(day)]))[0]
        assert known == pytest.approx((truth < day + 1).mean(), abs=0.03)
    assert timing.known_share(np.zeros(1), np.zeros(1), np.array([float(HORIZON)]))[0] == 1


def test_the_share_won_of_young_deals_is_right_when_weighted_and_wrong_when_not():
    errors, naive = [], []
    for seed in range(8):
        ds, _ = deals(seed=seed)
        young = ds.snapshots["as_of"].to_numpy() > ds.until - 90 * DAY
        weight = known_weights(ds, ds.until)
        young &= weight > 0
        errors.append(np.average(ds.y[young], weights=weight[young]) - 0.2)
        naive.append(ds.y[young].mean() - 0.2)
    assert abs(np.mean(errors)) < 2 * np.std(errors) / np.sqrt(8) + 0.01
    assert np.mean(naive) > 0.08


def test_a_month_keeps_its_number_of_deals_and_its_own_rate_while_the_rate_drifts():
    ds, _ = deals(n=12_000, drift=0.3)
    at = (ds.snapshots["as_of"].to_numpy() - START) / DAY
    month = (at > 600) & (at < 650)
    weight = known_weights(ds, ds.until)
    assert weight[month].sum() == pytest.approx(12_000 * 50 / 700, rel=0.12)
    assert np.average(ds.y[month], weights=weight[month]) == pytest.approx(0.2 + 0.3 * 625 / 700, abs=0.06)


def test_settled_looks_weigh_one_and_the_youngest_nothing():
    ds, _ = deals()
    weight = known_weights(ds, ds.until)
    assert (weight[ds.is_settled] == 1).all()
    newest = ds.snapshots["as_of"].to_numpy() > ds.until - 5 * DAY
    assert (weight[newest] == 0).all()
    assert weight.max() <= 5


def test_at_an_earlier_day_only_what_was_known_then_counts():
    ds, _ = deals()
    cut = START + 400 * DAY
    earlier = ds.take(np.flatnonzero(ds.known_at <= cut), cut)
    assert (earlier.snapshots["as_of"].to_numpy() < cut).all()
    assert earlier.open_looks is not None
    before = earlier.open_looks[earlier.open_looks["as_of"] < cut]
    assert len(before) + len(earlier) == pytest.approx(6000 * 400 / 700, rel=0.05)
    assert earlier.base_rate == pytest.approx(0.2, abs=0.03)


def test_by_a_day_rises_to_the_probability_and_dates_are_quantiles():
    timing = CloseTiming(
        (0.0, 30.0), ((0.0, 0.25, 0.5, 1.0), (0.5, 0.5, 1.0, 1.0)), ((0.0, 0.0, 0.0, 1.0),) * 2
    )
    p, age = np.array([0.4, 0.4]), np.array([10.0, 45.0])
    assert timing.won_by(p, age, np.array([1.0, 1.0])) == pytest.approx([0.1, 0.2])
    assert timing.won_by(p, age, np.array([300.0, 300.0])) == pytest.approx([0.4, 0.4])
    assert timing.days_to_win(age, 0.5).tolist() == [2, 0]
    assert timing.days_to_win(age, 0.95).tolist() == [3, 2]


def test_folds_hold_no_deal_of_which_winning_alone_could_be_known():
    """Where losing is never recorded, young deals are won or open: a fold of them would have one outcome."""
    ds, _ = deals(n=3000)
    silent = (ds.y == 1) | (ds.snapshots["known_at"] == ds.snapshots["matured_at"]).to_numpy()
    ds = ds.take(np.flatnonzero(silent))
    weight = known_weights(ds, ds.until)
    assert (weight[ds.y == 1] == 0).any()
    folds = [*forward_folds(ds), *blocked_folds(ds)]
    assert folds
    for fold in folds:
        assert (weight[fold.train] > 0).all()
        assert (weight[fold.test] > 0).all()
        assert is_usable(ds, fold)
    young = np.flatnonzero(weight == 0)
    assert not has_outcomes(ds, young, 1)
