"""Parity through a whole training: options with their price, a mitigation asked for, what is kept of it."""

import json
from pathlib import Path

import pytest
from folders import only_tables

from features.crm.load import from_rows, load
from features.errors import RenewalError
from features.settings import Settings
from perennial.print import monitoring_print as printed
from training.fairness.mitigation import MITIGATIONS
from training.fairness.parity import load_parity
from training.fairness.parity_options import parity_options
from training.registry import champion, show
from training.train import TrainOptions, train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def crm(tmp_path_factory):
    """Seven trainings are made on it, so it is small."""
    from features.simulation import simulate

    place = tmp_path_factory.mktemp("segments")
    simulate(place / "crm", accounts=240, seed=1, draws=0)
    only_tables(place / "crm", "accounts", "contracts", "opportunities", "segments", "population")
    return load(place / "crm", into=place / "clean")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("parity") / "home", threads=1)


def test_a_mitigation_asked_for_is_told_everywhere(crm, place):
    said: list[str] = []
    result = train("renewal", crm, place, TrainOptions(trials=1, mitigate="reweighing"), say=said.append)
    before, after = result["mitigation"]["before"], result["mitigation"]["after"]
    assert after["option"] == "reweighing"
    assert after["log_loss"] == pytest.approx(before["log_loss"] + after["price"])
    assert after["log_loss"] == pytest.approx(result["forward"]["log_loss"])
    assert "reweighing" in result["gates"]["mitigation"]["why"]
    assert any("reweighing" in warning for warning in result["warnings"])
    assert any(line.startswith("reweighing") for line in said)
    answer = show("renewal", place)
    assert answer["params"]["mitigation"] == "reweighing"
    assert champion("renewal", place).model.about["mitigation"] == "reweighing"
    card = Path(result["card"])
    assert "<h3>Mitigation</h3>" in card.read_text()
    assert (
        json.loads(card.with_name("card.json").read_text())["mitigation"]["after"]["option"] == "reweighing"
    )


def test_retraining_goes_on_with_the_mitigation_of_the_champion(crm, place, monkeypatch):
    from monitoring import retrain

    asked: list[str] = []

    def listen(kind, crm, settings, options, **_):
        asked.append(options.mitigate)
        raise RenewalError(expected="nothing", found="nothing", do="Stop here.")

    monkeypatch.setattr(retrain, "train", listen)
    monkeypatch.setattr(retrain, "_is_due", lambda *_: (True, "for the test"))
    retrain.retrain(crm, place)
    assert asked == ["reweighing", None]


def test_parity_and_proxies_are_kept_for_monitoring_and_shown_on_the_card(crm, place):
    answer = show("renewal", place)
    kept = load_parity(Path(answer["folder"]))
    assert {row["metric"] for row in kept["parity"]} == {
        "selection rate", "true positive rate", "false positive rate", "calibration", "mean score"
    }  # fmt: skip
    assert {row["attribute"] for row in kept["proxies"]} == {"leadership", "veteran_owned"}
    page = (Path(answer["folder"]) / "card.html").read_text()
    assert "What gives a segment away" in page
    assert "accounts.postal_code" in page
    assert "true positive rate, of those whose probabilities are under" in page


def test_options_lie_side_by_side_and_change_nothing(crm, place, capsys):
    standing = show("renewal", place)["version"]
    answer = parity_options("renewal", crm, place, trials=1)
    assert [row["option"] for row in answer["rows"]] == ["as it is", *MITIGATIONS]
    assert show("renewal", place)["version"] == standing
    assert 0 < answer["declared"]["threshold"] < 1
    assert {row["segment"] for row in answer["parity"]} >= {"leadership=women", "leadership=men"}
    done = [row for row in answer["rows"][1:] if not row.get("problem")]
    assert done
    assert all(row["price_low"] <= row["price"] <= row["price_high"] for row in done)
    printed.options(answer)
    out = capsys.readouterr().out
    assert "None" not in out
    assert "--mitigate" in out


def test_without_segments_there_is_nothing_to_treat_alike(place):
    crm = from_rows({"contracts": [{"contract_id": "C1", "account_id": "A1"}]}, None)
    with pytest.raises(RenewalError, match="perennial population join"):
        parity_options("renewal", crm, place)
