"""A store of each database, and rows to write into it."""

import numpy as np
import pandas as pd
import pytest

from features.settings import Settings
from monitoring.store import open_store


@pytest.fixture(params=["sqlite", "postgres"])
def store(request, tmp_path):
    if request.param == "sqlite":
        return open_store(Settings(home=tmp_path))
    url = request.getfixturevalue("postgres_url")
    return open_store(Settings(home=tmp_path, database_url=url))


def rows(n=5, as_of="2025-03-01", shift=0.0, kind="renewal"):
    p = np.clip(np.linspace(0.1, 0.9, n) + shift, 0, 1)
    amount = np.linspace(1000, 5000, n)
    frame = pd.DataFrame(
        {
            "contract_id": [f"c{i}" for i in range(n)],
            "account_id": [f"a{i % 3}" for i in range(n)],
            "owner_id": [f"o{i % 2}" for i in range(n)],
            "region": pd.Categorical(["north" if i % 2 else "south" for i in range(n)]),
            "as_of": pd.Timestamp(as_of),
            "end_date": pd.date_range("2025-04-01", periods=n),
            "lead_days": np.arange(n) + 31.0,
            "probability": p,
            "low": p - 0.05,
            "high": p + 0.05,
            "band": ["at risk" if v < 0.5 else "safe" for v in p],
            "amount": amount,
            "at_risk": (1 - p) * amount,
            "reasons": [
                [{"feature": "calls_90d", "words": "no call", "value": np.float64("nan"), "log_odds": -0.5}]
            ]
            * n,
            "problem": None,
            "product": "basic",
        }
    )
    return (
        frame
        if kind == "renewal"
        else frame.rename(columns={"contract_id": "opportunity_id", "at_risk": "expected"})
    )


def wrote(store, frame, run_id="r1", **more):
    return store.scores.write("renewal", frame, run_id=run_id, model_version="3", **more)
