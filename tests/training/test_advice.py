"""From curves to plans: advice for one contract and what following it is worth, on curves made up."""

import json

import numpy as np
import pandas as pd
import pytest
from effect_answers import CLEAR, UNCLEAR, both, made_up

from features.crm.load import from_rows
from features.errors import RenewalError
from features.snapshots import snapshots_for, to_score
from training.effects.advice import advised, planned
from training.effects.answer import infer_groups
from training.effects.policy_value import enough_calls, worth
from training.effects.timing_curve import coming, curves, usable, window_on
from training.effects.trial_arrays import Strategies

TODAY = pd.Timestamp("2026-01-01")


def one_contract(days=100, *, activities=(), **more):
    end = TODAY + pd.Timedelta(days=days)
    contract = {"contract_id": "C1", "account_id": "A1", "start_date": "2025-04-01", "annual_value": 5000}
    old = {
        **contract,
        "contract_id": "C0",
        "start_date": "2023-04-01",
        "end_date": "2024-03-31",
        "renewed": True,
    }
    rows = {
        "accounts": [{"account_id": "A1", "industry": "software", "region": "north", "name": "Nord"}],
        "contracts": [{**contract, "end_date": str(end.date()), **more}, old],
        "activities": [
            {"activity_id": "old", "account_id": "A1", "kind": "call", "occurred_at": "2024-01-01"},
            *activities,
        ],
    }
    return from_rows(rows, TODAY)


def test_advice_gains_over_what_is_usually_done():
    gain = curves(made_up(CLEAR))["all"].advise(100)
    assert (gain.window, gain.usual) == ("61-90", pytest.approx(0.7667, abs=1e-4))
    assert gain.gain == pytest.approx(0.1333, abs=1e-4)
    assert gain.low > 0


@pytest.mark.parametrize(("lead", "window"), [(75, "61-90"), (61, "61-90"), (60, "31-60"), (20, None)])
def test_windows_that_are_over_are_not_advised(lead, window):
    gain = curves(made_up(CLEAR))["all"].advise(lead)
    assert (gain.window if gain else None) == window


def test_a_planned_contact_is_the_plan_to_compare_with():
    curve = curves(made_up(CLEAR))["all"]
    assert curve.advise(100, "31-60").gain == pytest.approx(0.1)
    assert curve.advise(100, "61-90").gain == 0
    assert curve.advise(100, "0-14") is None


def advice_for(crm, result, by=None):
    return advised(coming(crm, to_score(crm, "renewal"), by), curves(result))


def test_a_contract_is_told_when_to_act_and_what_it_gains():
    (row,) = advice_for(one_contract(), made_up(CLEAR))
    assert (row["window"], row["act_from"], row["act_by"]) == ("61-90", "2026-01-11", "2026-02-09")
    assert row["worth"] == pytest.approx(0.13333 * 5000, abs=0.1)
    assert row["why"].startswith("First contact 61 to 90 days before the end: +13.3 points over what is")
    json.dumps(row)


def test_the_window_that_runs_begins_today():
    (row,) = advice_for(one_contract(days=75), made_up(CLEAR))
    assert (row["act_from"], row["act_by"]) == ("2026-01-01", "2026-01-15")


def test_nothing_is_advised_where_the_gain_may_be_chance():
    (row,) = advice_for(one_contract(), made_up(UNCLEAR, best=None))
    assert row["window"] is None
    assert row["leaning"] == "61-90"
    assert row["why"].startswith("can't tell")
    assert "chance" in row["why"]
    assert worth([row], {"all": 1}, {})["money"] is None


def test_a_group_that_can_not_tell_takes_what_holds_for_all():
    result = both(made_up(CLEAR), made_up(UNCLEAR, group="software", best=None, sd=0.1))
    (row,) = advice_for(one_contract(), result, "industry")
    assert (row["window"], row["curve"], row["group"]) == ("61-90", "all", "software")
    result = both(made_up(CLEAR), made_up((0.6, 0.9, 0.6), group="software", best="31-60"))
    (row,) = advice_for(one_contract(), result, "industry")
    assert (row["window"], row["curve"]) == ("31-60", "software")


@pytest.mark.parametrize(
    ("kind", "occurred_at", "contract", "met"),
    [
        ("call", "2025-12-20T10:00:00", None, True),
        ("call", "2025-12-20T10:00:00", "C0", False),
        ("email", "2025-12-20T10:00:00", None, False),
        ("call", "2025-06-20T10:00:00", None, False),
    ],
)
def test_who_was_contacted_in_the_run_up_is_told_so(kind, occurred_at, contract, met):
    made = {
        "activity_id": "e", "account_id": "A1", "contract_id": contract, "kind": kind,
        "occurred_at": occurred_at,
    }  # fmt: skip
    (row,) = advice_for(one_contract(activities=[made]), made_up(CLEAR))
    assert (row["contacted_on"] is not None) == met
    assert (row["window"] is None) == met
    if met:
        assert row["why"] == "first contact of this run-up was made on 2025-12-20"


def test_a_plan_of_an_earlier_day_does_not_know_of_later_calls():
    call = {"activity_id": "e", "account_id": "A1", "kind": "call", "occurred_at": "2025-12-20T10:00:00"}
    crm = one_contract(activities=[call])
    (row,) = planned(crm, made_up(CLEAR), as_of=pd.Timestamp("2025-12-10"))["rows"]
    assert (row["contacted_on"], row["planned_on"]) == (None, None)
    assert row["days_to_end"] == 122


def planned_meeting(on):
    return {
        "activity_id": "m", "account_id": "A1", "kind": "meeting", "recorded_at": "2025-12-20T10:00:00",
        "occurred_at": on,
    }  # fmt: skip


def test_a_meeting_planned_in_the_best_window_is_kept_and_another_moved():
    (row,) = advice_for(one_contract(activities=[planned_meeting("2026-02-01T10:00:00")]), made_up(CLEAR))
    assert (row["planned"], row["window"], row["gain"]) == ("61-90", "61-90", 0)
    assert row["why"].startswith("Keep the contact planned for 2026-02-01")
    (row,) = advice_for(one_contract(activities=[planned_meeting("2026-03-01T10:00:00")]), made_up(CLEAR))
    assert (row["planned"], row["present"], row["gain"]) == ("31-60", "31-60", 0.1)
    (row,) = advice_for(one_contract(activities=[planned_meeting("2026-04-08T10:00:00")]), made_up(CLEAR))
    assert row["window"] is None
    assert "planned window, 0-14" in row["why"]


@pytest.mark.parametrize(
    ("day", "window"), [("2026-04-10", "0-14"), ("2026-02-01", "61-90"), ("2027-01-01", None)]
)
def test_a_moment_falls_into_a_window(day, window):
    assert window_on(pd.Timestamp("2026-04-10"), pd.Timestamp(day) + pd.Timedelta(hours=9)) == window


@pytest.mark.parametrize("by", [None, "industry", "accounts.industry", "region"])
def test_an_attribute_contracts_have_is_used(by):
    assert usable(one_contract(), by) == by


def test_an_attribute_that_is_not_there_is_refused_but_the_one_used_unasked():
    crm = from_rows({"contracts": [{"contract_id": "C", "account_id": "A", "end_date": "2026-05-01"}]}, TODAY)
    assert usable(crm, "industry") is None
    with pytest.raises(RenewalError, match="--by"):
        usable(crm, "colour")


def test_those_to_act_on_first_stand_first():
    ends = (("late", "2026-06-01", 1), ("rich", "2026-05-01", 9), ("poor", "2026-05-01", 2))
    contracts = [
        {"contract_id": c, "account_id": c, "start_date": "2025-01-01", "end_date": e, "annual_value": v}
        for c, e, v in ends
    ]
    meeting = {**planned_meeting("2026-04-20T10:00:00"), "account_id": "late"}
    crm = from_rows({"contracts": contracts, "activities": [{**meeting, "recorded_at": "2025-12-01"}]}, TODAY)
    result = planned(crm, made_up(CLEAR))
    assert [row["contract_id"] for row in result["rows"]] == ["rich", "poor", "late"]
    assert [row["planned"] for row in result["rows"]] == [None, None, "31-60"]


def row_of(group, window, gain, amount, half=0.02, **more):
    return {
        "group": group, "window": window, "leaning": "61-90", "gain": gain, "low": gain - half,
        "high": gain + half, "days_to_end": 90, "amount": amount, "curve": "all", "alike": ["61-90"], **more,
    }  # fmt: skip


def test_worth_adds_up_over_the_policy():
    rows = [
        row_of("a", "61-90", 0.1, 1000.0),
        row_of("a", "61-90", 0.05, 3000.0),
        row_of("a", None, 0.01, 500.0),
        row_of("b", "31-60", 0.2, None),
        {**row_of("b", None, 0.0, 7.0), "leaning": None},
    ]
    result = worth(rows, {"all": 1}, {"a": ["3-4"], "all": ["1-2", "3-4"]})
    assert (result["contracts"], result["advised"]) == (4, 3)
    assert (result["money"], result["low"], result["high"]) == (250.0, 170.0, 330.0)
    assert result["gain"] == pytest.approx(0.35)
    lines = {(line["group"], line["window"]): line for line in result["rows"]}
    assert lines["a", "61-90"]["money"] == 250.0
    assert lines["a", "61-90"]["calls"] == ["3-4"]
    assert lines["b", "31-60"]["calls"] == ["1-2", "3-4"]
    assert lines["a", None]["money"] is None


@pytest.mark.parametrize(("found", "says"), [({"all": 1}, "not yet contacted"), ({}, "no two windows")])
def test_worth_of_nothing_says_why(found, says):
    result = worth([], found, {})
    assert result["money"] is None
    assert says in result["why"]


def test_calls_are_named_only_where_one_number_stands_out():
    rows = [{"group": g, "bucket": b, "overlap_ok": b != "8+"} for g in "ab" for b in ("1-2", "3-4", "8+")]
    result = {
        "rows": rows,
        "best": {"a": "3-4", "b": None},
        "indistinguishable": {"a": ["3-4", "8+"], "b": ["1-2", "3-4", "8+"]},
    }
    assert enough_calls(result) == {"a": ["3-4"]}


def test_an_unknown_contract_is_refused(simulated_crm, settings):
    from training.effects.advice import best_window

    assert (
        snapshots_for(simulated_crm, "renewal", pd.DataFrame({"contract_id": ["nobody"]}))["problem"]
        .notna()
        .all()
    )
    with pytest.raises(RenewalError, match="contract_id"):
        best_window(simulated_crm, settings, "nobody")


@pytest.mark.slow
def test_the_whole_way_on_a_simulated_crm(simulated_crm, settings):
    from training.effects.advice import best_window, plan
    from training.effects.policy_value import value
    from training.effects.what_if import what_if

    result = plan(simulated_crm, settings)
    json.dumps(result)
    assert {row["contract_id"] for row in result["rows"]} == set(
        to_score(simulated_crm, "renewal")["contract_id"]
    )
    for row in result["rows"]:
        assert (row["window"] is None) <= bool(row["why"])
        assert row["window"] in (None, "none") or result["as_of"] <= row["act_by"] <= row["ends_on"]
    first = result["rows"][0]
    assert best_window(simulated_crm, settings, first["contract_id"]) == first
    worth_it = value(simulated_crm, settings)
    json.dumps(worth_it)
    assert worth_it["advised"] == sum(row["window"] is not None for row in result["rows"])
    asked_for = what_if(simulated_crm, settings, first["contract_id"], {"discount_pct": 12, "calls_30d": 3})
    assert asked_for["effect"]["discount_pct"]["bucket"] == "10-20"
    json.dumps(asked_for)


def strategies(followers, seed):
    """Estimates for a group of which so many followed each of four choices."""
    rng = np.random.default_rng(seed)
    n = sum(followers)
    followed = np.zeros((n, len(followers)), dtype=bool)
    followed[np.arange(n), np.repeat(np.arange(len(followers)), followers)] = True
    y = (rng.random(n) < 0.8).astype(float)
    share = followed.mean(axis=0)
    contribution = followed * (y - 0.8)[:, None] / np.maximum(share, 1e-9) + 0.8
    weight, poor = followed / np.maximum(share, 1e-9), np.zeros_like(contribution)
    return Strategies(tuple("abcd"), contribution, weight, followed, poor, y, np.arange(n))


def test_a_choice_too_few_made_in_every_group_is_left_open():
    groups = {"a": strategies((150, 150, 150, 5), 0), "b": strategies((150, 150, 150, 5), 1)}
    notes = []
    said = infer_groups(groups, [None] * 4, notes, 0)
    assert all(one.why[3].startswith("can't tell") for one in said.values())
    groups["b"] = strategies((150, 150, 150, 150), 1)
    said = infer_groups(groups, [None] * 4, notes, 0)
    assert said["b"].why == [None] * 4
    assert 0.6 < said["b"].estimate[3] < 1
