"""Feature frames to numbers: columns and levels are fixed in training, so a row alone encodes as in a
batch.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

MAX_LEVELS = 60
MIN_LEVEL_ROWS = 5


@dataclass(frozen=True)
class Encoding:
    """The columns a model reads, in order, and the levels it knows of each category.

    Attributes:
        columns: k column names.
        levels: for each category column its known levels; a level's code is its place in the tuple.
    """

    columns: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]

    @property
    def types(self) -> list[str]:
        """XGBoost's feature types: `c` for categories, `q` for quantities."""
        return ["c" if name in self.levels else "q" for name in self.columns]

    def encode(self, X: pd.DataFrame) -> np.ndarray:
        """Rows as float32 (n, k): category codes and quantities, NaN where missing.

        A level not known from training and a column that is not there are missing; further columns are
        ignored.
        """
        out = np.full((len(X), len(self.columns)), np.nan, dtype=np.float32)
        for at, name in enumerate(self.columns):
            if name in X.columns:
                out[:, at] = self._category(X[name], name) if name in self.levels else _quantity(X[name])
        return out

    def absent(self, X: pd.DataFrame) -> list[str]:
        """The columns the model reads which X does not have."""
        return [name for name in self.columns if name not in X.columns]

    def _category(self, column: pd.Series, name: str) -> np.ndarray:
        known = pd.Index(self.levels[name])
        if isinstance(column.dtype, pd.CategoricalDtype):
            place = known.get_indexer(column.cat.categories.astype(str)).astype(np.float32)
            codes = np.append(place, -1)[column.cat.codes.to_numpy()]
        else:
            text = column.astype(object).where(column.notna(), None)
            words = pd.Index([None if value is None else str(value) for value in text], dtype=object)
            codes = known.get_indexer(words).astype(np.float32)
        return np.where(codes < 0, np.nan, codes)


def learn_encoding(X: pd.DataFrame) -> Encoding:
    """The encoding of a training frame.

    Levels seen on fewer than 5 rows (in small data 2), and all beyond the 60 most frequent, are treated as
    unknown: a rate learnt from them is noise. Columns with a single value tell nothing and are left out.
    """
    columns: list[str] = []
    levels: dict[str, tuple[str, ...]] = {}
    for name in X.columns:
        column = X[name]
        if not pd.api.types.is_numeric_dtype(column):
            known = _levels(column)
            if len(known) > 1 or (len(known) == 1 and column.isna().any()):
                columns.append(str(name))
                levels[str(name)] = known
        elif _varies(column):
            columns.append(str(name))
    return Encoding(tuple(columns), levels)


def _levels(column: pd.Series) -> tuple[str, ...]:
    counts = column.astype(object).dropna().map(str).value_counts()
    least = MIN_LEVEL_ROWS if len(column) >= 300 else 2
    frequent = counts[counts >= least].index[:MAX_LEVELS]
    return tuple(sorted(frequent))


def _varies(column: pd.Series) -> bool:
    values = _quantity(column)
    present = values[~np.isnan(values)]
    if not len(present):
        return False
    return bool(present.min() < present.max()) or len(present) < len(values)


def _quantity(column: pd.Series) -> np.ndarray:
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and infinite is missing
        values = values.astype(np.float32)
    return np.where(np.isfinite(values), values, np.nan)
