"""`python -m benchmarks.serving` from the repo's root: the service and its peers on loopback, in one run.

python -m benchmarks.serving                        single scores, batches and events; a few minutes
python -m benchmarks.serving all --accounts 100000  everything, as the design asks for; about an hour
python -m benchmarks.serving single batch events nightly overload memory     some parts

Peers run at the same time as Perennial and are asked in turns, so that a busy machine is busy for all:
compare ratios. `--mlserver PYTHON` adds MLServer from an environment of its own, in which
`pip install mlserver mlserver-xgboost` has been run.
"""

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa

from benchmarks.serving import load_generator, peers, world
from benchmarks.serving.load_generator import Answers, Request, closed, crowd, paced, post
from benchmarks.serving.peers import ARROW, Server
from features.crm.load import opened
from features.settings import Settings
from features.snapshots import to_score
from monitoring.store import open_store
from serving.scoring.batch import score
from serving.scoring.scored_rows import features_of
from training.registry import champion

PARTS = ("single", "batch", "events", "nightly", "overload", "memory")
PORT = 3810
BATCH = 10_000
EVENTS_A_SECOND = 20
NIGHTLY = 100_000
CROWD = 4_096
"""Connections in an overload: more than a service may have waiting for a fifth of a second."""
STATELESS = "Perennial, stateless, from rows"


def main() -> None:
    """Read the arguments and run the parts."""
    parser = argparse.ArgumentParser(prog="benchmarks.serving", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["single", "batch", "events"])
    parser.add_argument("--accounts", type=int, default=5_000)
    parser.add_argument("--keep", type=Path, help="keep the data here for the next run")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement of single scores")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=300)
    parser.add_argument("--overload-seconds", type=float, default=60.0)
    parser.add_argument("--minutes", type=float, default=10.0, help="of the look at memory")
    parser.add_argument(
        "--mlserver", metavar="PYTHON", help="a Python that has mlserver and mlserver-xgboost"
    )
    parser.add_argument("--without", nargs="*", default=[], help="peers to leave out: mlflow, bentoml")
    options = parser.parse_args()
    options.parts = list(PARTS) if options.parts == ["all"] else options.parts
    with tempfile.TemporaryDirectory() as work:
        folder = options.keep or Path(work)
        folder.mkdir(parents=True, exist_ok=True)
        settings = world.home(folder, options.accounts)
        print(
            f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {options.accounts:,} accounts",
            flush=True,
        )
        if "nightly" in options.parts:
            nightly(settings)
        _scored(settings)
        _served(options, folder, settings)


def _served(options: argparse.Namespace, folder: Path, settings: Settings) -> None:
    """The parts that ask a running service."""
    ours = perennial(folder, settings)
    running = [ours]
    try:
        if {"single", "batch"} & set(options.parts):
            _start_peers(options, folder / "peers", running)
        if "single" in options.parts:
            single(running, options.seconds, options.rounds)
        if "batch" in options.parts:
            batch(running, options.rounds)
        for peer in running[1:]:
            peer.stop()
        del running[1:]
        if "events" in options.parts:
            events(ours, settings, options.events)
        if "overload" in options.parts:
            overload(ours, options.overload_seconds)
        if "memory" in options.parts:
            memory(ours, settings, options.minutes)
    finally:
        for server in running:
            server.stop()


def _scored(settings: Settings) -> None:
    """Keep the scores of all open contracts, once."""
    if not open_store(settings).scores.page("renewal", limit=1).rows:
        with opened(settings) as crm:
            score("renewal", crm, settings)


def perennial(folder: Path, settings: Settings) -> Server:
    """The service as `perennial serve` runs it, and how it is asked for one score and for many."""
    X = _rows(folder / "peers", settings)
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pandas(X, preserve_index=False)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    path = "/v1/score/features"
    # As JSON all of them are more than the 16 MB that the service takes in that form.
    half = {name: table[name][: len(X) // 2].to_pylist() for name in table.column_names}
    batches = {
        "Arrow": post(path, sink.getvalue().to_pybytes(), ARROW, ARROW),
        "Arrow with reasons": post(f"{path}?reasons=true", sink.getvalue().to_pybytes(), ARROW, ARROW),
        "JSON, half the rows": post(path, json.dumps({"columns": half}).encode()),
    }
    command = [sys.executable, "-m", "perennial", "serve", "--port", str(PORT)]
    log = folder / "perennial.log"
    process = peers.start(command, PORT, log, PERENNIAL_HOME=str(settings.home), OMP_NUM_THREADS="2")
    one = post(
        "/v1/renewals/score", json.dumps({"contract_ids": [_contracts(settings)[0]["contract_id"]]}).encode()
    )
    return Server("Perennial, stored, with reasons", PORT, process, one, batches)


def _rows(at: Path, settings: Settings) -> pd.DataFrame:
    """Ten thousand feature rows, and the peers' model made of them; kept for the next run."""
    file = at / "rows.parquet"
    if not file.is_file():
        with opened(settings) as crm:
            snapshots = to_score(crm, "renewal", crm.until)
            X = features_of(crm, snapshots.iloc[:BATCH], "renewal", settings)
        X = pd.concat([X] * -(-BATCH // len(X))).iloc[:BATCH].reset_index(drop=True)
        loaded = champion("renewal", settings)
        assert loaded is not None
        y = np.random.default_rng(0).random(len(X)) < loaded.model.probability(X)
        peers.write_model(at, loaded.model.encode(X), y, trees=300, depth=world.DEPTH)
        X.to_parquet(file)
    return pd.read_parquet(file)


def _contracts(settings: Settings) -> list[dict]:
    """Up to 5,000 scored contracts."""
    store, cursor = open_store(settings), None
    rows: list[dict] = []
    while len(rows) < 5_000:
        page = store.scores.page("renewal", limit=1_000, cursor=cursor)
        rows += page.rows
        if (cursor := page.cursor) is None:
            break
    return rows


def _start_peers(options: argparse.Namespace, at: Path, running: list[Server]) -> None:
    """Start the peers one by one; those that run are added, so that they are stopped whatever happens."""
    running.append(peers.fastapi(at, PORT + 1))
    if "bentoml" not in options.without:
        running.append(peers.bentoml(at, PORT + 2))
    if "mlflow" not in options.without:
        running.append(peers.mlflow(at, PORT + 3))
    if options.mlserver:
        running.append(peers.mlserver(at, PORT + 4, options.mlserver))


def single(servers: list[Server], seconds: float, rounds: int) -> None:
    """One score at a time, by 1 and by 16 clients."""
    targets = [(server.name, server.port, server.one) for server in servers]
    targets.insert(1, (STATELESS, servers[0].port, _stateless()))
    print(f"\nsingle scores: medians of {rounds} rounds of {seconds:g} s")
    of_one, of_many = (
        f"{'p50 ms':>8}{'p99 ms':>8}{'p99/p50':>8}{'req/s':>8}",
        f"{'p50 ms':>8}{'p99 ms':>8}{'req/s':>8}",
    )
    print(f"{'clients':34}{'1':>8}{'':24}   {'16':>8}\n{'':34}{of_one}   {of_many}")
    runs: dict[str, list[list[float]]] = {name: [] for name, _, _ in targets}
    for _ in range(rounds):
        for name, port, one in targets:
            figures = []
            for clients in (1, 16):
                answers = closed(port, itertools.repeat(one).__next__, clients, seconds)
                if name != STATELESS or clients == 1:  # cleaning a CRM is work for one request at a time
                    _fine(answers, name)
                figures += [answers.at(0.5), answers.at(0.99), answers.statuses[200] / answers.seconds]
            runs[name].append(figures)
    median = {name: np.median(rows, axis=0) for name, rows in runs.items()}
    for name, (p50, p99, rate, many50, many99, many) in median.items():
        row = f"{p50:8.2f}{p99:8.2f}{p99 / p50:8.1f}{rate:8.0f}   {many50:8.2f}{many99:8.2f}{many:8.0f}"
        print(f"{name:34}{row}")
    ours = median[targets[0][0]]
    for name, theirs in list(median.items())[1:]:
        ratios = f"{ours[2] / theirs[2]:.2f} by 1 client, {ours[5] / theirs[5]:.2f} by 16"
        print(f"stored with reasons × {name}: {ratios}")


def _stateless() -> Request:
    """A contract and its history, as a caller without CRM would send them."""
    calls = [
        {
            "activity_id": f"E-{number}",
            "account_id": "A-1",
            "kind": "call",
            "direction": "outbound",
            "occurred_at": f"2026-0{1 + number % 8}-1{number % 10}T10:00:00",
        }
        for number in range(20)
    ]
    dates = {"start_date": "2026-01-01", "end_date": "2026-12-31"}
    crm = {
        "accounts": [{"account_id": "A-1", "industry": "software", "region": "north"}],
        "contracts": [{"contract_id": "C-1", "account_id": "A-1", **dates, "annual_value": 12000}],
        "activities": calls,
    }
    body = {"model": "renewal", "crm": crm, "as_of": "2026-10-01T00:00:00"}
    return post("/v1/score/records", json.dumps(body).encode())


def batch(servers: list[Server], rounds: int) -> None:
    """Ten thousand feature rows in, scores out."""
    print(f"\n{BATCH:,} rows at once: medians of {2 * rounds + 1}")
    latencies: dict[tuple[str, str], list[float]] = {}
    for _ in range(2 * rounds + 1):
        for server in servers:
            for form, request in server.batches.items():
                answers = closed(server.port, itertools.repeat(request).__next__, 1, 0.0001)
                _fine(answers, f"{server.name} {form}")
                latencies.setdefault((server.name, form), []).append(answers.latencies[0])
    median = {key: 1e3 * float(np.median(values)) for key, values in latencies.items()}
    ours = servers[0].name
    for (name, form), taken in median.items():
        shown = "Perennial" if name == ours else name
        ratio = median[ours, form] / taken if (ours, form) in median else float("nan")
        print(f"{shown:24}{form:20}{taken:8.0f} ms   Perennial takes × {ratio:.2f}")


def events(ours: Server, settings: Settings, count: int) -> None:
    """Event to new score, each for another account, at 20 a second."""
    process = psutil.Process(ours.process.pid)
    calls = _calls(settings)
    paced(ours.port, calls, EVENTS_A_SECOND, 2, 16)
    before = process.cpu_times()
    answers = paced(ours.port, calls, EVENTS_A_SECOND, count / EVENTS_A_SECOND, 16)
    after = process.cpu_times()
    _fine(answers, "events")
    answer = json.loads(answers.body)
    assert answer["stored"] == 1, answer
    assert answer["rows"], answer
    spent = 1e3 * (after.user + after.system - before.user - before.system) / len(answers.latencies)
    times = f"p50 {answers.at(0.5):.1f}, p90 {answers.at(0.9):.1f}, p99 {answers.at(0.99):.1f} ms"
    print(f"\nevent to new score, {len(answers.latencies)} events at {EVENTS_A_SECOND}/s: {times}; ", end="")
    print(f"CPU {spent:.1f} ms each", flush=True)


def _calls(settings: Settings) -> Iterator[Request]:
    """Calls just made, account after account, each with an id of its own."""
    accounts = sorted({row["account_id"] for row in _contracts(settings)})
    np.random.default_rng(time.time_ns()).shuffle(accounts)
    mark = time.time_ns()
    for number in itertools.count():
        row = {
            "activity_id": f"{mark}-{number}",
            "account_id": accounts[number % len(accounts)],
            "kind": "call",
            "direction": "outbound",
            "occurred_at": f"2026-01-01T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}",
            "duration_minutes": 12,
        }
        yield post("/v1/events", json.dumps({"table": "activities", "rows": [row]}).encode())


def nightly(settings: Settings) -> None:
    """Contracts scored with reasons, and kept: what `perennial score renewal --rows FILE` does."""
    with opened(settings) as crm:
        contracts = crm.frame("contracts", ["contract_id", "start_date", "end_date"])
        as_of = contracts["end_date"] - pd.Timedelta(days=60)
        rows = contracts[contracts["start_date"] < as_of].assign(as_of=as_of)[["contract_id", "as_of"]]
        rows = rows[rows["as_of"] < crm.until].iloc[:NIGHTLY]
        all_cores = settings.model_copy(update={"home": settings.home, "threads": os.cpu_count() or 1})
        wall, cpu = time.perf_counter(), time.process_time()
        scored = score("renewal", crm, all_cores, rows=rows)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert all(len(row) > 3 for row in scored.loc[scored["probability"].notna(), "reasons"])
    print(
        f"\nnightly: {scored['probability'].notna().sum():,} contracts with reasons in {wall:.0f} s: "
        f"{len(rows) / wall:,.0f}/s; {1e3 * cpu / len(rows):.2f} ms of CPU each, "
        f"{len(rows) / cpu * (os.cpu_count() or 1):,.0f}/s were the cores its own"
    )


def overload(ours: Server, seconds: float) -> None:
    """Twice its capacity: it sheds load, and recovers afterwards."""
    one: Callable[[], Request] = lambda: ours.one  # noqa: E731
    calm = closed(ours.port, one, 1, 3)
    most = closed(ours.port, one, 16, 5).rate
    under = crowd(ours.port, ours.one, 2 * most, seconds, CROWD)
    time.sleep(2)
    after = closed(ours.port, one, 1, 3)
    answered = under.statuses[200] / under.seconds
    odd = {status: count for status, count in under.statuses.items() if status not in (200, 429, 503)}
    p50, p99 = 1e3 * np.quantile(under.good or [np.nan], [0.5, 0.99])
    print(f"\noverload: {most:.0f}/s is its capacity; {2 * most:.0f}/s asked for {seconds:.0f} s")
    print(f"{under.rate:.0f}/s brought: {dict(under.statuses)}; unexpected: {odd or 'none'}")
    print(f"answered {answered:.0f}/s, p50 {p50:.0f} ms, p99 {p99:.0f} ms from when each was sent")
    print(f"p50 by one client before {calm.at(0.5):.2f} ms, after {after.at(0.5):.2f} ms")


def memory(ours: Server, settings: Settings, minutes: float) -> None:
    """Resident memory under scores, events and batches."""
    calls, resident = _calls(settings), []
    until = time.monotonic() + 60 * minutes
    while time.monotonic() < until:
        _fine(closed(ours.port, lambda: ours.one, 4, 4), "scores")
        _fine(paced(ours.port, calls, 10, 4, 8), "events")
        _fine(closed(ours.port, lambda: ours.batches["Arrow"], 1, 0.5), "batches")
        resident.append(ours.resident_mb())
    third = max(1, len(resident) // 3)
    shown = ", ".join(f"{each:.0f}" for each in resident[:: max(1, len(resident) // 10)])
    print(f"\nmemory over {minutes:g} minutes, MB: {shown}")
    first, last = np.median(resident[third : 2 * third]), np.median(resident[-third:])
    print(f"middle third {first:.0f}, last third {last:.0f}: {last - first:+.0f} MB")


def _fine(answers: Answers, what: str) -> None:
    if set(answers.statuses) != {200}:
        raise SystemExit(f"{what}: {dict(answers.statuses)} {answers.body[:500]!r}")


if __name__ == "__main__":
    load_generator.OVERDUE_SECONDS = 120.0
    main()
