"""Row weights by segment and outcome, for training alone: the odds themselves never ask for a segment."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from training.parity import segment_shares

PASSES = 5
SMALLEST, LARGEST = 0.2, 5.0
LEAST_ROWS = 10


@dataclass(frozen=True)
class Reweighing:
    """Weights under which every attribute is independent of the outcome (Kamiran and Calders 2012).

    A row of segment s and outcome y weighs P(s)·P(y) / P(s, y), worked out on whatever rows are learned from.
    Several attributes are taken in turn until all are independent (iterative proportional fitting); a row
    that belongs to a segment by an area's share gets the mixture of the weights.

    Attributes:
        segments: `account_id`, `attribute`, `value` and perhaps `share`.
    """

    segments: pd.DataFrame = field(repr=False)

    @property
    def name(self) -> str:
        """Equal for equal weights."""
        return f"reweighing-{_digest(self.segments)}"

    def __call__(self, account_id: pd.Series, y: np.ndarray) -> np.ndarray:
        """(n,) weights of mean 1 for rows of these accounts and outcomes 0/1."""
        every = segment_shares(account_id, self.segments)
        weight = np.ones(len(y))
        for _ in range(PASSES if len(every) > 1 else 1):
            for shares in every.values():
                weight *= _independent(weight, shares, y)
        return weight / weight.mean() if len(weight) else weight


def _independent(weight: np.ndarray, shares: dict[str, np.ndarray], y: np.ndarray) -> np.ndarray:
    """(n,) factors that make one attribute independent of the outcome."""
    known = np.minimum(sum(shares.values()), 1.0)
    total = (weight * known).sum()
    factor = 1.0 - known
    for share in shares.values():
        inside = weight * share
        of_outcome = np.array([(weight * known)[y == outcome].sum() for outcome in (0, 1)])
        met = np.array([inside[y == outcome].sum() for outcome in (0, 1)])
        enough = np.array([share[y == outcome].sum() >= LEAST_ROWS for outcome in (0, 1)])
        wanted = np.where(enough, inside.sum() * of_outcome / np.where(met > 0, met * total, np.inf), 1.0)
        factor = factor + share * np.clip(wanted, SMALLEST, LARGEST)[y.astype(int)]
    return factor


@dataclass(frozen=True)
class Lift:
    """More weight on one outcome's rows of some segments, less on others' (FairBatch, Roh et al. 2021).

    What each outcome weighs in all stays as it is, and so does the mean of the odds.

    Attributes:
        segments: as for `Reweighing`.
        by: (attribute, value) → factor.
        outcome: the label of the rows it applies to.
    """

    segments: pd.DataFrame = field(repr=False)
    by: dict[tuple[str, str], float]
    outcome: int

    @property
    def name(self) -> str:
        """Equal for equal weights."""
        told = ",".join(f"{a}={v}:{factor:.4f}" for (a, v), factor in sorted(self.by.items()))
        return f"lift-{self.outcome}-{told}-{_digest(self.segments)}"

    def __call__(self, account_id: pd.Series, y: np.ndarray) -> np.ndarray:
        """(n,) weights of mean 1 for rows of these accounts and outcomes 0/1."""
        log = np.zeros(len(y))
        for attribute, shares in segment_shares(account_id, self.segments).items():
            for value, share in shares.items():
                log += share * np.log(self.by.get((attribute, value), 1.0))
        weight = np.ones(len(y))
        here = y == self.outcome
        weight[here] = np.exp(log[here]) / np.exp(log[here]).mean() if here.any() else 1.0
        return weight


def _digest(segments: pd.DataFrame) -> str:
    hashed = pd.util.hash_pandas_object(segments.astype("string"), index=False).to_numpy()
    return hashlib.sha256(np.sort(hashed).tobytes()).hexdigest()[:12]
