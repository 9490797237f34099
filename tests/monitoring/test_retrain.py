"""monitoring/retrain.py: trains when there is reason to, once, and says why or why not."""

import fcntl
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from folders import copy_of

from features.crm.load import load
from features.settings import Settings
from monitoring import retrain as by_hand
from monitoring.alerts import settle
from monitoring.checks import Check, Verdict
from monitoring.retrain import _decided_since, _is_due, retrain
from monitoring.store import open_store
from training.registry import champion, listing
from training.train import TrainOptions


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


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """A home with one champion, trained on what was known on 2023-06-01."""
    place = tmp_path_factory.mktemp("trained")
    settings = Settings(home=place / "home", threads=1)
    retrain(known(folder, "2023-06-01", place / "clean"), settings, trials=2)
    return settings.home


@pytest.fixture
def again(trained, tmp_path):
    return Settings(home=copy_of(trained, tmp_path / "again"), threads=1)


@pytest.mark.parametrize(
    ("until", "due", "words"),
    [
        ("2023-06-01", False, "trained on these very data"),
        ("2023-06-05", False, "too little that is new"),
        ("2023-06-29", False, "28 days and 14 outcomes"),
        ("2023-07-01", True, "30 days newer than what version 1"),
    ],
)
def test_when_it_is_time(folder, again, tmp_path, until, due, words):
    answer = _is_due("renewal", known(folder, until, tmp_path / "clean"), again)
    assert answer[0] is due
    assert words in answer[1]


def test_enough_new_outcomes_are_a_reason(folder, again, tmp_path, monkeypatch):
    crm = known(folder, "2023-06-29", tmp_path / "clean")
    new = _decided_since("renewal", crm, pd.Timestamp("2023-06-01"), {})
    ends = pd.to_datetime(pd.read_csv(folder / "contracts.csv")["end_date"]) + pd.Timedelta(days=45)
    assert new == ((ends > "2023-06-01") & (ends <= "2023-06-29")).sum() > 10
    monkeypatch.setattr("monitoring.retrain.ENOUGH_OUTCOMES", new)
    assert _is_due("renewal", crm, again) == (True, f"{new} outcomes are new since version 1")


@pytest.mark.parametrize(("family", "due"), [("drift", True), ("performance", True), ("parity", False)])
def test_a_standing_alert_of_drift_or_performance_is_a_reason_and_a_closed_one_is_not(
    folder, again, tmp_path, family, due
):
    crm, store = known(folder, "2023-06-05", tmp_path / "clean"), open_store(again)
    moved = Check(f"{family}: health", "", 0.5, 0.1, Verdict.ALERT, "moved")
    settle(store, again, "renewal", [moved])
    answer = _is_due("renewal", crm, again)
    assert answer[0] is due
    assert not due or f"renewal model, {family}: health" in answer[1]
    settle(store, again, "renewal", [Check(f"{family}: health", "", 0.0, 0.1, Verdict.OK, "still")])
    assert _is_due("renewal", crm, again)[0] is False


KILLED = """
import sys
from pathlib import Path
from features.crm.crm import read_crm
from features.settings import Settings
from monitoring.retrain import retrain
say = lambda line: print(line, flush=True)
retrain(read_crm(Path(sys.argv[1])), Settings(home=Path(sys.argv[2]), threads=1), trials=2, say=say)
"""


@pytest.mark.parametrize("moment", ["writing the card", "registered perennial-renewal"])
def test_killed_in_the_middle_and_run_again_nothing_is_doubled_and_nothing_lost(
    folder, again, tmp_path, moment
):
    crm = known(folder, "2024-03-01", tmp_path / "clean")
    command = [sys.executable, "-c", KILLED, str(crm.folder), str(again.home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert any(line.startswith(moment) for line in child.stdout)
        os.kill(child.pid, signal.SIGKILL)
    (answer,) = retrain(crm, again, trials=2)["models"]
    versions = listing(again)
    assert [row["version"] for row in versions][-1] == "1"
    complete = [row for row in versions if row["complete"]]
    assert len(complete) == 2
    assert len(versions) == 2
    assert answer["what"] in ("promoted", "challenger", "kept")
    store = open_store(again)
    noted = [run["run_id"] for run in store.runs("train", "renewal")]
    assert sorted(noted) == sorted(f"train-renewal-{row['version']}" for row in complete)
    rules = [alert["rule"] for alert in store.alerts.read()]
    assert rules == (["champion changed"] if complete[0]["alias"] == "champion" else ["gate failed"])
    assert retrain(crm, again, trials=2)["models"][0]["what"] == "kept"
    assert len(store.alerts.read()) == 1


def test_a_second_retraining_leaves_at_once(folder, settings, tmp_path):
    settings.home.mkdir(parents=True)
    with (settings.home / "retrain.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = retrain(known(folder, "2023-06-01", tmp_path / "clean"), settings, trials=2)["models"]
    assert answer == [{"kind": "renewal", "what": "kept", "why": "another retraining is running"}]
    assert listing(settings) == []


def test_too_little_data_is_said_and_nothing_is_registered(folder, settings, tmp_path):
    answer = retrain(known(folder, "2021-01-15", tmp_path / "clean"), settings, trials=2)["models"]
    assert answer[0]["what"] == "not trained"
    assert "40" in answer[0]["why"]
    assert listing(settings) == []


@pytest.mark.parametrize(
    ("alias", "rules"), [("challenger", ["gate failed"]), ("champion", ["champion changed"])]
)
def test_what_is_trained_by_hand_is_told_once(settings, monkeypatch, alias, rules):
    store = open_store(settings)
    store.record_run("champion-renewal", "champion", "renewal", {"version": "1"})
    gates = {"calibration slope": {"passed": alias == "champion", "why": "0.41, wanted 0.8 to 1.25"}}
    monkeypatch.setattr(
        by_hand, "train", lambda kind, crm, settings, options, **_: {"alias": alias, "trials": options.trials}
    )
    monkeypatch.setattr(
        by_hand, "_newest", lambda kind, settings: {"version": "2", "alias": alias, "gates": gates}
    )
    for _ in range(2):
        answer = by_hand.train_by_hand("renewal", None, settings, TrainOptions(trials=3), say=print)
        assert (answer["alias"], answer["trials"]) == (alias, 3)
        assert [alert["rule"] for alert in store.alerts.read()] == rules
