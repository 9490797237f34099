from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from folders import copy_of
from serving_case import plain_recipe

from features.crm.crm import read_crm
from features.crm.load import load
from features.errors import RenewalError
from features.settings import Settings
from features.simulation import simulate
from monitoring.matured import judged
from monitoring.report import importance, monitor
from monitoring.store import open_store
from serving.scoring.batch import score
from training.candidates import fit_recipe
from training.card_figures import load_reference, save_reference
from training.dataset import build
from training.registry import Record, champion, register
from training.split import forward_split

CUT = pd.Timestamp("2025-01-01")
KEPT = (
    "calls_90d", "inbound_90d", "cases_180d", "escalated_365d", "nps_last", "usage_active_seats_pct_90d",
    "contracts.annual_value", "contracts.product", "accounts.industry", "accounts.employees", "accounts.tier",
)  # fmt: skip
"""A model of few columns is fitted in a moment and well calibrated, which these tests take for granted."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A home with a model trained up to 2025, and the scores of three days after."""
    folder = tmp_path_factory.mktemp("world")
    settings = Settings(home=folder / "home", threads=1)
    simulate(folder / "crm", accounts=900, seed=6, draws=0)
    old = load(folder / "crm", mapping=None, until=CUT, into=folder / "old")
    full = load(folder / "crm", mapping=None, until=None, into=folder / "full")
    data = build(old, "renewal", settings)
    data = data.without(set(data.X.columns) - set(KEPT))
    split = forward_split(data)
    early = fit_recipe(data.take(split.train), plain_recipe(), seed=0, threads=1)
    test = pd.DataFrame({"row": split.test, "probability": early.probability(data.X.iloc[split.test])})
    model = fit_recipe(data, plain_recipe(), seed=0, threads=1)
    model = replace(model, cuts=tuple(np.quantile(test["probability"], [0.2, 0.5])))
    model.save(folder / "run" / "model")
    save_reference(folder / "run", data, test, 0)
    register("renewal", folder / "run", Record({}, {}, {}, "f", {"served": "logistic"}), settings, lead=True)
    for day in ("2025-02-03", "2025-04-11", "2025-06-18"):
        score("renewal", full, settings, as_of=pd.Timestamp(day))
    return folder


@pytest.fixture
def home(world, tmp_path):
    """A copy of that home for one test to change."""
    return Settings(home=copy_of(world / "home", tmp_path / "home"), threads=1)


@pytest.fixture
def crm(world):
    return read_crm(world / "full")


def alerting(answer):
    return {check["name"] for check in answer["checks"] if check["verdict"] == "alert"}


def log_again(settings, change, shift=0.0):
    """Log the scores anew with changed features or probability, as if the world had changed that way."""
    store = open_store(settings)
    log, features = store.predictions.read("renewal"), store.predictions.features("renewal")
    for run, part in log.groupby("run_id"):
        rows = part.reset_index(drop=True)
        seen = rows[["subject_id", "as_of"]].merge(features, on=["subject_id", "as_of"])
        rows["probability"] = np.clip(rows["probability"] + shift * (1 - rows["probability"]), 0.001, 0.999)
        columns = [name for name in champion("renewal", settings).model.features if name in seen]
        store.scores.write("renewal", rows, change(seen[columns].copy()), run_id=str(run), model_version="1")


def test_nothing_changed_and_nothing_alerts(home, crm):
    answer = monitor(crm, home, "renewal")
    assert alerting(answer) == set()
    assert answer["verdict"] == "ok"
    assert {"kind", "name", "segment", "value", "threshold", "verdict", "why"} == set(answer["checks"][0])
    assert Path(answer["html"]).stat().st_size > 100_000
    assert {c["name"] for c in answer["checks"]} >= {
        "drift: features",
        "drift: scores",
        "performance: calibration",
        "parity (live, with outcome): true positive rate",
    }


def test_a_moved_feature_is_named_alerted_once_and_closed_when_it_is_gone(home, crm):
    store, loaded = open_store(home), champion("renewal", home)
    before = store.predictions.features("renewal")
    weights = importance(loaded, before)
    numbers = [name for name in weights if pd.api.types.is_float_dtype(before[name])]
    top = max(numbers, key=lambda name: weights[name])
    log_again(home, lambda f: f.assign(**{top: f[top] + 0.7 * f[top].std()}))
    answer = monitor(crm, home, "renewal")
    assert f"drift: {top}" in alerting(answer)
    assert answer["verdict"] == "alert"
    assert "drift: features" in answer["alerts"]["opened"][0]["title"]
    assert monitor(crm, home, "renewal")["alerts"]["opened"] == []
    log_again(home, lambda f: f.assign(**{top: before[top][: len(f)].to_numpy()}))
    assert len(store.alerts.read(state="standing")) == 1


def test_a_column_gone_and_a_new_category_are_faults_of_the_data(home, crm):
    def change(frame):
        industry = frame["accounts.industry"].astype(object)
        new = industry.where(np.arange(len(frame)) % 10 > 0, "space mining")
        return frame.assign(**{"accounts.industry": new}).drop(columns="accounts.employees")

    log_again(home, change)
    found = alerting(monitor(crm, home, "renewal"))
    assert {
        "data quality: accounts.industry new category",
        "data quality: accounts.employees missing",
    } <= found


def test_scores_too_hopeful_by_half_the_losses_are_found_on_outcomes(home, crm):
    log_again(home, lambda f: f, shift=0.6)
    assert "performance: calibration" in alerting(monitor(crm, home, "renewal"))


def test_without_scores_or_reference_it_is_unknown_and_never_ok(world, home, crm, tmp_path):
    answer = monitor(crm, home, "renewal", since=pd.Timestamp("2030-01-01"))
    assert answer["verdict"] == "unknown"
    assert answer["html"] is None
    assert [check["name"] for check in answer["checks"]] == ["predictions: logged"]
    assert "run `perennial score renewal`" in answer["checks"][0]["why"]
    with pytest.raises(RenewalError, match="train win"):
        monitor(crm, home, "win")
    with pytest.raises(RenewalError, match="train renewal"):
        monitor(crm, Settings(home=tmp_path / "empty"))
    assert load_reference(tmp_path) is None


def test_outcomes_told_to_the_store_count_where_the_crm_is_silent(home, crm):
    store = open_store(home)
    log = store.predictions.read("renewal").head(50).assign(subject_id=lambda f: "unknown-" + f["subject_id"])
    answer = pd.DataFrame(
        {"contract_id": log["subject_id"].unique(), "outcome": 0, "decided_at": "2025-12-30"}
    )
    assert judged(crm, "renewal", log, store.outcomes.read("renewal")).decided.empty
    store.outcomes.record(answer)
    found = judged(crm, "renewal", log, store.outcomes.read("renewal"))
    assert len(found.decided) == log.groupby("subject_id").ngroups
    assert set(found.decided["y"]) == {0.0}


def test_reference_rows_hold_no_ids(world):
    file = next((world / "home").rglob("reference.parquet"))
    frame = pd.read_parquet(file)
    ids = set(read_crm(world / "full").frame("accounts")["account_id"])
    assert not ids & set(frame["account_id"])
    assert frame["probability"].notna().any()
    assert frame["probability"].isna().any()
