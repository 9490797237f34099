"""Trials race over the folds: curves read every few trees, and whoever is behind the best one drops out.

A trial is judged two folds at a time. Its losses are compared with the best trial's row by row, so that what
makes a row hard counts for both, and the trial ends once it is behind by more than a standard error (the
idea of Hoeffding races, Maron & Moore 1994, with paired differences clustered by contract).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import xgboost as xgb

from training.base_rate import level_with
from training.boosting import MAX_TREES, booster_params, matrix, threads_for
from training.split import Split
from training.training_rows import Rows

STRIDE = 10
"""Trees between two readings: a reading costs as much as growing a tree, and ten trees change little."""
PATIENCE = 3
"""Readings without a lower loss after which no more trees are grown."""
ABREAST = 2
TINY = 1e-12
"""A fold whose judged rows all weigh nothing says nothing."""
BEHIND = 1.0
"""Standard errors by which a trial may trail the best one."""


@dataclass(frozen=True)
class Run:
    """How far a trial came: its mean log loss and its number of trees, on all folds or on those until it fell
    behind.

    Attributes:
        loss: mean of the folds' log losses.
        rounds: trees with which it is lowest.
        by_fold: each fold's losses (n,) at that number.
        is_behind: dropped out before the last fold.
    """

    loss: float
    rounds: int
    by_fold: list[np.ndarray] = field(repr=False)
    is_behind: bool = False


class Race:
    """Trials over the same folds; rows are sampled and binned once for all of them."""

    def __init__(self, rows: Rows, folds: list[Split], *, seed: int, threads: int) -> None:
        self.rows = rows
        self.folds = [replace(fold, train=rows.then(fold).sample(fold.train, seed)) for fold in folds]
        self.seed, self.threads = seed, threads
        self.inner = threads_for(rows.E.size, max(1, threads // ABREAST))
        self.best: Run | None = None
        self._binned: dict[tuple[int, str], _Binned] = {}

    def run(self, params: dict[str, Any], report: Callable[[float, int], None]) -> Run:
        """Grow a trial's trees, two folds at a time.

        Args:
            params: of the trial.
            report: given the mean loss so far and the number of folds behind it.
        """
        curves: list[np.ndarray] = []
        for first in range(0, len(self.folds), ABREAST):
            pair = range(first, min(first + ABREAST, len(self.folds)))
            grown = max(map(len, curves), default=0)
            with ThreadPoolExecutor(min(self.threads, ABREAST)) as pool:
                curves += pool.map(partial(self._curve, params, grown), pair)
            run = self._so_far(curves)
            report(run.loss, len(curves))
            if len(curves) < len(self.folds) and self._is_behind(run):
                return Run(run.loss, run.rounds, run.by_fold, is_behind=True)
        if self.best is None or run.loss < self.best.loss:
            self.best = run
        return run

    def _curve(self, params: dict[str, Any], grown: int, number: int) -> np.ndarray:
        key = number, params["features"]
        if key not in self._binned:
            self._binned[key] = _fold_matrices(self.rows, self.folds[number], params["features"], self.inner)
        fold = self._binned[key]
        directions = [self.rows.directions[column] for column in fold.columns]
        settings = booster_params(params, directions, seed=self.seed, threads=self.inner)
        return _curve(settings, fold, least=grown)

    def _so_far(self, curves: list[np.ndarray]) -> Run:
        """The trial with the trees that are best for the mean of the folds, so none stops by its own
        outcome.
        """
        length = min(map(len, curves))
        weights = [self.rows.weight[fold.test] for fold in self.folds]
        means = [
            curve[:length] @ weight / max(weight.sum(), TINY)
            for curve, weight in zip(curves, weights, strict=False)
        ]
        mean = np.mean(means, axis=0)
        at = int(mean.argmin())
        return Run(float(mean[at]), STRIDE * (at + 1), [curve[at] for curve in curves])

    def _is_behind(self, run: Run) -> bool:
        if self.best is None:
            return False
        means, variances = [], []
        for fold, losses, best in zip(self.folds, run.by_fold, self.best.by_fold, strict=False):
            behind = (
                (losses - best) * self.rows.weight[fold.test] / max(self.rows.weight[fold.test].sum(), TINY)
            )
            means.append(behind.sum())
            by_contract = np.bincount(self.rows.subjects[fold.test], behind - behind.mean())
            variances.append((by_contract**2).sum())
        return bool(np.sum(means) > BEHIND * np.sqrt(np.sum(variances)))


@dataclass(frozen=True)
class _Binned:
    """A fold's rows for one feature choice: those to learn from binned, those to judge as they are, and
    what the outcomes of these are worth.
    """

    columns: np.ndarray
    train: xgb.QuantileDMatrix
    test: np.ndarray
    y: np.ndarray
    worth: np.ndarray


def _fold_matrices(rows: Rows, fold: Split, choice: str, threads: int) -> _Binned:
    then = rows.then(fold)
    columns = then.read(choice, fold.train)
    types = [rows.types[c] for c in columns]
    train, test = then.for_training(fold.train), then.for_judging(fold)
    binned = matrix(
        train[:, columns],
        then.y[fold.train],
        then.weights_of(fold.train),
        types,
        threads=threads,
        offered=then.offered(choice, fold.train),
    )
    judged = np.ascontiguousarray(test[:, columns])
    return _Binned(columns, binned, judged, rows.y[fold.test], rows.information[fold.test])


def _curve(settings: dict[str, Any], fold: _Binned, least: int) -> np.ndarray:
    """(readings, n) losses of the judged rows after every `STRIDE` trees, their level mended, as float32.

    Growing ends once the mean has not fallen for a while, but not before `least` readings.
    """
    booster = xgb.Booster(settings, [fold.train])
    sign = np.where(fold.y > 0, np.float32(-1), np.float32(1))
    curve: list[np.ndarray] = []
    means: list[float] = []
    for grown in range(STRIDE, MAX_TREES + 1, STRIDE):
        for tree in range(grown - STRIDE, grown):
            booster.update(fold.train, tree)
        margin = booster.inplace_predict(fold.test, iteration_range=(0, grown), predict_type="margin")
        if np.ptp(fold.y):  # the fold's own level is taken out: its drift would ask for timid trees
            margin = margin + np.float32(level_with(fold.y, margin.astype(float), fold.worth))
        curve.append(np.logaddexp(np.float32(0), sign * margin))
        means.append(float(np.average(curve[-1], weights=fold.worth)))
        if len(means) >= least and len(means) - 1 - int(np.argmin(means)) >= PATIENCE:
            break
    return np.array(curve)
