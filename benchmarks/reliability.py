"""Random kills over every writing command and the service: lost 0, doubled 0, left over 0.

    python -m benchmarks.reliability --kills 500 [--database postgresql://…] [--seed S] [--only run,erase]

Each kill takes a copy of a prepared home and starts one command on it (or the service, with events being sent
to it) in a forked process, ends that with SIGKILL at a random moment of its life, runs it to its end, and
looks:

* lost: the command was run again and ended well, but what it should have made is not there; for the service,
  an event that was answered 200 is not stored after it starts again;
* doubled: two versions of one training, two rows of one prediction, outcome, event or alert;
* left over: an unfinished folder, draft or lock of nobody; for an erasure, any byte of the customer.

A moment is drawn by wall clock between zero and the time the command takes unharmed, which is measured first.
Commands take turns so that each gets about the same time: the quick ones are killed more often. On PostgreSQL
each kill has a database of its own, made from a template. `--minutes` ends it early, with the count.
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
from functools import partial
from pathlib import Path

from benchmarks.killed_checks import doubled, left_over, problems_after
from benchmarks.killed_homes import (
    Place,
    commands,
    copied,
    dropped,
    ended,
    finished,
    forked,
    perennial,
    prepare,
)
from monitoring.store import open_store
from training.registry import listing

STARTS_IN_SECONDS = 180.0
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


def kill_command(name: str, place: Place, seconds: float, draw: random.Random) -> list[str]:
    """Kill one command at a random moment, run it again, and say what is wrong."""
    words = commands(place)[name]
    child = perennial(place, words)
    time.sleep(draw.uniform(0.0, seconds))
    os.kill(child, signal.SIGKILL)
    first = ended(child)
    code, _ = finished(place, *words)
    refused = name == "experiment start" and code == 2  # it is open already
    if code and not refused:
        return [f"lost: {name} run again ended with {code}, first with {first}"]
    return checked(lambda: problems_after(name, place))


def kill_service(place: Place, draw: random.Random) -> list[str]:
    """Kill the service while events are sent; what it answered 200 must be there when it is back."""
    port = free_port()
    words = ("serve", "--port", str(port))
    process = perennial(place, words)
    answered: list[str] = []
    _wait_ready(process, port)
    until = time.monotonic() + draw.uniform(0.0, 5.0)
    number = 0
    while time.monotonic() < until:
        number += 1
        if _sent(place, port, f"kill-{number}"):
            answered.append(f"kill-{number}")
    os.kill(process, signal.SIGKILL)
    ended(process)
    again = perennial(place, words)
    _wait_ready(again, port)
    for name in answered[-3:]:
        _sent(place, port, name)  # the caller did not hear, perhaps, and sends it again
    os.kill(again, signal.SIGTERM)
    ended(again)
    return checked(lambda: _after_service(place, answered))


def _after_service(place: Place, answered: list[str]) -> list[str]:
    store = open_store(place.settings)
    stored = {row["row_id"] for row in store.events.read("activities")}
    missing = sorted(set(answered) - stored)
    problems = [f"lost: events {missing[:3]}"] if missing else []
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


def _sent(place: Place, port: int, name: str) -> bool:
    row = {
        "activity_id": name,
        "account_id": place.before["account"],
        "kind": "call",
        "occurred_at": "2025-09-30",
    }
    body = json.dumps({"table": "activities", "rows": [row]}).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {place.before['secret']}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/events", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer = json.load(answer)
            return bool(answer["stored"] + answer["repeated"])
    except urllib.error.HTTPError as error:
        raise SystemExit(f"the service refused an event: {error.read().decode()}") from error
    except (OSError, ValueError):
        return False


def _most_versions(place: Place) -> list[str]:
    counts = Counter((row["model"], row["data_fingerprint"]) for row in listing(place.settings))
    return [json.dumps([*key, count + 1]) for key, count in counts.items()]  # `train` adds one


def note_versions(place: Place) -> None:
    """Note with a place how many versions of each training there may be after one command."""
    most = [json.loads(one) for one in checked(lambda: _most_versions(place))]
    place.before["versions"] = {(model, data): count for model, data, count in most}


def measured(place: Place, names: list[str], work: Path) -> dict[str, float]:
    """Seconds that each command takes unharmed."""
    takes = {}
    for name in names:
        copy = copied(place, work / "measured")
        if name == "service":
            began = time.monotonic()
            problems = kill_service(copy, random.Random(0))
            takes[name] = time.monotonic() - began
        else:
            code, takes[name] = finished(copy, *commands(copy)[name])
            problems = [f"ended with {code}"] if code else checked(partial(problems_after, name, copy))
        dropped(copy)
        print(f"unharmed: {name} {takes[name]:.1f} s {problems or ''}", flush=True)
    return takes


def kill_all(
    place: Place, takes: dict[str, float], kills: int, minutes: float, draw: random.Random, work: Path
) -> tuple[Counter[str], Counter[str]]:
    """Kill until there were so many or the time is over: kills by command, problems by kind."""
    spent = dict.fromkeys(takes, 0.0)
    counts, wrong = Counter[str](), Counter[str]()
    until = time.monotonic() + 60 * minutes
    while sum(counts.values()) < kills and time.monotonic() < until:
        name = min(takes, key=lambda each: spent[each] + takes[each] / 2)
        began = time.monotonic()
        copy = copied(place, work / str(sum(counts.values())))
        problems = (
            kill_service(copy, draw) if name == "service" else kill_command(name, copy, takes[name], draw)
        )
        dropped(copy)
        spent[name] += time.monotonic() - began
        counts[name] += 1
        for one in problems:
            wrong[one.partition(":")[0]] += 1
            print(f"kill {sum(counts.values())} of {name}: {one}", flush=True)
        if sum(counts.values()) % 25 == 0:
            print(f"kills so far: {sum(counts.values())} ({dict(counts)})", flush=True)
    return counts, wrong


def main() -> None:
    """Prepare, kill, and print what was found by command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=1e6, help="End after so long.")
    parser.add_argument("--database", help="PostgreSQL: an empty database, whose server may make others.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="Names of commands, or `service`, with commas between.")
    parser.add_argument("--prepared", type=Path, help="Keep the prepared home there, and use one that is.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reliability-") as work:
        folder = given.prepared or Path(work)
        folder.mkdir(parents=True, exist_ok=True)
        place = prepare(folder, given.database)
        note_versions(place)
        names = given.only.split(",") if given.only else [*commands(place), "service"]
        takes = measured(place, names, Path(work))
        counts, wrong = kill_all(
            place, takes, given.kills, given.minutes, random.Random(given.seed), Path(work)
        )
    print(f"kills: {sum(counts.values())} ({dict(counts)})")
    print(", ".join(f"{what} {wrong[what]}" for what in ("lost", "doubled", "left over")))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    import_first()
    main()
