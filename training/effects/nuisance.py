"""Nuisances of the estimates, cross-fitted over whole accounts: contact hazards, outcome regressions.

Who is predicted, and the account, were not part of the fit. Probabilities that are divided by must be
calibrated before all else; penalised logistic regression on a spline basis is so by construction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import expit

from training.effects import trial_arrays
from training.effects.trial_arrays import Clock, Window
from training.ridge import fit_ridge, fit_ridge_logistic, log_loss, with_intercept
from training.split import cluster_folds

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
        return cls(cluster_folds(cluster, folds, seed), np.ones(len(cluster)))

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
        best, fitted = np.inf, np.full((self.folds, len(y)), share)
        enough = min(y[rows].sum(), (1 - y[rows]).sum()) >= LEAST_OF_EITHER
        ridges = (self.ridges[name],) if name in self.ridges else RIDGES
        for ridge in ridges if enough else ():
            fits = [self._fitted(name, f, A, y, weight, rows, ridge) for f in range(self.folds)]
            p = expit(np.array([A @ beta for beta in fits]))
            loss = log_loss(y[rows], self.held_out(p)[rows], weight[rows])
            if loss < best:
                best, fitted, self.ridges[name] = loss, p, ridge
                self.starts.update({(name, f): beta for f, beta in enumerate(fits)})
        return np.clip(fitted, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)

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
        return fit_ridge_logistic(A[train], y[train], weight[train], ridge, self.starts.get((name, f)))


LINEAR_RIDGE = 2.0
BOUND = 1e-3


@dataclass(frozen=True)
class Hazard:
    """A contact clock's cross-fitted full-window probability p and time shape g, both (n,).

    After a share u of the window, 1 − (1 − p)^g(u) have had the contact.
    """

    p: np.ndarray
    shape: np.ndarray

    def passed(self) -> np.ndarray:
        """(n,) the probability that the contact had come by each person's exit."""
        return 1 - (1 - self.p) ** self.shape


def basis(
    X: np.ndarray, stratum: np.ndarray, targets: list[tuple[np.ndarray, int]]
) -> Callable[[np.ndarray], np.ndarray]:
    """How raw columns become a regression matrix: scaled, those worth adjusting for, bent, with an intercept.

    Args:
        X: (rows, d) raw columns, several rows a person.
        stratum, targets: as `effects_covariates.choose` takes them.
    """
    scaling = trial_arrays.Scaling.fit(X)
    Z = scaling.apply(X)
    chosen = trial_arrays.choose(Z, stratum, targets)
    knots = trial_arrays.knots_of(Z[:, chosen])
    return lambda rows: with_intercept(trial_arrays.with_hinges(scaling.apply(rows)[:, chosen], knots))


def design(windows: Sequence[Window], y: np.ndarray) -> list[np.ndarray]:
    """One regression matrix (n, columns) a window, on columns chosen over all windows together."""

    def stacked(values: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate([v[w.at_risk] for v, w in zip(values, windows, strict=True)])

    pooled = stacked([w.X for w in windows])
    targets = [
        (stacked([y] * len(windows)), len(y)),
        (stacked([w.any_contact.hit for w in windows]), len(pooled)),
        (stacked([w.outbound.hit for w in windows]), len(pooled)),
    ]
    expand = basis(pooled, stacked([np.full(len(y), k) for k in range(len(windows))]), targets)
    return [expand(w.X) for w in windows]


def time_shape(clock: Clock, at_risk: np.ndarray) -> np.ndarray:
    """The share of a window's contact hazard passed at each decision: Nelson–Aalen, scaled to end at 1.

    Only decisions inside the window cut exposure short; for everybody else the shape is 1.
    """
    shape = np.ones(len(at_risk))
    if not np.any(clock.decided & at_risk) or not np.any(clock.hit & at_risk):
        return shape
    exits = np.sort(clock.exposure[at_risk])
    hits = np.sort(clock.exposure[clock.hit & at_risk])
    waiting = len(exits) - np.searchsorted(exits, hits, side="left")
    hazard = np.concatenate([[0.0], np.cumsum(1.0 / np.maximum(waiting, 1))])
    passed = hazard[np.searchsorted(hits, clock.exposure, side="left")] / hazard[-1]
    return np.where(clock.decided, passed, 1.0)


def hazards(k: int, window: Window, A: np.ndarray, cross: CrossFit) -> tuple[Hazard, Hazard]:
    """The hazards of any human contact and of an outbound one in window number k, on its matrix A."""
    contact = hazard(f"any {k}", window.any_contact, window.at_risk, A, cross)
    if np.array_equal(window.any_contact.hit, window.outbound.hit):
        return contact, contact
    return contact, hazard(f"outbound {k}", window.outbound, window.at_risk, A, cross)


def hazard(name: str, clock: Clock, at_risk: np.ndarray, A: np.ndarray, cross: CrossFit) -> Hazard:
    """Cross-fitted hazard of one clock among those at risk; who was decided counts for the time exposed."""
    shape = time_shape(clock, at_risk)
    return Hazard(cross.held_out(cross.probability(name, A, clock.hit.astype(float), shape, at_risk)), shape)


def outcome_regressions(
    windows: Sequence[Window],
    bases: Sequence[np.ndarray],
    window_hazards: Sequence[tuple[Hazard, Hazard]],
    y: np.ndarray,
    cross: CrossFit,
) -> list[np.ndarray]:
    """Out-of-fold iterated conditional expectations: per window (n, m), column s for strategy s (last: none).

    Column s of window k is P(y = 1) under strategy s given what is known at the start of k, for s >= k.
    """
    n, last = len(y), len(windows) - 1
    held = [np.full((n, last + 2), np.nan) for _ in windows]
    arms = [
        cross.probability(f"arm {k}", A, y, decided_or_contacted(w.outbound, outbound), w.at_risk)
        for k, (w, A, (_, outbound)) in enumerate(zip(windows, bases, window_hazards, strict=True))
    ]
    for f in range(cross.folds):
        inside, follow = cross.fold == f, np.repeat(y[:, None].astype(float), last + 2, axis=1)
        for k in range(last, -1, -1):
            w, A, (contact, _) = windows[k], bases[k], window_hazards[k]
            train = w.at_risk & ~w.any_contact.hit & ~inside
            ahead = np.where(w.any_contact.decided[:, None], y[:, None], follow)[:, k + 1 :]
            exposed = cross.mass * (1 - contact.p) ** (1 - contact.shape)
            now = np.full((n, last + 2), np.nan)
            now[:, k + 1 :] = A @ fit_ridge(A[train], ahead[train], exposed[train], LINEAR_RIDGE)
            now[:, k] = arms[k][f]
            follow = np.clip(now, BOUND, 1 - BOUND)
            held[k][inside] = follow[inside]
    return held


def decided_or_contacted(clock: Clock, hazard: Hazard) -> np.ndarray:
    """Relative weight of those who follow 'contact in this window, if undecided by then' to its end.

    1 for the contacted. For someone decided first, p times P(the strategy's contact would have come later)
    over P(none had come by then); the strategy spreads contacts over the window as they were seen to be
    spread.
    """
    passed = hazard.passed()
    later = np.maximum(1 - passed / hazard.p, 0.0) / (1 - passed)
    return np.where(clock.hit, 1.0, np.where(clock.decided, later * hazard.p, 0.0))
