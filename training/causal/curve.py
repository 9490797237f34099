"""One group's timing curve as numbers: what contracts gain from a window over what a team usually does.

'Usual' is what was seen of contracts that were still uncontacted at the same moment: each later window, or
none, as often as it was chosen. A gain is the difference of two estimates from the same data; its interval
is 95 % for all windows the advice might have picked (Bonferroni), since it picks the one that looks best.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from training.causal.answer import ALL, Answer
from training.causal.frame import BUCKETS
from training.causal.trial import NONE

LEADS = {name: (low, high) for name, low, high in BUCKETS}


@dataclass(frozen=True)
class Gain:
    """One bucket against a plan: probabilities under both, and their difference with its 95 % interval."""

    window: str
    estimate: float
    usual: float
    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """The told buckets of one group: estimates (m,), covariance (m, m), how often each was chosen (m,)."""

    group: str
    buckets: tuple[str, ...]
    estimate: np.ndarray
    covariance: np.ndarray
    chosen: np.ndarray
    alike: tuple[str, ...]
    best: str | None

    def advise(self, lead_days: float, planned: str | None = None) -> Gain | None:
        """The best window still open `lead_days` before the end, over the present plan.

        None where fewer than two windows are told, or the one planned is not.
        """
        usual = self.usual(lead_days, planned)
        if usual is None:
            return None
        still = self.still_open(lead_days)
        return self.over(usual, self.buckets[int(np.argmax(np.where(still, self.estimate, -np.inf)))])

    def still_open(self, lead_days: float | None) -> np.ndarray:
        """(m,) bool: the buckets that can still be chosen so many days before the end; None: all."""
        if lead_days is None:
            return np.ones(len(self.buckets), dtype=bool)
        return np.array([b == NONE or LEADS[b][0] <= lead_days for b in self.buckets])

    def usual(self, lead_days: float | None = None, planned: str | None = None) -> np.ndarray | None:
        """(m,) the present plan as shares of the buckets.

        Args:
            lead_days: days to the end, for windows before it.
            planned: the bucket already planned. Default: what is usually done from here.
        """
        still = self.still_open(lead_days)
        if still.sum() < 2 or planned not in (None, *self.buckets):
            return None
        if planned is not None:
            return np.array([float(b == planned) for b in self.buckets])
        usual = np.where(still, np.maximum(self.chosen, 0), 0.0)
        return usual / usual.sum() if usual.sum() else still / still.sum()

    def over(self, usual: np.ndarray, bucket: str) -> Gain:
        """What one of the buckets gains over a plan."""
        pick = self.buckets.index(bucket)
        gain, spread = self.total(np.eye(len(self.buckets))[pick] - usual)
        half = self.critical() * spread
        estimate = float(self.estimate[pick])
        low, high = max(gain - half, -1.0), min(gain + half, 1.0)
        return Gain(bucket, estimate, float(usual @ self.estimate), gain, low, high)

    def total(self, weight: np.ndarray) -> tuple[float, float]:
        """A weighted sum of the estimates and its standard error."""
        return float(weight @ self.estimate), float(np.sqrt(max(weight @ self.covariance @ weight, 0.0)))

    def critical(self) -> float:
        """Standard errors to either side that hold for every pick among the buckets."""
        return float(stats.norm.isf(0.025 / max(len(self.buckets) - 1, 1)))


def curves(told: Answer) -> dict[str, Curve]:
    """Group → curve, for `all` and each group of which at least two buckets are told."""
    found = {}
    for group, matrix in told["covariance"].items():
        rows = {row["bucket"]: row for row in told["rows"] if row["group"] == group and row["overlap_ok"]}
        buckets = [b for b in matrix["buckets"] if b in rows]
        keep = [matrix["buckets"].index(b) for b in buckets]
        if len(buckets) < 2:
            continue
        found[group] = Curve(
            group,
            tuple(buckets),
            np.array([rows[b]["estimate"] for b in buckets]),
            np.array(matrix["matrix"])[np.ix_(keep, keep)],
            np.array([rows[b]["n"] for b in buckets], dtype=float),
            tuple(told["indistinguishable"][group]),
            told["best"][group],
        )
    return found


def curve_for(found: dict[str, Curve], group: str | None) -> Curve | None:
    """The group's own curve, else everybody's."""
    return found.get(str(group)) or found.get(ALL)
