"""Target statistics of many-valued categories (owner, product, territory, campaign): how a value has fared.

A value counts as the log-odds of its own contracts' outcomes less those of all, both drawn together by how
little the column's values differ beyond chance (empirical Bayes). So rare values lie near 0, unseen ones at
0, and a step of the base rate moves none. A training row reads only outcomes that were known when it was
scored, as in CatBoost's ordered target statistics (Prokhorenkova et al. 2018); undated rows read those of the
other folds. What is served is the table at the end of training.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from training.encode import category
from training.metrics import to_logit

MANY_LEVELS = 20
"""Up to this many values a column is encoded value by value: each has enough contracts."""
FOLDS = 5


def many_valued(X: pd.DataFrame) -> list[str]:
    """The category columns with too many values to encode one by one."""
    return [
        str(name)
        for name in X
        if not pd.api.types.is_numeric_dtype(X[name]) and X[name].nunique() > MANY_LEVELS
    ]


@dataclass(frozen=True)
class TargetHistory:
    """The values of many-valued columns in n training rows, and when each outcome became known.

    Attributes:
        levels: column → its l values.
        codes: (m, n) which value of column m a row has, -1 where missing.
        y: (n,) outcomes.
        weight: (n,) row weights.
        subjects: (n,) contract or deal codes: each counts once for each value it had.
        together: (n,) codes of undated rows that no fold may part.
        as_of, known_at: (n,) integer moments; None where undated.
    """

    levels: dict[str, np.ndarray]
    codes: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    subjects: np.ndarray
    together: np.ndarray
    as_of: np.ndarray | None = None
    known_at: np.ndarray | None = None

    def taught(self, y: np.ndarray, weight: np.ndarray) -> "TargetHistory":
        """The history with other outcomes and weights (n,), as they were known at an earlier day."""
        return replace(self, y=y, weight=weight)

    def for_training(self, at: np.ndarray) -> np.ndarray:
        """(m, len(at)) what rows at these positions read of each other, none of its own outcome."""
        if self.as_of is not None:
            return np.array([self._ordered(codes, at) for codes in self.codes]).reshape(-1, len(at))
        _, group = np.unique(self.together[at], return_inverse=True)
        fold = np.random.default_rng(0).permutation(group.max(initial=0) + 1)[group] % FOLDS
        out = np.zeros((len(self.codes), len(at)))
        for number in range(FOLDS):
            out[:, fold == number] = self.frozen(at[fold != number], at[fold == number])
        return out

    def frozen(self, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        """(m, len(test)) what later rows read in the tables that the rows at `train` end in."""
        return np.array(
            [
                np.append(self._table(value, len(values), train), np.nan)[value[test]]
                for value, values in zip(self.codes, self.levels.values(), strict=True)
            ]
        ).reshape(-1, len(test))

    def tables(self, at: np.ndarray) -> dict[str, dict[str, float]]:
        """Column → value → its statistic, from all the outcomes of rows at these positions.

        Values are those of float32; values no row has are left out.
        """
        tables = {}
        for value, (name, values) in zip(self.codes, self.levels.items(), strict=True):
            table = self._table(value, len(values), at).astype(np.float32)
            present = np.unique(value[at][value[at] >= 0])
            tables[name] = {str(values[code]): float(table[code]) for code in present}
        return tables

    def _table(self, codes: np.ndarray, levels: int, at: np.ndarray) -> np.ndarray:
        """(levels,) the statistic of each value."""
        events = self._events(codes, at)
        n = np.bincount(codes[events], self.weight[events], levels)
        good = np.bincount(codes[events], (self.weight * self.y)[events], levels)
        rate = _rate(good.sum(), n.sum())
        return _statistic(good, n, rate, _strength(good, n))

    def _ordered(self, codes: np.ndarray, at: np.ndarray) -> np.ndarray:
        """(len(at),) each row's statistic, as of the moment it was scored."""
        assert self.as_of is not None
        events = self._events(codes, at)
        known_at = self._known_at(at, events)
        events = events[np.argsort(known_at, kind="stable")]
        known_at = np.sort(known_at)
        before = np.searchsorted(known_at, self.as_of[at], side="left")
        order = np.argsort(codes[events], kind="stable")
        key = codes[events][order] * (len(events) + 1) + order
        first = np.searchsorted(key, codes[at] * (len(events) + 1))
        last = np.searchsorted(key, codes[at] * (len(events) + 1) + before)
        weight, won = self.weight[events], (self.weight * self.y)[events]
        sums = [np.append(0.0, np.cumsum(each[order])) for each in (won, weight)]
        overall = [np.append(0.0, np.cumsum(each))[before] for each in (won, weight)]
        good, n = (each[last] - each[first] for each in sums)
        levels = codes.max(initial=0) + 1
        all_n, all_good = (np.bincount(codes[events], each, levels) for each in (weight, won))
        out = _statistic(good, n, _rate(*overall), _strength(all_good, all_n))
        return np.where(codes[at] < 0, np.nan, out)

    def _events(self, codes: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Positions of one row for each contract and value it had."""
        given = at[codes[at] >= 0]
        _, first = np.unique(
            codes[given] * (self.subjects.max(initial=0) + 1) + self.subjects[given], return_index=True
        )
        return given[first]

    def _known_at(self, at: np.ndarray, events: np.ndarray) -> np.ndarray:
        """When each event's outcome was known: never before its own contract's last row was scored."""
        assert self.as_of is not None
        assert self.known_at is not None
        last = np.full(self.subjects.max(initial=0) + 1, np.iinfo(np.int64).min)
        np.maximum.at(last, self.subjects[at], self.as_of[at])
        return np.maximum(self.known_at[events], last[self.subjects[events]])


def history_of(
    X: pd.DataFrame,
    columns: Iterable[str],
    *,
    y: np.ndarray,
    weight: np.ndarray,
    subjects: np.ndarray,
    together: np.ndarray,
    times: tuple[np.ndarray, np.ndarray] | None,
) -> TargetHistory:
    """The history of these columns of X (n, …).

    Args:
        X: feature frame.
        columns: category columns.
        y: (n,) outcomes.
        weight: (n,) what each row counts, about 1.
        subjects: (n,) contract or deal codes.
        together: (n,) codes of rows that no random fold may part.
        times: `as_of` and when the outcome was known, (n,) each; None where undated.
    """
    given = {name: category(X, name) for name in columns}
    codes = np.array([each.codes for each in given.values()], dtype=np.int64).reshape(-1, len(y))
    as_of, known_at = (None, None) if times is None else (each.astype(np.int64) for each in times)
    levels = {name: each.levels for name, each in given.items()}
    return TargetHistory(levels, codes, y, weight, subjects, together, as_of, known_at)


def _rate(good: np.ndarray, n: np.ndarray) -> np.ndarray:
    """The rate of all, half an outcome of either kind being known from the start."""
    return np.asarray((good + 0.5) / (n + 1.0))


def _statistic(good: np.ndarray, n: np.ndarray, rate: np.ndarray, strength: float) -> np.ndarray:
    """Log-odds of a value drawn to the rate of all by so many contracts, less the log-odds of all."""
    if np.isinf(strength):
        return np.zeros(np.shape(n))
    return to_logit((good + strength * rate) / (n + strength)) - to_logit(rate)


def _strength(good: np.ndarray, n: np.ndarray) -> float:
    """How many contracts of the rate of all a value's own are joined by: the variance of one outcome by that
    between values, by the method of moments; infinite where values differ no more than chance.
    """
    good, n = good[n > 0], n[n > 0]
    total = n.sum()
    p = float(_rate(good.sum(), total))
    spare = total - (n**2).sum() / total if total else 0.0
    if spare <= 0:
        return np.inf
    between = ((n * (good / n - p) ** 2).sum() - (len(n) - 1) * p * (1 - p)) / spare
    return float(p * (1 - p) / between) if between > 0 else np.inf
