"""Random kills over every writing command and the service: lost 0, doubled 0, left over 0.

    python -m benchmarks.reliability --kills 500 [--database postgresql://…] [--seed S] [--only run,erase]

Each kill takes a copy of a prepared home and starts one command on it (or the service, with events being sent
to it) in a process of its own, ends that with SIGKILL at a random moment of its life, runs it to its end, and
looks:

* lost: the command was run again and ended well, but what it should have made is not there; for the service,
  an event that was answered 200 is not stored after it starts again;
* doubled: two versions of one training, two rows of one prediction, outcome, event or alert;
* left over: an unfinished folder, draft or lock of nobody; for an erasure, any byte of the customer.

A moment is drawn by wall clock between zero and the time the command takes unharmed, which is measured first.
On PostgreSQL each kill has a database of its own, made from a template.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from sqlalchemy import create_engine, func, make_url, select, text
from sqlalchemy.pool import NullPool

from features.crm.crm import read_crm
from features.crm.load import current_folder
from features.scratch import MARK
from features.settings import Settings
from monitoring.store import Store, open_store
from monitoring.store.tables import alerts, api_keys, events, outcomes, prediction_log
from training.registry import listing

ROOT = Path(__file__).parents[1]
PORT = 38_217
BEFORE = "before.json"
STARTS_IN_SECONDS = 60.0


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
        """What a process of this place finds in its environment."""
        contracts = {"PERENNIAL_HOME": str(self.home), "PERENNIAL_THREADS": "1", "OMP_NUM_THREADS": "1"}
        contracts["PERENNIAL_WORK_AHEAD"] = "false"
        return {
            **os.environ,
            **contracts,
            **({"PERENNIAL_DATABASE_URL": self.database} if self.database else {}),
        }


def perennial(place: Place, *words: str) -> subprocess.Popen[bytes]:
    """A command, started."""
    call = [sys.executable, "-m", "perennial", *words]
    return subprocess.Popen(
        call, cwd=ROOT, env=place.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finished(place: Place, *words: str) -> tuple[int, float]:
    """Run a command to its end: its exit status, and the seconds it took."""
    began = time.monotonic()
    process = perennial(place, *words)
    _, errors = process.communicate(timeout=1_800)
    if process.returncode not in (0, -signal.SIGKILL):
        sys.stderr.write(errors.decode(errors="replace")[-500:])
    return process.returncode, time.monotonic() - began


def commands(place: Place) -> dict[str, tuple[str, ...]]:
    """Name → words of every command that writes; a small search where a model is trained."""
    return {
        "ingest": ("ingest", str(place.source)),
        "score": ("score", "renewal"),
        "train": ("train", "renewal", "--trials", "1", "--bar", "industry"),
        "retrain": ("retrain", "--trials", "1"),
        "monitor": ("monitor",),
        "outcomes": ("outcomes", str(place.source.parent / "outcomes.csv")),
        "erase": ("erase", place.before["account"]),
        "keys": ("keys", "create", "sales"),
        "run": ("run", str(place.source), "--trials", "1", "--lists", str(place.home / "lists")),
    }


def prepare(folder: Path, database: str | None) -> Place:
    """A home as nights leave it: an ingested CRM, a model, scores, a report, outcomes to come."""
    source = folder / "crm"
    home = folder / "home"
    place = Place(home, database, source, {"account": "", "ids": []})
    if (folder / BEFORE).is_file():
        return Place(home, database, source, json.loads((folder / BEFORE).read_text()))
    for words in (
        ("simulate", str(source), "--accounts", "300", "--seed", "3"),
        ("ingest", str(source), "--until", "2025-10-01"),
        ("train", "renewal", "--trials", "1"),
        ("score", "renewal"),
    ):
        code, seconds = finished(place, *words)
        print(f"prepared: {' '.join(words[:1])} in {seconds:.0f} s", flush=True)
        if code:
            raise SystemExit(f"{words} ended with {code}")
    crm = read_crm(_need(current_folder(place.settings)))
    running = open_store(place.settings).scores.page("renewal", limit=50).rows
    account = running[0]["account_id"]
    contracts = crm.frame("contracts", ["contract_id", "account_id"])
    ids = [account, *contracts[contracts["account_id"] == account]["contract_id"]]
    answer = [
        {"contract_id": row["contract_id"], "outcome": 1, "decided_at": "2025-11-01"} for row in running[1:20]
    ]
    pd.DataFrame(answer).to_csv(folder / "outcomes.csv", index=False)
    before = {"account": account, "ids": ids, "outcomes": len(answer)}
    (folder / BEFORE).write_text(json.dumps(before))
    return Place(home, database, source, before)


def _need(folder: Path | None) -> Path:
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


# --- what is looked at afterwards


def left_over(place: Place) -> list[str]:
    """Unfinished folders, drafts and locks that nobody owns."""
    return [f"left over: {path.relative_to(place.home)}" for path in place.home.rglob(f"{MARK}*")]


def doubled(place: Place, store: Store) -> list[str]:
    """What is there twice."""
    problems = []
    once = {
        "prediction": (prediction_log, ("kind", "subject_id", "as_of_key", "model_version")),
        "outcome": (outcomes, ("kind", "subject_id")),
        "event": (events, ("crm_table", "row_id")),
    }
    with store.engine.connect() as connection:
        for name, (table, names) in once.items():
            columns = [table.c[each] for each in names]
            query = select(*columns).group_by(*columns).having(func.count() > 1)
            problems += [f"doubled: {name} {tuple(row)}" for row in connection.execute(query)]
        open_now = select(alerts.c.dedupe_key).where(alerts.c.state != "closed")
        query = open_now.group_by(alerts.c.dedupe_key).having(func.count() > 1)
        problems += [f"doubled: alert {row[0]}" for row in connection.execute(query)]
    versions = listing(place.settings)
    fingerprints = Counter((row["model"], row["data_fingerprint"]) for row in versions if row["complete"])
    problems += [f"left over: version {row['version']}" for row in versions if not row["complete"]]
    most = place.before.get("versions", {})
    problems += [
        f"doubled: versions of {key}" for key, count in fingerprints.items() if count > most.get(key, 1)
    ]
    return problems


def lost(name: str, place: Place, store: Store) -> list[str]:
    """What the command should have made, and is not there."""
    wanted: dict[str, Callable[[], bool]] = {
        "ingest": lambda: read_crm(_need(current_folder(place.settings))).until > pd.Timestamp("2025-10-01"),
        "score": lambda: len(store.scores.page("renewal", limit=10).rows) > 0,
        "train": lambda: len(listing(place.settings)) == 2,
        "retrain": lambda: len(listing(place.settings)) >= 1,
        "monitor": lambda: len(store.runs("monitor")) == 1,
        "outcomes": lambda: len(store.outcomes.read("renewal")) == place.before["outcomes"],
        "keys": lambda: _count(store, api_keys) >= 1,
        "run": lambda: store.runs("nightly")[0]["summary"]["status"] in ("done", "nothing to do"),
        "erase": lambda: True,
    }
    problems = [] if wanted[name]() else [f"lost: what {name} should have made"]
    if name != "erase" and not store.scores.page("renewal", limit=10).rows:
        problems.append("lost: the scores of before")
    return problems


def _count(store: Store, table: Any) -> int:
    with store.engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def bytes_of(place: Place, ids: list[str]) -> list[str]:
    """Files of a home, Parquet opened, that hold one of the ids."""
    problems = []
    for path in (path for path in place.home.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += pq.read_table(path).to_pandas().to_csv().encode()
        if any(one.encode() in content for one in ids):
            problems.append(f"left over: the customer in {path.relative_to(place.home)}")
    return problems


# --- the kills


def kill_command(name: str, place: Place, seconds: float, draw: random.Random) -> list[str]:
    """Kill one command at a random moment, run it again, and say what is wrong."""
    process = perennial(place, *commands(place)[name])
    time.sleep(draw.uniform(0.0, seconds))
    process.kill()
    process.communicate()
    code, _ = finished(place, *commands(place)[name])
    if code:
        return [f"lost: {name} run again ended with {code}"]
    store = open_store(place.settings)
    problems = [*lost(name, place, store), *doubled(place, store), *left_over(place)]
    if name == "erase":
        problems += bytes_of(place, place.before["ids"])
    store.engine.dispose()
    return problems


def kill_service(place: Place, draw: random.Random) -> list[str]:
    """Kill the service while events are sent; what it answered 200 must be there when it is back."""
    words = ("serve", "--port", str(PORT))
    process = perennial(place, *words)
    answered: list[str] = []
    _wait_ready(process)
    until = time.monotonic() + draw.uniform(0.0, 5.0)
    number = 0
    while time.monotonic() < until:
        number += 1
        if _sent(place, f"kill-{number}"):
            answered.append(f"kill-{number}")
    process.kill()
    process.communicate()
    again = perennial(place, *words)
    _wait_ready(again)
    for name in answered[-3:]:
        _sent(place, name)  # the caller did not hear, perhaps, and sends it again
    again.send_signal(signal.SIGTERM)
    again.communicate(timeout=60)
    store = open_store(place.settings)
    stored = {row["row_id"] for row in store.events.read("activities")}
    missing = sorted(set(answered) - stored)
    problems = [f"lost: events {missing[:3]}"] if missing else []
    problems += [*doubled(place, store), *left_over(place)]
    store.engine.dispose()
    return problems


def _wait_ready(process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTS_IN_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=2):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.2)
    raise SystemExit("the service did not start")


def _sent(place: Place, name: str) -> bool:
    row = {
        "activity_id": name,
        "account_id": place.before["account"],
        "kind": "call",
        "occurred_at": "2025-09-30",
    }
    body = json.dumps({"table": "activities", "rows": [row]}).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/v1/events", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer = json.load(answer)
            return bool(answer["stored"] + answer["repeated"])
    except (OSError, ValueError):
        return False


def main() -> None:
    """Prepare, kill, and print what was found by command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--database", help="PostgreSQL: an empty database, whose server may make others.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="Names of commands, or `service`, with commas between.")
    parser.add_argument("--prepared", type=Path, help="Keep the prepared home there, and use one that is.")
    given = parser.parse_args()
    draw, wrong, counts = random.Random(given.seed), Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="reliability-") as work:
        folder = given.prepared or Path(work)
        folder.mkdir(parents=True, exist_ok=True)
        place = prepare(folder, given.database)
        versions = Counter((row["model"], row["data_fingerprint"]) for row in listing(place.settings))
        place.before["versions"] = {key: count + 1 for key, count in versions.items()}  # `train` adds one
        names = given.only.split(",") if given.only else [*commands(place), "service"]
        takes = {}
        for name in names:
            if name != "service":
                copy = copied(place, Path(work) / "measured")
                _, takes[name] = finished(copy, *commands(copy)[name])
                dropped(copy)
        print(f"unharmed, seconds: { {name: round(took, 1) for name, took in takes.items()} }", flush=True)
        for number in range(given.kills):
            name = names[number % len(names)]
            copy = copied(place, Path(work) / str(number))
            problems = (
                kill_service(copy, draw) if name == "service" else kill_command(name, copy, takes[name], draw)
            )
            dropped(copy)
            counts[name] += 1
            for one in problems:
                wrong[one.partition(":")[0]] += 1
                print(f"kill {number} of {name}: {one}", flush=True)
        print(f"kills: {sum(counts.values())} ({dict(counts)})")
        print(", ".join(f"{what} {wrong[what]}" for what in ("lost", "doubled", "left over")))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
