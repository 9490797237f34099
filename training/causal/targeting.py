"""Weights of having followed a strategy, and the targeting step that makes estimates doubly robust."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from training.causal.nuisance import Hazard, decided_or_contacted
from training.causal.trial import Window


@dataclass(frozen=True)
class Stage:
    """One window's weights, arrays (n,).

    Attributes:
        reached: inverse probability of having come uncontacted and undecided to its start; 0 for others.
        stay: `reached` times the inverse probability of getting through it uncontacted, until decided if so.
        arm: `reached` times the weight of the contact in it, or of a decision before that.
    """

    reached: np.ndarray
    stay: np.ndarray
    arm: np.ndarray


def most_weight(n: int) -> float:
    """The largest cumulative weight, √n·ln n / 5 (Gruber, Phillips, Lee & van der Laan 2022)."""
    return float(np.sqrt(n) * np.log(max(n, 2)) / 5)


def stages(windows: Sequence[Window], found: Sequence[tuple[Hazard, Hazard]]) -> list[Stage]:
    """The weights of every window, cut at `most_weight`."""
    n = len(windows[0].at_risk)
    most, reached = most_weight(n), windows[0].at_risk.astype(float)
    made = []
    for w, (contact, outbound) in zip(windows, found, strict=True):
        reached = reached * w.at_risk
        through = w.at_risk & ~w.any_contact.hit
        stay = np.where(through, reached / (1 - contact.p) ** contact.shape, 0.0)
        arm = reached * decided_or_contacted(w.outbound, outbound) / outbound.p
        made.append(Stage(reached, np.minimum(stay, most), np.minimum(arm, most)))
        reached = np.where(w.any_contact.decided, 0.0, made[-1].stay)
    return made


def target(
    strategy: int,
    windows: Sequence[Window],
    made: Sequence[Stage],
    Q: Sequence[np.ndarray],
    y: np.ndarray,
    mass: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Target the regressions to one strategy.

    From the last window backwards, each regression is shifted by the intercept that solves its efficient
    score (van der Laan & Gruber 2012, with the inverse weights in the loss).

    Persons count by their mass (n,).

    Returns:
        Uncentred influence values (n,), whose mean is the estimate, and final weights (n,).
    """
    last = min(strategy, len(windows) - 1)
    value, score = y.astype(float), np.zeros(len(y))
    for k in range(last, -1, -1):
        w = windows[k]
        weight = made[k].arm if k == strategy else made[k].stay
        ahead = np.where(w.any_contact.decided, y, value) if k < strategy else value
        offset = logit(np.where(w.at_risk, Q[k][:, strategy], 0.5))
        fitted = expit(offset + intercept_shift(ahead, offset, mass * weight))
        score += np.where(weight > 0, weight * (ahead - fitted), 0.0)
        value = fitted
    return score + value, made[last].arm if last == strategy else made[last].stay


def intercept_shift(y: np.ndarray, offset: np.ndarray, weight: np.ndarray) -> float:
    """The e with Σ weight·(y − expit(offset + e)) = 0: Newton, bisecting where it leaves [−8, 8]."""
    rows = weight > 0
    y, offset, weight = y[rows], offset[rows], weight[rows]
    low, high, e = -8.0, 8.0, 0.0
    for _ in range(60):
        p = expit(offset + e)
        score = float(np.sum(weight * (y - p)))
        low, high = (e, high) if score > 0 else (low, e)
        step = e + score / max(float(np.sum(weight * p * (1 - p))), 1e-12)
        later = step if low < step < high else (low + high) / 2
        if abs(later - e) < 1e-10:
            break
        e = later
    return e
