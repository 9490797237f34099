"""The target trial as arrays: who waits for a contact, what ends the wait, and what the estimate of it looks like."""

from dataclasses import dataclass

import numpy as np

NONE = "none"


@dataclass(frozen=True)
class Clock:
    """What ended the wait for a contact within one window, arrays of length n.

    Attributes:
        hit: the contact came, before any decision.
        decided: the decision came first.
        exposure: the share of the window passed by then, in [0, 1]; 1 if neither came.
    """

    hit: np.ndarray
    decided: np.ndarray
    exposure: np.ndarray


@dataclass(frozen=True)
class Window:
    """One window, arrays over all n persons; rows of those not at risk are ignored.

    Attributes:
        name: the bucket, e.g. `31-60`.
        X: (n, d) float, what was known at the window's start, NaN for missing.
        at_risk: (n,) bool, not contacted since the trial began, and undecided.
        any_contact: the wait for a human contact of either direction.
        outbound: the wait for one that we made.
    """

    name: str
    X: np.ndarray
    at_risk: np.ndarray
    any_contact: Clock
    outbound: Clock


@dataclass(frozen=True)
class Strategies:
    """Estimates of m strategies for n persons; NaN for a strategy that too few followed.

    Attributes:
        names: the buckets; for timing `none` is the last.
        estimate: (m,) probability of the outcome had everybody followed the strategy.
        influence: (n, m) centred influence function values; their mean square over n is the variance.
        weight: (n, m) final weight of those who followed the strategy, 0 for others.
        raw: (m,) plain rate among those seen to follow it.
        n: (m,) their number.
        poor: (m,) share of the cohort for whom the strategy is hardly ever seen.
        cluster: (n,) account of each person.
    """

    names: tuple[str, ...]
    estimate: np.ndarray
    influence: np.ndarray
    weight: np.ndarray
    raw: np.ndarray
    n: np.ndarray
    poor: np.ndarray
    cluster: np.ndarray

    def effective_n(self) -> np.ndarray:
        """(m,) Kish's effective sample size of the followers, (Σh)²/Σh²."""
        squared = (self.weight**2).sum(axis=0)
        return np.where(squared > 0, self.weight.sum(axis=0) ** 2 / np.where(squared > 0, squared, 1.0), 0.0)
