"""How long people wait for the first byte of a page, with 5,000 renewals and as many deals in the lists.

    python -m benchmarks.pages [--rows 5000] [--times 40] [--home DIR]

A home of a small simulated CRM (or a copy of `--home`) is served by one process; its scores are repeated
under new ids until there are enough. Pages are asked for one after the other, over a connection each, after
one that is not counted. Median, 95th percentile and the limit of 300 ms. Exit status 1: a median above it.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import pandas as pd

from benchmarks.same_facts import prepare
from features.settings import Settings
from monitoring.store import open_store
from monitoring.store.scores import ScoreLog

LIMIT_MS = 300
PAGES = (
    "/renewals", "/renewals?band=watch&order=amount", "/renewals?q=an", "/renewals?needs=alert",
    "/renewals/by-rep", "/pipeline", "/tasks", "/forecast", "/glossary", "/models", "/accounts/{account}",
    "/v1/renewals?limit=25",
)  # fmt: skip


def repeated(rows: list[dict[str, Any]], key: str, number: int) -> pd.DataFrame:
    """Score rows under new ids until there are `number`; customers keep theirs."""
    drop = ("scored_at", "run_id", "previous_probability", "previous_as_of", "kind", "subject_id")
    plain = [{name: value for name, value in row.items() if name not in drop} for row in rows]
    many = [
        {**plain[at % len(plain)], key: f"{plain[at % len(plain)][key]}-{at // len(plain)}"}
        for at in range(number)
    ]
    return pd.DataFrame(many)


def fill(home: Path, number: int) -> str:
    """Have `number` renewals and deals in the store; returns a customer to look at."""
    scores: ScoreLog = open_store(Settings(home=home)).scores
    account = ""
    for kind, key in (("renewal", "contract_id"), ("win", "opportunity_id")):
        rows = scores.page(kind, limit=number).rows
        account = account or str(rows[0]["account_id"])
        frame = repeated(rows, key, number)
        version = str(rows[0]["model_version"])
        scores.write(kind, frame, run_id=f"filled-{kind}", model_version=version, complete=True)
    return account


def free_port() -> int:
    """A port nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def first_byte_ms(port: int, path: str) -> float:
    """Milliseconds from the request to the first byte of its answer, over a connection of its own."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    begun = time.perf_counter()
    connection.request("GET", path, headers={"accept": "text/html", "accept-encoding": "gzip"})
    answer = connection.getresponse()
    answer.read(1)
    waited = 1_000 * (time.perf_counter() - begun)
    answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{path} was answered {answer.status}")
    return waited


def serve(home: Path, port: int) -> subprocess.Popen[bytes]:
    """`perennial serve` on a home, once it answers."""
    environment = {**os.environ, "PERENNIAL_HOME": str(home), "PERENNIAL_WORK_AHEAD": "false"}
    command = [sys.executable, "-m", "perennial", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        try:
            first_byte_ms(port, "/readyz")
            return process
        except (OSError, SystemExit):
            time.sleep(0.2)
    process.kill()
    raise SystemExit("the service did not start")


def main() -> int:
    """Measure and print each page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--times", type=int, default=40)
    parser.add_argument("--home", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        if given.home is None:
            prepare(home, accounts=300, seed=3)
        else:
            shutil.copytree(given.home, home)
        account, port = fill(home, given.rows), free_port()
        process = serve(home, port)
        try:
            slow = measure(port, account, given.rows, given.times)
        finally:
            process.terminate()
            process.wait()
    return 1 if slow else 0


def measure(port: int, account: str, rows: int, times: int) -> int:
    """Print the wait for each page; returns how many have a median above the limit."""
    slow = 0
    print(f"{rows:,} renewals, {times} requests each; limit {LIMIT_MS} ms for the median")
    print(f"{'page':38}{'median':>10}{'95 %':>10}{'of limit':>10}")
    for page in PAGES:
        path = page.replace("{account}", account)
        first_byte_ms(port, path)
        waits = [first_byte_ms(port, path) for _ in range(times)]
        usual, late = median(waits), quantiles(waits, n=20)[-1]
        slow += usual > LIMIT_MS
        print(f"{page:38}{usual:8.0f} ms{late:7.0f} ms{usual / LIMIT_MS:10.2f}")
    return slow


if __name__ == "__main__":
    sys.exit(main())
