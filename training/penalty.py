"""The regression's penalty and form, chosen on folds."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from training.base_rate import levelled_loss
from training.linear import MOST_NEWTON_TERMS, changes, clock_of, coefficients
from training.linear_terms import design, design_terms
from training.split import Split
from training.training_rows import Rows

PENALTIES = tuple(float(10.0**power) for power in np.arange(-4.5, 1.01, 0.5))
LASSO = tuple(float(10.0**power) for power in np.arange(-2.5, 0.6, 0.5))
SCREEN = 3.0
PENALTY_ROWS = 20_000
WORTH = 0.0003


@dataclass(frozen=True)
class Regression:
    """How the regression is fitted: inverse penalty C, bent quantities or straight, lasso or ridge, and the
    inverse penalty by which effects change as a contract's end nears or a deal grows older (0: they don't).
    """

    C: float
    curved: bool = False
    sparse: bool = False
    timed: float = 0.0


@dataclass(frozen=True)
class Chosen:
    """The regression, its log-odds for the folds' judged rows, and the lasso that screens for the trees."""

    regression: Regression
    margins: np.ndarray
    screen: float


def choose_penalty(rows: Rows, folds: list[Split], threads: int = 1) -> Chosen:
    """Ridge or lasso, straight or bent, by mean loss on the folds.

    A lasso at its best for prediction still keeps noise (Meinshausen & Bühlmann 2006): columns are screened
    by one with a penalty three times as strong. Folds are fitted side by side on one core each: waiting for
    each other, the threads of matrix products would burn more time than they save.
    """
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        return _choose(rows, folds, pool)


def _choose(rows: Rows, folds: list[Split], pool: ThreadPoolExecutor) -> Chosen:
    straight = [_FoldDesigns(rows, fold, False) for fold in folds]
    ridge = _walk(straight, rows, PENALTIES, pool)
    lasso = _walk(straight, rows, LASSO, pool, sparse=True)
    forms = [(ridge, Regression(ridge.C)), (lasso, Regression(lasso.C, sparse=True))]
    bent = [_FoldDesigns(rows, fold, True) for fold in folds]
    if any(fit.bends for fit in bent):
        near = PENALTIES.index(ridge.C)
        curved = _walk(bent, rows, PENALTIES[max(0, near - 1) :], pool, patience=1)
        if curved.loss < min(ridge.loss, lasso.loss) - WORTH:
            forms.append((curved, Regression(curved.C, curved=True)))
    best, regression = min(forms, key=lambda form: form[0].loss)
    margins = best.margins
    if any(fit.steps for fit in straight) and all(fit.is_narrow for fit in straight):
        regression = replace(regression, timed=ridge.C)
        mains = bent if regression.curved else straight
        folds_margins = pool.map(lambda plain, main: _timed(plain, main, regression), straight, mains)
        margins = np.concatenate([*folds_margins])
    return Chosen(regression, margins, lasso.C / SCREEN)


def _timed(straight: "_FoldDesigns", main: "_FoldDesigns", regression: Regression) -> np.ndarray:
    """Log-odds of a fold's judged rows by a regression whose effects change with the clock."""
    fitted = main.coefficients(regression.C, regression.sparse)
    judged = fitted[0] + main.test @ fitted[1:]
    if straight.steps is None:
        return judged
    train, test = straight.steps
    trained = fitted[0] + main.train @ fitted[1:]
    change = changes(straight.train, train, straight.y, straight.weight, regression.timed, trained)
    return judged + change[0] + test * (straight.test @ change[1:])


@dataclass(frozen=True)
class _Penalised:
    loss: float
    C: float
    margins: np.ndarray


def _walk(
    fits: "list[_FoldDesigns]",
    rows: Rows,
    penalties: tuple[float, ...],
    pool: ThreadPoolExecutor,
    *,
    patience: int = 2,
    sparse: bool = False,
) -> _Penalised:
    """From the strongest penalty to weaker ones, until the mean loss has risen `patience` times running."""
    walked: list[_Penalised] = []
    worse = 0
    for C in penalties:
        margins = list(pool.map(lambda fit: fit.margin(C, sparse), fits))  # noqa: B023
        loss = np.mean(
            [
                levelled_loss(rows.y[fit.judged], margin, rows.information[fit.judged])
                for fit, margin in zip(fits, margins, strict=True)
            ]
        )
        worse = worse + 1 if walked and loss > walked[-1].loss else 0
        walked.append(_Penalised(float(loss), C, np.concatenate(margins)))
        if worse == patience:
            break
    return min(walked, key=lambda each: each.loss)


class _FoldDesigns:
    """A fold's design, made once for all penalties; many rows are sampled, as a penalty needs no more."""

    def __init__(self, rows: Rows, fold: Split, curved: bool) -> None:
        self.judged = fold.test
        rows = rows.then(fold)
        sampled = Split(rows.sample(fold.train, seed=0, most=PENALTY_ROWS), fold.test)
        self.y, self.weight = rows.y[sampled.train], rows.weights_of(sampled.train)
        train, test = rows.for_training(sampled.train), rows.for_judging(sampled)
        self.terms = design_terms(train, rows.types, curved)
        self.bends = any(term.kind == "hinge" for term in self.terms)
        self.train, self.test = design(train, self.terms), design(test, self.terms)
        self.last: np.ndarray | None = None
        clock = None if rows.clock is None else clock_of(train, rows.clock)
        self.steps = None if clock is None else (clock.read(train), clock.read(test))

    @property
    def is_narrow(self) -> bool:
        """Few enough terms for the ridge of their changes."""
        return self.train.shape[1] < MOST_NEWTON_TERMS

    def coefficients(self, C: float, sparse: bool) -> np.ndarray:
        """Intercept and coefficients; a ridge begins where the one before it ended."""
        fitted = coefficients(self.train, self.y, self.weight, C, sparse=sparse, start=self.last)
        self.last = None if sparse else fitted
        return fitted

    def margin(self, C: float, sparse: bool) -> np.ndarray:
        """Log-odds of the judged rows."""
        fitted = self.coefficients(C, sparse)
        return fitted[0] + self.test @ fitted[1:]
