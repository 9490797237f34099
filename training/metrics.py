"""How good scores are: small functions of outcomes y (0/1) and probabilities p, both (n,), and weights."""

from collections.abc import Callable, Sequence
from typing import TypedDict

import numpy as np

SMALLEST = 1e-12


def losses(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """(n,) log loss of each row, in nats."""
    p = np.clip(p, SMALLEST, 1 - SMALLEST)
    return -(y * np.log(p) + (1 - y) * np.log1p(-p))


def log_loss(y: np.ndarray, p: np.ndarray, *, weight: np.ndarray | None = None) -> float:
    """Mean negative log-likelihood in nats; the constant base rate is the mark to beat."""
    return float(np.average(losses(y, p), weights=weight))


def brier(y: np.ndarray, p: np.ndarray, *, weight: np.ndarray | None = None) -> float:
    """Mean squared error of probabilities (Brier 1950)."""
    return float(np.average((p - y) ** 2, weights=weight))


def auc(y: np.ndarray, p: np.ndarray, *, weight: np.ndarray | None = None) -> float:
    """The chance that a good outcome is scored above a bad one, ties counting half; NaN for one outcome."""
    weight = np.ones(len(y)) if weight is None else weight
    _, tie = np.unique(p, return_inverse=True)
    good = np.bincount(tie, weight * y)
    bad = np.bincount(tie, weight * (1 - y))
    pairs = good.sum() * bad.sum()
    return float((good * (np.cumsum(bad) - bad / 2)).sum() / pairs) if pairs > 0 else float("nan")


def ece(y: np.ndarray, p: np.ndarray, *, weight: np.ndarray | None = None, bins: int = 10) -> float:
    """Expected calibration error over bins of equal numbers of rows: mean |observed rate − mean probability|.

    Equal scores stay in one bin, so a constant has one bin.
    """
    weight = np.ones(len(y)) if weight is None else weight
    edges = np.unique(np.quantile(p, np.arange(1, bins) / bins))
    place = np.searchsorted(edges, p, side="right")
    gaps = np.abs(np.bincount(place, weight * (y - p)))
    return float(gaps.sum() / weight.sum())


def calibration_slope(y: np.ndarray, p: np.ndarray, *, weight: np.ndarray | None = None) -> float:
    """The slope of outcomes on log-odds (Cox 1958): 1 is right, less is overconfident; NaN if constant."""
    logit = to_logit(p)
    if np.ptp(logit) < 1e-9 or np.ptp(y) == 0:
        return float("nan")
    return fit_line(logit, y, weight)[0]


def fit_line(logit: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> tuple[float, float]:
    """Slope and shift of logistic regression of y on log-odds, by Newton's method.

    A very weak prior (one row's worth) holds slope at 1 and shift at 0, so that separable data stays finite.
    """
    weight = np.ones(len(y)) if weight is None else weight
    design = np.column_stack([logit, np.ones(len(logit))])
    start = np.array([1.0, 0.0])
    beta = start.copy()
    for _ in range(50):
        p = to_probability(design @ beta)
        slope = design.T @ (weight * (y - p)) - (beta - start)
        bend = (design * (weight * p * (1 - p))[:, None]).T @ design + np.eye(2)
        step = np.clip(np.linalg.solve(bend, slope), -2, 2)
        beta = beta + step
        if np.abs(step).max() < 1e-8:
            break
    return float(beta[0]), float(beta[1])


METRICS: dict[str, Callable[..., float]] = {"auc": auc, "log_loss": log_loss, "brier": brier, "ece": ece}


class Figures(TypedDict):
    """How good the probabilities of n rows are; what gates, card, registry and reports read."""

    auc: float
    log_loss: float
    brier: float
    ece: float
    n: int


def figures(y: np.ndarray, p: np.ndarray) -> Figures:
    """AUC, log loss, Brier score, ECE and n of rows counted alike."""
    return {"auc": auc(y, p), "log_loss": log_loss(y, p), "brier": brier(y, p), "ece": ece(y, p), "n": len(y)}


def to_logit(p: np.ndarray) -> np.ndarray:
    """Log-odds of probabilities, kept finite."""
    p = np.clip(p, SMALLEST, 1 - SMALLEST)
    return np.log(p) - np.log1p(-p)


def to_probability(logit: np.ndarray) -> np.ndarray:
    """Probabilities of log-odds."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logit, dtype=float)))


def money_caught(
    y: np.ndarray, p: np.ndarray, amount: np.ndarray, shares: tuple[float, ...] = (0.1, 0.2, 0.3)
) -> dict[float, float]:
    """Of the money lost (y = 0), the share in the first `shares` of the list by money at risk, (1 −
    p)·amount.
    """
    amount = np.nan_to_num(np.asarray(amount, dtype=float))
    lost = amount * (1 - y)
    order = np.argsort(-(1 - p) * amount, kind="stable")
    caught = np.cumsum(lost[order])
    if not len(y) or caught[-1] <= 0:
        return dict.fromkeys(shares, float("nan"))
    return {share: float(caught[max(0, round(share * len(y)) - 1)] / caught[-1]) for share in shares}


def bootstrap(
    f: Callable[..., float],
    y: np.ndarray,
    p: np.ndarray,
    groups: np.ndarray,
    *,
    times: int = 300,
    level: float = 0.9,
    seed: int = 0,
) -> tuple[float, float]:
    """A percentile interval for f, drawing whole groups (contracts, accounts) with replacement."""
    _, codes = np.unique(groups, return_inverse=True)
    draws = []
    for counts in _draws(codes, times, seed):
        weight = counts[codes]
        drawn = weight > 0
        draws.append(f(y[drawn], p[drawn], weight=weight[drawn]))
    return _middle(np.array(draws), level)


def bootstrap_gain(
    gain: np.ndarray, groups: np.ndarray, *, times: int = 1000, level: float = 0.9, seed: int = 0
) -> tuple[float, float, float]:
    """Mean, low and high of a row-wise gain, such as one model's losses less another's, drawing groups."""
    _, codes = np.unique(groups, return_inverse=True)
    total, size = np.bincount(codes, gain), np.bincount(codes)
    draws = np.array([(counts @ total) / (counts @ size) for counts in _draws(codes, times, seed)])
    low, high = _middle(draws, level)
    return float(np.mean(gain)), low, high


def bootstrap_slope(
    y: np.ndarray, p: np.ndarray, groups: np.ndarray, *, times: int = 200, level: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """Calibration slope with its low and high, drawing groups; NaN where the probabilities are constant."""
    slope = calibration_slope(y, p)
    if np.isnan(slope):
        return slope, slope, slope
    _, codes = np.unique(groups, return_inverse=True)
    drawn = [calibration_slope(y, p, weight=counts[codes]) for counts in _draws(codes, times, seed)]
    return slope, *_middle(np.array(drawn), level)


def _draws(codes: np.ndarray, times: int, seed: int):
    """Each draw: how often each group was drawn."""
    rng = np.random.default_rng(seed)
    n = int(codes.max()) + 1
    for _ in range(times):
        yield np.bincount(rng.integers(0, n, n), minlength=n).astype(float)


def _middle(draws: np.ndarray, level: float) -> tuple[float, float]:
    draws = draws[~np.isnan(draws)]
    if not len(draws):
        return float("nan"), float("nan")
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's step-down adjusted p-values (Holm 1979)."""
    values = np.asarray(p, float)
    order = np.argsort(values, kind="stable")
    adjusted = np.maximum.accumulate(np.minimum(1, values[order] * np.arange(len(values), 0, -1)))
    result = np.empty_like(values)
    result[order] = adjusted
    return result
