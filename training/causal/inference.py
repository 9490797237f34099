"""Simultaneous intervals, and the set of buckets that cannot be told from the best.

Given estimates θ with influence functions, the joint law of their errors is normal with the account-clustered
covariance (the Gaussian multiplier bootstrap of Chernozhukov, Chetverikov & Kato 2013 in closed form); each
standard error has degrees of freedom of its own, read off the kurtosis of its influence values, since a few
heavy weights make a variance estimate unsure.

- Intervals: all buckets together at 95 %, on the log-odds scale.
- Set: first a test of any difference over all pairs at 5 %. Unless it rejects, nothing is told from the
  best. If it does, Hsu's (1984) multiple comparisons with the best: a bucket leaves the set when some other
  is better by more than the one-sided simultaneous margin. So the set holds the true best in at least 95 %,
  and where nothing differs a difference is claimed in at most 5 %.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit, logit

DRAWS = 10_000
LEVEL = 0.05
LEAST_FREEDOM = 4.0


@dataclass(frozen=True)
class Errors:
    """The joint error of m estimates: covariance (m, m) and the accounts' summed influences (clusters, m).

    Without the sums (a posterior) the errors count as normal.
    """

    covariance: np.ndarray
    sums: np.ndarray | None

    @classmethod
    def of(cls, influence: np.ndarray, cluster: np.ndarray) -> "Errors":
        """From influence values (n, m) and each row's account; with the small-sample factor c / (c − 1)."""
        _, codes = np.unique(cluster, return_inverse=True)
        sums = np.zeros((codes.max() + 1, influence.shape[1]))
        np.add.at(sums, codes, influence)
        sums /= len(influence)
        clusters = len(sums)
        return cls(sums.T @ sums * clusters / max(clusters - 1, 1), sums)

    def part(self, which: np.ndarray) -> "Errors":
        """The errors of some of the estimates, by index or mask."""
        sums = None if self.sums is None else self.sums[:, which]
        return Errors(self.covariance[np.ix_(which, which)], sums)

    def freedom(self, contrast: np.ndarray) -> np.ndarray:
        """Degrees of freedom of the variance of contrasts (m, q): 2c / (kurtosis − 1), by Satterthwaite."""
        if self.sums is None:
            return np.full(contrast.shape[1], 1e6)
        values = self.sums @ contrast
        second, fourth = (values**2).sum(axis=0), (values**4).sum(axis=0)
        kurtosis = len(values) * fourth / np.maximum(second**2, 1e-300)
        return np.clip(2 * len(values) / np.maximum(kurtosis - 1, 1e-9), LEAST_FREEDOM, 1e6)


def simultaneous(
    estimate: np.ndarray, errors: Errors, seed: int = 0, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends (m,) of intervals that hold for all m probabilities together with 1 − level."""
    contrast = np.eye(len(estimate))
    spread = np.sqrt(np.diag(errors.covariance))
    critical = _balanced_critical(contrast, errors, seed, level)
    inside = np.clip(estimate, 1e-4, 1 - 1e-4)
    middle = logit(inside)
    half = critical * spread / (inside * (1 - inside))
    return expit(middle - half), expit(middle + half)


def _draws(contrast: np.ndarray, errors: Errors, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Studentised errors (DRAWS, q) of contrasts (m, q) as chance would have them, and their freedom (q,)."""
    rng = np.random.default_rng(seed)
    spread = np.sqrt(np.maximum(np.einsum("iq,ij,jq->q", contrast, errors.covariance, contrast), 1e-300))
    values, vectors = np.linalg.eigh(errors.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    normal = rng.standard_normal((DRAWS, len(values))) @ root.T @ contrast / spread
    freedom = errors.freedom(contrast)
    return normal / np.sqrt(rng.chisquare(freedom, size=normal.shape) / freedom), freedom


def _balanced_critical(contrast: np.ndarray, errors: Errors, seed: int, level: float) -> np.ndarray:
    """Critical values (q,) with equal tail probability each, exceeded by any of them with `level` in all."""
    drawn, freedom = _draws(contrast, errors, seed)
    tail = 2 * stats.t.sf(np.abs(drawn), freedom)
    return stats.t.isf(np.quantile(tail.min(axis=1), level) / 2, freedom)


def any_difference(estimate: np.ndarray, errors: Errors, seed: int = 0, level: float = LEVEL) -> bool:
    """Whether the m estimates differ at all, by the largest of all pairwise differences."""
    m = len(estimate)
    i, j = np.triu_indices(m, 1)
    contrast = np.zeros((m, len(i)))
    contrast[i, np.arange(len(i))], contrast[j, np.arange(len(i))] = 1.0, -1.0
    spread = np.sqrt(np.maximum(np.einsum("iq,ij,jq->q", contrast, errors.covariance, contrast), 1e-300))
    critical = _balanced_critical(contrast, errors, seed, level)
    return bool(np.any(np.abs(estimate @ contrast) / spread > critical))


def may_be_best(estimate: np.ndarray, errors: Errors, seed: int = 0, level: float = LEVEL) -> np.ndarray:
    """(m,) bool: Hsu's set of those that may be the best; holds the true best with 1 − level."""
    m = len(estimate)
    keep = np.ones(m, dtype=bool)
    for i in range(m):
        contrast = np.delete(np.eye(m), i, axis=1)
        contrast[i] = -1.0
        spread = np.sqrt(np.maximum(np.einsum("iq,ij,jq->q", contrast, errors.covariance, contrast), 1e-300))
        drawn, freedom = _draws(contrast, errors, seed + i + 1)
        margin = stats.t.isf(np.quantile(stats.t.sf(drawn, freedom).min(axis=1), level), freedom)
        keep[i] = not np.any(estimate @ contrast / spread > margin)
    return keep


def set_of_best(estimate: np.ndarray, errors: Errors, seed: int = 0, families: int = 1) -> np.ndarray:
    """(m,) bool: all of them unless some difference is sure, then `may_be_best`.

    With several `families` (groups) asked at once, the test of any difference is shared out among them, so
    that where nothing differs anywhere a difference is claimed anywhere in at most 5 %.
    """
    level = LEVEL
    if len(estimate) < 2 or not any_difference(estimate, errors, seed, level / families):
        return np.ones(len(estimate), dtype=bool)
    keep = may_be_best(estimate, errors, seed, level)
    keep[int(np.argmax(estimate))] = True
    return keep
