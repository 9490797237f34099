"""Datasets with a known truth, for the tests of splits, search, models and explanations."""

import numpy as np
import pandas as pd

from features.catalog.declare import Info
from training.dataset import Dataset, dataset

DAY = np.timedelta64(1, "D")


def info(name: str, **more) -> Info:
    answer = {"words": name, "unit": "number", "touchpoint": "contact", "collected": "x"}
    return Info(name=name, **{**answer, **more})


def frame(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Three quantities (one with gaps), a category and noise."""
    X = pd.DataFrame({"calls_90d": rng.poisson(3, n).astype(float), "usage": rng.normal(size=n)})
    X["days_since_meeting"] = np.where(rng.random(n) < 0.2, np.nan, rng.exponential(60, n).round())
    X["industry"] = pd.Categorical(rng.choice(["retail", "software", "steel"], n))
    return X.assign(noise=rng.normal(size=n))


_CALLS, _SILENCE = "calls in the last 90 days", "days since the last meeting"
INFOS = {
    "calls_90d": info("calls_90d", words=_CALLS, unit="count", group="calls", direction=1),
    "usage": info("usage", touchpoint="product", group="usage"),
    "days_since_meeting": info(
        "days_since_meeting", words=_SILENCE, unit="days", group="meetings", direction=-1
    ),
    "industry": info("industry", unit="category", touchpoint="accounts", group="industry"),
    "noise": info("noise", touchpoint="product", group="usage"),
}


def true_log_odds(X: pd.DataFrame) -> np.ndarray:
    silence = X["days_since_meeting"].fillna(120).to_numpy() / 60
    return (
        0.3 * X["calls_90d"].to_numpy()
        + 0.8 * X["usage"].to_numpy()
        - 0.6 * silence
        + np.where(X["industry"] == "steel", -1.0, 0.3)
    )


def undated(n: int = 800, seed: int = 0, *, signal: bool = True, kind: str = "win") -> Dataset:
    rng = np.random.default_rng(seed)
    X = frame(n, rng)
    p = 1 / (1 + np.exp(-true_log_odds(X))) if signal else np.full(n, 0.4)
    ids = [f"s{i}" for i in range(n)]
    snapshots = pd.DataFrame(
        {"subject_id": ids, "account_id": ids, "as_of": pd.NaT, "lead_days": np.nan, "matured_at": pd.NaT}
    )
    return dataset(X, (rng.random(n) < p).astype(float), snapshots, INFOS, kind, False)


def dated(contracts: int = 600, seed: int = 0, *, signal: bool = True, spread: float = 0.5) -> Dataset:
    """Contracts over three years, each seen 120, 60 and 14 days before its end; accounts hold several."""
    rng = np.random.default_rng(seed)
    leads = np.array([120, 60, 14])
    end = np.datetime64("2022-06-01") + rng.integers(0, 3 * 365, contracts) * DAY
    owner = rng.integers(0, max(2, contracts // 3), contracts)
    of = np.repeat(np.arange(contracts), len(leads))
    lead = np.tile(leads, contracts)
    X = frame(len(of), rng)
    X["usage"] = rng.normal(size=contracts)[of] + spread * rng.normal(size=len(of))
    probability = true_log_odds(X)
    p = 1 / (1 + np.exp(-probability)) if signal else np.full(len(of), 0.7)
    y = (rng.random(contracts) < np.bincount(of, p) / len(leads)).astype(float)[of]
    snapshots = pd.DataFrame(
        {
            "subject_id": [f"c{i}" for i in of],
            "account_id": [f"a{owner[i]}" for i in of],
            "as_of": (end[of] - lead * DAY).astype("datetime64[us]"),
            "lead_days": lead.astype(float),
            "matured_at": (end[of] + 45 * DAY).astype("datetime64[us]"),
        }
    )
    return dataset(X, y, snapshots, INFOS, "renewal", True)
