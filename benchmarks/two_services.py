"""Two services and two nightly jobs on one PostgreSQL: lost 0, doubled 0, and both give the same answers.

    python -m benchmarks.two_services --database postgresql://… [--prepared DIR] [--seconds 60] [--seed S]

Two `perennial serve` share a home and a database, as `deploy/kubernetes` runs them. Events go to one of them
or to both, low survey answers among them. Meanwhile `perennial run` is started twice at once and ingests
newer data, a service is ended with SIGKILL and started again, and another model is made champion. Then:

* lost: an event that was answered 200 and is not stored; a customer whose score lacks one of its events; an
  alert that neither arrived nor waits to be sent; a night that was not done;
* doubled: a row that is there twice, an alert that arrived twice;
* left over: unfinished folders, drafts and locks of nobody;
* differs: contracts for which the two services answer differently, some seconds after the last event.
"""

import argparse
import atexit
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks.killed_checks import doubled, left_over
from benchmarks.killed_homes import Place, copied, dropped, need, prepare
from benchmarks.reliability import free_port
from benchmarks.serving.world import teach
from features.crm.crm import read_crm
from features.crm.load import current_folder
from features.snapshots import to_score
from monitoring.store import Store, open_store
from serving.app import POLL_SECONDS

STARTS_IN_SECONDS = 300.0
EVENTS_A_SECOND = 4.0
ACCOUNTS = 25


class Inbox(ThreadingHTTPServer):
    """A webhook that counts what arrives, by title and text."""

    def __init__(self) -> None:
        self.taken = taken = Counter[str]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                lines = [message["title"], *message["message"].splitlines()]
                taken["; ".join(line for line in lines if not line.startswith("attempt "))] += 1
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def answer_of(
    port: int, path: str, body: dict[str, Any] | None = None, key: str = ""
) -> dict[str, Any] | None:
    """The answer of a service; None: it gave none, or an error."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    address = f"http://127.0.0.1:{port}{path}"
    try:
        request = urllib.request.Request(address, data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
            return dict(json.loads(text)) if text[:1] == b"{" else {}
    except (OSError, ValueError):
        return None


def started(place: Place, inbox: Inbox, *words: str) -> subprocess.Popen[bytes]:
    """A command in a process of its own."""
    alerts = {"PERENNIAL_ALERT_URLS": f"json://127.0.0.1:{inbox.server_port}/"}
    environment = {**os.environ, **place.environment, **alerts}
    command = [sys.executable, "-m", "perennial", *words]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    atexit.register(process.kill)  # whatever goes wrong here, nothing goes on running
    return process


def ready(service: subprocess.Popen[bytes], port: int) -> None:
    """Wait until a service answers."""
    until = time.monotonic() + STARTS_IN_SECONDS
    while answer_of(port, "/readyz") is None:
        if time.monotonic() > until or service.poll() is not None:
            raise SystemExit(f"the service on {port} did not start")
        time.sleep(0.2)


class Events:
    """Events sent to two services, and those that were answered.

    Args:
        accounts: whose.
        draw: of accounts, moments and services.
        key: what the services ask for.
    """

    def __init__(self, accounts: list[str], draw: random.Random, key: str) -> None:
        self.accounts, self.draw, self.key = accounts, draw, key
        self.ports = (free_port(), free_port())
        self.answered: dict[str, dict[str, Any]] = {}
        self.sent = 0
        self.ends = threading.Event()

    def send(self) -> None:
        """Send events until `ends` is set, a third of them to both services at once."""
        while not self.ends.wait(self.draw.expovariate(EVENTS_A_SECOND)):
            self.sent += 1
            body = self._body(f"two-{self.sent}")
            ports = self.draw.choice([self.ports, self.ports[:1], self.ports[1:]])
            asking = [threading.Thread(target=self._one, args=(port, body)) for port in ports]
            for each in asking:
                each.start()
            for each in asking:
                each.join()

    def _body(self, name: str) -> dict[str, Any]:
        at = f"2025-10-{self.draw.randrange(2, 28):02d}T12:00:00"
        account = {"account_id": self.draw.choice(self.accounts)}
        if self.draw.random() < 0.1:
            row = {"response_id": name, "kind": "nps", "score": 0, "answered_at": at}
            return {"table": "surveys", "rows": [{**row, **account}]}
        row = {"activity_id": name, "kind": "call", "occurred_at": at}
        return {"table": "activities", "rows": [{**row, **account}]}

    def _one(self, port: int, body: dict[str, Any]) -> None:
        answer = answer_of(port, "/v1/events", body, self.key)
        if answer is not None and answer["stored"] + answer["repeated"]:
            row = body["rows"][0]
            self.answered[row.get("activity_id") or row["response_id"]] = body


def lived_through(place: Place, inbox: Inbox, events: Events, seconds: float) -> list[str]:
    """Two services for so long, with two nights, a kill and another champion; what was wrong meanwhile."""
    services = [started(place, inbox, "serve", "--port", str(port)) for port in events.ports]
    for service, port in zip(services, events.ports, strict=True):
        ready(service, port)
    sending = [threading.Thread(target=events.send) for _ in range(3)]
    for each in sending:
        each.start()
    words = ("run", str(place.source), "--trials", "1", "--lists", str(place.home / "lists"))
    nights = [started(place, inbox, *words) for _ in services]
    time.sleep(seconds / 3)
    services[0].send_signal(signal.SIGKILL)
    services[0].wait()
    time.sleep(seconds / 3)
    services[0] = started(place, inbox, "serve", "--port", str(events.ports[0]))
    ready(services[0], events.ports[0])
    codes = [night.wait() for night in nights]
    crm = read_crm(need(current_folder(place.settings)))
    fewer = place.settings.model_copy(update={"min_positives": 10})
    teach("renewal", crm, fewer, place.home / "another")
    time.sleep(seconds / 3)
    events.ends.set()
    for each in sending:
        each.join()
    problems = compared(place, events)
    for service in services:
        service.terminate()
    codes += [service.wait() for service in services]
    return problems + ([f"lost: commands ended with {codes}"] if any(codes) else [])


def compared(place: Place, events: Events) -> list[str]:
    """Whether both services answer alike, and as if all events had come one after the other."""
    time.sleep(2 * POLL_SECONDS)
    store = open_store(place.settings)
    listed = {row["subject_id"]: row for row in store.scores.page("renewal", limit=1_000).rows}
    store.engine.dispose()
    problems = []
    last_of = {body["rows"][0]["account_id"]: body for body in events.answered.values()}
    for account, body in last_of.items():
        again = need_answer(answer_of(events.ports[0], "/v1/events", body, events.key))
        pairs = [(listed[row["subject_id"]], row) for row in again["rows"] if row["kind"] == "renewal"]
        if any(
            old["probability"] != new["probability"]
            for old, new in pairs
            if old["model_version"] == new["model_version"]
        ):
            problems.append(f"lost: an event in the score of {account}")
    time.sleep(2 * POLL_SECONDS)
    for place_of in range(0, len(listed), 100):
        ids = sorted(listed)[place_of : place_of + 100]
        one, other = (
            answer_of(port, "/v1/renewals/score", {"contract_ids": ids}, events.key) for port in events.ports
        )
        if one is None or one != other:
            problems.append(f"differs: some of {ids[0]} to {ids[-1]}")
    return problems


def need_answer(answer: dict[str, Any] | None) -> dict[str, Any]:
    """An answer that must be there."""
    assert answer is not None
    return answer


def looked_at(place: Place, events: Events, inbox: Inbox) -> list[str]:
    """What was lost or doubled in the store and on the way out."""
    store = open_store(place.settings)
    stored = {row["row_id"] for row in store.events.read()}
    problems = [f"lost: event {name}" for name in sorted(set(events.answered) - stored)]
    statuses = [run["summary"]["status"] for run in store.runs("nightly")]
    if statuses != ["done"]:
        problems.append(f"lost: the night, {statuses}")
    problems += [f"doubled: {title} came {count} times" for title, count in inbox.taken.items() if count > 1]
    problems += [*_not_delivered(store, events, inbox), *doubled(place, store), *left_over(place)]
    store.engine.dispose()
    return problems


def _not_delivered(store: Store, events: Events, inbox: Inbox) -> list[str]:
    """Customers whose low answer led to no message, nor to one that waits, as a killed sender leaves it."""
    low = {body["rows"][0]["account_id"] for body in events.answered.values() if body["table"] == "surveys"}
    alerts = {row["account_id"]: row for row in store.alerts.read() if row["rule"] == "low survey score"}
    problems = []
    for account in sorted(low):
        sends = store.alerts.sends(alerts[account]["alert_id"]) if account in alerts else []
        waits = any(send["state"] != "sent" for send in sends)
        if not waits and not any(f"{account}: NPS" in title for title in inbox.taken):
            problems.append(f"lost: the alert of {account}")
    return problems


def main() -> None:
    """Prepare, serve, send, kill, and print what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", help="PostgreSQL: an empty database, whose server may make others.")
    parser.add_argument("--prepared", type=Path, help="Keep the prepared home there, and use one that is.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="two-services-") as work:
        folder = given.prepared or Path(work) / "prepared"
        folder.mkdir(parents=True, exist_ok=True)
        place = copied(prepare(folder, given.database), Path(work))
        crm = read_crm(need(current_folder(place.settings)))
        accounts = list(dict.fromkeys(to_score(crm, "renewal", crm.until)["account_id"]))[:ACCOUNTS]
        inbox, events = Inbox(), Events(accounts, random.Random(given.seed), place.before["secret"])
        problems = lived_through(place, inbox, events, given.seconds)
        problems += looked_at(place, events, inbox)
        dropped(place)
    for one in problems:
        print(one)
    print(f"{events.sent} events sent, {len(events.answered)} answered, {sum(inbox.taken.values())} alerts")
    counts = Counter(one.partition(":")[0] for one in problems)
    print(", ".join(f"{what} {counts[what]}" for what in ("lost", "doubled", "left over", "differs")))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
