"""How much of what can be known the model knows: `python -m benchmarks.against_oracle --accounts 2000`.

The simulator writes down, for each snapshot, the probability given all its CRM shows at `as_of`. On the later
part, which had no say in the choice of the model, the served ones are held against those. `excess` is by how
much the log loss to be expected of them lies above the oracle's own: the luck of the
outcomes is taken out, which alone moves their ratio (`log loss ratio`) by a percent or two. Beside it the
same for the regression and the default XGBoost that an analyst would fit by hand, and for an `informed`
analyst who is given the simulator's own hidden states and what enters the probability, and estimates only the
weights: the oracle knows those and every owner's skill besides, which nobody can learn from the CRM.

`with clock` and `without`: the share of the oracle's AUC gain that the regression alone keeps, its effects
changing with the time to the end (or a deal's age) or the same at all times. `covered` is the share of 20
equal parts of the later list in which the promised 90 % interval, fitted on earlier rows alone, holds the
oracle's mean probability; `random - forward` is what a split that ignores time would have promised too much
in AUC. With `--no-signal` it prints which alias each model got instead: none may be champion.
"""

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import numpy as np
import pandas as pd

from benchmarks.oracle_informed import informed, lived
from features.crm.crm import Crm
from features.crm.load import load
from features.settings import Settings
from features.simulation import simulate
from features.simulation.records import World
from training.candidates import fit_recipe
from training.metrics import auc, log_loss
from training.train import Trained, TrainOptions, learn, train

PARTS = 20
TRUTH = {
    "renewal": ("truth_renewals.parquet", "contract_id", "lead_days"),
    "win": ("truth_wins.parquet", "opportunity_id", "age_days"),
}


def compared(kind: str, crm: Crm, folder: Path, settings: Settings, trials: int, of: World) -> dict[str, Any]:
    """AUC and log loss of the served probability and of the oracle's on the same later snapshots."""
    trained = learn(kind, crm, settings, TrainOptions(trials=trials), print)
    ds, test = trained.ds, trained.selection.test
    file, key, days = TRUTH[kind]
    snapshots = pd.DataFrame({key: ds.snapshots["subject_id"], days: ds.snapshots["lead_days"].astype(float)})
    truth = snapshots.merge(pd.read_parquet(folder / file)[[key, days, "oracle"]], on=[key, days], how="left")
    oracle = truth["oracle"].to_numpy(float)
    test = test[np.isfinite(oracle[test["row"]])]
    rows = test["row"].to_numpy()
    y, ideal = ds.y[rows], oracle[rows]
    p = test["probability"].to_numpy()
    comparison = {
        "n": len(rows),
        "auc": auc(y, p),
        "oracle auc": auc(y, ideal),
        "share of auc": (auc(y, p) - 0.5) / (auc(y, ideal) - 0.5),
        "log loss ratio": log_loss(y, p) / log_loss(y, ideal),
        "excess": excess(p, ideal),
        "regression": excess(test["logistic regression"].to_numpy(), ideal),
        **_clock(trained, rows, ideal, settings),
        "xgboost default": excess(test["xgboost default"].to_numpy(), ideal),
        "covered": covered(trained, p, ideal),
        "random - forward": trained.selection.gap,
    }
    if kind == "renewal":
        split = trained.selection.split
        learned = split.train if split else np.setdiff1d(np.arange(len(ds)), rows)
        comparison["informed"] = excess(informed(ds, of, learned, rows), ideal)
    return comparison


def _clock(trained: Trained, rows: np.ndarray, ideal: np.ndarray, settings: Settings) -> dict[str, float]:
    """The share of the oracle's expected AUC gain that the regression alone keeps, its effects changing with
    the time to the end or not.
    """
    split, recipe, ds = trained.selection.split, trained.selection.recipe, trained.ds
    if split is None:
        return {}
    earlier = ds.take(split.train, ds.snapshots["as_of"].to_numpy("datetime64[us]")[split.test].min())
    shares = {}
    for name, timed in (("with clock", recipe.regression.timed), ("without", 0.0)):
        alone = replace(recipe, regression=replace(recipe.regression, timed=timed)).logistic_alone()
        model = fit_recipe(earlier, alone, seed=settings.seed, threads=settings.threads)
        shares[name] = expected_gain(model.margin(model.encode(ds.X.iloc[rows])), ideal)
    return {name: share / expected_gain(ideal, ideal) for name, share in shares.items()}


def expected_gain(score: np.ndarray, truth: np.ndarray) -> float:
    """The AUC above .5 to be expected of scores of rows whose outcome comes with the probability `truth`."""
    rank = pd.Series(score).rank().to_numpy()
    apart = rank @ truth / truth.sum() - rank @ (1 - truth) / (1 - truth).sum()
    return float(apart / len(score))


def excess(p: np.ndarray, oracle: np.ndarray) -> float:
    """The log loss to be expected of probability p, over that of the oracle's own, less 1."""
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return expected_loss(oracle, p) / expected_loss(oracle, oracle) - 1


def expected_loss(truth: np.ndarray, p: np.ndarray) -> float:
    """Mean log loss of probability p (n,) over outcomes that come with the probability `truth` (n,)."""
    return float(-np.mean(truth * np.log(p) + (1 - truth) * np.log(1 - p)))


def covered(trained: Trained, served: np.ndarray, oracle: np.ndarray) -> float:
    """The share of parts of the later list whose true rate the interval of earlier rows holds."""
    if trained.selection.judged_intervals is None:
        return float("nan")
    low, high = trained.selection.judged_intervals.at(served)
    parts = np.array_split(np.argsort(served, kind="stable"), PARTS)
    return float(np.mean([low[at].mean() <= oracle[at].mean() <= high[at].mean() for at in parts]))


def main() -> None:
    """Run the comparison for each seed and kind, and print one line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accounts", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--no-signal", action="store_true")
    options = parser.parse_args()
    rows = []
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work) / "crm"
            simulate(folder, accounts=options.accounts, seed=seed, signal=not options.no_signal)
            crm = load(folder, into=Path(work) / "clean")
            settings = Settings(home=Path(work) / "home")
            of = lived(options.accounts, seed)
            for kind in TRUTH:
                if options.no_signal:
                    result = {
                        "alias": train(kind, crm, settings, TrainOptions(trials=options.trials), say=print)[
                            "alias"
                        ]
                    }
                else:
                    result = compared(kind, crm, folder, settings, options.trials, of)
                rows.append({"seed": seed, "kind": kind, **result})
    table = pd.DataFrame(rows)
    print(table.round(3).to_string(index=False))
    if "covered" in table:
        error = table["covered"].std() / np.sqrt(len(table)) if len(table) > 1 else float("nan")
        print(f"intervals of 90 %: {table['covered'].mean():.1%} held, standard error {error:.1%}")


if __name__ == "__main__":
    main()
