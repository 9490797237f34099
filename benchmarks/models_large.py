"""Log loss against CPU seconds on large data: `python -m benchmarks.models_large` from the repo root.

100,000 snapshots of 20,000 contracts by 150 features (quantities with gaps, categories, most of them noise);
Perennial with each number of trials, Optuna over LightGBM with as many on the same folds, and FLAML with the
seconds that Perennial took. Each run is in a process of its own, whose CPU time and peak memory the operating
system reports. All are judged on later contracts; the truth's own log loss stands beside. Needs the extra
`bench`.
"""

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.model_peers import flaml, optuna_lightgbm, quiet
from features.catalog.declare import Info
from features.settings import Settings
from training.baselines import Predict
from training.candidates import choose_recipe, fit_recipe
from training.dataset import Dataset, dataset
from training.metrics import log_loss, to_probability
from training.select import tuning_folds
from training.split import forward_split

STEPS = 5
LEADS = np.array([180, 120, 90, 60, 30])


def simulated(snapshots: int, features: int, seed: int) -> tuple[Dataset, np.ndarray]:
    """A dataset whose probabilities (n,) are known: linear, bent and crossed effects of a few columns."""
    rng = np.random.default_rng(seed)
    contracts = snapshots // STEPS
    of = np.repeat(np.arange(contracts), STEPS)
    X = {f"q{at}": _quantity(rng, of, gaps=at % 5 == 0) for at in range(features - 10)}
    levels = {f"c{at}": rng.integers(0, 3 + 4 * at, contracts)[of] for at in range(10)}
    margin = 0.6 + 0.5 * np.nan_to_num(X["q1"]) - 0.4 * np.nan_to_num(X["q2"]) + 0.8 * (levels["c1"] == 0)
    margin += 0.5 * np.maximum(np.nan_to_num(X["q3"]), 0) + 0.4 * np.nan_to_num(X["q4"] * X["q6"])
    p = to_probability(margin)
    y = (rng.random(contracts)[of] < p).astype(float)
    frame = pd.DataFrame(
        X | {k: pd.Categorical([f"level {v}" for v in values]) for k, values in levels.items()}
    )
    end = pd.Timestamp("2022-01-01") + pd.to_timedelta(rng.integers(0, 1400, contracts), "D")
    lead = np.tile(LEADS, contracts)
    ids = np.char.add("C", of.astype(str))
    shots = pd.DataFrame({"subject_id": ids, "account_id": ids, "contract_id": ids, "opportunity_id": None})
    shots = shots.assign(as_of=end[of] - pd.to_timedelta(lead, "D"), lead_days=lead.astype(float), label=y)
    shots = shots.assign(matured_at=end[of] + pd.Timedelta(45, "D"), amount=100, owner_id=None)
    infos = {name: Info(name, name, "number", "product", "here") for name in map(str, frame)}
    return dataset(frame, y, shots, infos, "renewal", True), p


def _quantity(rng: np.random.Generator, of: np.ndarray, *, gaps: bool) -> np.ndarray:
    values = 0.8 * rng.normal(size=of.max() + 1)[of] + 0.6 * rng.normal(size=len(of))
    return np.where(rng.random(len(of)) < 0.1, np.nan, values) if gaps else values


def perennial(ds: Dataset, trials: int, seconds: float) -> Predict:
    """The whole choice with so many trials, as `perennial train` makes it."""
    threads = Settings.from_env().threads
    folds = tuning_folds(ds, 0)
    recipe = choose_recipe(
        ds, folds, name="large", storage=None, trials=trials, seconds=None, seed=0,
        threads=threads, say=lambda line: print(line, flush=True),
    )  # fmt: skip
    return fit_recipe(ds, recipe, seed=0, threads=threads).probability


def automl(ds: Dataset, trials: int, seconds: float) -> Predict:
    """FLAML in the seconds given."""
    return flaml(ds, 0, seconds)


def tuned_lightgbm(ds: Dataset, trials: int, seconds: float) -> Predict:
    """Optuna over LightGBM with as many trials."""
    return optuna_lightgbm(ds, 0, trials)


def measured(
    fit: Callable[..., Callable[[pd.DataFrame], np.ndarray]],
    given: dict[str, int],
    seconds: float,
    end: Connection,
) -> None:
    """Fit in this process, and send its seconds, CPU seconds, peak memory and log loss down the pipe."""
    quiet()
    ds, truth = simulated(given["snapshots"], given["features"], seed=0)
    split = forward_split(ds)
    started, cpu = time.perf_counter(), time.process_time()
    predict = fit(ds.take(split.train), given["trials"], seconds)
    spent, cpu = time.perf_counter() - started, time.process_time() - cpu
    y = ds.y[split.test]
    end.send(
        {
            "trials": given["trials"],
            "CPU seconds": cpu,
            "seconds": spent,
            "peak GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
            "log loss": log_loss(y, predict(ds.X.iloc[split.test])),
            "truth": log_loss(y, truth[split.test]),
        }
    )


def apart(fit: Callable[..., Any], given: dict[str, int], seconds: float) -> dict[str, float]:
    """`measured` in a new process."""
    fresh = multiprocessing.get_context("spawn")
    mine, theirs = fresh.Pipe()
    worker = fresh.Process(target=measured, args=(fit, given, seconds, theirs))
    worker.start()
    result: dict[str, float] = mine.recv()
    worker.join()
    return result


def curve(
    trials: list[int], size: dict[str, int], peers: list[str]
) -> Iterator[tuple[str, dict[str, float]]]:
    """A point for each number of trials and contender, as they come in."""
    for number in trials:
        given = {**size, "trials": number}
        ours = apart(perennial, given, 0.0)
        yield "Perennial", ours
        for name in peers:
            yield name, apart(PEERS[name], given, ours["seconds"])


PEERS: dict[str, Callable[..., Predict]] = {"Optuna + LightGBM": tuned_lightgbm, "FLAML": automl}


def main() -> None:
    """Run all, one after the other, and print a line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--snapshots", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=150)
    parser.add_argument("--trials", type=int, nargs="+", default=[4, 12, 50])
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    given = parser.parse_args()
    size = {"snapshots": given.snapshots, "features": given.features}
    points = list(curve(given.trials, size, given.peers))
    print(pd.DataFrame([{"peer": name, **point} for name, point in points]).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
