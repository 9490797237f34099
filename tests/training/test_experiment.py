"""Planning a randomised experiment: how many are needed, for how long, and what a design refuses."""

import json

import pandas as pd
import pytest
from effect_answers import CLEAR, made_up

from features.crm.load import from_rows
from features.errors import RenewalError
from training.effects.experiment import contracts_each, designed, experiment
from training.effects.timing_curve import curves

TODAY = pd.Timestamp("2026-01-01")


def test_sample_size_is_that_of_the_book():
    """Fleiss, Levin & Paik 2003, p. 72 give 0.6 against 0.7 at 80 % power and 5 %: 356 without correction."""
    assert contracts_each(0.6, 0.1, 0.8, 0.05, 1.0) == pytest.approx(356, abs=3)


@pytest.mark.parametrize(
    ("option", "more"),
    [
        ({"gap": 0.05}, True),
        ({"gap": 0.2}, False),
        ({"power": 0.9}, True),
        ({"level": 0.1}, False),
        ({"kept": 1.0}, False),
    ],
)
def test_an_experiment_needs_more_for_less_gap_more_power_and_less_error(simulated_crm, option, more):
    found = curves(made_up(CLEAR))
    plain, other = experiment(simulated_crm, found), experiment(simulated_crm, found, **option)
    assert (other["contracts_each"] > plain["contracts_each"]) == more
    assert plain["months_to_answer"] > plain["enrol_months"] > 0
    assert plain["gap"] == pytest.approx(0.1333, abs=1e-4)
    json.dumps(plain)


def test_an_experiment_needs_no_estimate_if_the_window_is_named(simulated_crm):
    answer = experiment(simulated_crm, {}, window="31-60", gap=0.06)
    assert answer["arms"][0] == "first contact 31 to 60 days before the end"
    assert 0 < answer["usual"] < 1
    with pytest.raises(RenewalError, match="--window"):
        experiment(simulated_crm, {})


def test_an_experiment_needs_no_calls_on_record(settings):
    ended = [
        {
            "contract_id": f"C{at}",
            "account_id": f"A{at}",
            "end_date": f"2025-{1 + at % 12:02}-15",
            "renewed": at % 3 > 0,
        }
        for at in range(60)
    ]
    coming_up = [{"contract_id": "D", "account_id": "D", "end_date": "2026-05-01", "renewed": None}]
    crm = from_rows({"contracts": ended + coming_up}, TODAY)
    answer = designed(crm, settings, window="31-60", gap=0.1)
    assert answer["waiting"] == 1
    assert answer["usual"] == pytest.approx(2 / 3, abs=0.05)
    with pytest.raises(RenewalError, match="activities"):
        designed(crm, settings)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"window": "soon"}, "121-180"),
        ({"gap": 0.9}, "gap"),
        ({"gap": -0.1}, "gap"),
        ({"power": 1.0}, "power"),
        ({"level": 0.0}, "level"),
        ({"kept": 0.0}, "kept"),
    ],
)
def test_options_out_of_range_are_refused(simulated_crm, option, says):
    with pytest.raises(RenewalError, match=says):
        experiment(simulated_crm, curves(made_up(CLEAR)), **option)
