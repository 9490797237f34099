"""What an experiment shows at each look: the effect of being drawn (intention to treat) and of being treated.

The effect of being drawn is the coefficient of the arm in a regression of the outcome on arm and stratum,
subjects weighing alike, its variance robust to clusters (Liang & Zeger 1986; Abadie, Athey, Imbens &
Wooldridge 2023: the level at which the draw was made). The effect of being treated, on those who are treated
where drawn and not else, divides it by the effect on treatment (Imbens & Angrist 1994); its interval holds
all effects β for which outcome − β × treatment shows no effect of the draw (Anderson & Rubin 1949), so that
it is honest where few follow the draw.
"""

from dataclasses import dataclass

import numpy as np

from training.effects.always_valid import half_width

LEAST_CLUSTERS = 30
"""In each arm: the normal law of the estimate is not relied on before."""
GRID = np.linspace(-1.0, 1.0, 2_001)


@dataclass(frozen=True)
class Outcomes:
    """n subjects whose outcome is known, arrays of one length.

    Attributes:
        cluster: codes of what was drawn as one.
        drawn: 1 where drawn for the advice, 0 for usual practice; one value a cluster.
        stratum: codes; one value a cluster.
        known_on: whole numbers, the day from which the outcome counts.
        y: 1 for the good outcome, 0 for the other.
        treated: 1 where treated as advised, whatever was drawn.
    """

    cluster: np.ndarray
    drawn: np.ndarray
    stratum: np.ndarray
    known_on: np.ndarray
    y: np.ndarray
    treated: np.ndarray


@dataclass(frozen=True)
class Path:
    """(T,) at each look: effects of the draw on outcome and on treatment, their variances and covariance.

    NaN before there are 30 clusters in each arm. `subjects` and `clusters` are (T, 2): usual, advised.
    """

    days: np.ndarray
    effect: np.ndarray
    variance: np.ndarray
    uptake: np.ndarray
    uptake_variance: np.ndarray
    covariance: np.ndarray
    subjects: np.ndarray
    clusters: np.ndarray


def path(outcomes: Outcomes, days: np.ndarray, least: int = LEAST_CLUSTERS) -> Path:
    """The estimates as they stood on each of `days`, ascending whole numbers."""
    codes, first, cluster = np.unique(outcomes.cluster, return_index=True, return_inverse=True)
    drawn, stratum = outcomes.drawn[first].astype(float), outcomes.stratum[first].astype(int)
    order = np.argsort(outcomes.known_on, kind="stable")
    ends = np.searchsorted(outcomes.known_on[order], days, side="right")
    sums = np.zeros((3, len(codes)))  # subjects, good outcomes, treated, by cluster
    figures = np.full((len(days), 5), np.nan)
    subjects, clusters = np.zeros((len(days), 2)), np.zeros((len(days), 2))
    start = 0
    for look, end in enumerate(ends):
        new = order[start:end]
        for row, values in enumerate((np.ones(len(new)), outcomes.y[new], outcomes.treated[new])):
            sums[row] += np.bincount(cluster[new], values, minlength=len(codes))
        start = end
        there = sums[0] > 0
        arms = np.array([there & (drawn == 0), there & (drawn == 1)])
        subjects[look], clusters[look] = arms @ sums[0], arms.sum(axis=1)
        if clusters[look].min() >= least:
            figures[look] = _estimates(sums, drawn, stratum)
    effect, variance, uptake, uptake_variance, covariance = figures.T
    return Path(np.asarray(days), effect, variance, uptake, uptake_variance, covariance, subjects, clusters)


def _estimates(sums: np.ndarray, drawn: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """(5,) effect, variance, uptake, its variance, their covariance, from sums (3, clusters)."""
    n = sums[0]
    size = np.maximum(np.bincount(stratum, n), 1e-12)
    a = drawn - (np.bincount(stratum, n * drawn) / size)[stratum]
    scale = float(n @ a**2)
    if scale <= 0:
        return np.full(5, np.nan)
    centred = (
        sums[1:] - n * np.array([np.bincount(stratum, values) / size for values in sums[1:]])[:, stratum]
    )
    effects = centred @ a / scale
    influence = a * (centred - effects[:, None] * n * a) / scale
    count = float((n > 0).sum())
    (vy, cov), (_, vd) = influence @ influence.T * count / (count - 1)
    return np.array([effects[0], vy, effects[1], vd, cov])


def treated_interval(estimates: Path, look: int, mixing: float, level: float) -> tuple[float, float, float]:
    """The effect of treatment on those who follow the draw: estimate, low, high; NaN: not estimable."""
    effect, uptake = estimates.effect[look], estimates.uptake[look]
    left = effect - GRID * uptake
    variance = (
        estimates.variance[look]
        - 2 * GRID * estimates.covariance[look]
        + GRID**2 * estimates.uptake_variance[look]
    )
    inside = GRID[np.abs(left) <= half_width(variance, mixing, level)]
    is_known = np.isfinite(effect) and len(inside) > 0
    if not is_known:
        return np.nan, np.nan, np.nan
    estimate = float(np.clip(effect / uptake, -1, 1)) if uptake > 0 else np.nan
    return estimate, float(inside.min()), float(inside.max())
