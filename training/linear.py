"""Regularised logistic regression on encoded rows: additive, so its contributions are exact."""

import warnings
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from training.linear_terms import Term, design, design_terms, squashed
from training.metrics import to_logit, to_probability
from training.ridge import fit_ridge, fit_ridge_logistic, with_intercept

BLOCK = 256
"""Rows worked on at a time: few enough to stay in the cache."""
MOST_ROWS = 50_000
INTERCEPT_SCALING = 100.0
MOST_NEWTON_TERMS = 1500
LEAST_INFORMATION = 1e-6
CHANGE = 0.3
"""How far a coefficient is expected to change over a standard deviation of the clock: a share of itself."""


@dataclass(frozen=True)
class Clock:
    """The column that says how far along a contract or deal is: (value − middle) / width in training,
    held within what was trained on; 0 where it is missing.
    """

    column: int
    middle: float
    width: float
    low: float
    high: float

    def read(self, E: np.ndarray) -> np.ndarray:
        """(n,) of encoded rows (n, k)."""
        given = np.clip(E[:, self.column].astype(float), self.low, self.high)
        return np.nan_to_num((given - self.middle) / self.width, nan=0.0)


@dataclass(frozen=True)
class Logistic:
    """A fitted regression: intercept + Σ coefficient · term, in log-odds.

    Where it has a clock, a feature's effect changes with it: by that of `timed` for each step of the clock.
    """

    terms: tuple[Term, ...]
    coefficients: np.ndarray
    intercept: float
    timed: "Logistic | None" = None
    clock: Clock | None = None

    def margin(self, E: np.ndarray) -> np.ndarray:
        """Log-odds (n,) of encoded rows (n, k)."""
        if len(E) <= BLOCK:
            return self.sum(self.contributions(E)[1])
        out = np.zeros(len(E))
        steps = None if self.clock is None else self.clock.read(E)
        for column in sorted({*self._places, *(self.timed._places if self.timed else ())}):
            added = self._column_values(column, E)
            if self.timed is not None and steps is not None:
                added = added + steps * self.timed._column_values(column, E)
            out += added
        return self.intercept + out

    def contributions(self, E: np.ndarray) -> tuple[float, np.ndarray]:
        """The training mean in log-odds, and what each feature adds to it, (n, k): its own terms' sum, as
        far along as the row is.
        """
        out = np.zeros(E.shape)
        if self.terms:
            for at in range(0, len(E), BLOCK):
                out[at : at + BLOCK, self._shapes.columns] = self._shapes.values(E[at : at + BLOCK])
        if self.timed is not None and self.clock is not None:
            out += self.clock.read(E)[:, None] * self.timed.contributions(E)[1]
        return self.intercept, out

    def sum(self, contributions: np.ndarray) -> np.ndarray:
        """Log-odds (n,) of contributions (n, k), to the bit `margin`: added feature by feature."""
        if not contributions.size:
            return np.full(len(contributions), self.intercept)
        return self.intercept + np.add.accumulate(contributions, axis=1)[:, -1]

    def _column_values(self, column: int, E: np.ndarray) -> np.ndarray:
        place = self._places.get(column)
        return np.zeros(len(E)) if place is None else self._shapes.column_values(place, E)

    @cached_property
    def _shapes(self) -> "_Shapes":
        return _shapes(self)

    @cached_property
    def _places(self) -> dict[int, int]:
        """Column → its place among the shapes."""
        return {column: at for at, column in enumerate(self._shapes.columns.tolist())} if self.terms else {}


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
        x = squashed(np.clip(given, self.low, self.high), self.center, self.width)
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
            x = squashed(clipped, self.center[at], self.width[at])
            out = x * self.slope[at]
            for bend in np.flatnonzero(self.bends[:, at]):
                out += self.bends[bend, at] * np.maximum(x - self.at[bend, at], 0)
            out += self.constant[at]
        out[np.isnan(given)] = self.missing[at]
        return out


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
    timed: float = 0.0,
    clock: int | None = None,
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
        timed: inverse strength of the ridge by which effects may change with the clock; 0: they don't.
        clock: the column that says how far along a row is.
    """
    if len(E) > MOST_ROWS:
        some = np.random.default_rng(0).choice(len(E), MOST_ROWS, replace=False)
        E, y, weight = E[some], y[some], weight[some]
    terms = design_terms(E, types, curved)
    D = design(E, terms)
    fitted = coefficients(D, y, weight, C, sparse=sparse)
    main = _of_terms(terms, fitted)
    ticking = clock_of(E, clock) if timed and clock is not None else None
    if ticking is None:
        return main
    straight = design_terms(E, types, False) if curved else terms
    D = design(E, straight) if curved else D
    change = changes(D, ticking.read(E), y, weight, timed, main.margin(E))
    intercept = main.intercept + float(change[0])
    change[0] = 0.0
    return replace(main, intercept=intercept, timed=_of_terms(straight, change), clock=ticking)


def _of_terms(terms: tuple[Term, ...], fitted: np.ndarray) -> Logistic:
    in_use = np.flatnonzero(fitted[1:])
    return Logistic(tuple(terms[at] for at in in_use), fitted[1:][in_use], float(fitted[0]))


def clock_of(E: np.ndarray, column: int) -> Clock | None:
    """The clock of a column of training rows; None where it stands still."""
    given = E[:, column].astype(float)
    given = given[~np.isnan(given)]
    if len(given) < 2 or given.std() < 1e-9 * max(1.0, abs(float(given.mean()))):
        return None
    return Clock(column, *(float(each) for each in (given.mean(), given.std(), given.min(), given.max())))


def changes(
    D: np.ndarray, steps: np.ndarray, y: np.ndarray, weight: np.ndarray, C: float, margin: np.ndarray
) -> np.ndarray:
    """(1 + d,) by how much each coefficient changes with a step of the clock, and the intercept at once.

    What is known of a row at all times is known best: the change is a ridge of its own around a fit that has
    no clock, expected to be `CHANGE` of what the coefficients are (a varying-coefficient model, Hastie &
    Tibshirani 1993); as it is small, by one step of Newton's method.

    Args:
        D: (n, d) straight terms.
        steps: (n,) the clock.
        y, weight: (n,) outcomes and row weights.
        C: inverse strength of the penalty that suits the coefficients themselves.
        margin: (n,) log-odds of the fit without a clock.
    """
    p = to_probability(margin)
    information = np.maximum(p * (1 - p), LEAST_INFORMATION)
    design = with_intercept(CHANGE * steps[:, None] * D)
    (fitted,) = fit_ridge(design, ((y - p) / information)[:, None], weight * information, 1 / C).T
    return np.concatenate([fitted[:1], CHANGE * fitted[1:]])


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
