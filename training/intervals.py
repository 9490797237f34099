"""A 90 % interval for the event rate among rows scored alike, from predictions for rows not trained on.

Around each score stands a window of the nearest rows holding enough contracts. The rate there is the score
plus the window's mean residual (so that the window's own slope does not bias it), made to rise with the
score. How sure that is comes from drawing contracts, not snapshots, with replacement: the variance gives an
effective number of rows, and with it Jeffreys' interval, which keeps its coverage near 0 and 1 too (Brown,
Cai & DasGupta 2001).

How unsure the level of the next span is (`training.base_rate`) widens the interval: a prediction interval for
the next span, as in random-effects meta-analysis (Higgins, Thompson & Spiegelhalter 2009). Each span's own
level is taken out of its residuals, so that past drift is not taken for a bias of the scores.
"""

from dataclasses import dataclass

import numpy as np

from training.metrics import to_logit

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
    expected: np.ndarray | None = None,
    drift: float = 0.0,
    level: float = LEVEL,
    seed: int = 0,
) -> Intervals:
    """Limits from rows not trained on.

    Args:
        p: (n,) probabilities as they would be served.
        y: (n,) outcomes.
        subjects: (n,) codes of contracts or deals.
        expected: (n,) the same at the level of each row's own span; None: p.
        drift: variance of the next span's level, in log-odds.
        level: what the limits promise.
        seed: of the draws.
    """
    expected = p if expected is None else expected
    order = np.argsort(p, kind="stable")
    p, residual = p[order], y[order] - expected[order]
    _, contract = np.unique(subjects[order], return_inverse=True)
    middle = np.unique(np.linspace(0, len(p) - 1, GRID).astype(int))
    size = _window(contract)
    start = np.clip(middle - size // 2, 0, len(p) - size)
    rate = _rates(p, residual, np.ones(len(p)), middle, start, size)
    rng = np.random.default_rng(seed)
    n = contract.max() + 1
    drawn = []
    for _ in range(DRAWS):
        weight = np.bincount(rng.integers(0, n, n), minlength=n)[contract].astype(float)
        drawn.append(_rates(p, residual, weight, middle, start, size))
    variance = np.var(drawn, axis=0) + drift * (rate * (1 - rate)) ** 2
    contracts = np.array([len(np.unique(contract[at : at + size])) for at in start])
    low, high = _jeffreys(rate, variance, contracts, level)
    logits, first = np.unique(to_logit(p[middle]), return_index=True)
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
