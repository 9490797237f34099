"""Cross-fitting over whole accounts: who is predicted, and the account, were not seen by the model."""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import expit

from training.causal.regression import fit_logistic, log_loss

RIDGES = (1.0, 10.0, 100.0)
LEAST_PROBABILITY = 1e-4
LEAST_OF_EITHER = 5


@dataclass(frozen=True)
class CrossFit:
    """Folds, a mass for each person, and the ridge found best for each named regression.

    Attributes:
        fold: (n,) 0 … folds − 1, whole accounts together.
        mass: (n,) how often each person counts; 1 but in a bootstrap.
        ridges: name → ridge, filled on first use and kept in `reweighted`.
        starts: (name, fold) → coefficients to begin from, likewise.
    """

    fold: np.ndarray
    mass: np.ndarray
    ridges: dict[str, float] = field(default_factory=dict)
    starts: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)

    @classmethod
    def over(cls, cluster: np.ndarray, folds: int, seed: int) -> "CrossFit":
        """Folds of about equal numbers of accounts, dealt out by `seed`."""
        labels, codes = np.unique(cluster, return_inverse=True)
        order = np.random.default_rng(seed).permutation(len(labels))
        return cls((np.argsort(order) % folds)[codes], np.ones(len(cluster)))

    def reweighted(self, mass: np.ndarray) -> "CrossFit":
        """The same folds and ridges for persons of other masses (n,)."""
        return replace(self, mass=mass)

    @property
    def folds(self) -> int:
        """How many there are."""
        return int(self.fold.max()) + 1

    def held_out(self, p: np.ndarray) -> np.ndarray:
        """Each person's prediction by the model that has not seen the person: (folds, n) → (n,)."""
        return p[self.fold, np.arange(len(self.fold))]

    def probability(
        self, name: str, A: np.ndarray, y: np.ndarray, weight: np.ndarray, rows: np.ndarray
    ) -> np.ndarray:
        """P(y = 1 | A) for everybody by each fold's model, (folds, n), fitted on `rows` outside the fold.

        The ridge is chosen by out-of-fold log loss; with fewer than five rows of either outcome it is the
        plain rate.
        """
        weight = weight * self.mass
        rows = rows & (weight > 0)
        share = np.average(y[rows], weights=weight[rows]) if rows.any() else 0.5
        best, found = np.inf, np.full((self.folds, len(y)), share)
        enough = min(y[rows].sum(), (1 - y[rows]).sum()) >= LEAST_OF_EITHER
        known = (self.ridges[name],) if name in self.ridges else RIDGES
        for ridge in known if enough else ():
            fits = [self._fitted(name, f, A, y, weight, rows, ridge) for f in range(self.folds)]
            p = expit(np.array([A @ beta for beta in fits]))
            loss = log_loss(y[rows], self.held_out(p)[rows], weight[rows])
            if loss < best:
                best, found, self.ridges[name] = loss, p, ridge
                self.starts.update({(name, f): beta for f, beta in enumerate(fits)})
        return np.clip(found, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)

    def _fitted(
        self,
        name: str,
        f: int,
        A: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray,
        rows: np.ndarray,
        ridge: float,
    ) -> np.ndarray:
        train = rows & (self.fold != f)
        return fit_logistic(A[train], y[train], weight[train], ridge, self.starts.get((name, f)))
