"""Undated columns that look written after the outcome are reported with evidence, and used all the same."""

import numpy as np
import pandas as pd
from model_data import undated

from features.catalog.declare import Info
from training.dataset import Dataset, dataset
from training.leakage import guard


def leads(n: int = 3000, seed: int = 0) -> Dataset:
    """Leads whose tag, quality and last activity know much of the outcome, and two honest columns."""
    rng = np.random.default_rng(seed)
    visits = rng.normal(size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(0.5 - visits))).astype(float)
    entered = np.where(rng.random(n) < 0.06, 1 - y, y)
    tag = np.where(rng.random(n) < 0.3, np.where(entered == 1, "will call", "not interested"), "none yet")
    X = pd.DataFrame({"visits": visits, "region": rng.choice(["north", "south", "east"], n), "tag": tag})
    X["last_activity"] = np.where(rng.random(n) < 0.35 + 0.3 * y, "mail opened", "visited")
    X["region"], X["tag"], X["last_activity"] = (X[name].astype("category") for name in X.columns[1:])
    ids = [f"lead-{at}" for at in range(n)]
    rows = pd.DataFrame(
        {"subject_id": ids, "account_id": ids, "as_of": pd.NaT, "lead_days": np.nan, "matured_at": pd.NaT}
    )
    infos = {
        name: Info(name, name, "number", "opportunities", name, "column", f"opportunities.{name}", name)
        for name in map(str, X)
    }
    return dataset(X, y, rows, infos, "win", False)


def test_a_tag_and_a_last_activity_are_suspected_with_their_evidence_and_honest_columns_are_not():
    found = guard(leads())
    assert not found.barred
    assert set(found.suspected) == {"tag", "last_activity"}
    assert "“not interested”" in found.suspected["tag"] or "“will call”" in found.suspected["tag"]
    assert "deals" in found.suspected["tag"]
    assert "latest state" in found.suspected["last_activity"]
    assert "tag" in found.apply(leads()).X


def test_what_is_barred_or_allowed_is_not_suspected_too():
    found = guard(leads(), bar=["tag"], allow=["last_activity"])
    assert found.suspected == {}
    assert set(found.barred) == {"tag"}


def test_data_without_such_columns_raises_no_suspicion():
    assert guard(undated(600)).suspected == {}
