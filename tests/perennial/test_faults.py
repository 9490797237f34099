"""Broken files, a full disk, a home nobody may write to, a clock set back: one line each, nothing lost."""

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace

import duckdb
import pandas as pd
import pytest
import typer
from serving_case import client_of, free_port, home, night  # noqa: F401 (fixtures)
from sqlalchemy.exc import OperationalError

import perennial.cli
import perennial.command_line
from features.crm.load import current_folder
from features.scratch import MARK
from features.settings import Settings
from monitoring.store import open_store
from monitoring.store.database import now
from serving.app import look

pytestmark = pytest.mark.slow


def command(monkeypatch, capsys, home, *words):  # noqa: F811
    """Run a command line in this process: its exit status and what it wrote as errors."""
    monkeypatch.setenv("PERENNIAL_HOME", str(home))
    monkeypatch.setenv("PERENNIAL_THREADS", "1")
    monkeypatch.setattr(sys, "argv", ["perennial", *words])
    with pytest.raises(SystemExit) as ended:
        perennial.cli.main()
    return ended.value.code, capsys.readouterr().err


def is_one_line(errors):
    """Whether the last message is one line, and no traceback."""
    return "Traceback" not in errors and errors.strip().rpartition("\n")[2].startswith("perennial: Expected")


def cut(path):
    """What a copy that was broken off leaves of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwrite(path):
    """What a disk leaves of a file that it has mixed up."""
    path.write_bytes(b"\x00\xff nonsense " * 500)


def empty(path):
    """What a full disk leaves of a file."""
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("contracts.parquet", cut), ("activities.parquet", overwrite), ("activities.parquet", empty),
        ("crm.json", cut), ("crm.json", overwrite), ("current", overwrite), ("current", empty),
        ("perennial.db", cut), ("perennial.db", overwrite), ("mlflow.db", cut), ("mlflow.db", overwrite),
        ("model.json", cut),
    ],
)  # fmt: skip
def test_a_broken_file_of_the_home_is_told_in_one_line(name, damage, home, monkeypatch, capsys):  # noqa: F811
    folder = current_folder(Settings(home=home))
    places = [folder / name] if (folder / name).exists() else sorted(home.rglob(name))
    assert places
    for place in places:
        damage(place)
    for left in home.glob(f"{name}-*"):  # SQLite's log of writes mends the database, if it is there
        left.unlink()
    code, errors = command(monkeypatch, capsys, home, "score", "renewal")
    assert (code, is_one_line(errors)) == (2, True), errors[-1500:]
    assert not [*home.rglob(f"{MARK}*")]


@pytest.mark.parametrize("name", ["model.json", "perennial.db"])
def test_a_service_does_not_start_on_a_broken_file(name, home, monkeypatch, capsys):  # noqa: F811
    for place in sorted(home.rglob(name)):
        cut(place)
    for left in home.glob(f"{name}-*"):
        left.unlink()
    code, errors = command(monkeypatch, capsys, home, "serve", "--port", str(free_port()))
    assert (code, is_one_line(errors)) == (2, True), errors[-1500:]


def test_a_service_that_cannot_look_around_goes_on_looking(caplog):
    looked = []

    def away():
        raise OperationalError("SELECT 1", {}, ConnectionError("the database is away"))

    running = SimpleNamespace(
        models=SimpleNamespace(versions=lambda: {"renewal": None, "win": None}, refresh=away),
        live=SimpleNamespace(
            score_cache=SimpleNamespace(look=away),
            arrivals=SimpleNamespace(look=lambda: looked.append("data")),
        ),
        worked_out=SimpleNamespace(
            read_ahead=lambda names: None, look=lambda names: looked.append("answers")
        ),
        settings=Settings(work_ahead=False),
    )
    first = look(running, {})
    assert set(look(running, first)) == set(first) == {"models", "scores"}
    assert looked == ["data", "answers"] * 2
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]  # logged once each
    running.models.refresh = running.live.score_cache.look = lambda: None
    assert look(running, first) == {}


@contextmanager
def files_up_to(size):
    """No file may grow beyond so many bytes: what a full disk does, for this process alone."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("words", "size"), [(("ingest",), 20_000), (("score", "renewal"), 100_000), (("outcomes",), 0)]
)
def test_a_full_disk_is_told_in_one_line_and_nothing_is_lost(
    words, size, home, night, monkeypatch, capsys, tmp_path  # noqa: F811
):  # fmt: skip
    store = open_store(Settings(home=home))
    before, data = len(store.predictions.read("renewal")), current_folder(Settings(home=home))
    decided = tmp_path / "decided.csv"
    pd.DataFrame({"contract_id": ["C1"], "outcome": [1], "decided_at": ["2025-01-01"]}).to_csv(
        decided, index=False
    )
    given = {"ingest": [str(changed(night.parent / "crm", tmp_path))], "outcomes": [str(decided)]}
    with files_up_to(size):
        code, errors = command(monkeypatch, capsys, home, *words, *given.get(words[0], []))
    if code:  # what fits into files of that size is done
        assert (code, is_one_line(errors)) == (2, True), errors[-1500:]
    assert not [*home.rglob(f"{MARK}*")]
    if words[0] == "ingest":
        assert code == 2
        assert current_folder(Settings(home=home)) == data
    assert len(open_store(Settings(home=home)).predictions.read("renewal")) >= before
    code, errors = command(monkeypatch, capsys, home, *words, *given.get(words[0], []))
    assert code == 0, errors[-1500:]


def changed(source, into):
    """A copy of a CRM with a row less, so that it is ingested anew."""
    folder = shutil.copytree(source, into / "changed")
    lines = (folder / "activities.csv").read_text().splitlines(keepends=True)
    (folder / "activities.csv").write_text("".join(lines[:-1]))
    return folder


@pytest.mark.parametrize(
    "error",
    [
        shutil.Error([("a", "b", "[Errno 28] No space left on device: 'a' -> 'b'")]),
        sqlite3.OperationalError("database or disk is full"),
        duckdb.IOException('IO Error: Async write failed: {"exception_type":"IO","errno":"28"}'),
    ],
)
def test_a_disk_that_is_full_is_one_line_whoever_meets_it(error, monkeypatch, capsys):
    app = typer.Typer()

    @app.command()
    def fails():
        raise error

    monkeypatch.setattr(sys, "argv", ["perennial"])
    with pytest.raises(SystemExit) as ended:
        perennial.command_line.run(app)
    errors = capsys.readouterr().err
    assert (ended.value.code, is_one_line(errors)) == (2, True), errors
    assert "No space left" in errors or "disk is full" in errors


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="needs setpriv")
def test_a_home_that_cannot_be_written_is_told_in_one_line(home):  # noqa: F811
    for path in [home, *home.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    bound = (
        ["setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner"] if os.geteuid() == 0 else []
    )
    call = [*bound, sys.executable, "-m", "perennial", "keys", "create", "sales"]
    ended = subprocess.run(
        call, env={**os.environ, "PERENNIAL_HOME": str(home)}, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, is_one_line(ended.stderr)) == (2, True), ended.stderr[-1500:]


def test_a_clock_set_back_overwrites_and_doubles_nothing(home, monkeypatch, capsys):  # noqa: F811
    settings = Settings(home=home, threads=1)
    before = open_store(settings).predictions.read("renewal")
    today = now() - timedelta(days=400)
    for module in list(sys.modules.values()):
        if getattr(module, "now", None) is now:
            monkeypatch.setattr(module, "now", lambda: today)
    code, errors = command(monkeypatch, capsys, home, "score", "renewal", "--json")
    assert code == 0, errors
    code, errors = command(monkeypatch, capsys, home, "monitor")
    assert code == 0, errors
    after = open_store(settings).predictions.read("renewal")
    assert after.groupby(["subject_id", "as_of", "model_version"]).size().max() == 1
    assert len(after) == len(before)
    assert len(open_store(settings).scores.page("renewal", limit=5).rows) == 5


def test_a_service_whose_disk_is_full_says_so_and_takes_the_event_once_there_is_room(home):  # noqa: F811
    store = open_store(Settings(home=home))
    with client_of(home) as client:
        account = client.get("/v1/renewals?limit=1").json()["rows"][0]["account_id"]
        row = {"activity_id": "E1", "account_id": account, "kind": "call", "occurred_at": "2026-01-01"}
        event = {"table": "activities", "rows": [row]}
        with files_up_to(100):
            refused = client.post("/v1/events", json=event)
            assert client.get("/v1/renewals?limit=1").status_code == 200
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5"), refused.text
        assert store.events.read() == []
        assert client.post("/v1/events", json=event).json()["stored"] == 1
    assert len(store.events.read()) == 1
