"""Tuned trees, a regression or their blend: the choice on folds, its adjustment, the fit of the chosen."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from features.catalog import ITSELF
from features.progress import Say, silent
from training.base_rate import levelled_loss, next_months, spans_of
from training.boosting import CAUTIOUS, fit_trees
from training.calibrate import Adjustment, Levelled, adjust
from training.dataset import Dataset
from training.encode import Encoding, learn_encoding
from training.linear import fit_logistic
from training.model import Model, logit_of
from training.penalty import WORTH, Chosen, Regression, choose_penalty
from training.search import Tuned, fit_tuned, refit_on_folds, search
from training.split import Split
from training.target_statistics import TargetHistory, history_of, many_valued
from training.training_rows import Rows

BASE_RATE = "base rate"
CLOCK = {kind: names[0] for kind, names in ITSELF.items()}
"""The feature that says how far along a contract or deal is."""
UNCHOSEN_C, UNCHOSEN_ROUNDS, UNCHOSEN_ROWS = 0.01, 60, 20_000
SIMPLE_BELOW = 300
SMALL_BELOW = 1500
SHARES = tuple(np.round(np.arange(0, 1.01, 0.1), 1).tolist())


@dataclass(frozen=True)
class Held:
    """Log-odds of rows while they were not trained on, before any adjustment.

    A row stands as often as it was judged; `rows` are positions in the dataset.
    """

    rows: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class Recipe:
    """What was chosen, enough to fit it on any rows.

    Attributes:
        served: `xgboost`, `logistic`, `blend` or `base rate`.
        share: the trees' weight in the log-odds.
        tuned: the trees' parameters; None where they were not tried.
        regression: its penalty and form.
        screen: inverse penalty of the lasso that screens columns for the trees.
        adjustment: of spread and level, trained on `held`.
        why: one sentence.
        losses: candidate → mean log loss on the folds, each fold's own level mended.
        study: how the search went.
        held: scores of the folds' judged rows.
        anchor: for each of these its weight in the mean log-odds that belong to the adjustment's level.
    """

    served: str
    share: float
    tuned: Tuned | None
    regression: Regression
    screen: float
    adjustment: Adjustment
    why: str
    losses: dict[str, float]
    study: dict[str, Any] = field(repr=False)
    held: Held = field(repr=False)
    anchor: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False)

    def at_base(self) -> "Recipe":
        """The recipe with its spread but at the base rate of whatever rows it is fitted on."""
        return replace(self, adjustment=replace(self.adjustment, level=None))

    def logistic_alone(self) -> "Recipe":
        """The regression by itself, unadjusted: the baseline."""
        return replace(self, served="logistic", share=0.0, adjustment=Adjustment())

    def base_rate_alone(self, why: str) -> "Recipe":
        """The base rate in its place; the adjustment is to be learned anew."""
        held = Held(self.held.rows, np.zeros(len(self.held.rows)))
        return replace(self, served=BASE_RATE, share=0.0, adjustment=Adjustment(), why=why, held=held)


def choose_recipe(
    ds: Dataset,
    folds: list[Split],
    *,
    name: str,
    storage: str | None,
    trials: int,
    seconds: float | None,
    seed: int,
    threads: int,
    say: Say = silent,
) -> Recipe:
    """The candidate that ranks and spreads best on the folds' judged rows, each fold's own level mended.

    Whether there is a ranking at all is not judged here, on rows the choice was made on, but on later ones
    (`training.select`). Below 300 contracts only the regression is tried: trees tuned on so few choose
    themselves by luck.
    """
    rows, _ = encoded_rows(ds)
    chosen = choose_penalty(rows, folds, threads)
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
    return _settle(_Judged(ds, folds), margins, tuned, chosen)


def fit_recipe(ds: Dataset, recipe: Recipe, *, seed: int, threads: int) -> Model:
    """A model of this recipe on all rows of a dataset."""
    rows, encoding = encoded_rows(ds)
    rows = replace(rows, screen=recipe.screen)
    trees = logistic = None
    if recipe.served in ("xgboost", "blend") and recipe.tuned is not None:
        trees = fit_tuned(rows, np.arange(len(rows.y)), recipe.tuned, seed=seed, threads=threads)
    if recipe.served in ("logistic", "blend"):
        form = asdict(recipe.regression)
        logistic = fit_logistic(rows.E, rows.y, rows.weight, rows.types, **form, clock=rows.clock)
    model = Model(
        kind=ds.kind,
        served=recipe.served,
        encoding=encoding,
        infos={name: ds.infos[name] for name in encoding.columns if name in ds.infos},
        base=base_of(ds),
        share=recipe.share,
        trees=trees,
        logistic=logistic,
    )
    mean = model.base
    if recipe.adjustment.level is not None:
        mean = float(recipe.anchor @ model.margin(rows.E[recipe.held.rows]))
    return replace(model, calibration=recipe.adjustment.calibration(mean))


def held_out(ds: Dataset, recipe: Recipe, folds: list[Split], *, seed: int, threads: int) -> Held:
    """Scores of the folds' judged rows by the recipe fitted on each fold's other rows."""
    scores = []
    for fold in folds:
        model = fit_recipe(ds.take(fold.train), recipe.at_base(), seed=seed, threads=threads)
        scores.append(model.margin(model.encode(ds.X.iloc[fold.test])))
    return Held(np.concatenate([fold.test for fold in folds]), np.concatenate(scores))


def encoded_rows(ds: Dataset) -> tuple[Rows, Encoding]:
    """A dataset as numbers, with each column's type, declared direction and touchpoint."""
    history = _history(ds)
    every = np.arange(len(ds))
    encoding = learn_encoding(ds.X, history.tables(every) if history else None)
    infos = [ds.infos.get(name) for name in encoding.columns]
    types = encoding.types
    directions = [
        1 if name in encoding.statistics else info.direction if info is not None and kind == "q" else 0
        for name, info, kind in zip(encoding.columns, infos, types, strict=True)
    ]
    touchpoints = np.array([info.touchpoint if info is not None else "" for info in infos])
    columns_of = {str(name): np.flatnonzero(touchpoints == name) for name in np.unique(touchpoints)}
    small = len(np.unique(ds.subjects)) < SMALL_BELOW
    rows = Rows(
        encoding.encode(ds.X), ds.y, ds.weights, types, directions, columns_of, small,
        subjects=ds.subjects,
        history=history,
        of_history=tuple(encoding.columns.index(name) for name in history.levels) if history else (),
        information=ds.worth,
        clock=encoding.columns.index(CLOCK[ds.kind]) if CLOCK[ds.kind] in encoding.columns else None,
    )  # fmt: skip
    return replace(rows, E=rows.for_training(every)), encoding


def _history(ds: Dataset) -> TargetHistory | None:
    """How the values of the many-valued categories fared; None where there are no such columns."""
    names = many_valued(ds.X)
    if not names:
        return None
    as_of = ds.snapshots["as_of"].to_numpy(dtype="datetime64[us]")
    return history_of(
        ds.X,
        names,
        y=ds.y,
        weight=ds.weights / ds.weights.mean() if ds.until is None else ds.worth,
        subjects=ds.subjects,
        together=ds.together,
        times=(as_of, ds.known_at) if ds.dated else None,
    )


def base_of(ds: Dataset) -> float:
    """The base rate of rows to learn from, as they are weighed, in log-odds."""
    return logit_of(float(np.average(ds.y, weights=ds.weights)))


def adjusted(ds: Dataset, recipe: Recipe, until: np.datetime64) -> tuple[Recipe, Levelled]:
    """The recipe with spread and level as its held rows show them at `until`, and those rows.

    Judged and served models both come through here: what is judged is adjusted as what is served.
    """
    weight = ds.plain_weights[recipe.held.rows]
    held = Held(recipe.held.rows[weight > 0], recipe.held.score[weight > 0])
    rows, weight = held.rows, weight[weight > 0]
    weight = weight * (len(np.unique(rows)) / len(rows))
    wanted = next_months(ds, until)
    adjustment, levelled = adjust(
        ds.y[rows], held.score, weight, spans_of(ds, rows), ds.subjects[rows], wanted
    )
    return replace(recipe, adjustment=adjustment, anchor=levelled.anchor, held=held), levelled


def unchosen_scores(ds: Dataset, folds: list[Split], *, seed: int, threads: int) -> np.ndarray:
    """Log-odds of the folds' judged rows by a model in which nothing was chosen by them.

    What the folds chose cannot be tested on the folds. A regression and cautious trees of fixed strength,
    half each, give evidence that can: each row is scored by rows and settings that it had no say in.
    """
    rows, _ = encoded_rows(ds)
    return np.concatenate([_unchosen(rows, fold, seed, threads) for fold in folds])


def _unchosen(rows: Rows, fold: Split, seed: int, threads: int) -> np.ndarray:
    at, few, rows = fold.train, np.random.default_rng(seed), rows.then(fold)
    if len(at) > UNCHOSEN_ROWS:
        at = np.sort(few.choice(at, UNCHOSEN_ROWS, replace=False))
    E, y, weight = rows.for_training(at), rows.y[at], rows.weight[at]
    regression = fit_logistic(E, y, weight, rows.types, C=UNCHOSEN_C)
    trees = fit_trees(
        E, y, weight, rows.types, rows.directions, CAUTIOUS, UNCHOSEN_ROUNDS, seed=seed, threads=threads
    )
    judged = rows.for_judging(fold)
    return (regression.margin(judged) + trees.margin(judged)) / 2


@dataclass(frozen=True)
class _Judged:
    """The folds' judged rows, one after the other (a row again in each repeat)."""

    ds: Dataset
    folds: list[Split]

    @property
    def rows(self) -> np.ndarray:
        return np.concatenate([fold.test for fold in self.folds])

    def loss(self, margin: np.ndarray) -> float:
        """Log loss, each fold's own level mended: drift of the base rate has no say in the choice."""
        ends = np.cumsum([len(fold.test) for fold in self.folds])[:-1]
        y, worth = self.ds.y[self.rows], self.ds.worth[self.rows]
        parts = [*zip(*(np.split(each, ends) for each in (y, margin, worth)), strict=True)]
        each = [levelled_loss(*part) for part in parts]
        return float(np.average(each, weights=[worth.sum() for *_, worth in parts]))


def _settle(judged: _Judged, margins: dict[str, np.ndarray], tuned: Tuned | None, chosen: Chosen) -> Recipe:
    share = _best_share(margins, judged)
    served = "logistic" if share == 0 else "xgboost" if share == 1 else "blend"
    margin = (1 - share) * margins["logistic"] + (share * margins["xgboost"] if share else 0.0)
    marks = {name: judged.loss(values) for name, values in margins.items()}
    marks |= {"blend": judged.loss(margin), BASE_RATE: judged.loss(np.zeros(len(margin)))}
    why = f"{served}, log loss {marks['blend']:.4f} against {marks[BASE_RATE]:.4f} for each fold's base rate"
    study = _study(tuned, marks, chosen.regression, share)
    held = Held(judged.rows, margin)
    return Recipe(
        served, share, tuned, chosen.regression, chosen.screen, Adjustment(), why, marks, study, held
    )


def _best_share(margins: dict[str, np.ndarray], judged: _Judged) -> float:
    """The trees' share with the lowest loss; one part alone where the blend gains next to nothing."""
    if "xgboost" not in margins:
        return 0.0
    loss = {
        share: judged.loss(share * margins["xgboost"] + (1 - share) * margins["logistic"]) for share in SHARES
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
