"""monitoring/retrain.py: trains when there is reason to, once, and says why or why not."""

import fcntl

import numpy as np
import pandas as pd
import pytest

from features.load import load
from monitoring.retrain import retrain
from training.registry import champion, listing


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four years of yearly contracts whose outcome hangs on one carried column."""
    rng = np.random.default_rng(4)
    n = 900
    start = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 1400, n), unit="D")
    health = rng.normal(size=n)
    end = start + pd.Timedelta(days=364)
    renewed = rng.random(n) < 1 / (1 + np.exp(-0.8 - 1.4 * health))
    frame = pd.DataFrame(
        {
            "contract_id": [f"C{i}" for i in range(n)],
            "account_id": [f"A{i}" for i in range(n)],
            "start_date": start.date,
            "end_date": end.date,
            "annual_value": rng.integers(1_000, 9_000, n),
            "health": health.round(3),
            "renewed": renewed,
            "decided_at": end.date,
        }
    )
    place = tmp_path_factory.mktemp("yearly")
    frame.to_csv(place / "contracts.csv", index=False)
    return place


def known(folder, until, into):
    return load(folder, until=pd.Timestamp(until), into=into)


def test_the_loop_trains_keeps_and_trains_again(folder, settings, tmp_path):
    earlier = known(folder, "2023-06-01", tmp_path / "earlier")
    first = retrain(earlier, settings, trials=2)["models"]
    assert [row["kind"] for row in first] == ["renewal"]
    assert first[0]["why"].startswith("there is no model yet")
    assert champion("renewal", settings).alias == "champion"

    again = retrain(earlier, settings, trials=2)["models"]
    assert again[0]["what"] == "kept"
    assert len(listing(settings)) == 1

    later = known(folder, "2024-03-01", tmp_path / "later")
    second = retrain(later, settings, trials=2)["models"]
    assert second[0]["what"] in ("promoted", "challenger")
    assert "days newer" in second[0]["why"]
    newest = listing(settings)[0]
    assert newest["version"] == second[0]["version"]
    assert "neither" not in second[0]["why"]
    assert newest["gates"]["not worse than the champion"]["passed"] is not None


def test_a_second_retraining_leaves_at_once(folder, settings, tmp_path):
    settings.home.mkdir(parents=True)
    with (settings.home / "retrain.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = retrain(known(folder, "2023-06-01", tmp_path / "clean"), settings, trials=2)["models"]
    assert told == [{"kind": "renewal", "what": "kept", "why": "another retraining is running"}]
    assert listing(settings) == []


def test_too_little_data_is_said_and_nothing_is_registered(folder, settings, tmp_path):
    told = retrain(known(folder, "2021-01-15", tmp_path / "clean"), settings, trials=2)["models"]
    assert told[0]["what"] == "not trained"
    assert "40" in told[0]["why"]
    assert listing(settings) == []
