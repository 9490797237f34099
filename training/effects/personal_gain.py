"""What one customer gains: a group's effects carried over to a contract's own likelihood to renew.

A curve gives averages over a group. On the risk scale an effect cannot be the same for everybody: who renews
with 97 % has three points to gain. It is taken to be the same in log-odds for all of a group, and of such a
size that over the group's spread of likelihoods it averages to the estimate (the marginal estimate is smaller
than the one at a given likelihood: Gail, Wieand & Piantadosi 1984). A contract with likelihood p under the
present plan, shares u of the choices with effects δ, has the log-odds a that solve Σ u expit(a + δ) = p;
under choice w it renews with expit(a + δ_w), and its gain, that less p, lies within (−p, 1 − p).

The interval holds the doubt of the effects (the delta method, in log-odds or in risk, whichever keeps closer
to what can be; for every choice that might have been picked) at each likelihood that this customer may truly
have, given the interval of p and that customers with the same score differ by what nobody recorded about as
much as by what was, and that effects differ between customers as much as between the groups there are: it is
for the gain of this one customer. What a sum of many gains may be is kept apart.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from training.effects.timing_curve import Curve

REACH = 25.0
STEPS = 60
EDGE = 1e-4
STEPS_OUT = (-1.645, -0.8, 0.0, 0.8, 1.645)
"""How far, in standard deviations, one customer's log-odds may lie off what is estimated: 90 % of them."""


@dataclass(frozen=True)
class Personal:
    """Of n contracts, arrays (n,): probability under the choice, gain over the present plan and its interval.

    `mean_low` and `mean_high` are those of the mean gain of contracts alike: what sums are made of.
    """

    estimate: np.ndarray
    gain: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean_low: np.ndarray
    mean_high: np.ndarray


def personal_gain(
    curve: Curve, usual: np.ndarray, window: str, probability: np.ndarray, low: np.ndarray, high: np.ndarray
) -> Personal:
    """The gain of n contracts from one choice over the present plan.

    Args:
        curve: the group's, of m choices.
        usual: (m,) the present plan as shares of the choices.
        window: the choice.
        probability: (n,) each contract's likelihood to renew under the present plan.
        low: (n,) its lower limit.
        high: (n,) its upper limit.
    """
    pick = curve.buckets.index(window)
    shift, slope = shifts(curve)
    p, p_low, p_high = (np.clip(np.asarray(each, float), EDGE, 1 - EDGE) for each in (probability, low, high))
    estimate, mean_low, mean_high = _at(curve, shift, slope, usual, pick, p, 0.0)
    if usual[pick] == 1:
        none = np.zeros(len(p))
        return Personal(p, none, none, none, none, none)
    around = _around(curve, shift, usual, p, p_low, p_high)
    ends = [_at(curve, shift, slope, usual, pick, each, curve.between)[:3] for each in around]
    lowest = np.min([end[1] for end in ends], axis=0)
    highest = np.max([end[2] for end in ends], axis=0)
    return Personal(
        estimate, estimate - p, np.maximum(lowest, -p), np.minimum(highest, 1 - p), mean_low, mean_high
    )


def _around(
    curve: Curve, shift: np.ndarray, usual: np.ndarray, p: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """(steps, n) likelihoods that customers with the same score may truly have.

    Their log-odds spread by the doubt of p itself and by what nobody recorded, which is taken to spread them
    as much as what is recorded.
    """
    start, lowest, highest = (
        _solved(lambda a: expit(a[:, None] + shift) @ usual, each) for each in (p, low, high)
    )
    recorded = np.std(logit(np.clip(curve.baseline, EDGE, 1 - EDGE)))
    spread = np.hypot(recorded, (highest - lowest) / (STEPS_OUT[-1] - STEPS_OUT[0]))
    return np.array([expit((start + z * spread)[:, None] + shift) @ usual for z in STEPS_OUT])


def shifts(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """(m,) log-odds each choice adds to everybody, and (m,) by how much its estimate moves with them."""
    baseline = logit(np.clip(curve.baseline, EDGE, 1 - EDGE))[None, :]
    target = np.clip(curve.estimate, EDGE, 1 - EDGE)
    shift = _solved(lambda delta: expit(baseline + delta[:, None]).mean(axis=1), target)
    chance = expit(baseline + shift[:, None])
    return shift, np.maximum((chance * (1 - chance)).mean(axis=1), EDGE)


def _at(
    curve: Curve,
    shift: np.ndarray,
    slope: np.ndarray,
    usual: np.ndarray,
    pick: int,
    p: np.ndarray,
    between: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) estimate under the choice, and the limits of the gain at likelihoods p."""
    start = _solved(lambda a: expit(a[:, None] + shift) @ usual, p)
    chance = expit(start[:, None] + shift)
    steep = chance * (1 - chance)
    estimate, slant = chance[:, pick], steep[:, pick]
    moves = -usual * steep / (steep @ usual)[:, None]
    moves[:, pick] += 1.0
    moves = moves / slope  # of the estimates instead of their log-odds
    variance = np.einsum("nb,bc,nc->n", moves, curve.covariance, moves)
    variance = variance + between**2 * (moves**2).sum(axis=1)
    half = curve.critical() * np.sqrt(np.maximum(variance, 0.0))
    middle = logit(np.clip(estimate, EDGE, 1 - EDGE))
    low = np.maximum(expit(middle - half), estimate - half * slant)
    high = np.minimum(expit(middle + half), estimate + half * slant)
    return estimate, low - p, high - p


def _solved(rises: Callable[[np.ndarray], np.ndarray], target: np.ndarray) -> np.ndarray:
    """x (k,) with rises(x) = target (k,), by bisection of an increasing function."""
    low, high = np.full(len(target), -REACH), np.full(len(target), REACH)
    for _ in range(STEPS):
        middle = (low + high) / 2
        is_below = rises(middle) < target
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    return (low + high) / 2
