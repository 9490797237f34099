"""How much of what can be known the served model knows: `python -m benchmarks.oracle --accounts 2000`.

The simulator writes down, for each snapshot, the odds given all that its CRM shows at `as_of`. On the later
part, which had no say in the choice of the model, the served odds are held against those. `covered` is the
share of 20 equal parts of the later list in which the promised 90 % interval, fitted on earlier rows alone,
holds the mean of the oracle's odds; `random - forward auc` is what a split that ignores time would have
promised too much. With `--no-signal` it prints which alias each model got instead: none may be champion.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import numpy as np
import pandas as pd

from features.crm import Crm
from features.load import load
from features.settings import Settings
from features.simulate import simulate
from training.intervals import fit_intervals
from training.metrics import auc, log_loss
from training.train import Trained, learn, train

PARTS = 20
TRUTH = {
    "renewal": ("truth_renewals.parquet", "contract_id", "lead_days"),
    "win": ("truth_wins.parquet", "opportunity_id", "age_days"),
}


def compared(kind: str, crm: Crm, folder: Path, settings: Settings, trials: int) -> dict[str, float | None]:
    """AUC and log loss of the served odds and of the oracle's on the same later snapshots."""
    trained = learn(
        kind,
        crm,
        settings,
        trials=trials,
        minutes=None,
        bar=(),
        allow=(),
        waivers=None,
        rival=None,
        mitigate=None,
        say=print,
    )
    test = trained.selection.test
    rows = test["row"].to_numpy()
    file, key, days = TRUTH[kind]
    said = pd.DataFrame(
        {
            key: trained.ds.snapshots["subject_id"].to_numpy()[rows],
            days: trained.ds.snapshots["lead_days"].to_numpy(float)[rows],
            "served": test["probability"].to_numpy(float),
            "y": trained.ds.y[rows],
        }
    )
    both = said.merge(pd.read_parquet(folder / file)[[key, days, "oracle"]], on=[key, days])
    y = both["y"].to_numpy(float)
    served, oracle = both["served"].to_numpy(float), both["oracle"].to_numpy(float)
    return {
        "n": len(both),
        "auc": auc(y, served),
        "oracle auc": auc(y, oracle),
        "share of (auc - .5)": (auc(y, served) - 0.5) / (auc(y, oracle) - 0.5),
        "log loss / oracle's": log_loss(y, served) / log_loss(y, oracle),
        "covered": covered(trained, both["served"].to_numpy(float), oracle),
        "random - forward auc": trained.selection.gap,
    }


def covered(trained: Trained, served: np.ndarray, oracle: np.ndarray) -> float:
    """The share of parts of the later list whose true rate the interval of earlier rows holds."""
    split, held = trained.selection.split, trained.selection.recipe.held
    if split is None:
        return float("nan")
    rows = split.train[held.rows]
    said = fit_intervals(held.probability, trained.ds.y[rows], trained.ds.subjects[rows])
    low, high = said.at(served)
    parts = np.array_split(np.argsort(served, kind="stable"), PARTS)
    return float(np.mean([low[at].mean() <= oracle[at].mean() <= high[at].mean() for at in parts]))


def main() -> None:
    """Run the comparison for each seed and kind, and print one line each."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--accounts", type=int, default=2000)
    asked.add_argument("--seeds", type=int, default=1)
    asked.add_argument("--trials", type=int, default=20)
    asked.add_argument("--no-signal", action="store_true")
    options = asked.parse_args()
    rows = []
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work) / "crm"
            simulate(folder, accounts=options.accounts, seed=seed, signal=not options.no_signal)
            crm = load(folder, into=Path(work) / "clean")
            settings = Settings(home=Path(work) / "home")
            for kind in TRUTH:
                if options.no_signal:
                    found = {"alias": train(kind, crm, settings, trials=options.trials, say=print)["alias"]}
                else:
                    found = compared(kind, crm, folder, settings, options.trials)
                rows.append({"seed": seed, "kind": kind, **found})
    table = pd.DataFrame(rows)
    print(table.round(3).to_string(index=False))
    if "covered" in table:
        error = table["covered"].std() / np.sqrt(len(table)) if len(table) > 1 else float("nan")
        print(f"intervals of 90 %: {table['covered'].mean():.1%} held, standard error {error:.1%}")


if __name__ == "__main__":
    main()
