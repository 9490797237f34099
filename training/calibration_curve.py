"""How the spread of scores should bend: a monotone curve around the line, as strong as the outcomes show it.

A line (Platt 1999) cannot mend scores that are too timid in the middle and too bold at the ends, as those of
few shallow trees are; an isotonic curve can, but ties customers in steps and follows luck. Here the slope may
differ between tenths of the scores, and its logarithm wanders from one to the next as a random walk (Rue &
Held 2005, section 3.3). How far it wanders is not known and is averaged over, each size by its evidence
(Laplace's approximation; MacKay 1992): where nothing bends, the line remains.
"""

from dataclasses import dataclass

import numpy as np

from training.base_rate import Spans, intercepts
from training.metrics import losses, to_probability

SEGMENTS = 10
USUAL_BEND = 0.2
"""Scale of the half-Cauchy prior (Gelman 2006) of how far neighbouring slopes differ."""
BENDS = np.array([0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6])
ROUNDS, CLOSE_ENOUGH = 30, 1e-5


@dataclass(frozen=True)
class Curve:
    """A monotone curve through (0, 0): slopes between knots, the outer ones going on for ever.

    Attributes:
        knots: (k − 1,) where one slope ends and the next begins, ascending.
        slopes: (k,) all above zero; around 1, as the overall spread is estimated separately.
    """

    knots: tuple[float, ...] = ()
    slopes: tuple[float, ...] = ()

    def __call__(self, score: np.ndarray) -> np.ndarray:
        """(n,) bent scores."""
        score = np.asarray(score, dtype=float)
        if not self.slopes:
            return score
        return self._along(score) - self._along(np.zeros(1))

    def _along(self, score: np.ndarray) -> np.ndarray:
        """One segment after the other: a matrix product rounds a row alone otherwise than among others."""
        bent = np.zeros(len(score))
        for part, slope in zip(parts_of(score, self.knots).T, self.slopes, strict=True):
            bent += slope * part
        return bent

    def in_words(self) -> str:
        """For the card: how unlike the slopes are."""
        return f"bent from {min(self.slopes):.2f} to {max(self.slopes):.2f} times that"


def parts_of(score: np.ndarray, knots: tuple[float, ...]) -> np.ndarray:
    """(n, k) how much of each score lies between which knots; a row sums to the score less the first knot."""
    low = np.concatenate([[-np.inf], knots])
    high = np.concatenate([knots, [np.inf]])
    start = np.where(np.isinf(low), knots[0], low)
    return np.clip(score[:, None], low, high) - start


def fit_curve(y: np.ndarray, score: np.ndarray, weight: np.ndarray, spans: Spans) -> Curve:
    """The curve of outcomes on scores, each span with its own intercept; no curve where scores are all alike.

    Args:
        y: (n,) outcomes of rows not trained on.
        score: (n,) log-odds less their span's mean.
        weight: (n,) row weights that sum to the number of contracts.
        spans: of the rows.
    """
    order = np.argsort(score, kind="stable")
    share = np.cumsum(weight[order]) / weight.sum()
    at = np.searchsorted(share, np.arange(1, SEGMENTS) / SEGMENTS)
    knots = np.unique(score[order][np.minimum(at, len(score) - 1)])
    if len(knots) < 2:
        return Curve()
    parts = parts_of(score, tuple(knots))
    lots = _Lots(y, parts, weight, spans)
    theta, slopes, chances = np.zeros(parts.shape[1]), [], []
    for bend in BENDS:
        theta, chance = _fit(lots, bend, theta)
        slopes.append(np.exp(theta) / lots.spread_of(np.exp(theta)))
        chances.append(chance - np.log1p((bend / USUAL_BEND) ** 2))
    chance = np.exp(np.array(chances) - max(chances))
    return Curve(tuple(knots.tolist()), tuple((chance / chance.sum() @ np.array(slopes)).tolist()))


@dataclass(frozen=True)
class _Lots:
    """Outcomes (n,), scores cut at the knots (n, k), weights (n,) and spans."""

    y: np.ndarray
    parts: np.ndarray
    weight: np.ndarray
    spans: Spans

    def centred(self, X: np.ndarray, curvature: np.ndarray) -> np.ndarray:
        """Columns less their mean in the row's span, weighted by the curvature: intercepts profiled out."""
        of = self.spans.of
        total = np.maximum(np.bincount(of, curvature), 1e-12)
        return X - np.column_stack([np.bincount(of, curvature * column) / total for column in X.T])[of]

    def spread_of(self, slopes: np.ndarray) -> float:
        """The slope of the bent scores on the plain ones: what a curve counts as 1."""
        plain = self.centred(self.parts.sum(axis=1)[:, None], self.weight)[:, 0]
        bent = self.parts @ slopes
        return float((self.weight * plain) @ bent / np.maximum((self.weight * plain) @ plain, 1e-12))


def _fit(lots: _Lots, bend: float, theta: np.ndarray) -> tuple[np.ndarray, float]:
    """Log slopes (k,) of which neighbours differ by `bend`, by Fisher's scoring, and their log evidence.

    They are written as the first one and standardised steps, so that no bend at all is a case like others.
    """
    k = len(theta)
    steps = np.tril(np.ones((k, k)))
    steps[:, 1:] *= bend
    precision = np.array([0.0] + [1.0] * (k - 1))
    value = np.zeros(k)
    value[0] = theta[0]
    if bend > 0:
        value[1:] = np.diff(theta) / bend
    level = np.zeros(int(lots.spans.of.max()) + 1)
    for _ in range(ROUNDS):
        slopes = np.exp(steps @ value)
        score = lots.parts @ slopes
        level = intercepts(lots.y, score, lots.weight, lots.spans.of, level)
        p = to_probability(level[lots.spans.of] + score)
        curvature = lots.weight * p * (1 - p)
        X = lots.centred(lots.parts * slopes, curvature) @ steps
        information = (X * curvature[:, None]).T @ X + np.diag(precision)
        pull = X.T @ (lots.weight * (lots.y - p)) - precision * value
        step = np.linalg.solve(information + 1e-9 * np.eye(k), pull)
        value = value + np.clip(step, -1, 1)
        if np.abs(step).max() < CLOSE_ENOUGH:
            break
    fit = -float(lots.weight @ losses(lots.y, p)) - 0.5 * float(precision @ value**2)
    return steps @ value, fit - 0.5 * float(np.linalg.slogdet(information + 1e-9 * np.eye(k))[1])
