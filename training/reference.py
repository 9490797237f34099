"""What a model looked like when it was judged: its rows and the scores of its test rows, for monitoring.

Test rows were not learnt from when they were scored, so their scores spread as those of new rows do; the rows
learnt from have no score here; they show how features move by themselves. Ids are
replaced by numbers: who is erased from the store is not found here.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from training.dataset import Dataset

REFERENCE_FILE = "reference.parquet"
MOST_ROWS = 20_000


def save_reference(folder: Path, ds: Dataset, test: pd.DataFrame, seed: int) -> None:
    """Write the rows a model was judged on, and those it was learnt from, into a folder.

    Args:
        folder: of the run, beside its result.
        ds: the dataset the model was chosen on.
        test: `row` (position in ds) and `probability`, not learnt from.
        seed: of the samples, where there are more than 20,000 rows of either.
    """
    generator = np.random.default_rng(seed)
    judged = _sampled(test["row"].to_numpy(), generator)
    learnt = _sampled(np.setdiff1d(np.arange(len(ds)), test["row"].to_numpy()), generator)
    row = np.concatenate([learnt, judged])
    score = pd.Series(test["probability"].to_numpy(float), index=test["row"].to_numpy())
    known = ds.snapshots.iloc[row]
    about = pd.DataFrame(
        {
            "subject_id": pd.factorize(known["subject_id"])[0].astype(str),
            "account_id": pd.factorize(known["account_id"], use_na_sentinel=False)[0].astype(str),
            "as_of": known["as_of"].to_numpy("datetime64[us]"),
            "lead_days": known["lead_days"].to_numpy(float),
            "label": ds.y[row],
            "probability": score.reindex(row).to_numpy(),
        }
    )
    features = ds.X.iloc[row].reset_index(drop=True)
    pd.concat([about, features], axis=1).to_parquet(folder / REFERENCE_FILE, index=False, compression="zstd")


def _sampled(row: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    if len(row) <= MOST_ROWS:
        return row
    return np.sort(generator.choice(row, MOST_ROWS, replace=False))


def load_reference(folder: Path) -> pd.DataFrame | None:
    """The rows kept with a model; None: it was registered without them.

    Columns: `subject_id`, `account_id`, `as_of`, `lead_days`, `label`, `probability`, then the features.
    """
    file = Path(folder) / REFERENCE_FILE
    return pd.read_parquet(file) if file.is_file() else None
