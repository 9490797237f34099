import json
from itertools import pairwise

import pandas as pd
import pytest

from features.errors import RenewalError
from features.load import from_rows
from features.snapshots import to_score
from training import effects
from training.causal.curve import curves
from training.causal.frame import NAMES
from training.causal.memory import remembered
from training.causal.plan import best_window, experiment, value
from training.causal.what_if import checked, what_if
from training.versions import Loaded


class Score:
    """A model that looks at calls alone."""

    features = ("calls_30d",)

    def probability(self, X):
        return 0.5 + 0.02 * X["calls_30d"].fillna(0).to_numpy(float)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    from features.settings import Settings

    return Settings(home=tmp_path_factory.mktemp("effects") / "home", threads=1)


def check_answer(told, buckets):
    json.dumps(told)
    for row in told["rows"]:
        assert row["bucket"] in buckets
        assert (row["estimate"] is None) == (not row["overlap_ok"])
        assert (row["why"] is None) == row["overlap_ok"]
        if row["overlap_ok"]:
            assert 0 <= row["low"] <= row["estimate"] <= row["high"] <= 1
    for group, best in told["best"].items():
        assert best is None or best in told["indistinguishable"][group]


def test_timing(simulated_crm, home):
    told = effects.timing(simulated_crm, home, by="industry")
    check_answer(told, NAMES)
    rows = [row for row in told["rows"] if row["group"] == "all"]
    assert [row["bucket"] for row in rows] == ["none", "0-14", "15-30", "31-60", "61-90", "91-120", "121-180"]
    assert sum(row["n"] for row in rows) > 300
    assert {row["group"] for row in told["rows"]} == set(told["best"])


def test_same_seed_same_answer(simulated_crm, home):
    assert effects.timing(simulated_crm, home) == effects.timing(simulated_crm, home)


def test_calls(simulated_crm, home):
    told = effects.calls(simulated_crm, home)
    check_answer(told, ("0", "1-2", "3-4", "5-7", "8+"))
    curve = [row for row in told["calls_until_won"] if row["group"] == "all"]
    assert all(b["won"] >= a["won"] for a, b in pairwise(curve))
    assert any("left out" in note for note in told["notes"])


def test_discount_names_the_lowest_band_that_does_as_well(simulated_crm, home):
    told = effects.discount(simulated_crm, home)
    check_answer(told, ("0", "0-10", "10-20", "20-30", "30+"))
    assert {row["outcome"] for row in told["rows"]} == {"win", "renewal"}
    for group, enough in told["enough"].items():
        assert enough in told["indistinguishable"][group]


def test_an_unknown_attribute_is_refused_with_what_there_is(simulated_crm, home):
    with pytest.raises(RenewalError, match="industry"):
        effects.timing(simulated_crm, home, by="colour")


def test_a_crm_without_quotes_says_so(home):
    crm = from_rows({"contracts": [{"contract_id": "c", "account_id": "a", "end_date": "2024-01-01"}]}, None)
    with pytest.raises(RenewalError, match="quotes"):
        effects.discount(crm, home)


def test_estimates_are_kept_for_the_same_crm(simulated_crm, home):
    calls = []

    def estimate(crm, settings, by, say):
        calls.append(by)
        return {"rows": [len(calls)]}

    first = remembered("probe", estimate, simulated_crm, home, "region")
    assert remembered("probe", estimate, simulated_crm, home, "region") == first
    assert remembered("probe", estimate, simulated_crm, home, None) != first
    assert calls == ["region", None]


def made_up(estimate, n=(100, 100, 100), sd=0.01):
    names = ("61-90", "31-60", "none")
    rows = [
        {"group": "all", "bucket": b, "estimate": e, "overlap_ok": True, "n": k}
        for b, e, k in zip(names, estimate, n, strict=True)
    ]
    matrix = [[sd**2 if i == j else 0.0 for j in range(3)] for i in range(3)]
    return {
        "rows": rows,
        "covariance": {"all": {"buckets": list(names), "matrix": matrix}},
        "best": {"all": "61-90"},
        "indistinguishable": {"all": ["61-90"]},
    }


def test_advice_gains_over_what_is_usually_done():
    curve = curves(made_up((0.9, 0.8, 0.6)))["all"]
    gain = curve.advise(100)
    assert (gain.window, gain.usual) == ("61-90", pytest.approx(0.7667, abs=1e-4))
    assert gain.gain == pytest.approx(0.1333, abs=1e-4)
    assert gain.low > 0


@pytest.mark.parametrize(("lead", "window"), [(75, "61-90"), (61, "61-90"), (60, "31-60"), (20, None)])
def test_windows_that_are_over_are_not_advised(lead, window):
    gain = curves(made_up((0.9, 0.8, 0.6)))["all"].advise(lead)
    assert (gain.window if gain else None) == window


def test_experiment_needs_more_contracts_for_a_smaller_gap(simulated_crm):
    wide = experiment(curves(made_up((0.9, 0.7, 0.6)))["all"], simulated_crm)
    narrow = experiment(curves(made_up((0.8, 0.75, 0.7)))["all"], simulated_crm)
    assert narrow["contracts_each"] > 3 * wide["contracts_each"]
    assert wide["months_to_answer"] > wide["enrol_months"]


def test_value_adds_up_over_the_policy(simulated_crm, home):
    told = value(simulated_crm, home)
    json.dumps(told)
    assert told["money"] == pytest.approx(sum(line["money"] for line in told["policy"]), abs=0.1)
    assert told["low"] <= told["money"] <= told["high"]
    assert sum(line["contracts"] for line in told["policy"]) <= told["contracts"]


def test_best_window_of_contracts_that_run(simulated_crm, home):
    contracts = to_score(simulated_crm, "renewal")["contract_id"].head(8)
    told = [best_window(simulated_crm, home, contract) for contract in contracts]
    for one in told:
        if one["window"] is None:
            assert one["why"]
        elif one["window"] != "none":
            assert one["as_of"] <= one["act_by"] <= one["ends_on"]
    with pytest.raises(RenewalError, match="contract_id"):
        best_window(simulated_crm, home, "no such contract")


def test_what_if_keeps_score_and_effect_apart(simulated_crm, home):
    contract = to_score(simulated_crm, "renewal")["contract_id"].iloc[0]
    changes = {"contact_days_before": 75, "calls_30d": 7, "discount_pct": 12}
    told = what_if(simulated_crm, home, contract, changes, Loaded(Score(), "1", "champion"))
    json.dumps(told)
    assert told["score"]["changed"] == pytest.approx(0.64, abs=0.021)
    assert told["score"]["moved"] == ["calls_30d"]
    effect = {one["change"]: one for one in told["effects"]}
    assert set(effect) == set(changes)
    assert effect["contact_days_before"]["bucket"] == "61-90"
    assert effect["calls_30d"]["gain"] is None
    assert "new business" in effect["calls_30d"]["why"]


def test_what_if_without_a_model_still_tells_the_effect(simulated_crm, home):
    contract = to_score(simulated_crm, "renewal")["contract_id"].iloc[0]
    told = what_if(simulated_crm, home, contract, {"contact_days_before": 20})
    assert told["score"]["now"] is None
    assert told["effects"][0]["bucket"] == "15-30"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"industry": 1},
        {"discount_pct": 95},
        {"calls_30d": -1},
        {"calls_30d": "many"},
        {"calls_30d": True},
    ],
)
def test_only_actions_within_limits_can_be_changed(changes):
    with pytest.raises(RenewalError):
        checked(changes)


def test_what_if_leaves_the_crm_as_it_was(simulated_crm, home):
    before = {table: simulated_crm.path(table).stat().st_mtime_ns for table in simulated_crm.tables}
    contract = to_score(simulated_crm, "renewal")["contract_id"].iloc[0]
    what_if(simulated_crm, home, contract, {"calls_30d": 3}, Loaded(Score(), "1", "champion"))
    assert {table: simulated_crm.path(table).stat().st_mtime_ns for table in simulated_crm.tables} == before
    assert isinstance(simulated_crm.until, pd.Timestamp)
