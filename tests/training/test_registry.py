"""Versions, aliases, promotion with a written reason, rollback; a killed training leaves no half champion."""

import json

import numpy as np
import pandas as pd
import pytest

from features.catalog.declare import Info
from features.errors import RenewalError
from training import registry
from training.encode import learn_encoding
from training.model import Model
from training.model_versions import Record
from training.registry import register

PASSED = {"beats the base rate": {"passed": True, "why": ""}, "parity": {"passed": None, "why": "unknown"}}
FAILED = {**PASSED, "beats the base rate": {"passed": False, "why": "no signal"}}


def folder_of(tmp_path, base: float):
    X = pd.DataFrame({"seats": [1.0, 2.0, 3.0]})
    infos = {"seats": Info("seats", "seats", "number", "contract", "contracts.seats")}
    folder = tmp_path / f"made-{base}"
    Model("renewal", "base rate", learn_encoding(X), infos, base).save(folder / registry.MODEL_FOLDER)
    (folder / registry.RESULT_FILE).write_text(json.dumps({"base": base}))
    return folder


def record(gates=PASSED, fingerprint="f", **metrics):
    figures = metrics or {"forward.auc": 0.7}
    return Record({"seed": 0}, figures, gates, fingerprint, {"served": "base rate", "data_fingerprint": "d"})


@pytest.fixture
def two(settings, tmp_path):
    """Version 1 is champion, version 2 challenger."""
    register("renewal", folder_of(tmp_path, 0.1), record(), settings, lead=True)
    register(
        "renewal", folder_of(tmp_path, 0.2), record(FAILED, "g", **{"forward.auc": 0.6}), settings, lead=False
    )
    return settings


def test_before_any_training_there_is_no_champion_and_no_registry_is_made(settings):
    assert registry.champion("renewal", settings) is None
    assert registry.listing(settings) == []
    assert not settings.home.exists()


def test_the_champion_is_loaded_as_it_was_saved(two):
    loaded = registry.champion("renewal", two)
    assert (loaded.version, loaded.alias) == ("1", "champion")
    assert loaded.model.probability(pd.DataFrame({"seats": [9.0]})) == pytest.approx(1 / (1 + np.exp(-0.1)))
    assert registry.champion("win", two) is None


def test_without_a_champion_the_challenger_scores_and_says_so(settings, tmp_path):
    register("win", folder_of(tmp_path, 0.3), record(FAILED), settings, lead=False)
    assert registry.champion("win", settings).alias == "challenger"


def test_listing_and_show(two):
    rows = registry.listing(two)
    assert [(row["model"], row["version"], row["alias"]) for row in rows] == [
        ("perennial-renewal", "2", "challenger"),
        ("perennial-renewal", "1", "champion"),
    ]
    shown = registry.show("renewal", two, 1)
    assert shown["result"] == {"base": 0.1}
    assert shown["metrics"] == {"forward.auc": 0.7}
    assert registry.show("renewal", two)["version"] == "1"
    assert registry.show("renewal", two, "challenger")["version"] == "2"


def test_compare_gives_the_change(two):
    answer = registry.compare("renewal", 1, 2, two)
    assert answer["metrics"]["forward.auc"]["change"] == pytest.approx(-0.1)
    assert answer["same_data"]


def test_promotion_against_a_gate_needs_a_written_reason(two):
    with pytest.raises(RenewalError, match="beats the base rate"):
        registry.promote("renewal", 2, two, reason="  ")
    assert registry.champion("renewal", two).version == "1"
    answer = registry.promote("renewal", 2, two, reason="signed off by the board")
    assert answer["before"] == "1"
    assert registry.champion("renewal", two).version == "2"
    assert registry.show("renewal", two, 2)["waiver"] == "signed off by the board"


def test_rollback_is_one_call_and_can_be_undone(two):
    registry.promote("renewal", "challenger", two, reason="try")
    assert registry.rollback("renewal", two)["version"] == "1"
    assert registry.champion("renewal", two).version == "1"
    registry.promote("renewal", 2, two, reason="again")
    assert registry.champion("renewal", two).version == "2"


def test_rollback_without_an_earlier_champion_says_so(two):
    with pytest.raises(RenewalError, match="none before it"):
        registry.rollback("renewal", two)


@pytest.mark.parametrize("version", [7, "best"])
def test_an_unknown_version_is_answered_with_those_there_are(two, version):
    with pytest.raises(RenewalError, match="1, 2"):
        registry.show("renewal", two, version)


def test_a_training_killed_before_the_alias_moved_leaves_the_old_champion(two, tmp_path, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    made = folder_of(tmp_path, 0.9)
    with monkeypatch.context() as patched:
        patched.setattr(registry, "_crown", killed)
        with pytest.raises(KeyboardInterrupt):
            register("renewal", made, record(fingerprint="h"), two, lead=True)
    assert registry.champion("renewal", two).version == "1"
    again = register("renewal", made, record(fingerprint="h"), two, lead=True)
    assert registry.champion("renewal", two).version == again.version
    assert len(registry.listing(two)) == 3


STEPS = (
    "create_run", "log_batch", "log_artifacts", "set_terminated", "create_model_version",
    "set_registered_model_alias", "set_model_version_tag",
)  # fmt: skip


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_registering_cut_short_at_any_step_and_done_again_is_one_version(
    two, tmp_path, monkeypatch, step, after
):
    from mlflow import MlflowClient

    made, works = folder_of(tmp_path, 0.9), getattr(MlflowClient, step)

    def killed(*given, **more):
        if after:
            works(*given, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, step, killed)
        with pytest.raises(KeyboardInterrupt):
            register("renewal", made, record(fingerprint="h"), two, lead=True)
    again = register("renewal", made, record(fingerprint="h"), two, lead=True)
    assert registry.champion("renewal", two).version == again.version
    assert registry.made_before("renewal", "h", two).version == again.version
    listed = registry.listing(two)
    assert [row["version"] for row in listed] == [again.version, "2", "1"]
    assert all(row["complete"] for row in listed)
    assert registry.show("renewal", two, again.version)["previous_champion"] == "1"
    kept = {registry.show("renewal", two, row["version"])["folder"] for row in listed}
    assert {str(path.parent) for path in two.home.glob("artifacts/*/artifacts/model")} == kept


def test_a_home_moved_as_a_whole_is_followed(two, tmp_path):
    moved = two.home.rename(tmp_path / "elsewhere")
    elsewhere = two.model_copy(update={"home": moved})
    assert registry.champion("renewal", elsewhere).version == "1"


def test_nothing_pickled_is_kept(two):
    files = [path.suffix for path in two.home.rglob("*") if path.is_file()]
    assert not {".pkl", ".pickle", ".joblib"} & set(files)
