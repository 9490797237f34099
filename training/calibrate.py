"""Calibration of log-odds: none, Platt's line or an isotonic curve, kept only if it helps on other rows."""

from dataclasses import dataclass

import numpy as np

from training.metrics import fit_line, losses, to_logit, to_probability

LEAST_FOR_ISOTONIC = 1000


@dataclass(frozen=True)
class Calibration:
    """A monotone map of log-odds to log-odds.

    Attributes:
        name: `none`, `platt` (slope · logit + shift; Platt 1999) or `isotonic` (Zadrozny & Elkan 2002).
        slope, shift: the line's.
        knots, values: the curve's log-odds in and out, linear between and level beyond.
        level: added in the end, where outcomes of late lie beside what was said (`training.intervals`).
    """

    name: str = "none"
    slope: float = 1.0
    shift: float = 0.0
    knots: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    level: float = 0.0

    def __call__(self, logit: np.ndarray) -> np.ndarray:
        """Calibrated log-odds."""
        if self.name == "isotonic":
            return np.interp(logit, self.knots, self.values) + self.level
        if self.name == "platt":
            return self.slope * logit + self.shift + self.level
        return np.asarray(logit, dtype=float) + self.level


def fit(name: str, logit: np.ndarray, y: np.ndarray) -> Calibration:
    """The named calibration of held-out rows."""
    if name == "platt":
        slope, shift = fit_line(logit, y)
        return Calibration("platt", max(slope, 0.01), shift)
    if name == "isotonic":
        return _isotonic(logit, y)
    return Calibration()


def choose(
    logit: np.ndarray, y: np.ndarray, fold: np.ndarray, subjects: np.ndarray, *, forward: bool
) -> Calibration:
    """None, Platt or isotonic: the lowest log loss on folds it was not fitted on, if the gain exceeds two
    standard errors.

    A fold's model has trained on fewer rows than the one that is served, is drawn in more, and asks for a
    steeper line than that one needs: what helps a little on folds does harm afterwards.

    Args:
        logit: (n,) log-odds predicted for held-out rows.
        y: (n,) outcomes.
        fold: (n,) which fold each row was judged in, in time's order when `forward`: a fold is then judged by
            what the folds before it teach, else by what all others teach.
        subjects: (n,) codes of contracts or deals, whose rows count together.
        forward: whether folds follow each other in time.
    """
    names = ["platt"] + (["isotonic"] if len(y) >= LEAST_FOR_ISOTONIC else [])
    marks = np.unique(fold)
    best, best_gain = "none", 0.0
    for name in names:
        gain, judged = np.zeros(len(y)), np.zeros(len(y), bool)
        for mark in marks:
            gains = _gain(name, logit, y, fold, mark, forward)
            if len(gains):
                at = fold == mark
                gain[at], judged[at] = gains, True
        if judged.sum() < 2:
            continue
        gain = gain[judged]
        if gain.mean() > max(best_gain, 2 * _error(gain, subjects[judged])):
            best, best_gain = name, float(gain.mean())
    return fit(best, logit, y)


def _error(gain: np.ndarray, subjects: np.ndarray) -> float:
    """The standard error of the mean gain (n,), rows of a subject together."""
    _, subject = np.unique(subjects, return_inverse=True)
    return float(np.sqrt((np.bincount(subject, gain - gain.mean()) ** 2).sum()) / len(gain))


def _gain(
    name: str, logit: np.ndarray, y: np.ndarray, fold: np.ndarray, mark: int, forward: bool
) -> np.ndarray:
    taught = fold < mark if forward else fold != mark
    judged = fold == mark
    if taught.sum() < 50 or np.ptp(y[taught]) == 0:
        return np.empty(0)
    mended = fit(name, logit[taught], y[taught])(logit[judged])
    return losses(y[judged], to_probability(logit[judged])) - losses(y[judged], to_probability(mended))


def _isotonic(logit: np.ndarray, y: np.ndarray) -> Calibration:
    """Blocks of pooled neighbours; each block's rate counts half a success and half a failure more, so never
    0 or 1.
    """
    order = np.argsort(logit, kind="stable")
    x, good = logit[order], y[order]
    sums: list[list[float]] = []
    for value, outcome in zip(x, good, strict=True):
        sums.append([outcome, 1.0, value])
        while len(sums) > 1 and sums[-2][0] * sums[-1][1] >= sums[-1][0] * sums[-2][1]:
            last = sums.pop()
            sums[-1] = [a + b for a, b in zip(sums[-1], last, strict=True)]
    blocks = np.array(sums)
    rates = (blocks[:, 0] + 0.5) / (blocks[:, 1] + 1)
    values = np.maximum.accumulate(to_logit(rates))
    return Calibration("isotonic", knots=tuple(blocks[:, 2] / blocks[:, 1]), values=tuple(values))
