"""Every command with --out, in every format: the file holds the answer itself, in cells of one value each."""

import json
import shutil
import sys
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from folders import copy_of
from pages_case import informed  # noqa: F401 (fixture)
from serving_case import night  # noqa: F401 (fixture)
from typer.testing import CliRunner

from features.settings import Settings
from monitoring.store import open_store
from perennial import cli
from serving.precompute import FOLDER
from serving.scoring import export
from serving.scoring.answer_tables import answer_tables, holds_an_object

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
import generate

RUN = {
    "alerts list": [],
    "check": ["{crm}"],
    "experiment list": [],
    "features list": [],
    "features touchpoints": [],
    "identity list": [],
    "journey": [],
    "judged": [],
    "keys create": ["sales"],
    "keys list": [],
    "churn-drivers": ["renewal"],
    "map": ["{crm}", "--to", "{folder}/mapping.yaml"],
    "models list": [],
    "models show": ["renewal"],
    "monitor": ["renewal"],
    "score": ["renewal"],
    "tasks begin": [],
    "tasks judge": [],
    "tasks list": [],
    "voice kpis": [],
    "voice requests": [],
}
"""Command → its arguments; each is run once and its answer written in all formats."""

WORKED_OUT = {
    "effects calls": ("effects", "calls", "all"),
    "effects discount": ("effects", "discount", "all"),
    "effects experiment": ("effects", "experiment"),
    "effects plan": ("effects", "plan"),
    "effects timing": ("effects", "timing", "all"),
    "icp list": ("icp", "list"),
    "icp profiles": ("icp", "profiles"),
    "icp reach": ("icp", "reach"),
}
"""Command → where its answer stands among what the service works out ahead."""

FACTS = (
    "alerts ack", "alerts close", "erase", "experiment end", "experiment start", "experiment status",
    "icp personas", "connect", "ingest", "keys revoke", "models compare", "models promote", "models rollback",
    "identity decide", "identity match", "identity undo", "outcomes", "simulate", "tasks done", "tasks start",
    "voice send", "write-back",
)  # fmt: skip
"""A few named facts, as `keys create`, or shapes of the above; they change the home."""

TRAINS = (
    "demo",
    "effects value",
    "kpis",
    "parity",
    "population census",
    "population join",
    "retrain",
    "run",
    "train",
)
"""Too slow to be run here, or they ask the net: their own tests run them."""


def test_no_command_is_forgotten():
    with_out = {
        " ".join(words)
        for words, command in generate.every_command()
        if any("--out" in part.opts for part in command.params)
    }
    assert with_out <= {*RUN, *WORKED_OUT, *FACTS, *TRAINS}


@pytest.fixture(scope="module")
def own_home(night, tmp_path_factory):  # noqa: F811
    """A copy of the home, which the commands change, beside the CRM it was made of."""
    folder = tmp_path_factory.mktemp("out_files")
    shutil.copytree(night.parent / "crm", folder / "crm")
    return copy_of(night, folder / "home")


def answer_of(name, home, folder, monkeypatch):
    """What a command hands to its file."""
    handed = {}
    monkeypatch.setenv("PERENNIAL_HOME", str(home))
    monkeypatch.setenv("PERENNIAL_THREADS", "1")
    monkeypatch.setattr(export, "write", lambda path, result, **options: handed.update(result=result))
    places = {"crm": home.parent / "crm", "folder": folder}
    words = [*name.split(), *(word.format(**places) for word in RUN[name]), "--out", str(folder / "a.json")]
    CliRunner().invoke(cli.app, words, standalone_mode=False, catch_exceptions=False)
    monkeypatch.undo()
    return handed["result"]


def judge(result, folder):
    """Write an answer in all formats and look at each file."""
    main = answer_tables(export.without_its_page(result))[0].frame
    for ending in export.WRITERS:
        export.write(folder / f"out{ending}", result, title="Answer")
    assert json.loads((folder / "out.json").read_text())
    page = (folder / "out.html").read_text()
    assert page.lstrip().startswith("<!doctype html>")
    assert "<table>" in page or main.empty
    parquet = pd.read_parquet(folder / "out.parquet")
    assert list(parquet.columns) == list(main.columns)
    assert len(parquet) == len(main)
    book = openpyxl.load_workbook(folder / "out.xlsx")
    sheet = book.worksheets[0]
    assert [cell.value for cell in next(sheet.iter_rows(max_row=1))][: len(main.columns)] == list(
        main.columns
    )
    assert sheet.max_row == len(main) + 1 or main.empty
    for each in book.worksheets:
        assert each.freeze_panes in ("A2", "B2")
        assert each.auto_filter.ref or each.max_row == 1
    texts = [cell for each in book.worksheets for row in each.iter_rows(values_only=True) for cell in row]
    if len(main.columns):
        frame = pd.read_csv(folder / "out.csv", dtype=str)
        assert len(frame) == len(main)
        texts += [cell for name in frame for cell in frame[name]]
    texts += [cell for name in parquet for cell in parquet[name].tolist()]
    assert not [cell for cell in texts if holds_an_object(cell) or isinstance(cell, dict | list)]


@pytest.mark.parametrize("name", RUN)
def test_what_a_command_answers_stands_in_its_files(name, own_home, tmp_path, monkeypatch):
    judge(answer_of(name, own_home, tmp_path, monkeypatch), tmp_path)


@pytest.mark.parametrize("name", WORKED_OUT)
def test_long_answers_stand_in_their_files(name, informed, tmp_path):  # noqa: F811
    study, *parts = WORKED_OUT[name]
    (stored,) = (informed / FOLDER).glob(f"{study}-*.json")
    result = json.loads(stored.read_text())["value"]
    for part in parts:
        result = result[part]
    judge(result, tmp_path)


def test_an_alert_s_reasons_are_words(tmp_path):
    store = open_store(Settings(home=tmp_path / "home"))
    store.alerts.open("one", rule="jump in risk", title="risk", reasons=["fell", "from 80 to 40 %"])
    judge({"alerts": store.alerts.read(), "figures": store.alerts.figures()}, tmp_path)
    assert pd.read_csv(tmp_path / "out.csv")["reasons"].tolist() == ["fell; from 80 to 40 %"]
