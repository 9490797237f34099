"""Which rows are trained on and which are judged on: forward in time and purged, or whole groups at random.

Forward: out of time, accounts on both sides, as in life. A row may be trained on only if its outcome was
known (`known_at`) when the first row judged was scored; the gap this leaves is the label's own horizon, as
in scikit-lego's TimeGapSplit. Grouped: out of space, all snapshots of a contract (undated: equal rows) on one
side.
"""

from dataclasses import dataclass

import numpy as np

from training.dataset import Dataset

LEAST_TRAIN = 15
LEAST_TEST = 8


@dataclass(frozen=True)
class Split:
    """Row positions to learn from and to judge on."""

    train: np.ndarray
    test: np.ndarray


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
    folds = [_counting(ds, _since(ds, start, end)) for start, end in zip(starts, ends, strict=True)]
    return [fold for fold in folds if is_usable(ds, fold)]


def blocked_folds(ds: Dataset, n: int = 5) -> list[Split]:
    """n spans of time, each judged by what all others teach, contracts seen on both sides left out of these.

    For dated data too short for forward folds: random ones would let a model tell the month a row is from by
    its neighbours, and call that a signal.
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
    return has_outcomes(ds, fold.train, LEAST_TRAIN) and has_outcomes(ds, fold.test, LEAST_TEST)


def has_outcomes(ds: Dataset, rows: np.ndarray, least: int) -> bool:
    """Whether rows that count hold so many contracts of either outcome.

    Of deals too young to tell only the won ones are known; such rows weigh nothing, and no model could be
    fitted on them.
    """
    rows = rows[ds.plain_weights[rows] > 0]
    return all(len(np.unique(ds.subjects[rows[ds.y[rows] == outcome]])) >= least for outcome in (0.0, 1.0))


def _since(ds: Dataset, start: np.datetime64, end: np.datetime64 | None) -> Split:
    as_of, known_at = _times(ds, "as_of"), ds.known_at
    judged = (as_of >= start) & (as_of < end) if end is not None else as_of >= start
    return Split(np.flatnonzero(known_at <= start), np.flatnonzero(judged))


def _counting(ds: Dataset, fold: Split) -> Split:
    """The fold less the rows that weigh nothing, of which one outcome alone is known."""
    counts = ds.plain_weights > 0
    return Split(fold.train[counts[fold.train]], fold.test[counts[fold.test]])


def _times(ds: Dataset, column: str) -> np.ndarray:
    return ds.snapshots[column].to_numpy(dtype="datetime64[us]")
