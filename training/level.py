"""The level of outcomes from one span of time to the next: how far models missed it, and what comes next.

A model fitted on what came before misses the level of the next span by luck and by drift. Drift lasts, luck
does not: the misses are read as a state that returns to nought (a model learns from each span in turn) and
is pushed anew in each span, seen with the error of counted outcomes; Kalman's filter gives the next one.
How strongly it is pushed is not known and averaged over.
"""

from dataclasses import dataclass

import numpy as np

from training.metrics import to_logit, to_probability

USUAL_SHIFT = 0.3
"""Scale of the half-normal prior of a span's push in log-odds: a rate of 80 % moves by some five points."""
LASTS = 0.8
"""The part of a miss that is left in the next span, when later models have learnt from some of it."""
SIZES = np.linspace(0.005, 1.2, 240)


@dataclass(frozen=True)
class Level:
    """What is to be expected of the next span, in log-odds.

    Attributes:
        shift: to be added to what the model says; 0 unless it is larger than its own standard error.
        variance: of the next span's miss after that.
    """

    shift: float
    variance: float


@dataclass(frozen=True)
class Misses:
    """By how many log-odds outcomes lay above what was said, for each span (k,), with their variances (k,).

    `levelled` are the probabilities (n,) with their own span's miss mended.
    """

    miss: np.ndarray
    variance: np.ndarray
    levelled: np.ndarray


def misses(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, period: np.ndarray) -> Misses:
    """How each span's level was missed.

    Args:
        p: (n,) probabilities of rows not learnt from.
        y: (n,) outcomes.
        subjects: (n,) codes of contracts or deals, whose rows share their luck.
        period: (n,) spans, numbered in time's order.
    """
    levelled = np.array(p, dtype=float)
    found, variances = [], []
    for mark in np.unique(period):
        at = period == mark
        residual, weight = y[at] - p[at], max(float((p[at] * (1 - p[at])).sum()), 1e-9)
        _, subject = np.unique(subjects[at], return_inverse=True)
        found.append(residual.sum() / weight)
        variances.append(max(float((np.bincount(subject, residual) ** 2).sum()) / weight**2, 1e-9))
        levelled[at] = to_probability(to_logit(p[at]) + found[-1])
    return Misses(np.array(found), np.array(variances), levelled)


def next_level(seen: Misses) -> Level:
    """The next span's level after those seen."""
    mean, spread = np.zeros_like(SIZES), np.zeros_like(SIZES)
    log_odds = -0.5 * (SIZES / USUAL_SHIFT) ** 2
    for miss, variance in zip(seen.miss, seen.variance, strict=True):
        mean, spread = LASTS * mean, LASTS**2 * spread + SIZES**2
        surprise, total = miss - mean, spread + variance
        log_odds -= 0.5 * (np.log(total) + surprise**2 / total)
        mean, spread = mean + spread / total * surprise, spread * variance / total
    mean, spread = LASTS * mean, LASTS**2 * spread + SIZES**2
    chance = np.exp(log_odds - log_odds.max())
    chance /= chance.sum()
    shift = float(chance @ mean)
    variance = float(chance @ (spread + mean**2)) - shift**2
    if abs(shift) <= np.sqrt(variance):
        return Level(0.0, variance + shift**2)
    return Level(shift, variance)
