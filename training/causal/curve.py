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
    """Advice for a contract so many days before its end: probabilities, and the weights behind the gain."""

    window: str
    estimate: float
    usual: float
    gain: float
    low: float
    high: float
    weight: np.ndarray


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

    def advise(self, lead_days: float) -> Gain | None:
        """The best window still open `lead_days` before the end; None where fewer than two are told."""
        still = np.array([b == NONE or LEADS[b][0] <= lead_days for b in self.buckets])
        if still.sum() < 2:
            return None
        usual = np.where(still, np.maximum(self.chosen, 0), 0.0)
        usual = usual / usual.sum() if usual.sum() else still / still.sum()
        pick = int(np.argmax(np.where(still, self.estimate, -np.inf)))
        weight = np.eye(len(self.buckets))[pick] - usual
        gain, spread = self.total(weight)
        half = self.critical() * spread
        return Gain(
            self.buckets[pick],
            float(self.estimate[pick]),
            float(usual @ self.estimate),
            gain,
            gain - half,
            gain + half,
            weight,
        )

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
