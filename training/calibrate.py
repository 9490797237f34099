"""From a model's log-odds to the ones that are served: the slope drawn towards 1, the level apart.

Scores of rows not trained on are held against their outcomes, each span of time with an intercept of its
own: the slope says how far the spread of the scores was right. It is drawn towards 1 by as much as the data
leaves it unsure (a normal prior around 1), never switched on or off. The level is that of the next span
(`training.base_rate`).
"""

from dataclasses import dataclass, field

import numpy as np

from training.base_rate import Spans, next_level, span_levels
from training.calibration_curve import Curve, fit_curve
from training.metrics import to_probability

USUAL_SLOPE_ERROR = 0.2
"""How far from 1 the slopes of tuned models usually lie: the prior's standard deviation."""
LEAST_SLOPE = 0.05
ROUNDS = 25


@dataclass(frozen=True)
class Calibration:
    """Served log-odds = slope · curve(log-odds − middle) + shift; without knots a line (Platt 1999)."""

    slope: float = 1.0
    shift: float = 0.0
    middle: float = 0.0
    knots: tuple[float, ...] = ()
    slopes: tuple[float, ...] = ()

    def __call__(self, logit: np.ndarray) -> np.ndarray:
        """Calibrated log-odds."""
        bent = Curve(self.knots, self.slopes)(np.asarray(logit, dtype=float) - self.middle)
        return self.slope * bent + self.shift


@dataclass(frozen=True)
class Adjustment:
    """What rows not trained on say of spread and level.

    Attributes:
        slope: by which scores are spread, drawn towards 1.
        raw_slope: the slope the rows alone would give, and its standard error `slope_error`.
        level: log-odds expected of the next span for a row with the mean score; None: not known, so that a
            model keeps its own.
        variance: of the next span's level.
        spans: (month, level, standard error, contracts) of each span, for the card.
        curve: how the spread bends around that slope.
    """

    slope: float = 1.0
    raw_slope: float = 1.0
    slope_error: float = 0.0
    level: float | None = None
    variance: float = 0.0
    spans: tuple[tuple[float, float, float, int], ...] = ()
    curve: Curve = field(default_factory=Curve)

    @property
    def moved(self) -> float:
        """By how many log-odds the next span is expected to lie beside the mean of those before."""
        if self.level is None or not self.spans:
            return 0.0
        _, levels, _, contracts = zip(*self.spans, strict=True)
        return self.level - float(np.average(levels, weights=contracts))

    def calibration(self, mean: float) -> Calibration:
        """The line for a model whose log-odds have this mean where the level was read off."""
        level = mean if self.level is None else self.level
        return Calibration(self.slope, level, mean, self.curve.knots, self.curve.slopes)

    def in_words(self) -> str:
        """For the card."""
        if self.level is None:
            return f"slope {self.slope:.2f}, at the base rate of the training rows"
        alone = f"the rows alone: {self.raw_slope:.2f} ± {self.slope_error:.2f}"
        level = f"{self.level:+.2f} ± {np.sqrt(self.variance):.2f} log-odds"
        bent = f", {self.curve.in_words()}" if self.curve.slopes else ""
        return f"slope {self.slope:.2f} ({alone}){bent}, level of the next span {level}"


@dataclass(frozen=True)
class Levelled:
    """Rows not trained on, as an adjustment leaves them.

    Attributes:
        logit: (n,) log-odds as they would be served at the next span's level.
        expected: (n,) the same at the level of each row's own span.
        anchor: (n,) weights of sum 1: a model's mean log-odds by these belong to the level.
    """

    logit: np.ndarray
    expected: np.ndarray
    anchor: np.ndarray


def adjust(
    y: np.ndarray,
    score: np.ndarray,
    weight: np.ndarray,
    spans: Spans,
    subjects: np.ndarray,
    wanted: np.ndarray,
) -> tuple[Adjustment, Levelled]:
    """Spread and level of scores.

    Scores count from the mean of their span: what a model makes of the drift of its features is part of the
    span's level, so that a later model, which may make something else of it, can be set at the same level.

    Args:
        y: (n,) outcomes of rows not trained on.
        score: (n,) log-odds; all the same for a base rate.
        weight: (n,) row weights that sum to the number of contracts.
        spans: of the rows.
        subjects: (n,) codes of contracts or deals.
        wanted: months whose level is wanted.
    """
    total = np.bincount(spans.of, weight)
    score = score - (np.bincount(spans.of, weight * score) / total)[spans.of]
    slope, raw_slope, error, curve = 1.0, 1.0, 0.0, Curve()
    if np.ptp(score) > 1e-9:
        curve = fit_curve(y, score, weight, spans)
        score = curve(score)
        raw_slope, error = _slope(y, score, weight, spans, subjects)
        trust = USUAL_SLOPE_ERROR**2 / (USUAL_SLOPE_ERROR**2 + error**2)
        slope = max(LEAST_SLOPE, 1 + trust * (raw_slope - 1))
    levels, variances = span_levels(y, slope * score, weight, spans, subjects)
    coming = next_level(levels, variances, spans.month, wanted, spans.length)
    contracts = [len(np.unique(subjects[spans.of == at])) for at in range(len(spans.month))]
    table = zip(spans.month.tolist(), levels.tolist(), np.sqrt(variances).tolist(), contracts, strict=True)
    adjustment = Adjustment(slope, raw_slope, error, coming.mean, coming.variance, tuple(table), curve)
    anchor = weight * (coming.weights / total)[spans.of]
    return adjustment, Levelled(coming.mean + slope * score, levels[spans.of] + slope * score, anchor)


def _slope(
    y: np.ndarray, score: np.ndarray, weight: np.ndarray, spans: Spans, subjects: np.ndarray
) -> tuple[float, float]:
    """The slope of outcomes on scores, each span with its own intercept, and its error by contract."""
    slope = 1.0
    for _ in range(ROUNDS):
        levels, _ = span_levels(y, slope * score, weight, spans, subjects)
        p = to_probability(levels[spans.of] + slope * score)
        bend = weight * p * (1 - p)
        middle = np.bincount(spans.of, bend * score) / np.maximum(np.bincount(spans.of, bend), 1e-12)
        centred = score - middle[spans.of]
        information = float((bend * centred**2).sum()) + 1e-9
        pull = weight * (y - p) * centred
        step = float(np.clip(pull.sum() / information, -0.5, 0.5))
        slope += step
        if abs(step) < 1e-6:
            break
    _, subject = np.unique(subjects, return_inverse=True)
    luck = np.bincount(subject, pull)
    return slope, float(np.sqrt(max(float((luck**2).sum()), information)) / information)


def one_line(logit: np.ndarray, y: np.ndarray) -> Calibration:
    """The line of undated rows not trained on, each by itself."""
    one = Spans(np.zeros(len(y), dtype=int), np.zeros(1))
    adjustment, _ = adjust(y, logit, np.ones(len(y)), one, np.arange(len(y)), np.zeros(1))
    return adjustment.calibration(float(np.mean(logit)))
