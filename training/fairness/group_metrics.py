"""Figures of a group of rows, with intervals: what parity compares.

Rates are fairlearn's. Their intervals are Wilson's, those of differences Newcombe's (1998, method 10), with
the number of distinct contracts as n, because snapshots of one contract are not independent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

FOUR_FIFTHS = 0.8


@dataclass(frozen=True)
class Rows:
    """Rows to compare, each (n,): `positive`, `selected` 0/1, the positive's `score`, `subjects` codes."""

    positive: np.ndarray
    selected: np.ndarray
    score: np.ndarray
    subjects: np.ndarray


@dataclass(frozen=True)
class Metric:
    """A group figure.

    Attributes:
        estimate: f(rows, weight) → the figure.
        base: which rows it is a figure of: `all`, `positive` or `negative`.
        limit: the least ratio to the rest, or the largest difference from it.
        by_ratio: whether the limit is a ratio; such a metric is better when higher.
        is_rate: a share of rows (Wilson), otherwise a mean (normal).
    """

    estimate: Callable[[Rows, np.ndarray], float]
    base: str
    limit: float
    by_ratio: bool
    is_rate: bool


def _fairlearn(name: str) -> Callable[[Rows, np.ndarray], float]:
    def estimate(rows: Rows, weight: np.ndarray) -> float:
        from fairlearn import metrics

        formula = getattr(metrics, name)
        return float(formula(rows.positive, rows.selected, sample_weight=weight, pos_label=1))

    return estimate


def _mean_score(rows: Rows, weight: np.ndarray) -> float:
    from fairlearn.metrics import mean_prediction

    return float(mean_prediction(rows.positive, rows.score, sample_weight=weight))


def _calibration(rows: Rows, weight: np.ndarray) -> float:
    """Observed less predicted rate of the positive."""
    return float(np.average(rows.positive - rows.score, weights=weight))


METRICS: dict[str, Metric] = {
    "selection rate": Metric(_fairlearn("selection_rate"), "all", FOUR_FIFTHS, True, True),
    "true positive rate": Metric(_fairlearn("true_positive_rate"), "positive", FOUR_FIFTHS, True, True),
    "false positive rate": Metric(_fairlearn("false_positive_rate"), "negative", 0.10, False, True),
    "calibration": Metric(_calibration, "all", 0.05, False, False),
    "mean score": Metric(_mean_score, "all", 0.10, False, False),
}


def spread(rows: Rows, metric: Metric, weight: np.ndarray) -> float:
    """The standard deviation of one contract's contribution."""
    if metric.is_rate:
        rate = float(np.average(rows.selected, weights=weight))
        return float(np.sqrt(max(rate * (1 - rate), 0.25 / len(rows.selected))))
    values = rows.score if metric.estimate is _mean_score else rows.positive - rows.score
    mean = np.average(values, weights=weight)
    return float(np.sqrt(np.average((values - mean) ** 2, weights=weight)))


def interval(value: float, spread: float, n: float, is_rate: bool, level: float) -> tuple[float, float]:
    """The interval of a rate (Wilson 1927) or of a mean (normal) over n contracts; `spread` is of one."""
    z = norm.ppf((1 + level) / 2)
    if not is_rate:
        return value - z * spread / np.sqrt(n), value + z * spread / np.sqrt(n)
    middle = (value + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(value * (1 - value) / n + z**2 / (4 * n**2))
    return float(max(middle - half, 0.0)), float(min(middle + half, 1.0))


def gap(
    metric: Metric,
    values: tuple[float, float],
    spreads: Sequence[float],
    sizes: tuple[float, float],
    level: float,
) -> tuple[float, float]:
    """The interval of a difference from the two intervals (Newcombe 1998)."""
    (low, high), (rest_low, rest_high) = (
        interval(value, spread, n, metric.is_rate, level)
        for value, spread, n in zip(values, spreads, sizes, strict=True)
    )
    here, there = values
    down = np.hypot(here - low, rest_high - there)
    up = np.hypot(high - here, there - rest_low)
    return float(here - there - down), float(here - there + up)
