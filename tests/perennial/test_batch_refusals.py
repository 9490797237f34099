"""What scoring refuses: data the model would see nothing in, and a row that forgot its day."""

import json
import shutil
import sys

import pandas as pd
import pytest
from serving_case import home, night  # noqa: F401 (fixtures)

from features.crm.load import load, opened
from features.errors import RenewalError
from features.settings import Settings
from monitoring.store import open_store
from perennial import cli
from serving.scoring.batch import asked_rows, require_some, score

pytestmark = pytest.mark.slow


@pytest.fixture
def here(home):  # noqa: F811
    return Settings(home=home, threads=1)


@pytest.fixture
def data(night):  # noqa: F811
    """The folder of CSV files the night began with."""
    return night.parent / "crm"


def only(folder, wanted, into):
    """A CRM of some of a folder's tables."""
    for file in folder.glob("*.csv"):
        if wanted(file.stem):
            shutil.copy(file, into)
    return load(into, until=None, into=into / "clean")


def test_data_without_nearly_all_the_model_uses_are_not_scored(here, data, tmp_path):
    poor = only(data, lambda table: table == "contracts", tmp_path)
    before = len(open_store(here).predictions.read("renewal"))
    with pytest.raises(RenewalError, match="absent"):
        score("renewal", poor, here)
    assert len(open_store(here).predictions.read("renewal")) == before


def test_one_missing_table_is_only_said(here, data, tmp_path):
    said = []
    rows = score("renewal", only(data, lambda table: table != "cases", tmp_path), here, say=said.append)
    assert rows["probability"].notna().all()
    assert any("count as missing" in line for line in said)


def test_an_empty_day_in_a_file_is_a_mistake_of_that_row_and_never_today(here, tmp_path):
    with opened(here) as crm:
        ids = score("renewal", crm, here)["contract_id"].head(2).tolist()
        file = tmp_path / "rows.csv"
        file.write_text(f"contract_id,as_of\n{ids[0]},\n{ids[1]},{crm.until - pd.Timedelta(days=20)}\n")
        rows = score("renewal", crm, here, rows=asked_rows(file, "renewal"))
        file.write_text(f"contract_id\n{ids[0]}\n")
        today = score("renewal", crm, here, rows=asked_rows(file, "renewal"))
    assert "as_of is missing" in rows["problem"][0]
    assert pd.isna(rows["probability"][0])
    assert rows["probability"].notna()[1]
    assert today["problem"].isna().all()


def test_an_impossible_moment_is_a_problem_of_its_row_and_is_not_logged(here, tmp_path):
    file = tmp_path / "rows.csv"
    with opened(here) as crm:
        one = score("renewal", crm, here)["contract_id"].iloc[0]
        good = crm.until - pd.Timedelta(days=20)
        days = ["1999-01-01", good, "2199-01-01", good]
        file.write_text("contract_id,as_of\n" + "".join(f"{one},{day}\n" for day in days))
        rows = score("renewal", crm, here, rows=asked_rows(file, "renewal"))
    assert rows["contract_id"].tolist() == [one] * 4
    assert rows["problem"].notna().tolist() == [True, False, True, False]
    assert rows["probability"].isna().tolist() == [True, False, True, False]
    assert rows["probability"][1] == rows["probability"][3]
    require_some(rows, "renewal")
    logged = pd.to_datetime(open_store(here).predictions.read("renewal")["as_of"])
    assert set(logged.dt.year) <= {good.year, crm.until.year}


def test_a_file_without_one_row_to_score_shows_its_rows_and_fails(here, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PERENNIAL_HOME", str(here.home))
    (tmp_path / "rows.csv").write_text("contract_id,as_of\nnobody,2024-08-01\nnor he,31.12.2024\n")
    words = ["perennial", "score", "renewal", "--rows", str(tmp_path / "rows.csv"), "--json"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    printed = capsys.readouterr()
    assert stopped.value.code == 2
    assert [row["contract_id"] for row in json.loads(printed.out)["rows"]] == ["nobody", "nor he"]
    assert "a problem in each of 2, such as: no contract_id 'nobody' in the CRM" in printed.err


def test_a_file_of_a_header_alone_is_refused(tmp_path):
    (tmp_path / "rows.csv").write_text("contract_id,as_of\n")
    with pytest.raises(RenewalError, match="only its header"):
        asked_rows(tmp_path / "rows.csv", "renewal")
