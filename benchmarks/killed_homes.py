"""Homes to kill commands on: prepared once, copied for each kill, commands run in forked processes."""

import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pandas as pd
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from benchmarks.kill_points import Fuse
from features.crm.crm import read_crm
from features.crm.load import current_folder
from features.settings import Settings
from monitoring.store import open_store

BEFORE = "before.json"
ACCOUNTS = 120
UNTIL = "2025-10-01"


@dataclass(frozen=True)
class Place:
    """A home and its database, and what is known of them before a kill."""

    home: Path
    database: str | None
    source: Path
    before: dict[str, Any]

    @property
    def settings(self) -> Settings:
        """Settings of this place."""
        return Settings(home=self.home, database_url=self.database, threads=1)

    @property
    def environment(self) -> dict[str, str]:
        """What a process of this place finds in its environment, beside the rest."""
        named = {"PERENNIAL_HOME": str(self.home), "PERENNIAL_THREADS": "1", "PERENNIAL_WORK_AHEAD": "false"}
        named["PERENNIAL_MIN_POSITIVES"] = "10"
        database = {"PERENNIAL_DATABASE_URL": self.database} if self.database else {}
        return {**named, **database, **self.before.get("environment", {})}


def forked(work: Callable[[], object], output: IO[bytes] | None = None) -> int:
    """Do something in a forked process, which has all modules at hand; its process id.

    Args:
        work: what is done; its exit status is that of `SystemExit`, 1 for another error, else 0.
        output: where standard output and errors go; None: nowhere.
    """
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        to = output.fileno() if output else os.open(os.devnull, os.O_WRONLY)
        os.dup2(to, 1)
        os.dup2(to, 2)
        work()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def perennial(
    place: Place, words: Sequence[str], output: IO[bytes] | None = None, fuse: Fuse | None = None
) -> int:
    """A command, started; its process id.

    Args:
        place: where it works.
        words: what follows `perennial`.
        output: where standard output and errors go; None: nowhere.
        fuse: counts its changes, and may end it at one.
    """

    def work() -> None:
        os.environ.update(place.environment)
        sys.argv = ["perennial", *words]
        from perennial.cli import main

        if fuse is not None:
            fuse.lit()
        main()

    return forked(work, output)


def ended(child: int) -> int:
    """Wait for a process: its exit status, negative for the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def finished(place: Place, *words: str) -> tuple[int, float]:
    """Run a command to its end: its exit status, and the seconds it took."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        code = ended(perennial(place, words, output))
        if code not in (0, -signal.SIGKILL):
            output.seek(0)
            sys.stderr.write(output.read().decode(errors="replace")[-2_000:])
    return code, time.monotonic() - began


def prepare(
    folder: Path, database: str | None, accounts: int = ACCOUNTS, tables: Sequence[str] = ()
) -> Place:
    """A home as nights leave it: an ingested CRM, a model, scores, a key, outcomes to come.

    Args:
        folder: of the CRM, the home and what is known of it; what is prepared there is used again.
        database: of the home; None: its own files.
        accounts: how many the CRM has; with few a command is quick, and its kills lie closer together.
        tables: the only ones the CRM keeps; none named: all.
    """
    source, home = folder / "crm", folder / "home"
    place = Place(home, database, source, {"account": "", "ids": []})
    if (folder / BEFORE).is_file():
        return Place(home, database, source, json.loads((folder / BEFORE).read_text()))
    for words in (
        ("simulate", str(source), "--accounts", str(accounts), "--seed", "3"),
        ("ingest", str(source), "--until", UNTIL),
        ("train", "renewal", "--trials", "1"),
        ("score", "renewal"),
    ):
        if not _is_there(words[0], place):
            code, seconds = finished(place, *words)
            print(f"prepared: {words[0]} in {seconds:.0f} s", flush=True)
            if code:
                raise SystemExit(f"{words} ended with {code}")
        if words[0] == "simulate" and tables:
            for path in source.glob("*.csv"):
                if path.stem not in tables:
                    path.unlink()
    ended(forked(lambda: _look(place, folder)))
    return prepare(folder, database, accounts, tables)


def _is_there(command: str, place: Place) -> bool:
    """Whether a preparation that was cut short has come past that command."""
    return {"simulate": place.source / "truth.json", "train": place.home / "artifacts"}.get(
        command, place.home / "nowhere"
    ).exists()


def _look(place: Place, folder: Path) -> None:
    """Write down what is known of a prepared home."""
    crm = read_crm(need(current_folder(place.settings)))
    store = open_store(place.settings)
    running = store.scores.page("renewal", limit=50).rows
    account = running[0]["account_id"]
    contracts = crm.frame("contracts", ["contract_id", "account_id"])
    ids = [account, *contracts[contracts["account_id"] == account]["contract_id"]]
    answer = [
        {"contract_id": row["contract_id"], "outcome": 1, "decided_at": "2025-11-01"} for row in running[1:20]
    ]
    pd.DataFrame(answer).to_csv(folder / "outcomes.csv", index=False)
    key = store.access.create_key("sales")[1].prefix
    secret = store.access.create_key("admin")[0]  # with keys there are, callers on this machine need one too
    before = {"account": account, "ids": ids, "outcomes": len(answer), "key": key, "secret": secret}
    (folder / BEFORE).write_text(json.dumps(before))


def noted(folder: Path, **facts: Any) -> None:
    """Write down more of what is known of a prepared home."""
    before = json.loads((folder / BEFORE).read_text())
    (folder / BEFORE).write_text(json.dumps({**before, **facts}))


def need(folder: Path | None) -> Path:
    """A folder that must be there."""
    assert folder is not None
    return folder


def copied(place: Place, into: Path) -> Place:
    """A copy of a home, and on PostgreSQL of its database."""
    home = into / "home"
    shutil.copytree(place.home, home)
    database = place.database
    if database is not None:
        name = f"kill_{os.getpid()}_{time.monotonic_ns()}"
        _administer(database, f'CREATE DATABASE "{name}" TEMPLATE "{make_url(database).database}"')
        database = make_url(database).set(database=name).render_as_string(hide_password=False)
    return Place(home, database, place.source, place.before)


def dropped(place: Place) -> None:
    """Take a copy away again."""
    shutil.rmtree(place.home, ignore_errors=True)
    if place.database is not None:
        _administer(place.database, f'DROP DATABASE "{make_url(place.database).database}" WITH (FORCE)')


def _administer(url: str, statement: str) -> None:
    address = make_url(url).set(drivername="postgresql+psycopg", database="postgres")
    engine = create_engine(address, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
