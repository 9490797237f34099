"""Gains by a contract's own likelihood: never more than can be gained, on average the estimate."""

import numpy as np
import pandas as pd
import pytest
from effect_answers import CLEAR, UNCLEAR, made_up
from scipy.special import expit

from training.effects.advice import advised, choose, personalised
from training.effects.personal_gain import personal_gain, shifts
from training.effects.timing_curve import curves

BASELINE = expit(np.linspace(-1.5, 3.5, 20))


def curve(estimate=CLEAR, **more):
    return curves({**made_up(estimate, **more), "baseline": {"all": BASELINE.tolist()}})["all"]


def gains(p, of=None, window="61-90", width=0.05):
    of = of or curve()
    p = np.asarray(p, float)
    low, high = np.maximum(p - width, 0.0), np.minimum(p + width, 1.0)
    return personal_gain(of, of.usual(100), window, p, low, high)


def test_shifts_average_to_the_estimates_over_the_groups_likelihoods():
    of = curve()
    shift, _ = shifts(of)
    start = np.log(BASELINE / (1 - BASELINE))
    assert expit(start[:, None] + shift).mean(axis=0) == pytest.approx(of.estimate, abs=1e-6)


def test_a_gain_is_never_more_than_there_is_to_gain_and_largest_in_the_middle():
    p = np.array([0.02, 0.3, 0.6, 0.9, 0.97, 0.999])
    found = gains(p)
    assert (found.gain > 0).all()
    assert (found.high <= 1 - p + 1e-9).all()
    assert (found.gain <= 1 - p).all()
    assert found.gain[2] > max(found.gain[0], found.gain[4])
    assert (found.low <= found.gain).all()
    assert (found.gain <= found.high).all()
    assert (found.mean_low >= found.low - 1e-9).all()
    assert found.estimate == pytest.approx(p + found.gain)


def test_gains_over_the_groups_likelihoods_average_to_the_estimated_gain():
    of = curve()
    usual = of.usual(100)
    shift, _ = shifts(of)
    start = np.log(BASELINE / (1 - BASELINE))
    present = expit(start[:, None] + shift) @ usual
    average = of.advise(100)
    assert gains(present).gain.mean() == pytest.approx(average.gain, abs=1e-3)


def test_the_plan_already_made_gains_nothing_and_a_worse_window_loses():
    of = curve()
    p = np.array([0.8])
    planned = personal_gain(of, of.usual(100, "61-90"), "61-90", p, p, p)
    assert planned.gain.tolist() == [0.0]
    assert gains(p, window="none").gain[0] < 0


def contract(contract_id, **more):
    end = pd.Timestamp("2026-04-11")
    times = dict.fromkeys(("contacted_at", "planned_at", "mail_answered_at"), pd.NaT)
    return {
        "contract_id": contract_id, "account_id": "A", "account_name": "Nord", "owner_id": "O", "region": "R",
        "group": None, "ends_at": end, "days_to_end": 100.0, "amount": 1000.0, "planned": None, **times,
        **more,
    }  # fmt: skip


def test_no_row_promises_more_money_than_is_at_risk_and_the_usual_is_its_likelihood():
    rows = pd.DataFrame([contract("low"), contract("high"), contract("unscored")])
    by_group = {"all": curve()}
    likelihood = {"low": (0.5, 0.4, 0.6), "high": (0.97, 0.93, 0.99)}
    low, high, unscored = personalised(advised(rows, by_group), by_group, likelihood)
    for row in (low, high):
        p = likelihood[row["contract_id"]][0]
        assert row["usual"] == p
        assert 0 < row["worth"] <= (1 - p) * row["amount"]
        assert not row["is_average"]
        assert "this contract" in row["why"]
    assert high["worth"] < low["worth"]
    assert unscored["is_average"]
    assert "average" in unscored["why"]


def test_contact_is_not_advised_where_no_contact_may_be_as_good():
    of = curves(made_up((0.9, 0.8, 0.85), alike=("61-90", "none")))
    assert of["all"].advise(100).low > 0
    choice = choose(of, None, 100, None)
    assert not choice.is_advice
    assert choice.alike == ("61-90", "none")
    row = advised(_frame(), of)[0]
    assert row["window"] is None
    assert "no contact may be as good" in row["why"]


def _frame():
    return pd.DataFrame([contract("one")])


def test_where_no_window_stands_out_in_the_curves_none_is_advised():
    of = curves(made_up(UNCLEAR, best=None, alike=("61-90", "31-60", "none")))
    assert not choose(of, None, 100, None).is_advice
    of = curves(made_up(CLEAR))
    assert choose(of, None, 100, None).alike == ("61-90",)
    assert choose(of, None, 45, None).alike == ("31-60",)
