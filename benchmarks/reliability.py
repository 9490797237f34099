"""Random kills over every writing command and the service: lost 0, doubled 0, left over 0.

    python -m benchmarks.reliability --each 10 [--database postgresql://…] [--seed S] [--only run,erase]

Each kill takes a copy of a prepared home and starts one command on it (or the service, with events being sent
to it) in a forked process, ends that with SIGKILL, runs it to its end, and looks:

* lost: the command was run again and ended well, but a home does not say what it says after a run unharmed
  (`killed_commands`); for the service, what was answered 200 is not stored after it starts again;
* doubled: two versions of one training, two rows of one prediction, outcome, event or alert;
* left over: an unfinished folder, draft or lock of nobody; for an erasure, any byte of the customer.

Half of the moments are drawn by wall clock between zero and the time the command takes unharmed, half are the
moment right before one of its changes on disk or commits, drawn from all of them. Kills count that came while
the command ran. On PostgreSQL each has a database of its own, made from a template.
"""

import argparse
import importlib
import json
import os
import random
import signal
import socket
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

from benchmarks.kill_points import Fuse
from benchmarks.killed_checks import doubled, facts_of, left_over, problems_after
from benchmarks.killed_commands import READERS, READS, Killed, killed
from benchmarks.killed_furnishing import TABLES, furnished, reached
from benchmarks.killed_homes import UNTIL, Place, copied, dropped, ended, finished, forked, perennial
from benchmarks.killed_systems import ask, systems
from monitoring.store import open_store
from training.registry import listing

STARTS_IN_SECONDS = 180.0
LONG_SECONDS = 8.0
"""What takes longer is killed twice as often."""
IMPORTED = (
    "perennial.cli",
    "serving.service",
    "serving.nightly.job",
    "training.train",
    "monitoring.evidently_report",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.tracking.client",
    "optuna.storages",
    "alembic.command",
)
"""What commands import as they begin, which takes longer than most of them do."""


@dataclass(frozen=True)
class Unharmed:
    """A command run to its end: what it takes, how often it changes something, and what a home says then."""

    seconds: float
    changes: int
    facts: Any


def import_first() -> None:
    """Import once, before the forks."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for module in IMPORTED:
        importlib.import_module(module)


def checked(look: Callable[[], list[str]]) -> list[str]:
    """What a look in a forked process finds: the process that forks must not begin threads or connections."""
    with tempfile.TemporaryFile("w+") as answer, tempfile.TemporaryFile() as output:

        def write() -> None:
            answer.write(json.dumps(look()))
            answer.flush()

        code = ended(forked(write, output))
        answer.seek(0)
        output.seek(0)
        last = output.read().decode(errors="replace").strip().rpartition("\n")[2]
        return [f"lost: the look at it ended with {code}, {last}"] if code else list(json.load(answer))


def begun(name: str, place: Place) -> Killed:
    """Bring a copy to where a command begins."""
    command = killed(place)[name]
    if "addresses" in place.before:
        for each in ("pulled", "written", "webhook"):
            ask(f"{place.before['addresses'][each]}/reset")
    for words in command.first:
        code, _ = finished(place, *words)
        if code:
            raise SystemExit(f"{words} ended with {code}")
    return command


def kill_command(name: str, place: Place, run: Unharmed, draw: random.Random) -> tuple[bool, list[str]]:
    """Kill one command at a random moment or a random change, run it again, and say what is wrong.

    Returns:
        Whether the kill came while it ran, and the problems.
    """
    command = begun(name, place)
    if draw.random() < 0.5:
        child = perennial(place, command.words, None, Fuse(place.home, draw.randint(1, max(run.changes, 1))))
    else:
        child = perennial(place, command.words)
        time.sleep(draw.uniform(0.0, run.seconds))
        os.kill(child, signal.SIGKILL)
    was_hit = ended(child) == -signal.SIGKILL
    if command.between is not None:
        checked(lambda: _between(command, place))
    code, _ = finished(place, *command.words)
    if code not in command.again:
        return was_hit, [f"lost: {name} run again ended with {code}"]
    return was_hit, checked(lambda: problems_after(name, place, run.facts))


def _between(command: Killed, place: Place) -> list[str]:
    store = open_store(place.settings)
    if command.between is not None:
        command.between(place, store)
    store.engine.dispose()
    return []


def kill_service(place: Place, draw: random.Random) -> list[str]:
    """Kill the service while events and outcomes are sent; what it answered 200 must be there afterwards."""
    port = free_port()
    words = ("serve", "--port", str(port))
    process = perennial(place, words)
    answered: list[tuple[str, dict[str, Any]]] = []
    _wait_ready(process, port)
    until = time.monotonic() + draw.uniform(0.0, 5.0)
    number = 0
    while time.monotonic() < until:
        sent = _next(place, number := number + 1)
        if _sent(place, port, *sent):
            answered.append(sent)
    os.kill(process, signal.SIGKILL)
    ended(process)
    again = perennial(place, words)
    _wait_ready(again, port)
    for sent in answered[-3:]:
        _sent(place, port, *sent)  # the caller did not hear, perhaps, and sends it again
    os.kill(again, signal.SIGTERM)
    ended(again)
    return checked(lambda: _after_service(place, answered))


def _next(place: Place, number: int) -> tuple[str, dict[str, Any]]:
    """What is sent as the n-th: a call, a low survey answer, an outcome; its address and body."""
    account = place.before["account"]
    if number % 3 == 1:
        call = {"activity_id": f"kill-{number}", "account_id": account, "kind": "call", "occurred_at": UNTIL}
        return "/v1/events", {"table": "activities", "rows": [call]}
    if number % 3 == 2:
        answer = {"response_id": f"kill-{number}", "account_id": account, "kind": "nps", "score": 1,
                  "asked_at": UNTIL, "answered_at": UNTIL}  # fmt: skip
        return "/v1/events", {"table": "surveys", "rows": [answer]}
    contracts = place.before["contracts"]
    contract = contracts[number // 3 % len(contracts)]
    return "/v1/outcomes", {"rows": [{"contract_id": contract, "outcome": "renewed", "decided_at": UNTIL}]}


def _after_service(place: Place, answered: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """What was answered and is not stored; a low survey answer needs its alert and that alert its task."""
    store = open_store(place.settings)
    rows = [row for _, body in answered for row in body["rows"]]
    stored = {row["row_id"] for table in ("activities", "surveys") for row in store.events.read(table)}
    sent = {row.get("activity_id") or row.get("response_id") for row in rows} - {None}
    decided = set(store.outcomes.read("renewal")["subject_id"])
    outcomes = {row["contract_id"] for row in rows if "contract_id" in row}
    problems = [f"lost: {sorted(one)[:3]}" for one in (sent - stored, outcomes - decided) if one]
    alerts = [row for row in store.alerts.read() if row["account_id"] == place.before["account"]]
    begun = store.tasks.begun()
    if any("response_id" in row for row in rows) and not any(row["alert_id"] in begun for row in alerts):
        problems.append("lost: the alert of a low survey answer, or its task")
    problems += [*doubled(place, store), *left_over(place)]
    store.engine.dispose()
    return problems


def free_port() -> int:
    """A port nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_ready(process: int, port: int) -> None:
    until = time.monotonic() + STARTS_IN_SECONDS
    while time.monotonic() < until and not os.waitpid(process, os.WNOHANG)[0]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.2)
    raise SystemExit("the service did not start")


def _sent(place: Place, port: int, path: str, body: dict[str, Any]) -> bool:
    """Whether it was answered that this is stored, now or before."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {place.before['secret']}"}
    url = f"http://127.0.0.1:{port}{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            counts = json.load(answer)
            return bool(counts.get("stored", counts.get("new", 0)) + counts["repeated"])
    except urllib.error.HTTPError as error:
        raise SystemExit(f"the service refused what was sent: {error.read().decode()}") from error
    except (OSError, ValueError):
        return False


def _most_versions(place: Place) -> list[str]:
    counts = Counter((row["model"], row["data_fingerprint"]) for row in listing(place.settings))
    return [json.dumps([*key, count + 1]) for key, count in counts.items()]  # `train` adds one


def note_versions(place: Place) -> None:
    """Note with a place how many versions of each training there may be after one command."""
    most = [json.loads(one) for one in checked(lambda: _most_versions(place))]
    place.before["versions"] = {(model, data): count for model, data, count in most}


def unharmed(place: Place, names: list[str], work: Path) -> dict[str, Unharmed]:
    """Each command run once to its end: what it takes, changes and makes."""
    runs = {}
    for name in names:
        copy = copied(place, work / "unharmed")
        if name == "service":
            began = time.monotonic()
            problems, runs[name] = kill_service(copy, random.Random(0)), Unharmed(0.0, 0, None)
            runs[name] = Unharmed(time.monotonic() - began, 0, None)
        else:
            runs[name], problems = _unharmed(name, copy, work / "changes")
        dropped(copy)
        took = f"{runs[name].seconds:.1f} s, {runs[name].changes} changes"
        print(f"unharmed: {name} {took} {problems or ''}", flush=True)
    return runs


def _unharmed(name: str, copy: Place, counts: Path) -> tuple[Unharmed, list[str]]:
    command = begun(name, copy)
    counts.write_text("0")
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        code = ended(perennial(copy, command.words, output, Fuse(copy.home, 0, counts)))
        seconds = time.monotonic() - began
        output.seek(0)
        text = output.read().decode(errors="replace")
    problems = (
        [f"ended with {code}: {text[-2_000:]}"] if code else checked(lambda: problems_after(name, copy))
    )
    with tempfile.NamedTemporaryFile("r") as file:

        def write() -> list[str]:
            Path(file.name).write_text(json.dumps(facts_of(name, copy)))
            return []

        problems += [] if code else checked(write)
        facts = json.loads(file.read() or "null")
    return Unharmed(seconds, int(counts.read_text()), facts), problems


def writing_readers(place: Place, work: Path) -> list[str]:
    """Commands that are declared to read only, and change a file of the home beside the databases."""
    copy, problems = copied(place, work / "readers"), []
    for name in READS:
        before = _listed(copy.home)
        code, seconds = finished(copy, *name.split(), *READERS.get(name, ()))
        changed = sorted(path for path, stamp in _listed(copy.home).items() if before.get(path) != stamp)
        print(
            f"reads: {name} {seconds:.1f} s {changed or ''} {f'ended with {code}' if code else ''}",
            flush=True,
        )
        problems += [f"left over: {name} wrote {path}" for path in changed]
    dropped(copy)
    return problems


def _listed(home: Path) -> dict[str, tuple[int, int]]:
    files = [path for path in home.rglob("*") if path.is_file() and ".db" not in path.name]
    stamps = [(path, path.stat()) for path in files]
    return {str(path.relative_to(home)): (stat.st_size, stat.st_mtime_ns) for path, stat in stamps}


def kill_all(
    place: Place, runs: dict[str, Unharmed], each: int, minutes: float, draw: random.Random, work: Path
) -> tuple[Counter[str], Counter[str]]:
    """Kill each command so often, long ones twice as often, or until the time is over.

    Returns:
        Kills by command, those alone that came while it ran; problems by kind.
    """
    wanted = {name: each * (2 if run.seconds > LONG_SECONDS else 1) for name, run in runs.items()}
    counts, tries, wrong = Counter[str](), Counter[str](), Counter[str]()
    until = time.monotonic() + 60 * minutes
    while time.monotonic() < until and (left := [name for name in wanted if counts[name] < wanted[name]]):
        name = min(left, key=lambda one: tries[one] / wanted[one])
        tries[name] += 1
        copy = copied(place, work / str(sum(tries.values())))
        was_hit, problems = (
            (True, kill_service(copy, draw))
            if name == "service"
            else kill_command(name, copy, runs[name], draw)
        )
        dropped(copy)
        counts[name] += was_hit
        for one in problems:
            wrong[one.partition(":")[0]] += 1
            print(f"kill {sum(tries.values())}, of {name}: {one}", flush=True)
        if sum(tries.values()) % 25 == 0:
            print(f"kills so far: {counts.total()} ({dict(counts)})", flush=True)
    return counts, wrong


def main() -> None:
    """Prepare, kill, and print what was found by command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", type=int, default=10, help="Kills of each; long ones get twice as many.")
    parser.add_argument("--minutes", type=float, default=1e6, help="End after so long.")
    parser.add_argument("--database", help="PostgreSQL: an empty database, whose server may make others.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="Names of commands, or `service`, with commas between.")
    parser.add_argument("--without", default="", help="Names that are left out, with commas between.")
    parser.add_argument(
        "--tables", default=",".join(TABLES), help="Of the CRM; with few a training is quick."
    )
    parser.add_argument("--readers", action="store_true", help="See that READS write nothing, and end.")
    parser.add_argument("--prepared", type=Path, help="Keep the prepared home there, and use one that is.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reliability-") as work:
        folder = given.prepared or Path(work)
        folder.mkdir(parents=True, exist_ok=True)
        place = furnished(folder, given.database, given.tables.split(","))
        note_versions(place)
        if given.readers:
            sys.exit("\n".join(writing_readers(place, Path(work))) or 0)
        with systems(place.before["contracts"]) as addresses:
            reached(place, addresses)
            names = given.only.split(",") if given.only else [*killed(place), "service"]
            names = [name for name in names if name not in given.without.split(",")]
            runs = unharmed(place, names, Path(work))
            draw = random.Random(given.seed)
            counts, wrong = kill_all(place, runs, given.each, given.minutes, draw, Path(work))
    print(f"kills: {counts.total()} ({dict(counts)})")
    print(", ".join(f"{what} {wrong[what]}" for what in ("lost", "doubled", "left over")))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    import_first()
    main()
