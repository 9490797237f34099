"""Simultaneous intervals, and the set of buckets not distinguishable from the best.

Given estimates θ with influence functions, the joint law of their errors is normal with the account-clustered
covariance (the Gaussian multiplier bootstrap of Chernozhukov, Chetverikov & Kato 2013 in closed form); each
standard error has degrees of freedom of its own, read off the kurtosis of its influence values, since a few
heavy weights make a variance estimate unsure.

- Intervals: all buckets together at 95 %, on the log-odds scale.
- Set: first a test of any difference over all pairs at 5 %. Unless it rejects, the set holds every
  bucket. If it does, Hsu's (1984) multiple comparisons with the best: a bucket leaves the set when some other
  is better by more than the one-sided simultaneous margin. So the set holds the true best in at least 95 %,
  and where nothing differs a difference is claimed in at most 5 %.

Effects by group with partial pooling, so that no group's luck is sold as its nature.

Group g's estimates y_g ~ N(θ_g, V_g) with V_g from influence functions. Groups have levels of their own,
buckets have effects in common, and what differs between groups is drawn from one law: θ_gb = a_g + m_b +
d_gb, d_gb ~ N(0, τ²), with flat priors on a and m (Efron & Morris 1975; Gelman & Hill 2007, ch. 12). τ is
not plugged in but averaged over its posterior on a grid, with restricted likelihood and a half-normal prior
of scale 0.1, so intervals carry that doubt too. Where the data see no difference between groups, τ goes to
0 and every group gets the pooled curve at its own level.

How much an unseen worry could change the answer, measured against the worry that is seen.

The strength of an unrecorded confounder cannot be learned from data. What can be measured is what the
recorded ones did: the shift between the estimate that adjusts for all of them and the one that adjusts for
none, in the same trial with the same decisions and exposures (benchmarking against observed covariates:
Cinelli & Hazlett 2020; Chernozhukov et al. 2022). Recorded signals are noisy images of the worry behind
them, so they undo less than its whole; and one bucket's shift can be small because errors cancel. The
margin is therefore three times the largest shift of any bucket, and the same for all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.linalg import block_diag
from scipy.special import expit, logit

from training.effects.trial_arrays import Window

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


TAUS = np.array([0.001, 0.005, 0.01, 0.02, 0.03, 0.045, 0.065, 0.09, 0.13, 0.19, 0.28])
TAU_SCALE = 0.1
UNSEEN = 1e3


@dataclass(frozen=True)
class Pooled:
    """Posterior mean (G, m) of every group's buckets, its joint errors (in that order), the mean τ."""

    estimate: np.ndarray
    errors: Errors
    tau: float

    def of_group(self, g: int) -> Errors:
        """The joint errors of one group's buckets."""
        m = self.estimate.shape[1]
        return self.errors.part(np.arange(g * m, (g + 1) * m))


def pool(estimate: np.ndarray, covariances: Sequence[np.ndarray]) -> Pooled:
    """Shrink group estimates (G, m) with covariances (m, m) each towards common bucket effects.

    NaN cells are unseen: they get the pooled curve at the group's level, with the doubt that τ leaves.
    """
    G, m = estimate.shape
    finite = np.isfinite(estimate).ravel()
    y = np.nan_to_num(estimate).ravel()
    V = block_diag(*covariances)
    V[~finite, :], V[:, ~finite] = 0.0, 0.0
    V[np.flatnonzero(~finite), np.flatnonzero(~finite)] = UNSEEN
    V[np.diag_indices(len(V))] += 1e-10
    D = np.hstack([np.kron(np.eye(G), np.ones((m, 1))), np.kron(np.ones((G, 1)), np.eye(m))[:, 1:]])
    fits = [_posterior(y, V, D, tau) for tau in TAUS]
    weight = np.array([likelihood for _, _, likelihood in fits]) - 0.5 * (TAUS / TAU_SCALE) ** 2
    weight += np.log(np.gradient(TAUS))
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    mean = sum(w * centre for w, (centre, _, _) in zip(weight, fits, strict=True))
    spread = sum(
        w * (around + np.outer(centre - mean, centre - mean))
        for w, (centre, around, _) in zip(weight, fits, strict=True)
    )
    return Pooled(np.asarray(mean).reshape(G, m), Errors(np.asarray(spread), None), float(weight @ TAUS))


def _posterior(
    y: np.ndarray, V: np.ndarray, D: np.ndarray, tau: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean and covariance of θ given τ, and the log restricted likelihood of τ."""
    inverse = np.linalg.inv(V + tau**2 * np.eye(len(y)))
    precision = D.T @ inverse @ D
    fixed = np.linalg.inv(precision)
    beta = fixed @ D.T @ inverse @ y
    left = y - D @ beta
    pull = tau**2 * inverse
    centre = D @ beta + pull @ left
    around = tau**2 * np.eye(len(y)) - tau**2 * pull
    toward = D - pull @ D
    around = around + toward @ fixed @ toward.T
    fit = left @ inverse @ left
    likelihood = -0.5 * (-np.linalg.slogdet(inverse)[1] + np.linalg.slogdet(precision)[1] + fit)
    return centre, (around + around.T) / 2, float(likelihood)


TIMES = 3.0


def without_covariates(windows: Sequence[Window]) -> list[Window]:
    """The same trial, in which nothing was known of anybody."""
    return [
        Window(w.name, np.empty((len(w.at_risk), 0)), w.at_risk, w.any_contact, w.outbound) for w in windows
    ]


def margin(adjusted: np.ndarray, unadjusted: np.ndarray, usable: np.ndarray) -> float:
    """How far estimates (m,) are off if unseen worry moves them three times as much as all recorded."""
    return float(TIMES * np.abs(adjusted - unadjusted)[usable].max()) if usable.any() else float("nan")


def e_value(better: float, worse: float) -> float:
    """VanderWeele & Ding 2017: the risk ratio an unseen confounder needs with both choice and outcome.

    It would then explain the ratio of two probabilities wholly; 1 means that nothing is needed.
    """
    if not 0 < worse < better:
        return 1.0
    ratio = better / worse
    return float(ratio + np.sqrt(ratio * (ratio - 1)))


def lead_of_best(
    names: Sequence[str], adjusted: np.ndarray, unadjusted: np.ndarray, usable: np.ndarray
) -> dict[str, object] | None:
    """The best bucket's lead over the next, and how strong an unseen confounder would have to be to undo it.

    `times_recorded` is that strength as a multiple of all recorded signals together, by how far these moved
    the two buckets against each other (at least as far as they moved an average pair).
    """
    order = [b for b in np.argsort(-np.where(usable, adjusted, -np.inf)) if usable[b]]
    if len(order) < 2:
        return None
    first, second = order[:2]
    gap = float(adjusted[first] - adjusted[second])
    shift = (adjusted - unadjusted)[usable]
    moved = max(
        abs(adjusted[first] - unadjusted[first] - adjusted[second] + unadjusted[second]), 2**0.5 * shift.std()
    )
    return {
        "best": names[first],
        "second": names[second],
        "lead": gap,
        "e_value": e_value(float(adjusted[first]), float(adjusted[second])),
        "times_recorded": gap / float(moved) if moved > 0 else None,
    }
