"""Weights that make outcomes independent of segments, the constraint, fewer columns; their price and gain."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from model_data import info

from features.errors import RenewalError
from features.settings import Settings
from training.dataset import dataset
from training.fairness.mitigation import MITIGATIONS, Case, Lift, Reweighing, Sums, mend
from training.fairness.mitigation_price import in_words, option_row
from training.fairness.parity import parity, segment_rows, segment_shares, threshold
from training.select import select


def unequal(n=2400, seed=0):
    """Deals of two groups, b's won less often at equal merit; `town` all but says who is b."""
    rng = np.random.default_rng(seed)
    is_b = rng.random(n) < 0.4
    merit = rng.normal(size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(-(1.6 * merit + 0.5 - 2.2 * is_b)))).astype(float)
    X = pd.DataFrame({"calls": merit + 1.0 * rng.normal(size=n), "noise": rng.normal(size=n)})
    X["town"] = (rng.normal(size=n) - 2.5 * is_b).round(2)
    ids = [f"d{i}" for i in range(n)]
    day = pd.Timestamp("2022-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 900, n)), unit="D")
    snapshots = pd.DataFrame({"subject_id": ids, "account_id": ids, "as_of": day, "lead_days": 0.0})
    snapshots["matured_at"] = day + pd.Timedelta(days=60)
    infos = {name: info(name) for name in X.columns}
    segments = pd.DataFrame(
        {"account_id": ids, "attribute": "owned_by", "value": np.where(is_b, "b", "a"), "share": 1.0}
    )
    return dataset(X, y, snapshots, infos, "win", True), segments


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    ds, segments = unequal()
    settings = Settings(home=tmp_path_factory.mktemp("home"), threads=1)
    choose = partial(select, settings=settings, trials=2, minutes=None, horizon_days=60)
    return Case(ds, segments, choose(ds), choose), settings


def by_hand(weight, y, inside):
    """The outcome's rate inside and beside, under weights."""
    return [np.average(y[part], weights=weight[part]) for part in (inside, ~inside)]


def test_reweighing_is_kamiran_and_calders_formula():
    ds, segments = unequal(600)
    weight = Reweighing(segments)(ds.snapshots["account_id"], ds.y)
    inside = (segments["value"] == "b").to_numpy()
    for part in (inside, ~inside):
        for outcome in (0.0, 1.0):
            cell = part & (ds.y == outcome)
            expected = part.mean() * (ds.y == outcome).mean() / cell.mean()
            assert weight[cell] == pytest.approx(expected)
    here, there = by_hand(weight, ds.y, inside)
    assert here == pytest.approx(there)
    assert here == pytest.approx(ds.y.mean())


def test_reweighing_of_several_attributes_makes_each_independent():
    ds, segments = unequal(2000)
    rng = np.random.default_rng(3)
    young = rng.random(2000) < 0.2 + 0.5 * ds.y
    more = segments.assign(attribute="age", value=np.where(young, "young", "old"))
    weight = Reweighing(pd.concat([segments, more]))(ds.snapshots["account_id"], ds.y)
    for inside in ((segments["value"] == "b").to_numpy(), young):
        here, there = by_hand(weight, ds.y, inside)
        assert here == pytest.approx(there, abs=0.002)
    assert weight.mean() == pytest.approx(1)


def test_accounts_of_no_known_segment_keep_their_weight_beside_each_other():
    ds, segments = unequal(600)
    known = segments.iloc[:300]
    weight = Reweighing(known)(ds.snapshots["account_id"], ds.y)
    assert np.ptp(weight[300:]) == 0


def test_area_shares_mix_the_weights():
    ds, segments = unequal(600)
    other = segments["value"].map({"a": "b", "b": "a"})
    mixed = pd.concat([segments.assign(share=0.8), segments.assign(value=other, share=0.2)])
    weight = Reweighing(mixed)(ds.snapshots["account_id"], ds.y)
    plain = Reweighing(segments)(ds.snapshots["account_id"], ds.y)
    assert np.ptp(weight) < np.ptp(plain)
    shares = segment_shares(ds.snapshots["account_id"], mixed)["owned_by"]
    assert shares["a"] + shares["b"] == pytest.approx(np.ones(600))


def test_a_lift_keeps_what_each_outcome_weighs():
    ds, segments = unequal(600)
    weight = Lift(segments, {("owned_by", "b"): 2.0, ("owned_by", "a"): 0.5}, 1)(
        ds.snapshots["account_id"], ds.y
    )
    assert weight[ds.y == 0] == pytest.approx(np.ones((ds.y == 0).sum()))
    assert weight[ds.y == 1].mean() == pytest.approx(1)
    won, inside = ds.y == 1, (segments["value"] == "b").to_numpy()
    assert weight[won & inside][0] == pytest.approx(4 * weight[won & ~inside][0])


def test_weights_are_worked_out_anew_for_the_rows_learned_from():
    ds, segments = unequal(600)
    part = ds.weighed(Reweighing(segments)).take(np.arange(300))
    inside = (segments["value"] == "b").to_numpy()[:300]
    here, there = by_hand(part.weights, part.y, inside)
    assert here == pytest.approx(there)
    assert part.weights.sum() == pytest.approx(300)
    assert ds.weighed(Reweighing(segments)).fingerprint != ds.fingerprint


def test_rates_by_account_are_those_of_the_parity_checks():
    ds, segments = unequal(800)
    p = np.random.default_rng(1).random(800)
    sums = Sums.of(ds, p, 0.5, segments)
    inside, rest = sums.rates(np.ones((1, sums.accounts)))
    checks = parity(ds.y, p, 0.5, segment_rows(ds.snapshots["account_id"], segments), kind="win")
    for at, (attribute, value) in enumerate(sums.keys):
        check = next(c for c in checks if c["primary"] and c["segment"] == f"{attribute}={value}")
        assert inside[0, at] == pytest.approx(check["estimate"])
        assert rest[0, at] == pytest.approx(check["rest"])


@pytest.mark.slow
@pytest.mark.parametrize("name", MITIGATIONS)
def test_each_mitigation_narrows_the_planted_gap_and_tells_its_price(case, name):
    case, settings = case
    before = option_row(case, None)
    mended = mend(name, case, settings)
    after = option_row(case, mended)
    assert before["gap"] > 0.2
    assert after["gain"] == pytest.approx(before["gap"] - after["gap"])
    assert after["gain_low"] > 0.1
    assert after["ratio"] > before["ratio"] + 0.1
    assert after["price_low"] < after["price"] < after["price_high"]
    assert after["price"] == pytest.approx(after["log_loss"] - before["log_loss"])
    answer = in_words({"before": before, "after": after})
    assert name in answer
    assert f"{after['price']:+.4f}" in answer


@pytest.mark.slow
def test_what_is_served_never_asks_for_the_segment(case):
    case, settings = case
    model = mend("reweighing", case, settings).selection.model
    assert set(model.features) <= {"calls", "noise", "town"}
    assert 0 < threshold(model) < 1


@pytest.mark.slow
def test_dropping_proxies_names_what_it_dropped(case):
    case, settings = case
    mended = mend("drop-proxies", case, settings)
    assert mended.what == "left out town"
    assert "town" not in mended.ds.X
    without = Case(mended.ds, case.segments, mended.selection, case.choose)
    with pytest.raises(RenewalError, match="none that surely does"):
        mend("drop-proxies", without, settings)


@pytest.mark.slow
def test_mistakes_cost_one_line(case):
    case, settings = case
    with pytest.raises(RenewalError, match="reweighing, constraint, drop-proxies"):
        mend("quotas", case, settings)
    nobody = Case(case.ds, case.segments.iloc[:0], case.selection, case.choose)
    with pytest.raises(RenewalError, match="segments"):
        mend("reweighing", nobody, settings)
