"""`python -m benchmarks.features` from the repo's root: the same features by everyone, checked and timed.

python -m benchmarks.features                      a minute: 1M events, 100k snapshots, 20k accounts
python -m benchmarks.features --events 10000000 --snapshots 1000000 --accounts 200000
python -m benchmarks.features scale                ten times the data
python -m benchmarks.features dense                accounts with 1,000 events and 24 snapshots
python -m benchmarks.features catalogue            every feature over every table, and where time goes
python -m benchmarks.features live                 one account with 1,000 events, in the process
"""

import argparse
import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.features import data
from benchmarks.features.contenders import CONTENDERS, names
from benchmarks.features.inside import catalogue, live, spark
from benchmarks.features.measured import Measured, measure

SUBSET = 200
"""Snapshots that Featuretools is asked for."""


def peers(options: argparse.Namespace, folder: Path) -> None:
    """Everyone on the same events, answers compared with Perennial's."""
    data.write(
        folder, events=options.events, snapshots=options.snapshots, accounts=options.accounts, whole=False
    )
    _head(options, f"{len(names())} windowed features")
    results: dict[str, tuple[Measured, str]] = {}
    for name in CONTENDERS:
        if name == "Featuretools" or name in options.without or not _present(name):
            continue
        runs = [
            measure(name, folder, options.threads, folder / f"{name}.npz") for _ in range(options.repeats)
        ]
        best = min(runs, key=lambda run: run.wall)
        results[name] = best, "" if name == "scan + sort" else _agreement(folder, name)
    ours, floor = results["Perennial"][0], results["scan + sort"][0]
    print(f"{'':13}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}{'× Perennial':>13}{'× scan+sort':>13}   answers")
    for name, (run, agreement) in results.items():
        ratios = f"{run.wall / ours.wall:>13.2f}{run.wall / floor.wall:>13.2f}"
        print(f"{name:13}{run.wall:>8.2f}{run.cpu:>8.2f}{run.peak_mb:>9.0f}{ratios}   {agreement}")
    print(
        "by CPU seconds:",
        ", ".join(f"{name} × {run.cpu / ours.cpu:.2f}" for name, (run, _) in results.items()),
    )
    if "Featuretools" not in options.without:
        _featuretools(options, folder, ours)


def _present(name: str) -> bool:
    if name != "polars" or importlib.util.find_spec("polars"):
        return True
    print("polars is left out: it is not installed (pip install polars)")
    return False


def _agreement(folder: Path, name: str) -> str:
    """How a contender's answers compare with Perennial's; raises `SystemExit` where they differ."""
    reference, answers = np.load(folder / "Perennial.npz"), np.load(folder / f"{name}.npz")
    for column in names():
        left, right = reference[column].astype(float), answers[column].astype(float)
        if not np.allclose(left, right, rtol=0, atol=1e-9, equal_nan=True):
            rows = np.flatnonzero(~np.isclose(left, right, rtol=0, atol=1e-9, equal_nan=True))
            raise SystemExit(
                f"{name} and Perennial differ in {column} on {len(rows)} rows, first {rows[0]}: "
                f"{right[rows[0]]} and {left[rows[0]]}"
            )
    return (
        "the reference" if name == "Perennial" else f"equal, {len(reference[names()[0]]):,} × {len(names())}"
    )


def _featuretools(options: argparse.Namespace, folder: Path, ours: Measured) -> None:
    """Featuretools on the first snapshots and their accounts' events alone."""
    if not options.featuretools:
        print(
            "Featuretools is left out: it does not run on pandas 3. Name the Python of an environment that "
            "has it (pip install featuretools 'pandas<3' pyarrow) with --featuretools PYTHON"
        )
        return
    small = folder / "subset"
    data.write(small, events=2, snapshots=2, accounts=2, whole=False)
    snapshots = pq.read_table(folder / "snapshots.parquet").slice(0, SUBSET)
    pq.write_table(snapshots, small / "snapshots.parquet")
    for table in ("accounts", "contracts", "activities"):
        rows = pq.read_table(folder / f"{table}.parquet")
        mine = pc.is_in(rows["account_id"], snapshots["account_id"].combine_chunks().unique())
        pq.write_table(rows.filter(mine), small / f"{table}.parquet")
    measure("Perennial", small, 1, small / "Perennial.npz")
    run = measure("Featuretools", small, options.threads, small / "Featuretools.npz", options.featuretools)
    each, mine = run.wall / SUBSET, ours.wall / options.snapshots
    print(
        f"Featuretools, on {SUBSET} snapshots of {len(snapshots['account_id'].unique())} accounts alone: "
        f"{each * 1e3:.1f} ms a snapshot, × {each / mine:,.0f} Perennial's {mine * 1e3:.4f} ms; "
        f"{_agreement(small, 'Featuretools')}"
    )


def scale(options: argparse.Namespace, folder: Path) -> None:
    """Perennial alone on the data, and on ten times as much."""
    _head(options, "and ten times that")
    _side_by_side(folder, options, {
        "once": (options.events, options.snapshots, options.accounts),
        "ten times": (10 * options.events, 10 * options.snapshots, 10 * options.accounts),
    })  # fmt: skip


def dense(options: argparse.Namespace, folder: Path) -> None:
    """The same number of events and snapshots in accounts of 50 and of 1,000 events."""
    snapshots = options.events * 24 // 1_000
    print(f"{options.events:,} events and {snapshots:,} snapshots, {options.threads} threads")
    _side_by_side(folder, options, {
        "50 an account": (options.events, snapshots, options.events // 50),
        "1,000 an account": (options.events, snapshots, options.events // 1_000),
    })  # fmt: skip


def _side_by_side(folder: Path, options: argparse.Namespace, sizes: dict[str, tuple[int, int, int]]) -> None:
    fastest = {}
    for name, (events, snapshots, accounts) in sizes.items():
        data.write(folder / name, events=events, snapshots=snapshots, accounts=accounts, whole=False)
        runs = [measure("Perennial", folder / name, options.threads) for _ in range(options.repeats)]
        fastest[name] = min(runs, key=lambda run: run.cpu)
    first = next(iter(fastest.values()))
    for name, run in fastest.items():
        ratios = f"× {run.wall / first.wall:.2f} wall, × {run.cpu / first.cpu:.2f} CPU"
        print(f"{name:18}{run.wall:>8.2f} s{run.cpu:>8.2f} CPU s{run.peak_mb:>8.0f} MB   {ratios}")


def _head(options: argparse.Namespace, what: str) -> None:
    print(
        f"{options.events:,} events, {options.snapshots:,} snapshots, {options.accounts:,} accounts, {what}; "
        f"{options.threads} threads on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


WORKS: dict[str, Callable[[argparse.Namespace, Path], None]] = {
    "peers": peers, "scale": scale, "dense": dense, "catalogue": catalogue, "live": live, "spark": spark,
}  # fmt: skip


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.features",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("work", nargs="?", choices=list(WORKS), default="peers")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--snapshots", type=int, default=100_000)
    parser.add_argument("--accounts", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=1, help="runs of each, of which the best counts")
    parser.add_argument("--without", nargs="*", default=[], choices=list(CONTENDERS), metavar="NAME")
    parser.add_argument("--featuretools", metavar="PYTHON", help="a Python that has Featuretools")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perennial-benchmark-") as folder:
        WORKS[options.work](options, Path(folder))


if __name__ == "__main__":
    main()
