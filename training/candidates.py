"""Tuned trees, a regression, their blend or the base rate: the choice on folds, and the fit of the chosen."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from features.progress import Say, silent
from training.calibrate import Calibration, choose
from training.dataset import Dataset
from training.encode import Encoding, learn_encoding
from training.logistic import Logistic, design, design_terms, fit_logistic, fit_terms
from training.metrics import bootstrap_gain, log_loss, losses, to_probability
from training.model import Model, logit_of
from training.search import Rows, Tuned, fit_tuned, refit_on_folds, search
from training.split import Split

SIMPLE_BELOW = 300
SMALL_BELOW = 1500
PENALTIES = tuple(float(10.0**power) for power in np.arange(-4.5, 1.01, 0.5))
PENALTY_ROWS = 20_000
SHARES = tuple(np.round(np.arange(0, 1.01, 0.1), 1).tolist())
WORTH = 0.0003


@dataclass(frozen=True)
class Held:
    """Probabilities of rows while they were not learnt from, as the whole recipe gives them."""

    rows: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True)
class Recipe:
    """What was chosen, enough to fit it on any rows.

    Attributes:
        served: `xgboost`, `logistic`, `blend` or `base rate`.
        share: the trees' weight in the log-odds.
        tuned: the trees' parameters; None where they were not tried.
        C, curved: the regression's.
        calibration: fitted on rows not learnt from, and kept.
        why: one sentence.
        losses: candidate → mean log loss on the folds.
        study: how the search went.
        held: predictions for the folds' judged rows.
    """

    served: str
    share: float
    tuned: Tuned | None
    C: float
    curved: bool
    calibration: Calibration
    why: str
    losses: dict[str, float]
    study: dict[str, Any] = field(repr=False)
    held: Held = field(repr=False)

    def logistic_alone(self) -> "Recipe":
        """The regression by itself, uncalibrated: the baseline."""
        return replace(self, served="logistic", share=0.0, calibration=Calibration())


def choose_recipe(
    ds: Dataset,
    folds: list[Split],
    *,
    is_forward: bool,
    name: str,
    storage: str | None,
    trials: int,
    seconds: float | None,
    seed: int,
    threads: int,
    say: Say = silent,
) -> Recipe:
    """The candidate with the lowest log loss on the folds' judged rows, if it beats the base rate with
    evidence.

    Below 300 contracts only the regression is tried: trees tuned on so few choose themselves by luck.
    """
    rows, _ = encoded_rows(ds)
    C, curved, by_logistic = _choose_penalty(rows, folds)
    tuned = None
    margins = {"logistic": by_logistic}
    if len(np.unique(ds.subjects)) >= SIMPLE_BELOW:
        tuned = search(
            rows,
            folds,
            name=name,
            storage=storage,
            trials=trials,
            seconds=seconds,
            seed=seed,
            threads=threads,
            say=say,
        )
        margins["xgboost"] = np.concatenate(refit_on_folds(rows, folds, tuned, seed=seed, threads=threads))
    judged = _Judged(ds, folds, is_forward)
    return _settle(judged, margins, tuned, C, curved)


def fit_recipe(ds: Dataset, recipe: Recipe, *, seed: int, threads: int) -> Model:
    """A model of this recipe on all rows of a dataset."""
    rows, encoding = encoded_rows(ds)
    trees = logistic = None
    if recipe.served in ("xgboost", "blend") and recipe.tuned is not None:
        trees = fit_tuned(rows, np.arange(len(rows.y)), recipe.tuned, seed=seed, threads=threads)
    if recipe.served in ("logistic", "blend"):
        logistic = fit_logistic(rows.E, rows.y, rows.weight, rows.types, C=recipe.C, curved=recipe.curved)
    return Model(
        kind=ds.kind,
        served=recipe.served,
        encoding=encoding,
        infos={name: ds.infos[name] for name in encoding.columns if name in ds.infos},
        base=logit_of(ds.base_rate),
        share=recipe.share,
        trees=trees,
        logistic=logistic,
        calibration=recipe.calibration,
    )


def encoded_rows(ds: Dataset) -> tuple[Rows, Encoding]:
    """A dataset as numbers, with each column's type, declared direction and touchpoint."""
    encoding = learn_encoding(ds.X)
    infos = [ds.infos.get(name) for name in encoding.columns]
    types = encoding.types
    directions = [
        info.direction if info is not None and kind == "q" else 0
        for info, kind in zip(infos, types, strict=True)
    ]
    touchpoints = np.array([info.touchpoint if info is not None else "" for info in infos])
    columns_of = {str(name): np.flatnonzero(touchpoints == name) for name in np.unique(touchpoints)}
    small = len(np.unique(ds.subjects)) < SMALL_BELOW
    return Rows(encoding.encode(ds.X), ds.y, ds.weights, types, directions, columns_of, small), encoding


@dataclass(frozen=True)
class _Judged:
    """The folds' judged rows, one after the other (a row again in each repeat)."""

    ds: Dataset
    folds: list[Split]
    is_forward: bool

    @property
    def rows(self) -> np.ndarray:
        return np.concatenate([fold.test for fold in self.folds])

    @property
    def fold(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.folds)), [len(fold.test) for fold in self.folds])

    @property
    def base(self) -> np.ndarray:
        """The base rate of each fold's learnt rows, in log-odds."""
        rates = [logit_of(self.ds.y[fold.train].mean()) for fold in self.folds]
        return np.repeat(rates, [len(fold.test) for fold in self.folds])


def _settle(
    judged: _Judged, margins: dict[str, np.ndarray], tuned: Tuned | None, C: float, curved: bool
) -> Recipe:
    y = judged.ds.y[judged.rows]
    share = _best_share(margins, y)
    served = "logistic" if share == 0 else "xgboost" if share == 1 else "blend"
    margin = (1 - share) * margins["logistic"] + (share * margins["xgboost"] if share else 0.0)
    calibration = choose(margin, y, judged.fold, forward=judged.is_forward)
    mended = calibration(margin)
    marks = {name: log_loss(y, to_probability(values)) for name, values in margins.items()}
    marks |= {
        "blend": log_loss(y, to_probability(margin)),
        "base rate": log_loss(y, to_probability(judged.base)),
    }
    gains = losses(y, to_probability(judged.base)) - losses(y, to_probability(mended))
    gain, low, _ = bootstrap_gain(gains, judged.ds.groups[judged.rows])
    if low <= 0 or not _lasts(judged, gains):
        served, share, calibration, mended = "base rate", 0.0, Calibration(), judged.base
        lack = f"gain {gain:.4f}, from {low:.4f}" if low <= 0 else f"gain {gain:.4f}, but not in every period"
        why = f"no signal found: no model beats the base rate with evidence ({lack})"
    else:
        loss = log_loss(y, to_probability(mended))
        why = f"{served}, log loss {loss:.4f} against {marks['base rate']:.4f} for the base rate"
    study = _study(tuned, marks, C, curved, share)
    held = Held(judged.rows, to_probability(mended))
    return Recipe(served, share, tuned, C, curved, calibration, why, marks, study, held)


def _lasts(judged: _Judged, gains: np.ndarray) -> bool:
    """Whether a gain recurs: in most forward folds or, history being too short for them, in every span.

    Undated data has nothing to recur over.
    """
    if not judged.ds.dated:
        return True
    by_fold = np.bincount(judged.fold, gains) > 0
    return bool(by_fold.mean() > 0.5 if judged.is_forward else by_fold.all())


def _best_share(margins: dict[str, np.ndarray], y: np.ndarray) -> float:
    """The trees' share with the lowest loss; one part alone where the blend gains next to nothing."""
    if "xgboost" not in margins:
        return 0.0
    loss = {
        share: log_loss(y, to_probability(share * margins["xgboost"] + (1 - share) * margins["logistic"]))
        for share in SHARES
    }
    best = min(loss, key=loss.__getitem__)
    alone = 0.0 if loss[0.0] <= loss[1.0] else 1.0
    return alone if loss[alone] - loss[best] < WORTH else best


def _choose_penalty(rows: Rows, folds: list[Split]) -> tuple[float, bool, np.ndarray]:
    """The regression's penalty, straight or bent, by mean loss on the folds; and its log-odds for their
    judged rows.
    """
    straight = _walk([_FoldDesigns(rows, fold, False) for fold in folds], rows.y, PENALTIES)
    bent = [_FoldDesigns(rows, fold, True) for fold in folds]
    if not any(fit.bends for fit in bent):
        return straight.C, False, straight.margins
    near = PENALTIES.index(straight.C)
    curved = _walk(bent, rows.y, PENALTIES[max(0, near - 1) :], patience=1)
    if curved.loss < straight.loss - WORTH:
        return curved.C, True, curved.margins
    return straight.C, False, straight.margins


@dataclass(frozen=True)
class _Penalised:
    loss: float
    C: float
    margins: np.ndarray


def _walk(
    fits: "list[_FoldDesigns]", y: np.ndarray, penalties: tuple[float, ...], patience: int = 2
) -> _Penalised:
    """From the strongest penalty to weaker ones, until the mean loss has risen `patience` times running."""
    found: list[_Penalised] = []
    worse = 0
    for C in penalties:
        margins = [fit.margin(C) for fit in fits]
        loss = np.mean(
            [log_loss(y[fit.judged], to_probability(m)) for fit, m in zip(fits, margins, strict=True)]
        )
        worse = worse + 1 if found and loss > found[-1].loss else 0
        found.append(_Penalised(float(loss), C, np.concatenate(margins)))
        if worse == patience:
            break
    return min(found, key=lambda each: each.loss)


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

    def margin(self, C: float) -> np.ndarray:
        fitted: Logistic = fit_terms(self.train, self.y, self.weight, self.terms, C)
        return fitted.intercept + self.test @ fitted.coefficients


def _study(
    tuned: Tuned | None, marks: dict[str, float], C: float, curved: bool, share: float
) -> dict[str, Any]:
    """How the choice came about, as JSON."""
    out: dict[str, Any] = {"log_loss": marks, "logistic": {"C": C, "curved": curved}, "share": share}
    if tuned is None:
        return {**out, "trials": 0, "best": None, "name": None, "storage": None, "history": []}
    best = {**tuned.params, "rounds": tuned.rounds, "log_loss": tuned.loss}
    return {
        **out, "trials": tuned.trials, "best": best, "name": tuned.study, "storage": tuned.storage,
        "history": tuned.history,
    }  # fmt: skip
