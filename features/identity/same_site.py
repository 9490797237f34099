"""Records that share a site: of one company, or of companies of one group, estimated from all such pairs.

Fellegi and Sunter's model takes agreements as independent. Companies of one group break that: they share the
site and most of the name, yet are two customers. So to pairs with one site a separate mixture of two kinds is
fitted by EM, with how often they agree on name, phone and address estimated in both kinds (interactions
between
agreements: Winkler 1993; Larsen and Rubin 2001). Where all such pairs are alike, little changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ITERATIONS = 500
_CLOSE = 1e-4
_FARTHEST = 30.0
"""Log odds beyond which a pair is as good as certain."""

Levels = NDArray[np.intp]
Shares = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """How often pairs reach each level of agreement, by comparison.

    Args:
        same: comparison → share of one customer's pairs on each level.
        other: comparison → the same of two customers' pairs.
    """

    same: Mapping[str, Shares]
    other: Mapping[str, Shares]

    def evidence(self, levels: Mapping[str, Levels]) -> Shares:
        """Log odds that each pair's levels add; a level of −1, nothing to compare, adds none."""
        parts = [
            np.append(np.log(self.same[name] / self.other[name]), 0.0)[each] for name, each in levels.items()
        ]
        return np.sum(parts, axis=0)


def chance(log_odds: Shares) -> Shares:
    """The probability of log odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -_FARTHEST, _FARTHEST))))


def fitted(
    levels: Mapping[str, Levels],
    offset: Shares,
    prior: Agreement,
    start: float,
    *,
    same_is_known: bool = False,
) -> tuple[Shares, Agreement]:
    """Fit the two kinds of pairs.

    Args:
        levels: comparison → level of each pair, −1: nothing to compare.
        offset: log odds of each pair beforehand (how rare its values are), but for a constant that is fitted.
        prior: where it starts; it counts as one pair of each kind.
        start: the log odds that a pair is one customer's, to start from.
        same_is_known: leave the agreement of one customer's pairs as it is.

    Returns:
        The probability of each pair, and the agreement of both kinds.
    """
    agreement, constant = prior, start
    probability = chance(constant + offset + agreement.evidence(levels))
    for _ in range(_ITERATIONS):
        same = prior.same if same_is_known else _shares(levels, probability, prior.same)
        agreement = Agreement(same, _shares(levels, 1 - probability, prior.other))
        constant = _constant(constant, offset, probability.sum())
        before = probability
        probability = chance(constant + offset + agreement.evidence(levels))
        if np.abs(probability - before).max() < _CLOSE:
            break
    return probability, agreement


def _shares(levels: Mapping[str, Levels], weights: Shares, prior: Mapping[str, Shares]) -> dict[str, Shares]:
    shares = {}
    for name, each in levels.items():
        is_there = each >= 0
        counts = np.bincount(each[is_there], weights[is_there], len(prior[name])) + prior[name]
        shares[name] = counts / counts.sum()
    return shares


def _constant(constant: float, offset: Shares, wanted: float) -> float:
    """The constant with which the chances sum to `wanted`, by Newton's method, kept within bounds."""
    for _ in range(5):
        chances = chance(constant + offset)
        step = (wanted - chances.sum()) / max(float((chances * (1 - chances)).sum()), 1e-6)
        constant = float(np.clip(constant + np.clip(step, -2, 2), -_FARTHEST, _FARTHEST))
    return constant
