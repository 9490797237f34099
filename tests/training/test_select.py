"""A rule that turned round in later data is not served; one that held is."""

import numpy as np
import pandas as pd
import pytest

from features.catalog.declare import Info
from training.dataset import dataset
from training.select import no_worse_than_base_rate, select


def deals(turns: bool, n: int = 900):
    rng = np.random.default_rng(8)
    x = rng.normal(size=n)
    effect = np.where((np.arange(n) > 0.7 * n) & turns, -1.5, 1.5)
    y = (rng.random(n) < 1 / (1 + np.exp(-effect * x))).astype(float)
    as_of = pd.Timestamp("2023-01-01") + pd.to_timedelta(np.arange(n), unit="D")
    ids = [f"o{i}" for i in range(n)]
    rows = pd.DataFrame(
        {
            "subject_id": ids,
            "account_id": ids,
            "as_of": as_of,
            "lead_days": 0.0,
            "matured_at": as_of + pd.Timedelta(days=30),
            "amount": pd.array([100] * n, dtype="Int64"),
        }
    )
    infos = {"x": Info("x", "x", "number", "deal", "opportunities.x")}
    return dataset(pd.DataFrame({"x": x}), y, rows, infos, "win", True)


@pytest.mark.parametrize("turns", [False, True])
def test_what_loses_to_the_base_rate_is_not_served(turns, settings):
    ds = deals(turns)
    chosen = select(ds, settings, trials=1, storage=None, horizon_days=30)
    assert chosen.served != "base rate"
    kept = no_worse_than_base_rate(ds, chosen, settings)
    assert (kept.served == "base rate") is turns
    if not turns:
        assert kept is chosen
        return
    assert kept.forward == chosen.baselines["base rate"]
    assert kept.model.probability(ds.X) == pytest.approx(ds.base_rate)
    assert set(kept.model.band(kept.model.probability(ds.X))) == {"warm"}
    low, high = kept.model.interval(np.array([ds.base_rate]))
    assert low < ds.base_rate < high
    assert "lost to the base rate" in kept.why
