"""A 90 % interval for the event rate among rows scored alike, from predictions for held-out rows.

Around each score stands a window of the nearest rows holding enough contracts. The rate there is the score
plus the window's mean residual (so that the window's own slope does not bias it), made to rise with the
score. How sure that is comes from drawing contracts, not snapshots, with replacement: the variance gives an
effective number of rows, and with it Jeffreys' interval, which keeps its coverage near 0 and 1 too (Brown,
Cai & DasGupta 2001).

Rows judged in spans of time show one thing more: by how much a model fitted on what came before misses the
level of the next span. Each span's own miss is taken out, as later models have trained on
it, and how unsure the next one is widens the interval: a prediction interval for the next span, as in
random-effects meta-analysis (Higgins, Thompson & Spiegelhalter 2009).

The level of outcomes from one span of time to the next: how far models missed it, and what comes next.

A model fitted on what came before misses the level of the next span by luck and by drift. Drift lasts, luck
does not: the misses are read as a state that returns to zero (a model learns from each span in turn) and
is pushed anew in each span, seen with the error of counted outcomes; Kalman's filter gives the next one.
How strongly it is pushed is not known and averaged over.
"""

from dataclasses import dataclass

import numpy as np

from training.metrics import to_logit, to_probability

USUAL_SHIFT = 0.3
"""Scale of the half-normal prior of a span's push in log-odds: a rate of 80 % moves by some five points."""
LASTS = 0.8
"""The part of a miss that is left in the next span, when later models have trained on some of it."""
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
        p: (n,) probabilities of held-out rows.
        y: (n,) outcomes.
        subjects: (n,) codes of contracts or deals, whose rows share their luck.
        period: (n,) spans, numbered in time's order.
    """
    levelled = np.array(p, dtype=float)
    residuals, variances = [], []
    for mark in np.unique(period):
        at = period == mark
        residual, weight = y[at] - p[at], max(float((p[at] * (1 - p[at])).sum()), 1e-9)
        _, subject = np.unique(subjects[at], return_inverse=True)
        residuals.append(residual.sum() / weight)
        variances.append(max(float((np.bincount(subject, residual) ** 2).sum()) / weight**2, 1e-9))
        levelled[at] = to_probability(to_logit(p[at]) + residuals[-1])
    return Misses(np.array(residuals), np.array(variances), levelled)


def next_level(past: Misses) -> Level:
    """The next span's level after those seen."""
    mean, spread = np.zeros_like(SIZES), np.zeros_like(SIZES)
    log_odds = -0.5 * (SIZES / USUAL_SHIFT) ** 2
    for miss, variance in zip(past.miss, past.variance, strict=True):
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


LEVEL = 0.9
GRID = 41
LEAST_CONTRACTS = 60
SHARE = 0.15
DRAWS = 200


@dataclass(frozen=True)
class Intervals:
    """Limits at points of the log-odds scale, linear in between, level beyond."""

    logits: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def limits(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Limits (low, high) of the rate among rows scored p (n,), as past outcomes alone have them."""
        logit = to_logit(np.asarray(p, dtype=float))
        return np.interp(logit, self.logits, self.low), np.interp(logit, self.logits, self.high)

    def at(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Those limits, widened where need be to hold the probability itself, which is an estimate too."""
        low, high = self.limits(p)
        return np.minimum(low, p), np.maximum(high, p)


def fit_intervals(
    p: np.ndarray,
    y: np.ndarray,
    subjects: np.ndarray,
    period: np.ndarray | None = None,
    shift: float = 0.0,
    level: float = LEVEL,
    seed: int = 0,
) -> Intervals:
    """Limits from held-out rows.

    Args:
        p: (n,) probabilities.
        y: (n,) outcomes.
        subjects: (n,) codes of contracts or deals.
        period: (n,) the span of time each row was judged in; None where time has no say.
        shift: log-odds that what is served adds to these probabilities.
        level: what the limits promise.
        seed: of the draws.
    """
    order = np.argsort(p, kind="stable")
    p, y = p[order], y[order]
    _, contract = np.unique(subjects[order], return_inverse=True)
    expected, drift, served = p, 0.0, to_probability(to_logit(p) + shift)
    if period is not None:
        past = misses(p, y, contract, period[order])
        coming = next_level(past)
        expected, drift = past.levelled, coming.variance + (coming.shift - shift) ** 2
    middle = np.unique(np.linspace(0, len(p) - 1, GRID).astype(int))
    size = _window(contract)
    start = np.clip(middle - size // 2, 0, len(p) - size)
    residual = y - expected
    rate = _rates(served, residual, np.ones(len(p)), middle, start, size)
    rng = np.random.default_rng(seed)
    n = contract.max() + 1
    drawn = []
    for _ in range(DRAWS):
        weight = np.bincount(rng.integers(0, n, n), minlength=n)[contract].astype(float)
        drawn.append(_rates(served, residual, weight, middle, start, size))
    variance = np.var(drawn, axis=0) + drift * (rate * (1 - rate)) ** 2
    contracts = np.array([len(np.unique(contract[at : at + size])) for at in start])
    low, high = _jeffreys(rate, variance, contracts, level)
    logits, first = np.unique(to_logit(served[middle]), return_index=True)
    low, high = _rising(low[first]), _rising(high[first])
    return Intervals(tuple(logits.tolist()), tuple(low.tolist()), tuple(high.tolist()))


def _window(contract: np.ndarray) -> int:
    """Rows in a window: 15 % of all, and at least 60 contracts' worth where there are as many."""
    n, contracts = len(contract), contract.max() + 1
    return min(n, int(np.ceil(n * max(SHARE, min(1.0, LEAST_CONTRACTS / contracts)))))


def _rates(
    p: np.ndarray, residual: np.ndarray, weight: np.ndarray, middle: np.ndarray, start: np.ndarray, size: int
) -> np.ndarray:
    """The rate at each window's middle, rising."""
    total = np.concatenate([[0.0], np.cumsum(weight * residual)])
    count = np.concatenate([[0.0], np.cumsum(weight)])
    bias = (total[start + size] - total[start]) / np.maximum(count[start + size] - count[start], 1.0)
    return _rising(np.clip(p[middle] + bias, 0.0, 1.0))


def _jeffreys(
    rate: np.ndarray, variance: np.ndarray, contracts: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Limits of rates with these variances; no window is worth more than three times its contracts."""
    from scipy.stats import beta

    rate = np.clip(rate, 0.25 / contracts, 1 - 0.25 / contracts)
    spread = rate * (1 - rate)
    n = spread / np.maximum(variance, spread / (3 * contracts))
    tail = (1 - level) / 2
    good, bad = rate * n + 0.5, (1 - rate) * n + 0.5
    return beta.ppf(tail, good, bad), beta.ppf(1 - tail, good, bad)


def _rising(values: np.ndarray) -> np.ndarray:
    """The nearest non-decreasing sequence: the mean of the running maximum from below and minimum from
    above.
    """
    up = np.maximum.accumulate(values)
    down = np.minimum.accumulate(values[::-1])[::-1]
    return (up + down) / 2
