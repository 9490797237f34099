"""A 90 % interval for the event rate among rows scored alike, from predictions for rows not learnt from.

Around each score stands a window of the nearest rows holding enough contracts. The window's rate is taken as
the score plus the mean residual (so that the window's own slope does not bias it), its standard error from
residuals summed by contract (so that seven snapshots of a contract are not seven contracts). The two give an
effective number of rows, and with it Jeffreys' interval, which has its promised coverage near 0 and 1 too
(Brown, Cai & DasGupta 2001). The limits are then made monotone in the score.
"""

from dataclasses import dataclass

import numpy as np

from training.metrics import to_logit

LEVEL = 0.9
GRID = 41
LEAST_CONTRACTS = 60
SHARE = 0.15


@dataclass(frozen=True)
class Intervals:
    """Limits at points of the log-odds scale, linear in between, level beyond."""

    logits: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def at(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Limits (low, high) of probabilities (n,); the probability itself lies inside."""
        p = np.asarray(p, dtype=float)
        logit = to_logit(p)
        low = np.minimum(np.interp(logit, self.logits, self.low), p)
        high = np.maximum(np.interp(logit, self.logits, self.high), p)
        return low, high


def fit_intervals(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, level: float = LEVEL) -> Intervals:
    """Limits from probabilities p of rows not learnt from, their outcomes y and their contracts' codes, all
    (n,).
    """
    order = np.argsort(p, kind="stable")
    p, y, subjects = p[order], y[order], subjects[order]
    size = _window(subjects)
    middles = np.unique(np.linspace(0, len(p) - 1, GRID).astype(int))
    points, low, high = [], [], []
    for middle in middles:
        start = int(np.clip(middle - size // 2, 0, max(len(p) - size, 0)))
        near = slice(start, start + size)
        limits = _jeffreys(p[middle], p[near], y[near], subjects[near], level)
        points.append(float(to_logit(p[middle : middle + 1])[0]))
        low.append(limits[0])
        high.append(limits[1])
    return _monotone(np.array(points), np.array(low), np.array(high))


def _window(subjects: np.ndarray) -> int:
    """Rows in a window: 15 % of all, and at least 60 contracts' worth where there are as many."""
    n, contracts = len(subjects), len(np.unique(subjects))
    return min(n, int(np.ceil(n * max(SHARE, min(1.0, LEAST_CONTRACTS / contracts)))))


def _jeffreys(
    at: float, p: np.ndarray, y: np.ndarray, subjects: np.ndarray, level: float
) -> tuple[float, float]:
    from scipy.stats import beta

    residual = y - p
    bias = float(residual.mean())
    _, codes = np.unique(subjects, return_inverse=True)
    contracts = codes.max() + 1
    summed = np.bincount(codes, residual - bias)
    variance = float((summed**2).sum()) / len(y) ** 2 * contracts / max(contracts - 1, 1)
    rate = float(np.clip(at + bias, 0.25 / contracts, 1 - 0.25 / contracts))
    expected = float((p * (1 - p)).mean())
    independent = expected / contracts if expected > 0 else 0.25 / contracts
    # A few contracts can agree by chance; no window is worth more than twice its contracts.
    variance = max(variance, independent / 2)
    n = max(rate * (1 - rate) / variance, 1.0)
    tail = (1 - level) / 2
    good, bad = rate * n + 0.5, (1 - rate) * n + 0.5
    return float(beta.ppf(tail, good, bad)), float(beta.ppf(1 - tail, good, bad))


def _monotone(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> Intervals:
    points, first = np.unique(points, return_index=True)
    low, high = _rising(low[first]), _rising(high[first])
    return Intervals(tuple(points.tolist()), tuple(low.tolist()), tuple(high.tolist()))


def _rising(values: np.ndarray) -> np.ndarray:
    """The nearest non-decreasing sequence: the mean of the running maximum from below and minimum from
    above.
    """
    up = np.maximum.accumulate(values)
    down = np.minimum.accumulate(values[::-1])[::-1]
    return (up + down) / 2
