"""Training as a whole, on a small simulated CRM: a registered model, a card, leaks barred by name."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from folders import only_tables

from features.crm.load import load
from features.errors import RenewalError
from training.churn_drivers import churn_drivers
from training.registry import champion, show
from training.train import TrainOptions, train

DESIGNED = {
    "model", "version", "alias", "rows", "snapshots", "positives", "forward", "random", "baselines", "served",
    "barred", "period", "gates",
}  # fmt: skip


ASKED = TrainOptions(trials=2, allow=["billing"], bar=["seats"])


@pytest.fixture(scope="module")
def leaky_folder(simulated_folder, tmp_path_factory) -> Path:
    """The simulated CRM with a date after the close, a text for the lost and a fair score on contracts."""
    folder = tmp_path_factory.mktemp("leaky") / "crm"
    shutil.copytree(simulated_folder, folder)
    only_tables(folder, "accounts", "contracts", "activities")
    rows = pd.read_csv(folder / "contracts.csv", dtype=str)
    rng = np.random.default_rng(12)
    lost = rows["renewed"] == "false"
    rows["file_note"] = pd.Series(np.where(lost, "they left us", None)).where(rng.random(len(rows)) < 0.8)
    decided = pd.to_datetime(rows["decided_at"], format="mixed")
    rows["closed_in_books"] = (decided + pd.Timedelta(days=9)).dt.strftime("%Y-%m-%d")
    rows["fair_score"] = (rng.normal(size=len(rows)) + np.where(lost, 0.0, 0.8)).round(2)
    rows.to_csv(folder / "contracts.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def trained(leaky_folder, tmp_path_factory):
    """A renewal model trained on it: (result, crm, settings, what was said)."""
    from features.settings import Settings

    place = tmp_path_factory.mktemp("trained")
    settings, said = Settings(home=place / "home", threads=1), []
    crm = load(leaky_folder, into=place / "crm")
    result = train("renewal", crm, settings, ASKED, say=said.append)
    return result, crm, settings, said


def test_the_same_training_again_is_the_same_version(trained):
    result, crm, settings, _ = trained
    from training.registry import listing

    before, said = len(listing(settings)), []
    again = train("renewal", crm, settings, ASKED, say=said.append)
    assert again == result
    assert len(listing(settings)) == before
    assert said == ["perennial-renewal version 1 was made of these very data, code and settings"]


def test_the_result_has_what_the_design_promises_as_json(trained):
    result = trained[0]
    assert set(result) >= DESIGNED
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert set(result["forward"]) == {"auc", "log_loss", "brier", "ece", "n"}
    assert result["alias"] == (
        "champion" if all(g["passed"] is not False for g in result["gates"].values()) else "challenger"
    )


def test_leaks_are_barred_by_name_and_the_fair_column_stays(trained):
    result, _, settings, said = trained
    assert {"file_note", "closed_in_books", "seats"} <= set(result["barred"])
    assert "fair_score" not in result["barred"]
    assert result["allowed"] == ["billing"]
    model = champion("renewal", settings).model
    assert not {"contracts.file_note", "contracts.closed_in_books", "contracts.seats"} & set(model.features)
    assert "contracts.fair_score" in model.features
    assert any(line.startswith("barred file_note") for line in said)


def test_card_and_record_are_kept(trained):
    result, crm, settings, _ = trained
    card = Path(result["card"])
    assert "file_note" in card.read_text()
    answer = show("renewal", settings)
    assert answer["params"]["data_fingerprint"] == crm.fingerprint
    assert answer["metrics"]["forward.auc"] == pytest.approx(result["forward"]["auc"])
    assert answer["result"]["barred"] == result["barred"]
    assert json.loads(card.with_name("card.json").read_text())["making"]["lock_hash"]


def test_training_again_gives_the_same_figures(trained):
    result, crm, settings, _ = trained
    again = train("renewal", crm, settings, replace(ASKED, promote=False))
    assert again["forward"] == result["forward"]
    assert again["version"] != result["version"]


def test_drivers_of_losses_with_what_was_stated(trained):
    _, crm, settings, _ = trained
    answer = churn_drivers("renewal", crm, settings, days=3650)
    assert answer["drivers"]
    assert all(row["log_odds"] < 0 and 0 < row["share"] <= 1 for row in answer["drivers"])
    assert sum(row["subjects"] for row in answer["stated"]) == answer["lost"][0]["subjects"]
    by_region = churn_drivers("renewal", crm, settings, by="region", days=3650)
    assert {row["group"] for row in by_region["drivers"]} <= {row["group"] for row in by_region["lost"]}
    with pytest.raises(RenewalError, match="industry"):
        churn_drivers("renewal", crm, settings, by="colour")


def test_losses_before_any_training_say_what_to_do(simulated_crm, settings):
    with pytest.raises(RenewalError, match="perennial train renewal"):
        churn_drivers("renewal", simulated_crm, settings)


def test_an_unknown_column_costs_one_line_and_leaves_nothing(simulated_crm, settings):
    with pytest.raises(RenewalError, match="annual_value"):
        train("renewal", simulated_crm, settings, TrainOptions(trials=1, bar=["anual_value"]))
    assert champion("renewal", settings) is None


def _flip_coins(file: Path) -> None:
    """Decide every closed deal by a coin: without signal renewals are still won more often than new ones."""
    rows = pd.read_csv(file, dtype=str)
    coins = np.random.default_rng(14).random(len(rows)) < 0.4
    rows["is_won"] = rows["is_won"].where(rows["is_won"].isna(), np.where(coins, "true", "false"))
    rows["lost_reason"] = None
    rows.to_csv(file, index=False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["renewal", "win"])
def test_without_signal_nothing_becomes_champion(kind, tmp_path, settings):
    from features.simulation import simulate

    simulate(tmp_path / "crm", accounts=300, seed=4, signal=False, draws=2)
    only_tables(tmp_path / "crm", "accounts", "contracts", "opportunities", "stage_history")
    _flip_coins(tmp_path / "crm" / "opportunities.csv")
    crm = load(tmp_path / "crm", into=tmp_path / "clean")
    result = train(kind, crm, settings, TrainOptions(trials=2))
    assert result["alias"] == "challenger"
