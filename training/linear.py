"""Regularised logistic regression on encoded rows: additive, so its contributions are exact."""

import warnings
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from training.metrics import to_logit
from training.ridge import fit_ridge_logistic, with_intercept

HINGES = (0.25, 0.5, 0.75)
BLOCK = 256
"""Rows worked on at a time: few enough to stay in the cache."""
MOST_ROWS = 50_000
INTERCEPT_SCALING = 100.0
MOST_NEWTON_TERMS = 1500


@dataclass(frozen=True)
class Term:
    """One column of the design: what it makes of one feature.

    `kind` is `value` (clipped to [low, high], squashed, standardised, missing → 0), `hinge` (how far the
    squashed value lies above `at`, standardised), `level` (1 for the category code `at`) or `missing`. Every
    term is less its training mean. Squashed is asinh((x − center) / width): straight near the median, a
    logarithm far from it. Counts, amounts and use have long tails, and what doubles matters more there than
    what is added.
    """

    column: int
    kind: str
    at: float = 0.0
    low: float = 0.0
    high: float = 0.0
    center: float = 0.0
    width: float = 1.0
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
        if len(E) <= BLOCK:
            return self.sum(self.contributions(E)[1])
        out = np.zeros(len(E))
        for at in range(len(self._shapes.columns) if self.terms else 0):
            out += self._shapes.column_values(at, E)
        return self.intercept + out

    def contributions(self, E: np.ndarray) -> tuple[float, np.ndarray]:
        """The training mean in log-odds, and what each feature adds to it, (n, k): its own terms' sum."""
        out = np.zeros(E.shape)
        if self.terms:
            for at in range(0, len(E), BLOCK):
                out[at : at + BLOCK, self._shapes.columns] = self._shapes.values(E[at : at + BLOCK])
        return self.intercept, out

    def sum(self, contributions: np.ndarray) -> np.ndarray:
        """Log-odds (n,) of contributions (n, k), to the bit `margin`: added feature by feature."""
        if not contributions.size:
            return np.full(len(contributions), self.intercept)
        return self.intercept + np.add.accumulate(contributions, axis=1)[:, -1]

    @cached_property
    def _shapes(self) -> "_Shapes":
        return _shapes(self)


@dataclass(frozen=True)
class _Shapes:
    """What each of j columns adds, as a function of its value: an additive model is nothing but these.

    A quantity's is constant + slope · x + Σ bends · (x − at)₊ on x clipped to [low, high] and squashed; a
    category's a look-up by code. Each row is calculated by itself, so that alone it gets the bits it gets in
    a batch.

    Attributes:
        columns: (j,) which columns of E.
        low, high, center, width, constant, slope, missing: (j,), `missing` being what a missing value adds.
        at, bends: (h, j), padded with bends of 0.
        coded: places among the j of the categories; their `levels` (c, l + 1): the last for further codes.
    """

    columns: np.ndarray
    low: np.ndarray
    high: np.ndarray
    center: np.ndarray
    width: np.ndarray
    constant: np.ndarray
    slope: np.ndarray
    missing: np.ndarray
    at: np.ndarray
    bends: np.ndarray
    coded: np.ndarray
    levels: np.ndarray

    def values(self, E: np.ndarray) -> np.ndarray:
        """(n, j) what each column adds."""
        given = E[:, self.columns].astype(float)
        x = _squashed(np.clip(given, self.low, self.high), self.center, self.width)
        out = x * self.slope
        for at, bend in zip(self.at, self.bends, strict=True):
            out += bend * np.maximum(x - at, 0)
        out += self.constant
        if len(self.coded):
            most = self.levels.shape[1] - 1
            out[:, self.coded] = self.levels[np.arange(len(self.coded)), _codes(given[:, self.coded], most)]
        return np.where(np.isnan(given), self.missing, out)

    def column_values(self, at: int, E: np.ndarray) -> np.ndarray:
        """(n,) what the column at place `at` adds: a column of `values`, quicker for many rows."""
        given = E[:, self.columns[at]].astype(float)
        coded = np.flatnonzero(self.coded == at)
        if len(coded):
            out = self.levels[coded[0]].take(_codes(given, self.levels.shape[1] - 1))
        else:
            clipped = np.minimum(np.maximum(given, self.low[at]), self.high[at])
            x = _squashed(clipped, self.center[at], self.width[at])
            out = x * self.slope[at]
            for bend in np.flatnonzero(self.bends[:, at]):
                out += self.bends[bend, at] * np.maximum(x - self.at[bend, at], 0)
            out += self.constant[at]
        out[np.isnan(given)] = self.missing[at]
        return out


def _squashed(x: np.ndarray, center: np.ndarray | float, width: np.ndarray | float) -> np.ndarray:
    return np.asarray(np.arcsinh((x - center) / width))


def _codes(given: np.ndarray, most: int) -> np.ndarray:
    """Category codes as places in a table whose last place, `most`, is for further codes."""
    return np.nan_to_num(given, nan=most, posinf=most).clip(0, most).astype(int)


def _shapes(model: Logistic) -> _Shapes:
    columns = np.array(sorted({term.column for term in model.terms}), dtype=int)
    place = {column: at for at, column in enumerate(columns.tolist())}
    terms_by_column: list[list[tuple[Term, float]]] = [[] for _ in columns]
    for term, coefficient in zip(model.terms, model.coefficients.tolist(), strict=True):
        terms_by_column[place[term.column]].append((term, coefficient))
    bends = max((sum(term.kind == "hinge" for term, _ in terms) for terms in terms_by_column), default=0)
    constant, slope, missing = np.zeros((3, len(columns)))
    hinge_at, hinge_bends = np.zeros((2, bends, len(columns)))
    low, high = np.full((2, len(columns)), [[-np.inf], [np.inf]])
    center, width = np.zeros(len(columns)), np.ones(len(columns))
    coded, levels = _level_values(terms_by_column)
    shapes = _Shapes(
        columns, low, high, center, width, constant, slope, missing, hinge_at, hinge_bends, coded, levels
    )
    for at, terms in enumerate(terms_by_column):
        _shape_of(shapes, at, terms)
    return shapes


def _level_values(terms_by_column: list[list[tuple[Term, float]]]) -> tuple[np.ndarray, np.ndarray]:
    coded = np.array(
        [at for at, terms in enumerate(terms_by_column) if any(t.kind == "level" for t, _ in terms)],
        dtype=int,
    )
    most = max(
        (int(term.at) for terms in terms_by_column for term, _ in terms if term.kind == "level"), default=-1
    )
    levels = np.zeros((len(coded), most + 2))
    for row, at in enumerate(coded.tolist()):
        for term, coefficient in terms_by_column[at]:
            levels[row] -= coefficient * term.mean
            if term.kind == "level":
                levels[row, int(term.at)] += coefficient
    return coded, levels


def _shape_of(shapes: _Shapes, at: int, terms: list[tuple[Term, float]]) -> None:
    """Sum one column's terms into its shape."""
    bend = 0
    for term, coefficient in terms:
        if term.kind in ("value", "hinge"):
            weight = coefficient / term.scale
            shapes.low[at], shapes.high[at] = term.low, term.high
            shapes.center[at], shapes.width[at] = term.center, term.width
            shapes.constant[at] -= weight * term.mean
            if term.kind == "value":
                shapes.slope[at] += weight
            else:
                shapes.at[bend, at], shapes.bends[bend, at] = term.at, weight
                bend += 1
        else:
            shapes.constant[at] -= coefficient * term.mean
            shapes.missing[at] += coefficient * (float(term.kind == "missing") - term.mean)


def fit_logistic(
    E: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    types: list[str],
    *,
    C: float,
    curved: bool = False,
    sparse: bool = False,
) -> Logistic:
    """Fit with a penalty on standardised terms, on 50,000 rows at most: more change nothing.

    Args:
        E: (n, k) encoded rows.
        y: (n,) outcomes.
        weight: (n,) row weights.
        types: `c` or `q` for each column.
        C: inverse strength of the penalty.
        curved: let each quantity bend at its quartiles, as an additive model.
        sparse: penalise by absolute value (the lasso, Tibshirani 1996), which leaves terms out, not by
            square.
    """
    if len(E) > MOST_ROWS:
        some = np.random.default_rng(0).choice(len(E), MOST_ROWS, replace=False)
        E, y, weight = E[some], y[some], weight[some]
    terms = design_terms(E, types, curved)
    fitted = coefficients(design(E, terms), y, weight, C, sparse=sparse)
    in_use = np.flatnonzero(fitted[1:])
    return Logistic(tuple(terms[at] for at in in_use), fitted[1:][in_use], float(fitted[0]))


def coefficients(
    D: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    C: float,
    *,
    sparse: bool = False,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """(1 + d,) the intercept, which is not penalised, and a coefficient for each column of a design (n, d).

    A ridge begins at `start`, such as the coefficients for a penalty nearby.
    """
    if not D.shape[1]:
        return to_logit(np.array([np.average(y, weights=weight)]))
    return _lasso(D, y, weight, C) if sparse else _ridge(D, y, weight, C, start)


def _ridge(
    D: np.ndarray, y: np.ndarray, weight: np.ndarray, C: float, start: np.ndarray | None
) -> np.ndarray:
    if D.shape[1] < MOST_NEWTON_TERMS:
        return fit_ridge_logistic(with_intercept(D), y, weight, 1 / C, start)
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=C, solver="lbfgs", max_iter=200, tol=1e-5).fit(D, y, sample_weight=weight)
    return np.concatenate([model.intercept_, model.coef_[0]]).astype(float)


def _lasso(D: np.ndarray, y: np.ndarray, weight: np.ndarray, C: float) -> np.ndarray:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    # liblinear penalises the intercept with the rest: scaled up, it costs next to nothing.
    model = LogisticRegression(
        C=C,
        l1_ratio=1.0,
        solver="liblinear",
        intercept_scaling=INTERCEPT_SCALING,
        max_iter=200,
        tol=1e-3,
        random_state=0,
    )
    with warnings.catch_warnings():
        # A strong enough penalty in the grid always converges.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(D, y, sample_weight=weight)
    return np.concatenate([model.intercept_, model.coef_[0]]).astype(float)


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
    clipped = np.clip(present, low, high)
    center = float(np.median(clipped))
    width = float(np.median(np.abs(clipped - center))) or float(clipped.std())
    if not width:
        return []
    value = Term(column, "value", low=float(low), high=float(high), center=center, width=width)
    bends = curved and len(np.unique(present)) > 4
    squashed = _shape(value, present)
    hinges = np.unique(np.quantile(squashed, HINGES if bends else ()))
    raw = [value]
    raw += [
        replace(value, kind="hinge", at=float(at)) for at in hinges if squashed.min() < at < squashed.max()
    ]
    return [term for term in (_standardised(term, values) for term in raw) if term]


def _standardised(term: Term, values: np.ndarray) -> Term | None:
    shaped = _shape(term, values)
    present = shaped[~np.isnan(shaped)]
    scale = float(present.std())
    if scale < 1e-9 * max(1.0, abs(float(present.mean()))):
        return None
    return replace(term, scale=scale, mean=float(present.mean()))


def _shape(term: Term, values: np.ndarray) -> np.ndarray:
    squashed = _squashed(np.clip(values, term.low, term.high), term.center, term.width)
    return np.maximum(squashed - term.at, 0) if term.kind == "hinge" else squashed


def design(E: np.ndarray, terms: tuple[Term, ...]) -> np.ndarray:
    """(n, terms) float64."""
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
