"""Feature frames to numbers: columns and levels are fixed in training, so a row alone encodes as in a
batch.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from features.arrays import Coded, Column

MAX_LEVELS = 60
MIN_LEVEL_ROWS = 5

Rows = pd.DataFrame | Mapping[str, Column | pd.Series]
"""Feature rows: a frame, or columns as the kernel answers them (a frame costs a live answer milliseconds)."""


@dataclass(frozen=True)
class Encoding:
    """The columns a model reads, in order, and the levels it knows of each category.

    Attributes:
        columns: k column names.
        levels: for each category column its known levels; a level's code is its place in the tuple.
        statistics: for each many-valued category column the quantity that stands for each value
            (`training.target_statistics`); values not known are 0.
    """

    columns: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    statistics: dict[str, dict[str, float]] = field(default_factory=dict)

    def is_category(self, name: str) -> bool:
        """Whether a column's values are words."""
        return name in self.levels or name in self.statistics

    def levels_of(self, name: str) -> Collection[str]:
        """The values of a category column that stand in the training rows."""
        return self.levels.get(name) or self.statistics.get(name, {}).keys()

    @property
    def types(self) -> list[str]:
        """XGBoost's feature types: `c` for categories, `q` for quantities."""
        return ["c" if name in self.levels else "q" for name in self.columns]

    def encode(self, X: Rows) -> np.ndarray:
        """Rows as float32 (n, k): category codes and quantities, NaN where missing.

        A level not known from training (of a many-valued column: a missing one only) and a column that is
        not there are missing; further columns are ignored.
        """
        return np.ascontiguousarray(self.by_column(X).T)

    def by_column(self, X: Rows) -> np.ndarray:
        """The same as (k, n), a column after the other."""
        out = np.full((len(self.columns), rows_of(X)), np.nan, dtype=np.float32)
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and infinite is missing
            for column, name in zip(out, self.columns, strict=True):
                if name in X:
                    column[:] = self._category(X, name) if self.is_category(name) else quantity(X, name)
        np.copyto(out, np.nan, where=~np.isfinite(out))
        return out

    def absent(self, X: Rows) -> list[str]:
        """The columns the model reads which X does not have."""
        return [name for name in self.columns if name not in X]

    @cached_property
    def _places(self) -> dict[str, dict[str, float]]:
        places = {
            name: {level: float(at) for at, level in enumerate(levels)}
            for name, levels in self.levels.items()
        }
        return {**places, **self.statistics}

    def _category(self, X: Rows, name: str) -> np.ndarray:
        given, place = category(X, name), self._places[name]
        unknown = 0.0 if name in self.statistics else np.nan
        return np.array([*(place.get(level, unknown) for level in given.levels), np.nan])[given.codes]


def rows_of(X: Rows) -> int:
    """How many rows there are."""
    return len(X) if isinstance(X, pd.DataFrame) else len(next(iter(X.values()), ()))


def category(X: Rows, name: str) -> Coded:
    """A column as texts."""
    column = X[name]
    if isinstance(column, Coded):
        return column
    if isinstance(column, pd.Series) and isinstance(column.dtype, pd.CategoricalDtype):
        codes, levels = column.cat.codes.to_numpy(), column.cat.categories
    else:
        codes, levels = pd.factorize(pd.Series(column).astype(object))
    return Coded(codes.astype(np.int32), np.array([str(level) for level in levels], dtype=object))


def texts(column: Coded) -> np.ndarray:
    """(n,) the texts of a column, None where missing."""
    return np.array([*column.levels, None], dtype=object)[column.codes]


def quantity(X: Rows, name: str) -> np.ndarray:
    """(n,) a column as float64, NaN where missing or no number."""
    column = X[name]
    if isinstance(column, Coded):
        column = pd.Series(texts(column))
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "f":
        return np.asarray(column)
    return pd.to_numeric(pd.Series(column), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def learn_encoding(X: pd.DataFrame, statistics: Mapping[str, dict[str, float]] | None = None) -> Encoding:
    """The encoding of a training frame.

    Args:
        X: feature frame.
        statistics: for many-valued category columns the quantity that stands for each value.

    Levels seen on fewer than 5 rows (in small data 2), and all beyond the 60 most frequent, are treated as
    unknown: a rate trained on them is noise. Columns with a single value carry no information and are left
    out.
    """
    columns: list[str] = []
    levels: dict[str, tuple[str, ...]] = {}
    statistics = dict(statistics or {})
    for name in X.columns:
        column = X[name]
        if name in statistics:
            columns.append(str(name))
        elif not pd.api.types.is_numeric_dtype(column):
            column_levels = _levels(column)
            if len(column_levels) > 1 or (len(column_levels) == 1 and column.isna().any()):
                columns.append(str(name))
                levels[str(name)] = column_levels
        elif _varies(column):
            columns.append(str(name))
    return Encoding(tuple(columns), levels, statistics)


def _levels(column: pd.Series) -> tuple[str, ...]:
    counts = column.astype(object).dropna().map(str).value_counts()
    least = MIN_LEVEL_ROWS if len(column) >= 300 else 2
    frequent = counts[counts >= least].index[:MAX_LEVELS]
    return tuple(sorted(frequent))


def _varies(column: pd.Series) -> bool:
    with np.errstate(over="ignore"):
        values = quantity({"column": column}, "column").astype(np.float32)
    present = values[np.isfinite(values)]
    if not len(present):
        return False
    return bool(present.min() < present.max()) or len(present) < len(values)
