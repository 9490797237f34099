"""Proxies: a planted stand-in is named, noise is not, too few accounts are unknown and hidden."""

import numpy as np
import pandas as pd
import pytest

from training.fairness.proxies import LIMIT, TOGETHER, giving_away, proxies
from training.metrics import auc


def world(n=800, seed=0, strength=1.5, looks=3):
    """Accounts looked at several times; `credit_score` and, less so, `postal_code` lean on the group."""
    rng = np.random.default_rng(seed)
    account = np.repeat(np.arange(n), looks)
    is_b = rng.random(n) < 0.4
    X = pd.DataFrame(rng.normal(size=(n, 8))[account], columns=[f"x{i}" for i in range(8)])
    X["accounts.credit_score"] = (rng.normal(size=n) - strength * is_b)[account]
    code = np.where(is_b & (rng.random(n) < strength / 2), rng.integers(0, 5, n), rng.integers(0, 20, n))
    X["accounts.postal_code"] = pd.Categorical([f"P{c}" for c in code[account]])
    snapshots = pd.DataFrame({"account_id": [f"a{i}" for i in account]})
    snapshots["as_of"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.tile(np.arange(looks), n), unit="D")
    segments = pd.DataFrame(
        {
            "account_id": [f"a{i}" for i in range(n)],
            "attribute": "owned_by",
            "value": np.where(is_b, "b", "a"),
        }
    )
    return X, snapshots, segments


def by_column(found):
    return {row["column"]: row for row in found}


def test_planted_proxies_are_named_and_noise_is_not():
    rows = by_column(proxies(*world()))
    assert rows["accounts.credit_score"]["verdict"] == "alert"
    assert rows[TOGETHER]["verdict"] == "alert"
    assert rows[TOGETHER]["auc"] > rows["accounts.credit_score"]["auc"] - 0.02
    assert {rows[c]["verdict"] for c in rows if c.startswith("x")} == {"ok"}
    assert giving_away(list(rows.values()))[0] == "accounts.credit_score"


def test_the_auc_of_a_column_is_near_what_it_is_by_definition():
    X, snapshots, segments = world(3000)
    row = by_column(proxies(X, snapshots, segments))["accounts.credit_score"]
    last = snapshots.drop_duplicates("account_id", keep="last").index
    truth = auc((segments["value"] == "b").to_numpy(float), -X.loc[last, "accounts.credit_score"].to_numpy())
    assert row["auc"] == pytest.approx(truth, abs=0.02)
    assert row["low"] < truth < row["high"] + 0.01
    assert row["n"] == 3000  # accounts, not their 9,000 rows
    assert row["majority"] == pytest.approx(max((segments["value"] == v).mean() for v in "ab"))


@pytest.mark.slow
def test_nothing_planted_hardly_ever_alerts():
    alerts = [
        any(row["verdict"] == "alert" for row in proxies(*world(400, seed, strength=0.0)))
        for seed in range(20)
    ]
    assert sum(alerts) <= 1


def test_accuracy_stands_beside_what_always_saying_the_larger_side_reaches():
    row = proxies(*world(600, strength=0.0))[0]
    assert row["column"] == TOGETHER
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    assert row["accuracy"] < row["majority"] + 0.02


def test_the_classics_are_always_told():
    X, snapshots, segments = world(600, strength=0.0)
    assert {"accounts.credit_score", "accounts.postal_code"} <= set(
        by_column(proxies(X, snapshots, segments))
    )


def test_too_few_accounts_are_unknown_and_hidden():
    X, snapshots, segments = world(100)
    few = segments.assign(value=np.where(np.arange(100) < 20, "b", "a"))
    (row,) = proxies(X, snapshots, few)
    assert (row["verdict"], row["auc"], row["n"]) == ("unknown", None, None)
    X, snapshots, segments = world(80)
    verdicts = {row["verdict"] for row in proxies(X, snapshots, segments) if row["column"].startswith("x")}
    assert verdicts == {"unknown"}


def test_shares_of_areas_are_not_asked_about():
    X, snapshots, segments = world(200)
    (row,) = proxies(X, snapshots, segments.assign(share=0.7))
    assert row["verdict"] == "unknown"
    assert "area" in row["why"]


def test_an_attribute_of_many_values_is_asked_value_by_value_and_corrected_for_it():
    X, snapshots, segments = world(1200)
    three = segments.assign(value=np.where(np.arange(1200) % 3 == 0, "c", segments["value"]))
    found = proxies(X, snapshots, three)
    assert {row["segment"] for row in found} == {"owned_by=a", "owned_by=b", "owned_by=c"}
    assert {row["tested"] for row in found if row["column"] == TOGETHER} == {3}
    assert {row["tested"] for row in found if row["column"] != TOGETHER} == {3 * X.shape[1]}
    assert all(row["threshold"] == LIMIT for row in found)
