"""Why a row got its odds: exact contributions in log-odds, grouped and worded, that add up to the
probability.

SHAP values of the trees (path-dependent, `training.treeshap`) and the regression's own terms are both
additive in log-odds, so their weighted mean explains the blend exactly. What calibration does to the sum is
the last term.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from training.metrics import to_probability
from training.model import Model, comparison_bin
from training.treeshap import shap_values
from training.wording import compared, worded

BASE, OTHER, CALIBRATION = "(base)", "(other)", "(calibration)"
CHUNK = 8_192
FAINT = 1e-9


@dataclass(frozen=True)
class Contributions:
    """base + Σ values + calibration = log-odds of the probability, for each of n rows.

    Attributes:
        base: the mean of the training rows in log-odds.
        names: the k columns.
        values: (n, k) log-odds each adds.
        calibration: (n,) log-odds that calibration adds.
    """

    base: float
    names: tuple[str, ...]
    values: np.ndarray
    calibration: np.ndarray

    def total(self) -> np.ndarray:
        """(n,) log-odds."""
        return self.base + self.values.sum(axis=1) + self.calibration


def contributions(model: Model, X: pd.DataFrame, threads: int = 1) -> Contributions:
    """Exact contributions of every column to every row.

    Args:
        model: as served.
        X: (n, …) feature frame.
        threads: cores used for the trees.
    """
    return _contributions(model, model.encode(X), threads)


def grouped_contributions(
    model: Model, X: pd.DataFrame, threads: int = 1
) -> tuple[tuple[str, ...], np.ndarray]:
    """The groups of columns that are told as one, and (n, groups) what each adds in log-odds."""
    grouping = _Grouping(model)
    return tuple(grouping.groups), contributions(model, X, threads).values @ grouping.member


def reasons(model: Model, X: pd.DataFrame, top: int = 5, threads: int = 1) -> list[list[dict[str, Any]]]:
    """For each row its strongest reasons, then what else adds up to its log-odds.

    The `top` strongest groups of columns come first, strongest first; each is told by its leading column.
    Then `(other)` for all further ones, `(base)` for where everybody starts and, last, `(calibration)`: the
    list's `log_odds` sum to the logit of the probability.

    Returns:
        n lists of dicts: `feature`, `words`, `value` (None: missing), `log_odds`, `group`, `comparison` (how
        those alike in this fared, or None).
    """
    out: list[list[dict[str, Any]]] = []
    for at in range(0, len(X), CHUNK):
        out += _reasons(model, X.iloc[at : at + CHUNK], top, threads)
    return out


def difference(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What changed between two runs' reasons for one contract or deal, largest change first.

    A group named in one run only counts as 0 in the other, where it was among `(other)`.

    Returns:
        dicts: `feature`, `group`, `before` and `after` (words or None), `log_odds` (the change).
    """
    was = {reason["group"]: reason for reason in before}
    now = {reason["group"]: reason for reason in after}
    rows = []
    for group in dict.fromkeys([*now, *was]):
        old, new = was.get(group), now.get(group)
        change = (new["log_odds"] if new else 0.0) - (old["log_odds"] if old else 0.0)
        rows.append(
            {
                "feature": (new or old or {})["feature"],
                "group": group,
                "before": old["words"] if old else None,
                "after": new["words"] if new else None,
                "log_odds": change,
            }
        )
    return sorted(rows, key=lambda row: -abs(row["log_odds"]))


def drivers(
    model: Model, X: pd.DataFrame, money: np.ndarray | None = None, threads: int = 1
) -> list[dict[str, Any]]:
    """What pulled a set of rows (the lost ones, say) down or up, most negative first.

    Returns:
        dicts: `group`, `words` (the leading column's), `log_odds` (the rows' mean, weighted by money if
        given), `share_against` (of the rows, or of the money, it speaks against).
    """
    weight = np.ones(len(X)) if money is None else np.nan_to_num(np.asarray(money, dtype=float))
    if not len(X) or weight.sum() <= 0:
        return []
    given = contributions(model, X, threads)
    grouping = _Grouping(model)
    sums = given.values @ grouping.member
    mean = (weight @ sums) / weight.sum()
    against = (weight @ (sums < 0)) / weight.sum()
    size = np.abs(given.values).mean(axis=0)
    rows = []
    for at, group in enumerate(grouping.groups):
        lead = grouping.columns[at][size[grouping.columns[at]].argmax()]
        info = model.infos.get(model.features[lead])
        words = info.words if info else model.features[lead]
        rows.append(
            {
                "group": group,
                "words": words,
                "log_odds": float(mean[at]),
                "share_against": float(against[at]),
            }
        )
    return sorted(rows, key=lambda row: row["log_odds"])


class _Grouping:
    """Which columns are told as one."""

    def __init__(self, model: Model) -> None:
        infos = [model.infos.get(name) for name in model.features]
        own = [
            (info.group or name) if info else name for info, name in zip(infos, model.features, strict=True)
        ]
        self.groups = list(dict.fromkeys(own))
        place = np.array([self.groups.index(group) for group in own], dtype=int)
        self.columns = [np.flatnonzero(place == at) for at in range(len(self.groups))]
        self.member = np.zeros((len(own), len(self.groups)))
        self.member[np.arange(len(own)), place] = 1.0

    def leading(self, values: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """(n, groups) the column of each group that says most in the direction of the group's sum."""
        lead = np.zeros(sums.shape, dtype=int)
        for at, columns in enumerate(self.columns):
            if len(columns) == 1:
                lead[:, at] = columns[0]
            else:
                own = values[:, columns] * np.where(sums[:, at] < 0, -1.0, 1.0)[:, None]
                lead[:, at] = columns[own.argmax(axis=1)]
        return lead


def _contributions(model: Model, E: np.ndarray, threads: int) -> Contributions:
    values, base = np.zeros(E.shape), model.base
    margin = model.margin(E)
    if model.trees is not None or model.logistic is not None:
        base = 0.0
    if model.trees is not None:
        tabled = model.trees.tables
        read = np.ascontiguousarray(E[:, model.trees.columns])
        values[:, model.trees.columns] += model.share * shap_values(tabled, read, threads)
        base += model.share * tabled.base
    if model.logistic is not None:
        start, own = model.logistic.contributions(E)
        values += (1 - model.share) * own
        base += (1 - model.share) * start
    calibration = model.calibration(margin) - base - values.sum(axis=1)
    return Contributions(base, model.features, values, calibration)


def _reasons(model: Model, X: pd.DataFrame, top: int, threads: int) -> list[list[dict[str, Any]]]:
    E = model.encode(X)
    given = _contributions(model, E, threads)
    grouping = _Grouping(model)
    sums = given.values @ grouping.member
    lead = grouping.leading(given.values, sums)
    strongest = np.argsort(-np.abs(sums), axis=1, kind="stable")[:, :top]
    told = _Told(model, X, E)
    base = _base_reason(model, given.base)
    out = []
    for row, groups in enumerate(strongest.tolist()):
        said = [
            told.reason(row, int(lead[row, at]), grouping.groups[at], float(sums[row, at]))
            for at in groups
            if abs(sums[row, at]) > FAINT
        ]
        calibration = float(given.calibration[row])
        rest = float(sums[row].sum()) - sum(reason["log_odds"] for reason in said)
        out.append(
            [
                *said,
                _extra(OTHER, "everything else together", rest),
                base,
                _extra(CALIBRATION, "correction for how past odds came true", calibration),
            ]
        )
    return out


class _Told:
    """Words, values and comparisons of rows, looked up once a column."""

    def __init__(self, model: Model, X: pd.DataFrame, E: np.ndarray) -> None:
        self.model, self.X, self.E = model, X, E
        self.known: dict[int, tuple[list[Any], list[str | None]]] = {}

    def reason(self, row: int, column: int, group: str, log_odds: float) -> dict[str, Any]:
        values, compare = self._column(column)
        name = self.model.features[column]
        info = self.model.infos.get(name)
        value = values[row]
        words = worded(info, value) if info else f"{name}: {value}"
        return {
            "feature": name,
            "words": words,
            "value": value,
            "log_odds": log_odds,
            "group": group,
            "comparison": compare[row],
        }

    def _column(self, column: int) -> tuple[list[Any], list[str | None]]:
        if column not in self.known:
            name = self.model.features[column]
            self.known[column] = (_values(self.X, name, self.model), self._compared(column, name))
        return self.known[column]

    def _compared(self, column: int, name: str) -> list[str | None]:
        comparison = self.model.comparisons.get(name)
        if comparison is None:
            return [None] * len(self.E)
        places = comparison_bin(self.E[:, column], comparison.edges, len(comparison.rates) - 1)
        phrases = [compared(self.model.kind, rate) for rate in comparison.rates]
        return [phrases[place] for place in places.tolist()]


def _values(X: pd.DataFrame, name: str, model: Model) -> list[Any]:
    if name not in X.columns:
        return [None] * len(X)
    column = X[name].astype(object)
    if name in model.encoding.levels:
        return [None if pd.isna(value) else str(value) for value in column]
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    return [value if np.isfinite(value) else None for value in numbers.tolist()]


def _base_reason(model: Model, base: float) -> dict[str, Any]:
    rate = float(to_probability(np.array([base]))[0])
    what = "contract" if model.kind == "renewal" else "deal"
    return _extra(BASE, f"where a usual {what} starts: {100 * rate:.0f} %", base)


def _extra(feature: str, words: str, log_odds: float) -> dict[str, Any]:
    return {
        "feature": feature,
        "words": words,
        "value": None,
        "log_odds": log_odds,
        "group": feature,
        "comparison": None,
    }
