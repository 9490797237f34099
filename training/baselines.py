"""What any model must beat: the base rate, a plain regression, a sales heuristic baseline, and XGBoost as it
comes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from training.boosting import LIBRARY_DEFAULT, LIBRARY_DEFAULT_ROUNDS, fit_trees
from training.dataset import Dataset
from training.encode import Encoding, learn_encoding
from training.metrics import losses, to_probability

PRIOR_ROWS = 10.0
Predict = Callable[[pd.DataFrame], np.ndarray]


@dataclass(frozen=True)
class RateTable:
    """Cells over one to three columns, each with the rate seen in it, drawn a little to the base rate.

    Attributes:
        columns: names; edges: for each its inner bin edges (quantities).
        rates: cell → rate; a cell not seen has the base rate.
    """

    columns: tuple[str, ...]
    edges: tuple[tuple[float, ...], ...]
    encoding: Encoding
    rates: dict[int, float]
    base: float

    def probability(self, X: pd.DataFrame) -> np.ndarray:
        """(n,) the rates of the rows' cells."""
        cells = _cells(self.encoding.encode(X), self.edges)
        return np.array([self.rates.get(cell, self.base) for cell in cells.tolist()])


# The questions a sales team asks, and the columns that may answer them, in order of preference.
QUESTIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    "renewal": (
        (
            "days_since_human",
            "days_since_call",
            "days_since_meeting",
            "days_since_activity",
            "activities_90d",
        ),
        (".*escalat.*", "(open_cases|cases_open).*", "usage.*(trend|change|against).*", "cases_.*"),
        ("renewals.*", "renewal_share", "tenure_days.*"),
    ),
    "win": (
        ("deal_stage", r"opportunities\.stage", "deal_stage_moves.*"),
        ("days_open", "deal_age_days", "lead_days"),
        ("deal_amount_now", r"opportunities\.amount"),
    ),
}


def heuristic_baseline(ds: Dataset) -> RateTable:
    """The rule a sales team would use, as a coarse table of rates trained on the training part.

    For renewals: time since the last contact, an escalated or open case (or falling use), earlier renewals;
        for
    deals: stage, age, amount. Where fewer than two of these are at hand: the one column whose four-part table
    fits best.
    """
    columns = _asked(ds)
    if not has_team_rule(ds):
        return _best_column(ds)
    return rate_table(ds, tuple(columns), parts=2 if len(columns) > 2 else 3)


def has_team_rule(ds: Dataset) -> bool:
    """Whether the data holds enough of what a team looks at; else the rule is a column picked from it."""
    return len(_asked(ds)) >= 2


def _asked(ds: Dataset) -> list[str]:
    return [name for name in (_answer(ds, patterns) for patterns in QUESTIONS[ds.kind]) if name]


def rate_table(ds: Dataset, columns: tuple[str, ...], parts: int) -> RateTable:
    """A table of rates over these columns, quantities cut into `parts` of equal size."""
    encoding = learn_encoding(ds.X[list(columns)])
    E = encoding.encode(ds.X)
    edges = tuple(_edges(E[:, at], kind, parts) for at, kind in enumerate(encoding.types))
    cells, base = _cells(E, edges), ds.base_rate
    _, codes = np.unique(cells, return_inverse=True)
    good, n = np.bincount(codes, ds.weights * ds.y), np.bincount(codes, ds.weights)
    rates = (good + PRIOR_ROWS * base) / (n + PRIOR_ROWS)
    rate_by_cell = dict(zip(cells.tolist(), rates[codes].tolist(), strict=True))
    return RateTable(encoding.columns, edges, encoding, rate_by_cell, base)


def library_default(ds: Dataset, seed: int, threads: int) -> Predict:
    """XGBoost with its own defaults on native categories, for honesty's sake."""
    encoding = learn_encoding(ds.X)
    E = encoding.encode(ds.X)
    ones = np.ones(len(ds))
    trees = fit_trees(
        E,
        ds.y,
        ones,
        encoding.types,
        [0] * E.shape[1],
        LIBRARY_DEFAULT,
        LIBRARY_DEFAULT_ROUNDS,
        seed=seed,
        threads=threads,
    )
    return lambda X: to_probability(trees.margin(encoding.encode(X)))


def _answer(ds: Dataset, patterns: tuple[str, ...]) -> str | None:
    for pattern in patterns:
        for name in ds.X.columns:
            if re.fullmatch(pattern, name) and ds.X[name].nunique() > 1:
                return str(name)
    return None


def _best_column(ds: Dataset) -> RateTable:
    tables = [rate_table(ds, (name,), parts=4) for name in ds.X.columns]
    fits = [float(losses(ds.y, table.probability(ds.X)).mean()) for table in tables]
    return tables[int(np.argmin(fits))] if tables else rate_table(ds, (), parts=1)


def _edges(values: np.ndarray, kind: str, parts: int) -> tuple[float, ...]:
    present = values[~np.isnan(values)]
    if kind == "c" or not len(present):
        return ()
    return tuple(np.unique(np.quantile(present, np.arange(1, parts) / parts)).tolist())


def _cells(E: np.ndarray, edges: tuple[tuple[float, ...], ...]) -> np.ndarray:
    cell = np.zeros(len(E), dtype=np.int64)
    for at, inner in enumerate(edges):
        values = E[:, at]
        place = (
            np.searchsorted(np.array(inner), values, side="left")
            if inner
            else np.nan_to_num(values, nan=-1.0)
        )
        cell = cell * 100 + np.where(np.isnan(values), 99, place).astype(np.int64)
    return cell
