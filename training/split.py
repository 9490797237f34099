"""Which rows are trained on and which are judged on: forward in time and purged, or whole groups at random.

Forward: out of time, accounts on both sides, as in life. A row teaches only what was known (`known_at`) when
the first row judged was scored: a contract its outcome, so that the label's horizon lies between, as in
scikit-lego's TimeGapSplit; a deal also that it was still open. Grouped: out of space, all snapshots of a
contract (undated: equal rows) on one side.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from training.dataset import Dataset

FOLDS = 5
LEAST_TRAIN = 15
LEAST_TEST = 8


@dataclass(frozen=True)
class Labels:
    """What n rows teach at an earlier day: a label, its weight to learn by, its worth (see `Dataset`)."""

    y: np.ndarray
    weight: np.ndarray
    information: np.ndarray


@dataclass(frozen=True)
class Split:
    """Row positions to learn from and to judge on, and what all rows teach then; None: as they do now."""

    train: np.ndarray
    test: np.ndarray
    then: Labels | None = None


def forward_split(ds: Dataset, test_share: float = 0.25) -> Split:
    """The last `test_share` of the rows by as_of for judging; before it, what had matured by then for
    learning.
    """
    as_of = _times(ds, "as_of")[ds.is_settled]
    if not len(as_of):
        return Split(np.zeros(0, int), np.zeros(0, int))
    start = np.sort(as_of)[int(len(as_of) * (1 - test_share))]
    split = _since(ds, start, None)
    return Split(split.train, split.test[ds.is_settled[split.test]])


def forward_folds(ds: Dataset, n: int = 4, first_share: float = 0.4) -> list[Split]:
    """Up to n expanding forward folds: the rows after the first `first_share`, cut into n spans of time.

    Folds with too few contracts of either outcome to learn from or judge on are left out.
    """
    as_of = np.sort(_times(ds, "as_of"))
    places = (len(as_of) * (first_share + (1 - first_share) * np.arange(n) / n)).astype(int)
    starts = np.unique(as_of[places])
    ends = [*starts[1:], None]
    folds = [_counting(ds, _then(ds, start, end)) for start, end in zip(starts, ends, strict=True)]
    return [fold for fold in folds if is_usable(ds, fold)]


def blocked_folds(ds: Dataset, n: int = 5) -> list[Split]:
    """n spans of time, each judged by what all others teach, contracts seen on both sides left out of these.

    For dated data too short for forward folds: with random ones a model could infer a row's month from its
    neighbours, and that would pass for signal.
    """
    as_of = _times(ds, "as_of")
    edges = np.unique(np.sort(as_of)[(len(as_of) * np.arange(1, n) / n).astype(int)])
    block = np.searchsorted(edges, as_of, side="right")
    folds = []
    for at in np.unique(block):
        test = np.flatnonzero(block == at)
        shared = np.isin(ds.together, ds.together[test])
        folds.append(_counting(ds, Split(np.flatnonzero((block != at) & ~shared), test)))
    return [fold for fold in folds if is_usable(ds, fold)]


def grouped_folds(ds: Dataset, n: int = 5, repeats: int = 1, seed: int = 0) -> list[Split]:
    """n random folds, `repeats` times over, that never part rows which belong together; outcomes dealt
    evenly.
    """
    _, codes = np.unique(ds.together, return_inverse=True)
    rate = np.bincount(codes, ds.y) / np.bincount(codes)
    folds = []
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        order = np.lexsort((rng.random(len(rate)), rate > 0.5))
        fold_of = np.empty(len(rate), dtype=int)
        fold_of[order] = np.arange(len(rate)) % n
        placed = fold_of[codes]
        folds += [Split(np.flatnonzero(placed != k), np.flatnonzero(placed == k)) for k in range(n)]
    return folds


def cluster_folds(cluster: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each row (n,): whole clusters dealt out at random in about equal numbers.

    Args:
        cluster: the cluster of each row (n,), as its account; the order of rows changes nothing.
        folds: how many, from 0 on.
        seed: of the deal.
    """
    clusters, codes = np.unique(cluster, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(clusters)) % folds)[codes]


def is_usable(ds: Dataset, fold: Split) -> bool:
    """Whether a fold has enough contracts of either outcome on both sides."""
    return has_outcomes(ds, fold.train, LEAST_TRAIN, fold.then) and has_outcomes(ds, fold.test, LEAST_TEST)


def has_outcomes(ds: Dataset, rows: np.ndarray, least: int, then: Labels | None = None) -> bool:
    """Whether rows hold what so many decided contracts or deals of either outcome are worth."""
    y, worth = (ds.y, ds.worth) if then is None else (then.y, then.information)
    held = pd.Series(worth[rows]).groupby([y[rows], ds.subjects[rows]]).max()
    return all(held[held.index.get_level_values(0) == outcome].sum() >= least for outcome in (0.0, 1.0))


def may_judge(ds: Dataset) -> np.ndarray:
    """(n,) rows to judge on: whose horizon is over, or where that leaves too few, whose outcome is known."""
    settled = ds.is_settled & ds.is_known
    return settled if has_outcomes(ds, np.flatnonzero(settled), LEAST_TEST) else ds.is_known


def _since(ds: Dataset, start: np.datetime64, end: np.datetime64 | None) -> Split:
    as_of, known_at = _times(ds, "as_of"), ds.known_at
    judged = (as_of >= start) & (as_of < end) if end is not None else as_of >= start
    taught = known_at <= start if ds.until is None else as_of < start
    return Split(np.flatnonzero(taught), np.flatnonzero(judged))


def _then(ds: Dataset, start: np.datetime64, end: np.datetime64 | None) -> Split:
    """Such a split with what its rows taught at `start`."""
    split = _since(ds, start, end)
    if ds.until is None:
        return split
    part = ds.take(split.train, start)
    each = []
    for values in (part.y, part.weights, part.worth):
        each.append(np.zeros(len(ds)))
        each[-1][split.train] = values
    return replace(split, then=Labels(*each))


def _counting(ds: Dataset, fold: Split) -> Split:
    """The fold less the rows that teach nothing: deals that opened just now."""
    worth = ds.worth if fold.then is None else fold.then.information
    return replace(fold, train=fold.train[worth[fold.train] > 0], test=fold.test[ds.worth[fold.test] > 0])


def _times(ds: Dataset, column: str) -> np.ndarray:
    return ds.snapshots[column].to_numpy(dtype="datetime64[us]")
