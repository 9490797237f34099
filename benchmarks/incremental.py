"""Activities pulled whole, then what changed: `python -m benchmarks.incremental [--activities 10000000]`.

A Salesforce of so many tasks, 50,000 accounts and 1,000 deals (`benchmarks.bulk_server`, in its own process)
is read by what `perennial ingest salesforce://bench` runs, each time in a new process: all of it; again with
0.5 % new, 0.4 % changed and 0.1 % deleted; again with nothing changed. Seconds of the pull and of the whole
ingest, the process's peak memory, and whether every row is there exactly once in its current version.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.bulk_server import COLUMNS, SECRET, tasks_sql

NAME = "bench"


def run_ingest(home: Path) -> None:
    """Ingest once and print seconds, peak megabytes and rows as JSON."""
    from features.crm.load import ingest
    from features.settings import Settings
    from features.sources import salesforce

    pull_objects = salesforce.pull_objects
    figures: dict[str, Any] = {}

    def timed(*given: Any) -> Any:
        began, cpu = time.perf_counter(), time.process_time()
        pulled = pull_objects(*given)
        figures["pull"], figures["pull_cpu"] = time.perf_counter() - began, time.process_time() - cpu
        figures["pull_megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        (tasks,) = [each for each in pulled if each.name == "Task"]
        figures["rows"], figures["query"] = tasks.rows, tasks.query
        return pulled

    salesforce.pull_objects = timed  # type: ignore[assignment]
    began, cpu = time.perf_counter(), time.process_time()
    crm = ingest(f"salesforce://{NAME}", Settings(home=home))
    figures["ingest"], figures["ingest_cpu"] = time.perf_counter() - began, time.process_time() - cpu
    figures["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures["activities"] = crm.quality.tables["activities"].rows
    print(json.dumps(figures))


def faults_of(home: Path, activities: int, round: int, query: str) -> list[str]:
    """What is wrong with the rows of `query`, pulled, and with those ingested; nothing: each row once."""
    from features.crm.load import current_crm
    from features.settings import Settings

    crm = current_crm(Settings(home=home))
    assert crm is not None
    stays = 'CASE WHEN "IsDeleted" = \'false\' THEN "{}" END'
    values = ", ".join(stays.format(name) for name in COLUMNS if name not in ("Id", "IsDeleted"))
    row = f'hash("Id", "IsDeleted", {values})'
    living = "SELECT * FROM ({}) WHERE \"IsDeleted\" = 'false'"
    count = "SELECT count(*), sum({}) FROM ({})"
    faults = []
    with duckdb.connect(config={"memory_limit": "3GB", "temp_directory": str(home / "verify.spill")}) as sql:
        wanted = tasks_sql(activities, round)
        is_there = sql.execute(count.format(row, query)).fetchone()
        should = sql.execute(count.format(row, wanted)).fetchone()
        if is_there != should:
            faults.append(f"pulled {is_there}, should be {should}")
        live = sql.execute(count.format('hash("Id")', living.format(wanted))).fetchone()
        ingested = sql.execute(
            count.format("hash(activity_id)", f"FROM '{crm.folder / 'activities.parquet'}'")
        ).fetchone()
        if live != ingested:
            faults.append(f"ingested {ingested}, should be {live}")
    return faults


def connected(home: Path, url: str) -> None:
    """Write the connection that `perennial connect` would."""
    from features.sources.connection_file import Connection, write_connection

    write_connection(Connection(NAME, "salesforce", url, {"client_id": "app"}), home)


def main() -> None:
    """Serve, ingest three times, print a row each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--activities", type=int, default=10_000_000)
    parser.add_argument("--ingest", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="where to work; default: the temporary folder")
    options = parser.parse_args()
    if options.ingest:
        run_ingest(options.ingest)
        return
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bulk_server", str(options.activities)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryDirectory(dir=options.folder) as work:
        url, home = json.loads(server.stdout.readline()), Path(work)
        connected(home, url)
        print(f"{'pull of':<28}{'rows':>12}{'pull s':>9}{'CPU s':>8}{'MB':>7}", end="")
        print(f"{'ingest s':>10}{'CPU s':>8}{'MB':>7}")
        for round, what in enumerate(("everything", "1 % new, changed, gone", "nothing new")):
            if round == 1:
                urllib.request.urlopen(f"{url}/round").close()
            query = print_run(what, home)
            for fault in faults_of(home, options.activities, min(round, 1), query) or [
                "every row exactly once"
            ]:
                print(f"    {fault}", flush=True)
    server.stdin.close()
    server.wait()


def print_run(what: str, home: Path) -> str:
    """Ingest in a fresh process and print its figures; returns the SQL of the tasks pulled."""
    command = [sys.executable, "-m", "benchmarks.incremental", "--ingest", str(home)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False,
        env={**os.environ, "PERENNIAL_SECRET_BENCH": SECRET},
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    figures = json.loads(done.stdout)
    print(
        f"{what:<28}{figures['rows']:>12,}{figures['pull']:>9.1f}{figures['pull_cpu']:>8.1f}{figures['pull_megabytes']:>7.0f}"
        f"{figures['ingest']:>10.1f}{figures['ingest_cpu']:>8.1f}{figures['megabytes']:>7.0f}",
        flush=True,
    )
    return str(figures["query"])


if __name__ == "__main__":
    main()
