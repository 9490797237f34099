"""A raw export against DuckDB's own `read_csv`: seconds and memory, each in a process of its own.

    python -m benchmarks.raw_export [--rows 1000000] [--dialect plain|german]

`plain` is written as the contract writes; `german` has semicolons, decimal commas, days first, Windows-1252,
and words for nothing, which `read_csv` reads as text. `read_csv` finds types and writes Parquet; `raw` lays
the file down as text; `load` does all that `perennial check` does: it decides how columns are read, checks
keys and references, sorts and writes.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

_COLUMNS = {
    "plain": """'E' || i AS activity_id, 'A' || (i % 20000) AS account_id,
        strftime(moment, '%Y-%m-%d %H:%M:%S') AS occurred_at, kind,
        strftime(moment, '%Y-%m-%d') AS recorded_at,
        CAST(minutes AS VARCHAR) AS duration_minutes, outcome""",
    "german": """'E' || i AS activity_id, 'A' || (i % 20000) AS account_id,
        strftime(moment, '%d.%m.%Y %H:%M') AS occurred_at, kind, strftime(moment, '%d.%m.%Y') AS recorded_at,
        replace(CAST(minutes AS VARCHAR), '.', ',') AS duration_minutes,
        CASE WHEN i % 9 = 0 THEN '#N/A' ELSE outcome END AS outcome""",
}


def write(folder: Path, rows: int, dialect: str) -> int:
    """An export of activities, and the contracts they belong to; returns its bytes."""
    with duckdb.connect() as connection:
        source = f"""SELECT i, TIMESTAMP '2022-01-01' + to_seconds(i * 37 % 63072000) AS moment,
            ['call', 'meeting', 'email', 'Rückruf'][1 + i % 4] AS kind, (i * 7919 % 9000) / 100.0 AS minutes,
            ['reached', 'no answer', 'später'][1 + i % 3] AS outcome FROM range({rows}) r(i)"""
        form = "HEADER, DELIMITER ';'" if dialect == "german" else "HEADER"
        file = folder / "activities.csv"
        connection.execute(
            f"COPY (SELECT {_COLUMNS[dialect]} FROM ({source})) TO '{file}' (FORMAT csv, {form})"
        )
        contracts = folder / "contracts.csv"
        connection.execute(
            "COPY (SELECT 'C' || i AS contract_id, 'A' || i AS account_id, '2022-01-01' AS start_date,"
            f" '2023-12-31' AS end_date FROM range(20000) r(i)) TO '{contracts}' (FORMAT csv, HEADER)"
        )
    if dialect == "german":
        file.write_bytes(file.read_bytes().decode().encode("cp1252"))
    return file.stat().st_size


def read_csv(folder: Path, out: Path, dialect: str) -> None:
    """DuckDB alone: types found, Parquet written."""
    encoding = ", encoding = 'latin-1'" if dialect == "german" else ""
    with duckdb.connect() as connection:
        file = folder / "activities.csv"
        connection.execute(f"COPY (FROM read_csv('{file}'{encoding})) TO '{out}' (FORMAT parquet)")


def load_all(folder: Path, out: Path) -> None:
    """What `perennial check` does."""
    from features.crm.load import load

    load(folder, into=out)


def read_raw(folder: Path, out: Path) -> None:
    """The file alone: encoding and layout found, laid down as text."""
    from features.sources.csv_file import csv_to_parquet

    with duckdb.connect() as connection:
        csv_to_parquet(connection, folder / "activities.csv", out, out.parent)


def measured(way: str, folder: Path, dialect: str) -> dict[str, float]:
    """Seconds and peak megabytes of one way in a fresh process, imports left out of the seconds."""
    command = [sys.executable, "-m", "benchmarks.raw_export", "--way", way, "--folder", str(folder)]
    done = subprocess.run(
        [*command, "--dialect", dialect], capture_output=True, text=True, check=False, env=os.environ
    )
    if done.returncode:
        return {"failed": 1.0}
    return json.loads(done.stdout)


def run_way(way: str, folder: Path, dialect: str) -> None:
    """Run one way and print its figures as JSON."""
    import features.crm.load  # noqa: F401  (imports are not what is measured)

    with tempfile.TemporaryDirectory() as work:
        out, began, before = Path(work) / "out", time.perf_counter(), time.process_time()
        if way == "read_csv":
            read_csv(folder, out, dialect)
        else:
            {"load": load_all, "raw": read_raw}[way](folder, out)
        seconds, cpu = time.perf_counter() - began, time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(
        json.dumps({"seconds": round(seconds, 2), "cpu": round(cpu, 2), "megabytes": round(peak)})
    )


def main() -> None:
    """Write the export, run each way, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dialect", choices=list(_COLUMNS), default="plain")
    parser.add_argument("--way")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.way:
        run_way(options.way, options.folder, options.dialect)
        return
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        size = write(folder, options.rows, options.dialect)
        print(f"{options.rows:,} rows, {size / 1e6:.0f} MB, {options.dialect}")
        for way in ("read_csv", "raw", "load"):
            print(way, measured(way, folder, options.dialect))


if __name__ == "__main__":
    main()
