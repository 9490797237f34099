"""The whole catalogue over every table, and live answers for one account: times taken inside Perennial."""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.features import data
from benchmarks.features.measured import WHOLE, measure
from features import evaluate
from features.account_store import ByAccount
from features.arrays import columns_of, length
from features.engine import feature_rows, ledger_of, snapshot_table, work_for
from features.settings import Settings

LIVE_EVENTS = 1_000
Spent = defaultdict[str, float]


def catalogue(options: argparse.Namespace, folder: Path) -> None:
    """Every feature of both models' plans, asked of proportional tables; where its CPU time goes."""
    data.write(
        folder, events=options.events, snapshots=options.snapshots, accounts=options.accounts, whole=True
    )
    crm, snapshots = data.read(folder)
    rows = {table: pq.read_metadata(crm.path(table)).num_rows for table in crm.tables}
    columns = len(work_for(crm, "renewal").infos())
    print(f"{columns} features, {len(snapshots):,} snapshots over {rows}, {options.threads} threads")
    run = measure("whole catalogue", folder, options.threads)
    cells = columns * len(snapshots)
    each = run.cpu / cells * 1e9
    print(f"{run.wall:.2f} s, {run.cpu:.2f} CPU s, {run.peak_mb:.0f} MB; {each:.0f} CPU ns a value")
    spent: Spent = defaultdict(float)
    began = time.process_time()
    _timed(evaluate, "answer", lambda args: f"{args[1].info.touchpoint}: {args[1].source.table}", spent)
    feature_rows(crm, snapshots, "renewal", Settings(threads=1))
    total = time.process_time() - began
    spent["reading, peers, columns of the CRM, the frame"] = total - sum(spent.values())
    for name, seconds in sorted(spent.items(), key=lambda pair: -pair[1]):
        print(f"  {seconds / total:>6.1%}  {name}")


def _timed(module: object, name: str, label: Callable[[tuple], str], spent: Spent) -> None:
    """Have a function of a module add up its CPU seconds."""
    plain = getattr(module, name)

    def timed(*args: object) -> object:
        began = time.process_time()
        result = plain(*args)
        spent[label(args)] += time.process_time() - began
        return result

    setattr(module, name, timed)


def spark(options: argparse.Namespace, folder: Path) -> None:
    """The whole catalogue in process and on Spark, on as many local cores; seconds on the clock."""
    data.write(
        folder, events=options.events, snapshots=options.snapshots, accounts=options.accounts, whole=True
    )
    print(f"{options.events:,} events, {options.snapshots:,} snapshots, {options.threads} cores")
    local, shared = (measure(name, folder, options.threads) for name in WHOLE)
    print(f"local {local.wall:.1f} s, Spark {shared.wall:.1f} s (× {shared.wall / local.wall:.2f})")


def live(options: argparse.Namespace, folder: Path) -> None:
    """Milliseconds for every feature of one account with a thousand events, for both models."""
    events = 2 * LIVE_EVENTS * 3 // 4  # two accounts; the other tables bring the rest
    data.write(folder, events=events, snapshots=1, accounts=2, whole=True)
    crm, snapshots = data.read(folder)
    account = snapshots["account_id"].iloc[0]
    for kind in ("renewal", "win"):
        work = work_for(crm, kind)
        one = columns_of(snapshot_table(crm, work, snapshots))
        by_account = ByAccount(crm, {kind: work})
        ledger = ledger_of(by_account.rows(account), work, [account])
        stored = sum(length(columns) for columns in ledger.tables.values())

        def from_ledger(ledger=ledger, work=work, one=one) -> None:
            evaluate.live_rows(work.plan, work.columns, ledger, one)

        def from_disk(by_account=by_account, work=work, one=one) -> None:
            fresh = ledger_of(by_account.rows(account), work, [account])
            evaluate.live_rows(work.plan, work.columns, fresh, one)

        print(f"{kind}: {len(work.infos())} features, {stored:,} rows of one account")
        for name, once, times in (
            ("ledger in memory", from_ledger, 300),
            ("from disk", from_disk, 100),
        ):
            wall, cpu = _median_ms(once, times)
            print(f"  {name:20} median {wall:7.2f} ms, {cpu:7.2f} CPU ms")


def _median_ms(once: Callable[[], None], times: int) -> tuple[float, float]:
    once()
    wall, cpu = [], []
    for _ in range(times):
        began = time.perf_counter(), time.process_time()
        once()
        wall.append(time.perf_counter() - began[0])
        cpu.append(time.process_time() - began[1])
    return float(np.median(wall)) * 1e3, float(np.median(cpu)) * 1e3
