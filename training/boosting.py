"""Gradient boosted trees on encoded rows, held as an XGBoost booster and nothing else."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xgboost as xgb

from training.tree_lookup import Lookup, lookup, margins
from training.treeshap import Tables, tables

MAX_TREES = 300
THREADED_CELLS = 3_000_000
MAX_BIN = 32
FEW_ROWS = 64
MANY_ROWS = 500
DEFAULT: dict[str, Any] = {
    "max_depth": 3,
    "learning_rate": 0.06,
    "min_child_weight": 5.0,
    "reg_lambda": 5.0,
    "reg_alpha": 0.1,
    "gamma": 0.1,
    "subsample": 0.8,
    "colsample_bytree": 0.6,
    "max_cat_to_onehot": 8,
    "monotone": False,
}
CAUTIOUS: dict[str, Any] = {
    **DEFAULT,
    "min_child_weight": 30.0,
    "reg_lambda": 30.0,
    "reg_alpha": 1.0,
    "subsample": 0.7,
    "colsample_bytree": 0.4,
}
LIBRARY_DEFAULT: dict[str, Any] = {"max_depth": 6, "learning_rate": 0.3, "max_bin": 256}
LIBRARY_DEFAULT_ROUNDS = 100


@dataclass(frozen=True)
class Trees:
    """A fitted booster and which of the encoded columns it reads."""

    booster: xgb.Booster
    columns: np.ndarray

    @cached_property
    def tables(self) -> Tables:
        """What exact contributions are looked up in; worked out when first asked for."""
        return tables(self.booster)

    def margin(self, E: np.ndarray) -> np.ndarray:
        """Log-odds (n,) of encoded rows (n, k)."""
        if not len(E):
            return np.empty(0)
        read = np.ascontiguousarray(E[:, self.columns])
        booster = self._alone if len(E) <= FEW_ROWS else self.booster
        return booster.inplace_predict(read, predict_type="margin").astype(float)

    def margin_of_many(self, E: np.ndarray) -> np.ndarray:
        """`margin`, to the bit; quicker for many rows, once its tables are made in a tenth of a second."""
        if len(E) < MANY_ROWS or self._lookup is None:
            return self.margin(E)
        return margins(self._lookup, np.ascontiguousarray(E.T[self.columns])).astype(float)

    def warm(self) -> None:
        """Work out now what the first rows would wait for: a second for a few hundred trees."""
        _ = self.tables, self._lookup, self._alone

    @cached_property
    def _lookup(self) -> Lookup | None:
        return lookup(self.booster)

    @cached_property
    def _alone(self) -> xgb.Booster:
        """The same booster on one core: waiting for threads takes longer than a few rows do."""
        booster = self.booster.copy()
        booster.set_param({"nthread": 1})
        return booster


def threads_for(cells: int, threads: int) -> int:
    """Cores for one fit: below some million cells handing work to threads costs more than it saves."""
    return threads if cells > THREADED_CELLS else 1


def matrix(
    E: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    types: list[str],
    *,
    threads: int,
    max_bin: int = MAX_BIN,
    offered: np.ndarray | None = None,
) -> xgb.QuantileDMatrix:
    """Rows binned once, to be boosted on many times; `offered`: weights of columns where some are sampled."""
    with xgb.config_context(nthread=threads):  # labels and weights are else checked by every core there is
        return xgb.QuantileDMatrix(
            E,
            y,
            weight=weight,
            feature_weights=offered,
            feature_types=types,
            enable_categorical=True,
            max_bin=max_bin,
            nthread=threads,
        )


def booster_params(
    params: dict[str, Any], directions: list[int], *, seed: int, threads: int
) -> dict[str, Any]:
    """XGBoost's parameters from ours: `monotone` becomes constraints from the features' declared
    directions.
    """
    ours = {"monotone", "features"}
    out = {name: value for name, value in params.items() if name not in ours}
    if params.get("monotone") and any(directions):
        out["monotone_constraints"] = tuple(directions)
    return {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "seed": seed,
        "nthread": threads,
        "verbosity": 0,
        "max_bin": MAX_BIN,
        **out,
    }


def fit_trees(
    E: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    types: list[str],
    directions: list[int],
    params: dict[str, Any],
    rounds: int,
    *,
    columns: np.ndarray | None = None,
    offered: np.ndarray | None = None,
    seed: int = 0,
    threads: int = 1,
) -> Trees:
    """Boost `rounds` trees over the chosen columns (all by default).

    Args:
        E: (n, k) encoded rows.
        y: (n,) outcomes.
        weight: (n,) row weights.
        types: `c` or `q` for each column.
        directions: −1, 0 or 1 for each column, read where `params["monotone"]`.
        params: XGBoost's own, with `monotone`.
        rounds: trees.
        columns: positions of the columns read.
        offered: weights by which each tree's columns are sampled; None for all alike.
        seed: of row and column sampling.
        threads: cores used.
    """
    columns = np.arange(E.shape[1]) if columns is None else columns
    settings = booster_params(params, [directions[c] for c in columns], seed=seed, threads=threads)
    data = matrix(
        E[:, columns],
        y,
        weight,
        [types[c] for c in columns],
        threads=threads,
        max_bin=settings["max_bin"],
        offered=offered,
    )
    return Trees(xgb.train(settings, data, num_boost_round=rounds), columns)
