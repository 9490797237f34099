"""How much of what can be known the served model knows: `python -m benchmarks.oracle --accounts 2000`.

The simulator writes down, for each snapshot, the odds given all that its CRM shows at `as_of`. On the later
part, which had no say in the choice of the model, the served odds are held against those. With `--no-signal`
it prints which alias each model got instead: none may be champion.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import pandas as pd

from features.crm import Crm
from features.load import load
from features.settings import Settings
from features.simulate import simulate
from training.metrics import auc, log_loss
from training.train import learn, train

TRUTH = {
    "renewal": ("truth_renewals.parquet", "contract_id", "lead_days"),
    "win": ("truth_wins.parquet", "opportunity_id", "age_days"),
}


def compared(kind: str, crm: Crm, folder: Path, settings: Settings, trials: int) -> dict[str, float]:
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
        "random - forward auc": trained.selection.gap,
    }


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
    print(pd.DataFrame(rows).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
