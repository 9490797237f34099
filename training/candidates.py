"""Tuned trees, a regression, their blend or the base rate: the choice on folds, and the fit of the chosen."""

from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from features.progress import Say, silent
from training.calibrate import Calibration, choose
from training.dataset import Dataset
from training.encode import Encoding, learn_encoding
from training.intervals import misses, next_level
from training.linear import fit_logistic
from training.metrics import bootstrap_gain, log_loss, losses, to_probability
from training.model import Model, logit_of
from training.penalty import WORTH, Chosen, Regression, choose_penalty
from training.search import Rows, Tuned, fit_tuned, refit_on_folds, search
from training.split import Split

SIMPLE_BELOW = 300
SMALL_BELOW = 1500
SHARES = tuple(np.round(np.arange(0, 1.01, 0.1), 1).tolist())


@dataclass(frozen=True)
class Held:
    """Probabilities of rows while they were held out, as the whole recipe gives them.

    The level expected of a later span is left out. `period` is the span of time each was judged in, None
    where folds are not spans of time.
    """

    rows: np.ndarray
    probability: np.ndarray
    period: np.ndarray | None = None


@dataclass(frozen=True)
class Recipe:
    """What was chosen, enough to fit it on any rows.

    Attributes:
        served: `xgboost`, `logistic`, `blend` or `base rate`.
        share: the trees' weight in the log-odds.
        tuned: the trees' parameters; None where they were not tried.
        regression: its penalty and form.
        screen: inverse penalty of the lasso that screens columns for the trees.
        calibration: fitted on held-out rows, and kept.
        why: one sentence.
        losses: candidate → mean log loss on the folds.
        study: how the search went.
        held: predictions for the folds' judged rows.
    """

    served: str
    share: float
    tuned: Tuned | None
    regression: Regression
    screen: float
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
    chosen = choose_penalty(rows, folds)
    tuned = None
    margins = {"logistic": chosen.margins}
    if len(np.unique(ds.subjects)) >= SIMPLE_BELOW:
        rows = replace(rows, screen=chosen.screen)
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
    return _settle(judged, margins, tuned, chosen)


def fit_recipe(ds: Dataset, recipe: Recipe, *, seed: int, threads: int) -> Model:
    """A model of this recipe on all rows of a dataset."""
    rows, encoding = encoded_rows(ds)
    rows = replace(rows, screen=recipe.screen)
    trees = logistic = None
    if recipe.served in ("xgboost", "blend") and recipe.tuned is not None:
        trees = fit_tuned(rows, np.arange(len(rows.y)), recipe.tuned, seed=seed, threads=threads)
    if recipe.served in ("logistic", "blend"):
        logistic = fit_logistic(rows.E, rows.y, rows.weight, rows.types, **asdict(recipe.regression))
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
    def period(self) -> np.ndarray | None:
        """The folds, where they are spans of time that follow each other."""
        if not self.ds.dated:
            return None
        as_of = self.ds.snapshots["as_of"].to_numpy()
        spans = sorted((as_of[fold.test].min(), as_of[fold.test].max()) for fold in self.folds)
        apart = all(before[1] < after[0] for before, after in pairwise(spans))
        return self.fold if apart and len(spans) > 1 else None

    @property
    def base(self) -> np.ndarray:
        """The base rate of each fold's learned rows, in log-odds."""
        rates = [logit_of(self.ds.y[fold.train].mean()) for fold in self.folds]
        return np.repeat(rates, [len(fold.test) for fold in self.folds])


def _settle(judged: _Judged, margins: dict[str, np.ndarray], tuned: Tuned | None, chosen: Chosen) -> Recipe:
    y = judged.ds.y[judged.rows]
    share = _best_share(margins, y)
    served = "logistic" if share == 0 else "xgboost" if share == 1 else "blend"
    margin = (1 - share) * margins["logistic"] + (share * margins["xgboost"] if share else 0.0)
    subjects = judged.ds.subjects[judged.rows]
    calibration = choose(margin, y, judged.fold, subjects, forward=judged.is_forward)
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
        calibration = replace(calibration, level=_level(judged, to_probability(mended)))
        why = f"{served}, log loss {loss:.4f} against {marks['base rate']:.4f} for the base rate"
    study = _study(tuned, marks, chosen.regression, share)
    held = Held(judged.rows, to_probability(mended), judged.period)
    return Recipe(
        served, share, tuned, chosen.regression, chosen.screen, calibration, why, marks, study, held
    )


def _level(judged: _Judged, p: np.ndarray) -> float:
    """What the level of the next span of time is expected to need; 0 where folds are no spans."""
    if judged.period is None:
        return 0.0
    y, subjects = judged.ds.y[judged.rows], judged.ds.subjects[judged.rows]
    return next_level(misses(p, y, subjects, judged.period)).shift


def _lasts(judged: _Judged, gains: np.ndarray) -> bool:
    """Whether a gain recurs: in most forward folds or, history being too short for them, in every span and by
    more than the drift of the base rate costs.

    Undated data has nothing to recur over.
    """
    if not judged.ds.dated:
        return True
    by_fold = np.bincount(judged.fold, gains) > 0
    if judged.is_forward:
        return bool(by_fold.mean() > 0.5)
    return bool(by_fold.all()) and float(gains.mean()) > _drift(judged)


def _drift(judged: _Judged) -> float:
    """What the base rate's change from span to span costs in log loss, beyond what chance would."""
    y, base = judged.ds.y[judged.rows], to_probability(judged.base)
    costs = []
    for mark in np.unique(judged.fold):
        at = judged.fold == mark
        span_rate = np.full(at.sum(), y[at].mean())
        contracts = len(np.unique(judged.ds.subjects[judged.rows[at]]))
        costs.append((losses(y[at], base[at]) - losses(y[at], span_rate)).mean() - 0.5 / contracts)
    return float(np.mean(costs))


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


def _study(
    tuned: Tuned | None, marks: dict[str, float], regression: Regression, share: float
) -> dict[str, Any]:
    """How the choice came about, as JSON."""
    out: dict[str, Any] = {"log_loss": marks, "logistic": asdict(regression), "share": share}
    if tuned is None:
        return {
            **out,
            "trials": 0,
            "best": None,
            "name": None,
            "storage": None,
            "history": [],
            "importance": {},
        }
    best = {**tuned.params, "rounds": tuned.rounds, "log_loss": tuned.loss}
    return {
        **out, "trials": tuned.trials, "best": best, "name": tuned.study, "storage": tuned.storage,
        "history": tuned.history, "importance": tuned.importance,
    }  # fmt: skip
