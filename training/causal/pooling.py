"""Effects by group with partial pooling, so that no group's luck is sold as its nature.

Group g's estimates y_g ~ N(θ_g, V_g) with V_g from influence functions. Groups have levels of their own,
buckets have effects in common, and what differs between groups is drawn from one law: θ_gb = a_g + m_b +
d_gb, d_gb ~ N(0, τ²), with flat priors on a and m (Efron & Morris 1975; Gelman & Hill 2007, ch. 12). τ is
not plugged in but averaged over its posterior on a grid, with restricted likelihood and a half-normal prior
of scale 0.1, so intervals carry that doubt too. Where the data see no difference between groups, τ goes to
0 and every group gets the pooled curve at its own level.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag

from training.causal.inference import Errors

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
    seen = np.isfinite(estimate).ravel()
    y = np.nan_to_num(estimate).ravel()
    V = block_diag(*covariances)
    V[~seen, :], V[:, ~seen] = 0.0, 0.0
    V[np.flatnonzero(~seen), np.flatnonzero(~seen)] = UNSEEN
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
