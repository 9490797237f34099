"""Ridge regression on plain arrays, logistic and linear: the core that scores and effect estimates share.

One logistic fit on 20,000 × 60 takes a tenth of a second, which cross-fitting multiplies by hundreds.
"""

import numpy as np
from scipy.linalg.lapack import dposv
from scipy.special import expit

MOST_STEPS = 25
CLOSE = 1e-6
"""A Newton step that promises less than this share of the loss is the last: the next would be its square."""
TINY = 1e-9


def with_intercept(Z: np.ndarray) -> np.ndarray:
    """Z (n, d) behind a column of ones."""
    return np.hstack([np.ones((len(Z), 1)), Z])


def fit_ridge_logistic(
    A: np.ndarray, y: np.ndarray, weight: np.ndarray, ridge: float, start: np.ndarray | None = None
) -> np.ndarray:
    """Coefficients (d,) of a ridge logistic regression by Newton's method; the first column is not penalised.

    Args:
        A: (n, d) with a leading column of ones.
        y: (n,) in [0, 1]; fractions are allowed (quasi-likelihood).
        weight: (n,) not negative.
        ridge: penalty, half of it times the squared coefficients is added to the summed log loss.
        start: coefficients to begin from.
    """
    d = A.shape[1]
    penalty = np.full(d, ridge)
    penalty[0] = 1e-6
    beta = np.zeros(d) if start is None else start.copy()
    if start is None:
        share = np.clip(np.average(y, weights=weight + TINY), 1e-4, 1 - 1e-4)
        beta[0] = np.log(share / (1 - share))
    score = A @ beta
    loss = _loss(score, y, weight, beta, penalty)
    for _ in range(MOST_STEPS):
        p = expit(score)
        gradient = A.T @ (weight * (y - p)) - penalty * beta
        hessian = (A * (weight * np.maximum(p * (1 - p), 1e-6))[:, None]).T @ A
        hessian[np.diag_indices(d)] += penalty + TINY
        step = _solved(hessian, gradient)
        promised, along, size = gradient @ step / 2, A @ step, 1.0
        while (later := _loss(score + size * along, y, weight, beta + size * step, penalty)) > loss + 1e-12:
            size /= 2
            if size < 1e-3:
                break
        beta, score, loss = beta + size * step, score + size * along, later
        if promised < CLOSE * (1 + abs(loss)):
            break
    return beta


def _loss(
    score: np.ndarray, y: np.ndarray, weight: np.ndarray, beta: np.ndarray, penalty: np.ndarray
) -> float:
    return float(weight @ (np.logaddexp(0.0, score) - y * score) + 0.5 * penalty @ beta**2)


def _solved(gram: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The solution of a positive definite system; straight to LAPACK, for systems are small and many."""
    _, solution, failed = dposv(gram, target)
    if failed:
        raise np.linalg.LinAlgError(f"not positive definite at row {failed}")
    return solution


def fit_ridge(A: np.ndarray, Y: np.ndarray, weight: np.ndarray, ridge: float) -> np.ndarray:
    """Coefficients (d, m) of ridge regressions of m columns Y on A (n, d), sharing one factorisation."""
    d = A.shape[1]
    penalty = np.full(d, ridge)
    penalty[0] = 1e-6
    gram = (A * weight[:, None]).T @ A
    gram[np.diag_indices(d)] += penalty + TINY
    return _solved(gram, A.T @ (weight[:, None] * Y))


def log_loss(y: np.ndarray, p: np.ndarray, weight: np.ndarray) -> float:
    """Weighted mean log loss of probabilities p for y in [0, 1]."""
    q = np.clip(p, 1e-6, 1 - 1e-6)
    return float(-np.sum(weight * (y * np.log(q) + (1 - y) * np.log(1 - q))) / np.sum(weight))
