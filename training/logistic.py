"""Regularised logistic regression on encoded rows: additive, so its contributions are exact."""

import warnings
from dataclasses import dataclass

import numpy as np

from training.metrics import to_logit

HINGES = (0.25, 0.5, 0.75)
CHUNK = 20_000
MOST_ROWS = 50_000


@dataclass(frozen=True)
class Term:
    """One column of the design: what it makes of one feature.

    `kind` is `value` (clipped to [low, high], standardised, missing → 0), `hinge` (how far above `at`,
    standardised), `level` (1 for the category code `at`) or `missing`. Every term is less its training mean.
    """

    column: int
    kind: str
    at: float = 0.0
    low: float = 0.0
    high: float = 0.0
    scale: float = 1.0
    mean: float = 0.0


@dataclass(frozen=True)
class Logistic:
    """A fitted regression: intercept + Σ coefficient · term, in log-odds."""

    terms: tuple[Term, ...]
    coefficients: np.ndarray
    intercept: float

    def margin(self, E: np.ndarray) -> np.ndarray:
        """Log-odds (n,) of encoded rows (n, k)."""
        parts = [
            _design(E[at : at + CHUNK], self.terms) @ self.coefficients for at in range(0, len(E), CHUNK)
        ]
        return self.intercept + np.concatenate(parts or [np.empty(0)])

    def contributions(self, E: np.ndarray) -> tuple[float, np.ndarray]:
        """The training mean in log-odds, and what each feature adds to it, (n, k): its own terms' sum."""
        owner = np.zeros((len(self.terms), E.shape[1]))
        for row, term in enumerate(self.terms):
            owner[row, term.column] = self.coefficients[row]
        return self.intercept, _design(E, self.terms) @ owner


def fit_logistic(
    E: np.ndarray, y: np.ndarray, weight: np.ndarray, types: list[str], *, C: float, curved: bool = False
) -> Logistic:
    """Fit with an L2 penalty of 1 / (2 C) on standardised terms, on 50,000 rows at most: more change nothing.

    Args:
        E: (n, k) encoded rows.
        y: (n,) outcomes.
        weight: (n,) row weights.
        types: `c` or `q` for each column.
        C: inverse strength of the penalty.
        curved: let each quantity bend at its quartiles, as an additive model.
    """
    if len(E) > MOST_ROWS:
        some = np.random.default_rng(0).choice(len(E), MOST_ROWS, replace=False)
        E, y, weight = E[some], y[some], weight[some]
    terms = design_terms(E, types, curved)
    return fit_terms(_design(E, terms), y, weight, terms, C)


def fit_terms(
    D: np.ndarray, y: np.ndarray, weight: np.ndarray, terms: tuple[Term, ...], C: float
) -> Logistic:
    """Fit on a design made before, so that several penalties can share it."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if not terms:
        return Logistic((), np.empty(0), float(to_logit(np.average(y, weights=weight))))
    solver = "newton-cholesky" if len(terms) < 1500 else "lbfgs"
    model = LogisticRegression(C=C, solver=solver, max_iter=200, tol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # a strong enough penalty in the grid always converges
        model.fit(D, y, sample_weight=weight)
    return Logistic(terms, model.coef_[0].astype(float), float(model.intercept_[0]))


def design_terms(E: np.ndarray, types: list[str], curved: bool) -> tuple[Term, ...]:
    """The terms that training rows call for; those that do not vary are left out."""
    terms: list[Term] = []
    for column, kind in enumerate(types):
        values = E[:, column].astype(float)
        missing = np.isnan(values)
        terms += _level_terms(values, column) if kind == "c" else _quantity_terms(values, column, curved)
        if min(missing.sum(), (~missing).sum()) >= 3:
            terms.append(Term(column, "missing", mean=float(missing.mean())))
    return tuple(terms)


def design(E: np.ndarray, terms: tuple[Term, ...]) -> np.ndarray:
    """(n, terms) float64."""
    return _design(E, terms)


def _level_terms(values: np.ndarray, column: int) -> list[Term]:
    codes, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    return [
        Term(column, "level", at=float(code), mean=count / len(values))
        for code, count in zip(codes, counts, strict=True)
        if 0 < count < len(values)
    ]


def _quantity_terms(values: np.ndarray, column: int, curved: bool) -> list[Term]:
    present = values[~np.isnan(values)]
    if len(np.unique(present[:1000])) < 2 and len(np.unique(present)) < 2:
        return []
    low, high = np.quantile(present, [0.01, 0.99])
    if low == high:
        low, high = present.min(), present.max()
    bends = curved and len(np.unique(present)) > 4
    hinges = np.unique(np.quantile(present, HINGES if bends else ()))
    raw = [Term(column, "value", low=float(low), high=float(high))]
    raw += [
        Term(column, "hinge", at=float(at), low=float(low), high=float(high))
        for at in hinges
        if low < at < high
    ]
    return [term for term in (_standardised(term, values) for term in raw) if term]


def _standardised(term: Term, values: np.ndarray) -> Term | None:
    made = _shape(term, values)
    present = made[~np.isnan(made)]
    scale = float(present.std())
    if scale < 1e-9 * max(1.0, abs(float(present.mean()))):
        return None
    return Term(term.column, term.kind, term.at, term.low, term.high, scale, float(present.mean()))


def _shape(term: Term, values: np.ndarray) -> np.ndarray:
    clipped = np.clip(values, term.low, term.high)
    return np.maximum(clipped - term.at, 0) if term.kind == "hinge" else clipped


def _design(E: np.ndarray, terms: tuple[Term, ...]) -> np.ndarray:
    out = np.empty((len(E), len(terms)))
    for place, term in enumerate(terms):
        values = E[:, term.column].astype(float)
        if term.kind == "level":
            out[:, place] = (values == term.at) - term.mean
        elif term.kind == "missing":
            out[:, place] = np.isnan(values) - term.mean
        else:
            out[:, place] = np.nan_to_num((_shape(term, values) - term.mean) / term.scale, nan=0.0)
    return out
