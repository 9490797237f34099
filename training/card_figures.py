"""The card's numbers: reliability, lift, money caught, what the predictions rest on; from held-out rows.

What a model looked like when it was judged: its rows and the scores of its test rows, for monitoring.

Test rows were held out when they were scored, so their scores spread as those of new rows do; the rows
trained on have no score here; they show how features move by themselves. Ids are
replaced by numbers: who is erased from the store is not found here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import beta

from training.dataset import Dataset
from training.explain import drivers
from training.fairness.parity import segment_shares
from training.metrics import bootstrap, calibration_slope, figures, log_loss, money_caught
from training.model import BANDS, Model

BINS = 10
SHARES = (0.1, 0.2, 0.3)
LIST_LEAD_DAYS = 90
MOST_EXPLAINED = 2_000
FEWEST = 30
LEVEL = 0.90


@dataclass(frozen=True)
class Judged:
    """Rows held out: y, p, the dataset's positions, money in units (NaN unknown), contract codes."""

    y: np.ndarray
    p: np.ndarray
    rows: np.ndarray
    money: np.ndarray
    subjects: np.ndarray
    kind: str

    def take(self, chosen: np.ndarray) -> "Judged":
        """Some of the rows."""
        return Judged(
            self.y[chosen],
            self.p[chosen],
            self.rows[chosen],
            self.money[chosen],
            self.subjects[chosen],
            self.kind,
        )


def judged_rows(ds: Dataset, test: pd.DataFrame) -> Judged:
    """The test rows of a selection."""
    rows = test["row"].to_numpy()
    money = pd.to_numeric(ds.snapshots["amount"].iloc[rows], errors="coerce").to_numpy(float, na_value=np.nan)
    return Judged(
        ds.y[rows], test["probability"].to_numpy(float), rows, money / 100, ds.subjects[rows], ds.kind
    )


def one_list(ds: Dataset, judged: Judged) -> Judged:
    """One row a contract or deal, as one list would hold it: 90 days before the end, or at creation."""
    lead = ds.snapshots["lead_days"].to_numpy(float)[judged.rows]
    far = np.abs(lead - LIST_LEAD_DAYS) if ds.kind == "renewal" else lead
    order = np.argsort(np.nan_to_num(far), kind="stable")
    _, first = np.unique(judged.subjects[order], return_index=True)
    return judged.take(np.sort(order[first]))


def reliability(judged: Judged, bins: int = BINS) -> list[dict[str, Any]]:
    """Said against seen in bins of equal size; equal probabilities stay together."""
    edges = np.unique(np.quantile(judged.p, np.arange(1, bins) / bins))
    place = np.searchsorted(edges, judged.p, side="right")
    return [
        {"from": float(judged.p[place == at].min()), "to": float(judged.p[place == at].max())}
        | _said_and_seen(judged.take(place == at))
        for at in np.unique(place)
    ]


def _said_and_seen(part: Judged) -> dict[str, Any]:
    """n, mean probability, rate and its Jeffreys interval, counting each contract once."""
    contracts = len(np.unique(part.subjects))
    rate = float(part.y.mean())
    good, tail = rate * contracts, (1 - LEVEL) / 2
    return {
        "n": len(part.y),
        "contracts": contracts,
        "said": float(part.p.mean()),
        "seen": rate,
        "low": float(beta.ppf(tail, good + 0.5, contracts - good + 0.5)),
        "high": float(beta.ppf(1 - tail, good + 0.5, contracts - good + 0.5)),
    }


def by_band(model: Model, judged: Judged) -> list[dict[str, Any]]:
    """Said against seen in each band."""
    band = np.array(model.band(judged.p))
    return [
        {"band": name} | _said_and_seen(judged.take(band == name))
        for name in BANDS[judged.kind]
        if (band == name).any()
    ]


def by_lead(ds: Dataset, judged: Judged) -> list[dict[str, Any]]:
    """Figures at each lead time: said, seen, AUC, log loss beside a constant's."""
    lead = ds.snapshots["lead_days"].to_numpy(float)[judged.rows]
    rows = []
    for days in np.unique(lead[~np.isnan(lead)])[::-1]:
        part = judged.take(lead == days)
        if len(part.y) < FEWEST or np.ptp(part.y) == 0:
            continue
        constant = log_loss(part.y, np.full(len(part.y), part.y.mean()))
        rows.append(
            {"lead_days": int(days)} | figures(part.y, part.p) | _said_and_seen(part) | {"constant": constant}
        )
    return rows


def by_column(ds: Dataset, judged: Judged, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Said against seen for each level of a few category columns, where 30 contracts stand behind it."""
    rows = []
    for column in columns:
        if column not in ds.X.columns:
            continue
        values = ds.X[column].astype("string").fillna("(none)").to_numpy()[judged.rows]
        for value in pd.unique(values):
            part = judged.take(values == value)
            if len(np.unique(part.subjects)) >= FEWEST:
                rows.append({"column": column, "value": str(value)} | _said_and_seen(part))
    return sorted(rows, key=lambda row: (row["column"], -row["n"]))


def by_segment(ds: Dataset, judged: Judged, segments: pd.DataFrame) -> list[dict[str, Any]]:
    """Said against seen within each segment, where 30 contracts stand behind it; no shares of areas."""
    rows = []
    accounts = ds.snapshots["account_id"].iloc[judged.rows]
    for attribute, values in segment_shares(accounts, segments).items():
        for value, share in values.items():
            part = judged.take(share >= 1)
            if len(np.unique(part.subjects)) >= FEWEST:
                rows.append({"column": attribute, "value": value} | _said_and_seen(part))
    return rows


def gains(listed: Judged) -> dict[str, Any]:
    """What the top of the list holds of what is looked for (lost renewals, won deals): share and money."""
    is_renewal = listed.kind == "renewal"
    y, p = (1 - listed.y, 1 - listed.p) if is_renewal else (listed.y, listed.p)
    order = np.argsort(-p, kind="stable")
    share_caught = np.cumsum(y[order]) / max(y.sum(), 1)
    n = len(y)
    steps = np.unique(np.linspace(0, n, 51).astype(int))
    has_money = np.nansum(listed.money) > 0
    caught = money_caught(1 - y, 1 - p, listed.money, SHARES) if has_money else {}
    by_amount = money_caught(1 - y, np.full(n, 0.5), listed.money, SHARES) if has_money else {}
    top = []
    for share in SHARES:
        first = max(1, round(share * n))
        top.append(
            {
                "share": share,
                "n": first,
                "caught": float(share_caught[first - 1]),
                "rate": float(y[order[:first]].mean()),
                "lift": float(y[order[:first]].mean() / y.mean()) if y.any() else None,
                "money_caught": caught.get(share),
                "money_by_amount": by_amount.get(share),
            }
        )
    curve = [[float(k / n), float(share_caught[k - 1]) if k else 0.0] for k in steps.tolist()]
    return {"n": n, "rate": float(y.mean()), "top": top, "curve": curve, "has_money": bool(has_money)}


def importance(model: Model, X: pd.DataFrame, threads: int = 1) -> list[dict[str, Any]]:
    """Mean absolute contribution of each group of features in log-odds, the strongest first."""
    from training.explain import contributions

    picked = X if len(X) <= MOST_EXPLAINED else X.sample(MOST_EXPLAINED, random_state=0)
    values = contributions(model, picked, threads).values
    words = {row["group"]: row["words"] for row in drivers(model, picked, None, threads)}
    groups = [(info.group or n) if (info := model.infos.get(n)) else n for n in model.features]
    summed = {
        group: float(np.abs(values[:, [i for i, g in enumerate(groups) if g == group]].sum(axis=1)).mean())
        for group in dict.fromkeys(groups)
    }
    strongest = sorted(summed.items(), key=lambda pair: -pair[1])
    return [
        {"group": group, "words": words.get(group, group), "log_odds": size}
        for group, size in strongest
        if size
    ]


def intervals(judged: Judged) -> dict[str, Any]:
    """90 % intervals by contract of the headline figures, and the calibration slope."""
    from training.metrics import METRICS

    bounds = {
        name: bootstrap(METRICS[name], judged.y, judged.p, judged.subjects, times=200)
        for name in ("auc", "log_loss", "brier")
    }
    return {
        **{name: list(limits) for name, limits in bounds.items()},
        "slope": calibration_slope(judged.y, judged.p),
    }


REFERENCE_FILE = "reference.parquet"
MOST_ROWS = 20_000


def save_reference(folder: Path, ds: Dataset, test: pd.DataFrame, seed: int) -> None:
    """Write the rows a model was judged on, and those it was trained on, into a folder.

    Args:
        folder: of the run, beside its result.
        ds: the dataset the model was chosen on.
        test: `row` (position in ds) and `probability`, held out.
        seed: of the samples, where there are more than 20,000 rows of either.
    """
    generator = np.random.default_rng(seed)
    judged = _sampled(test["row"].to_numpy(), generator)
    learned = _sampled(np.setdiff1d(np.flatnonzero(ds.is_known), test["row"].to_numpy()), generator)
    row = np.concatenate([learned, judged])
    score = pd.Series(test["probability"].to_numpy(float), index=test["row"].to_numpy())
    snapshots = ds.snapshots.iloc[row]
    about = pd.DataFrame(
        {
            "subject_id": pd.factorize(snapshots["subject_id"])[0].astype(str),
            "account_id": pd.factorize(snapshots["account_id"], use_na_sentinel=False)[0].astype(str),
            "as_of": snapshots["as_of"].to_numpy("datetime64[us]"),
            "lead_days": snapshots["lead_days"].to_numpy(float),
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
