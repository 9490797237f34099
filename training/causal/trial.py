"""The target trial as arrays: who waits for a contact, what ends the wait, what an estimate looks like."""

from dataclasses import dataclass, replace

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
    """Estimates of m strategies for n persons; NaN columns for a strategy that too few followed.

    Attributes:
        names: the buckets; for timing `none` is the last.
        contribution: (n, m) uncentred efficient influence values; means over persons are the estimates.
        weight: (n, m) final weight of those who followed the strategy, 0 for others.
        followed: (n, m) bool, who was seen to follow it plainly (decided early, uncontacted: `none` only).
        poor: (n, m) weights of those for whom the strategy is hardly ever seen; means are shares of the
        cohort.
        y: (n,) outcomes.
        cluster: (n,) account of each person.
        inflation: (m,) by how much standard errors exceed those of the influence values (small samples).
    """

    names: tuple[str, ...]
    contribution: np.ndarray
    weight: np.ndarray
    followed: np.ndarray
    poor: np.ndarray
    y: np.ndarray
    cluster: np.ndarray
    inflation: np.ndarray | float = 1.0

    @property
    def estimate(self) -> np.ndarray:
        """(m,) probability of the outcome had everybody followed the strategy."""
        return np.clip(self.contribution.mean(axis=0), 0.0, 1.0)

    @property
    def influence(self) -> np.ndarray:
        """(n, m) centred influence function values, inflated where the sample is small."""
        return self.inflation * (self.contribution - self.contribution.mean(axis=0))

    @property
    def n(self) -> np.ndarray:
        """(m,) how many were seen to follow each."""
        return self.followed.sum(axis=0)

    @property
    def raw(self) -> np.ndarray:
        """(m,) the plain rate among them; NaN where there are none."""
        return np.where(self.n > 0, self.y @ self.followed / np.maximum(self.n, 1), np.nan)

    def effective_n(self) -> np.ndarray:
        """(m,) Kish's effective sample size of the followers, (Σh)²/Σh²."""
        squared = (self.weight**2).sum(axis=0)
        return np.where(squared > 0, self.weight.sum(axis=0) ** 2 / np.where(squared > 0, squared, 1.0), 0.0)

    def among(self, who: np.ndarray) -> "Strategies":
        """The same for some of the persons, (n,) bool: averages of their contributions."""
        by_person = ("contribution", "weight", "followed", "poor", "y", "cluster")
        return replace(self, **{name: getattr(self, name)[who] for name in by_person})
