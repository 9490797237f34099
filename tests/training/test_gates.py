"""Each gate against a case it must pass and one it must fail."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from training.dataset import dataset
from training.gates import gates, may_lead
from training.leakage import Guard

CLEAN = Guard({}, [], (), frozenset())


def case(n=1500, strength=1.5, seed=0):
    """A dataset of n undated rows, their true probability, and the tests' columns."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    truth = 1 / (1 + np.exp(-strength * x))
    y = (rng.random(n) < truth).astype(float)
    ids = [f"c{i}" for i in range(n)]
    frame = pd.DataFrame({"subject_id": ids, "account_id": ids, "as_of": pd.NaT, "lead_days": np.nan})
    ds = dataset(pd.DataFrame({"x": x}), y, frame, {"x": SimpleNamespace(source="event")}, "win", False)
    rule = np.where(x > 0, y[x > 0].mean(), y[x <= 0].mean())
    test = pd.DataFrame(
        {"row": np.arange(n), "probability": truth, "base rate": y.mean(), "heuristic baseline": rule}
    )
    return ds, test


def test_a_good_model_passes_and_unknown_parity_does_not_block():
    ds, test = case()
    found = gates(ds, test, CLEAN, [])
    assert {name: gate.passed for name, gate in found.items()} == {
        "beats the base rate": True,
        "beats the heuristic baseline": True,
        "not worse than the best baseline": True,
        "calibration slope": True,
        "parity": None,
        "leakage guard": True,
    }
    assert may_lead(found)


@pytest.mark.parametrize("seed", range(8))
def test_without_signal_nothing_leads(seed):
    ds, test = case(n=600, strength=0.0, seed=seed)
    noise = np.random.default_rng(seed).normal(0, 0.1, len(test))
    for served in (test["base rate"], test["base rate"] + noise):
        found = gates(ds, test.assign(probability=served.clip(0.01, 0.99)), CLEAN, [])
        assert not found["beats the base rate"].passed
        assert not may_lead(found)


def test_overconfidence_fails_the_slope():
    ds, test = case()
    probability = np.log(test["probability"] / (1 - test["probability"]))
    found = gates(ds, test.assign(probability=1 / (1 + np.exp(-1.6 * probability))), CLEAN, [])
    assert found["calibration slope"].passed is False
    assert not may_lead(found)


def test_a_constant_has_no_slope_and_does_not_lead():
    ds, test = case()
    found = gates(ds, test.assign(probability=0.5), CLEAN, [])
    assert found["calibration slope"].passed is None
    assert not may_lead(found)


def test_worse_than_the_best_baseline_fails_and_serving_it_passes():
    ds, test = case()
    shrunk = 0.5 + (test["probability"] - 0.5) * 0.6
    better = test.assign(logistic=test["probability"], probability=shrunk)
    assert gates(ds, better, CLEAN, [])["not worse than the best baseline"].passed is False
    same = test.assign(logistic=test["probability"])
    assert gates(ds, same, CLEAN, [])["not worse than the best baseline"].passed is True


def test_parity_alert_blocks_unless_waived_in_writing():
    ds, test = case()
    alert = [{"primary": True, "segment": "owned_by=b", "verdict": "alert"}]
    assert not may_lead(gates(ds, test, CLEAN, alert))
    waived = gates(ds, test, CLEAN, alert, {"parity": "reviewed, gap explained by region"})
    assert waived["parity"].passed
    assert "gap explained" in waived["parity"].why


def test_a_column_allowed_against_the_evidence_blocks():
    ds, test = case()
    answer = [{"column": "opportunities.close_value", "verdict": "allowed", "why": ["near copy"]}]
    found = gates(ds, test, Guard({}, answer, ("close_value",), frozenset()), [])
    assert found["leakage guard"].passed is False


def test_many_snapshots_of_few_contracts_prove_nothing():
    ds, test = case(n=12, strength=0.3, seed=5)
    rows = np.tile(np.arange(12), 200)
    many = test.iloc[rows].assign(row=rows)
    assert gates(ds, many, CLEAN, [])["beats the base rate"].passed is False


def test_a_slope_that_little_data_puts_outside_the_limits_is_unknown_and_does_not_block():
    ds, test = case(n=150, seed=3)
    probability = np.log(test["probability"] / (1 - test["probability"]))
    found = gates(ds, test.assign(probability=1 / (1 + np.exp(-0.72 * probability))), CLEAN, [])
    assert found["calibration slope"].passed is None
    assert "too little data" in found["calibration slope"].why


def test_a_column_picked_from_the_data_is_no_rule_of_the_team():
    ds, test = case()
    as_good = test.assign(**{"heuristic baseline": test["probability"]})
    assert gates(ds, as_good, CLEAN, [])["beats the heuristic baseline"].passed is True
    worse = test.assign(
        probability=0.5 + (test["probability"] - 0.5) * 0.5, **{"heuristic baseline": test["probability"]}
    )
    assert gates(ds, worse, CLEAN, [])["beats the heuristic baseline"].passed is False
