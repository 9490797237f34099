"""The regression's penalty and form, chosen on folds."""

from dataclasses import dataclass

import numpy as np

from training.linear import Logistic, design, design_terms, fit_terms
from training.metrics import log_loss, to_probability
from training.search import Rows
from training.split import Split

PENALTIES = tuple(float(10.0**power) for power in np.arange(-4.5, 1.01, 0.5))
LASSO = tuple(float(10.0**power) for power in np.arange(-2.5, 0.6, 0.5))
SCREEN = 3.0
PENALTY_ROWS = 20_000
WORTH = 0.0003


@dataclass(frozen=True)
class Regression:
    """How the regression is fitted: inverse penalty C, bent quantities or straight, lasso or ridge."""

    C: float
    curved: bool = False
    sparse: bool = False


@dataclass(frozen=True)
class Chosen:
    """The regression, its log-odds for the folds' judged rows, and the lasso that screens for the trees."""

    regression: Regression
    margins: np.ndarray
    screen: float


def choose_penalty(rows: Rows, folds: list[Split]) -> Chosen:
    """Ridge or lasso, straight or bent, by mean loss on the folds.

    A lasso at its best for prediction still keeps noise (Meinshausen & Bühlmann 2006): columns are screened
    by one with a penalty three times as strong.
    """
    straight = [_FoldDesigns(rows, fold, False) for fold in folds]
    ridge = _walk(straight, rows.y, PENALTIES)
    lasso = _walk(straight, rows.y, LASSO, sparse=True)
    forms = [(ridge, Regression(ridge.C)), (lasso, Regression(lasso.C, sparse=True))]
    bent = [_FoldDesigns(rows, fold, True) for fold in folds]
    if any(fit.bends for fit in bent):
        near = PENALTIES.index(ridge.C)
        curved = _walk(bent, rows.y, PENALTIES[max(0, near - 1) :], patience=1)
        if curved.loss < min(ridge.loss, lasso.loss) - WORTH:
            forms.append((curved, Regression(curved.C, curved=True)))
    best, regression = min(forms, key=lambda form: form[0].loss)
    return Chosen(regression, best.margins, lasso.C / SCREEN)


@dataclass(frozen=True)
class _Penalised:
    loss: float
    C: float
    margins: np.ndarray


def _walk(
    fits: "list[_FoldDesigns]",
    y: np.ndarray,
    penalties: tuple[float, ...],
    *,
    patience: int = 2,
    sparse: bool = False,
) -> _Penalised:
    """From the strongest penalty to weaker ones, until the mean loss has risen `patience` times running."""
    tried: list[_Penalised] = []
    worse = 0
    for C in penalties:
        margins = [fit.margin(C, sparse) for fit in fits]
        loss = np.mean(
            [log_loss(y[fit.judged], to_probability(m)) for fit, m in zip(fits, margins, strict=True)]
        )
        worse = worse + 1 if tried and loss > tried[-1].loss else 0
        tried.append(_Penalised(float(loss), C, np.concatenate(margins)))
        if worse == patience:
            break
    return min(tried, key=lambda each: each.loss)


class _FoldDesigns:
    """A fold's design, made once for all penalties; many rows are sampled, as a penalty needs no more."""

    def __init__(self, rows: Rows, fold: Split, curved: bool) -> None:
        self.judged = fold.test
        train = fold.train
        if len(train) > PENALTY_ROWS:
            train = np.random.default_rng(0).choice(train, PENALTY_ROWS, replace=False)
        self.y, self.weight = rows.y[train], rows.weight[train]
        self.terms = design_terms(rows.E[train], rows.types, curved)
        self.bends = any(term.kind == "hinge" for term in self.terms)
        self.train, self.test = design(rows.E[train], self.terms), design(rows.E[fold.test], self.terms)

    def margin(self, C: float, sparse: bool) -> np.ndarray:
        fitted: Logistic = fit_terms(self.train, self.y, self.weight, self.terms, C, sparse=sparse)
        place = {term: at for at, term in enumerate(self.terms)}
        return fitted.intercept + self.test[:, [place[term] for term in fitted.terms]] @ fitted.coefficients
