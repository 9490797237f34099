"""Customers alike: nearest by the model's reasons, at like times, within a scope, with an honest count."""

import numpy as np
import pandas as pd
import pytest
from serving_case import train_plainly

from features.engine import feature_rows
from features.errors import RenewalError
from features.settings import Settings
from features.snapshots import renewal_snapshots
from serving.scoring.similar_contracts import (
    FEWEST,
    Past,
    how_they_went,
    nearest,
    past_contracts,
    place_of,
    typical_distance,
)
from training.explain import contributions
from training.registry import champion


def past(n: int = 400, seed: int = 0) -> Past:
    rng = np.random.default_rng(seed)
    known = pd.DataFrame(
        {
            "contract_id": [f"C{i}" for i in range(n)],
            "account_id": [f"A{i // 2}" for i in range(n)],
            "owner_id": np.where(np.arange(n) % 4 < 2, "U1", "U2"),
            "lead_days": rng.choice([30.0, 90.0, 150.0], n),
            "renewed": rng.integers(0, 2, n).astype(float),
        }
    )
    space = rng.normal(size=(n, 6)).astype(np.float32)
    return Past(known, space, typical_distance(space), "1")


def everyone(answer: Past) -> np.ndarray:
    return np.ones(len(answer.contracts), bool)


def test_the_nearest_are_those_a_slow_search_finds():
    answer, at = past(), np.zeros(6, np.float32)
    found = nearest(answer, at, 80.0, everyone(answer), "nobody")
    best: dict[str, float] = {}
    for row, point in zip(answer.contracts.to_dict("records"), answer.space, strict=True):
        distance = float(np.sqrt(((point - at) ** 2).sum()))
        if row["lead_days"] == 90.0 and distance <= answer.near:
            best[row["account_id"]] = min(distance, best.get(row["account_id"], np.inf))
    expected = sorted(best.items(), key=lambda pair: pair[1])[:20]
    assert found["account_id"].tolist() == [account for account, _ in expected]
    assert found["distance"].to_numpy() == pytest.approx([distance for _, distance in expected], abs=1e-5)
    assert found["lead_days"].eq(90.0).all()


def test_nobody_is_like_himself_and_a_scope_hides_others():
    answer = past()
    at, own = answer.space[10], answer.contracts.loc[10, "account_id"]
    lead = answer.contracts.loc[10, "lead_days"]
    assert own not in set(nearest(answer, at, lead, everyone(answer), own)["account_id"])
    mine = (answer.contracts["owner_id"] == "U1").to_numpy()
    found = nearest(answer, at, lead, mine, own)
    assert len(found)
    assert set(found["owner_id"]) == {"U1"}


def test_far_from_everybody_there_is_no_rate():
    answer = past()
    found = nearest(answer, np.full(6, 50, np.float32), 30.0, everyone(answer), "nobody")
    assert found.empty
    assert how_they_went(found) == {"n": 0, "renewed": 0, "rate": None, "low": None, "high": None}


def test_the_count_is_of_customers_and_few_give_no_rate():
    rows = pd.DataFrame({"renewed": [1.0] * (FEWEST - 1)})
    assert how_they_went(rows)["rate"] is None
    went = how_they_went(pd.DataFrame({"renewed": [1.0] * 15 + [0.0] * 5}))
    assert (went["n"], went["renewed"], went["rate"]) == (20, 15, 0.75)
    assert 0.5 < went["low"] < 0.75 < went["high"] < 0.9


@pytest.mark.slow
def test_the_past_lies_in_the_space_of_the_served_models_reasons(simulated_crm, tmp_path):
    settings = Settings(home=tmp_path / "home", threads=1)
    train_plainly("renewal", simulated_crm, settings, tmp_path / "model")
    answer = Past.read(past_contracts(simulated_crm, settings))
    loaded = champion("renewal", settings)
    assert answer.version == str(loaded.version)
    assert len(answer.space) == len(answer.contracts) > 100
    contracts = simulated_crm.frame("contracts", ["contract_id", "renewed"]).set_index("contract_id")
    assert (
        answer.contracts["renewed"] == answer.contracts["contract_id"].map(contracts["renewed"]).astype(float)
    ).all()
    some = renewal_snapshots(simulated_crm).head(5)
    X = feature_rows(simulated_crm, some, "renewal", settings).frame
    reasons = contributions(loaded.model, X)
    assert place_of(loaded.model, X).sum(axis=1) == pytest.approx(reasons.values.sum(axis=1), abs=1e-4)


def test_without_a_model_nobody_is_alike(simulated_crm, settings):
    with pytest.raises(RenewalError, match="perennial train renewal"):
        past_contracts(simulated_crm, settings)
