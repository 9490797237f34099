"""Ingesting: what is kept as current, what a failure or a kill leaves, and several at the same time."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from test_load import LATER

from features.crm.crm import read_crm
from features.crm.load import CHANGING, ingest, load, opened
from features.errors import RenewalError
from features.settings import Settings

CONTRACTS = "contract_id,account_id,start_date,end_date\nc1,a1,2023-01-01,2023-12-31\n"


def settings_in(folder: Path) -> Settings:
    return Settings(home=folder / "home")


def source_in(folder: Path, value: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "contracts.csv").write_text(f"contract_id,annual_value\nc1,{value}\n")
    return folder


def test_what_was_ingested_is_current_and_equal_content_is_kept_once(tmp_path):
    settings = settings_in(tmp_path)
    one = ingest(source_in(tmp_path / "one"), settings)
    again = ingest(source_in(tmp_path / "elsewhere"), settings)
    assert one.fingerprint == again.fingerprint
    two = ingest(source_in(tmp_path / "two", 2), settings)
    with opened(settings) as crm:
        assert crm.fingerprint == two.fingerprint
        assert crm.frame("contracts")["annual_value"].tolist() == [200]
    kept = {path.name for path in (settings.home / "crm").iterdir()}
    assert kept == {one.fingerprint, two.fingerprint, "current", CHANGING}


def test_a_folder_is_opened_without_ingest_and_leaves_nothing(tmp_path):
    settings = settings_in(tmp_path)
    with opened(settings, source_in(tmp_path / "crm")) as crm:
        folder = crm.folder
        assert crm.path("contracts").is_file()
    assert not folder.exists()
    assert list(settings.home.iterdir()) == []


def test_what_was_ingested_can_be_opened_as_of_an_earlier_day(tmp_path):
    settings = settings_in(tmp_path)
    source = tmp_path / "crm"
    source.mkdir()
    for name, text in LATER.items():
        (source / name).write_text(text)
    ingest(source, settings)
    with opened(settings, until=pd.Timestamp("2023-01-01")) as crm:
        direct = load(source, into=tmp_path / "direct", until=pd.Timestamp("2023-01-01"))
        assert crm.fingerprint == direct.fingerprint
    with opened(settings) as crm:
        assert crm.until == pd.Timestamp("2023-07-02")


def test_nothing_ingested_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(RenewalError, match="perennial ingest"), opened(settings_in(tmp_path)):
        pass


def test_a_load_that_fails_leaves_what_was_there(tmp_path):
    source = source_in(tmp_path / "crm")
    before = load(source, into=tmp_path / "clean")
    (source / "contracts.csv").write_text("")
    with pytest.raises(RenewalError, match="empty file"):
        load(source, into=tmp_path / "clean")
    assert read_crm(tmp_path / "clean").fingerprint == before.fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clean", "crm"]


def test_a_killed_ingest_changes_nothing_and_the_next_one_works(tmp_path):
    source, settings = source_in(tmp_path / "crm"), settings_in(tmp_path)
    before = ingest(source, settings)
    source_in(tmp_path / "crm", 2)
    program = (
        "import os, sys\nfrom pathlib import Path\nimport features.crm.load as load\n"
        "load.describe = lambda *given: os.kill(os.getpid(), 9)\n"
        "load.ingest(Path(sys.argv[1]), load.Settings(home=Path(sys.argv[2])))\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(source), str(settings.home)], check=False)
    assert killed.returncode == -9
    with opened(settings) as crm:
        assert crm.fingerprint == before.fingerprint
    after = ingest(source, settings)
    with opened(settings) as crm:
        assert crm.fingerprint == after.fingerprint != before.fingerprint


def test_ingests_at_the_same_time_do_not_disturb_each_other(tmp_path):
    settings = settings_in(tmp_path)
    sources = [source_in(tmp_path / str(i), i % 2) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        crms = list(pool.map(lambda source: ingest(source, settings), sources))
    assert len({crm.fingerprint for crm in crms}) == 2
    with opened(settings) as crm:
        assert crm.frame("contracts")["contract_id"].tolist() == ["c1"]
    manifests = [json.loads(path.read_text()) for path in (settings.home / "crm").glob("*/crm.json")]
    assert {answer["quality"]["rows"] for answer in manifests} == {1}
