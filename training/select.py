"""Which model is served, and how good it is on data that had no say in the choice.

Two things are kept apart. The ranking: a model is served if, on rows that had no say in its choice, it ranks
outcomes beyond chance among what was open in the same month (`training.ranking`); else everybody gets the
base rate. The base rate: the level of the next span is estimated by itself and its uncertainty widens the
intervals (`training.base_rate`); it never decides whether a model is served. The spread is drawn towards 1
(`training.calibrate`).

Dated data: parameters and blend come from forward folds inside the earlier part, slope and level from its
spans held out in turn; the later part is touched once, to judge. Deals that are open teach that they are
(`training.close_timing`); judged are those whose horizon is over. Undated data: the whole choice is made
again inside each of five grouped folds (nested), so that every row is judged by a procedure that never saw
it. What is judged and what is served come from the same functions: the judged model is fitted on the earlier
part and adjusted by its spans, the served one is fitted on all rows and adjusted by those and the later part.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings
from training.baselines import Predict, heuristic_baseline, library_default
from training.boosting import threads_for
from training.calibrate import Adjustment, Levelled
from training.candidates import (
    BASE_RATE,
    Held,
    Recipe,
    adjusted,
    choose_recipe,
    fit_recipe,
    held_out,
    unchosen_scores,
)
from training.close_timing import learn_timing
from training.dataset import Dataset, require_outcomes
from training.intervals import Intervals, fit_intervals
from training.metrics import to_probability
from training.model import BAND_SHARES, Comparison, Model, comparisons
from training.model_versions import make_ready
from training.ranking import Ranking, ranking, strata
from training.selection_figures import Decision, Selection, reported
from training.split import (
    FOLDS,
    LEAST_TEST,
    LEAST_TRAIN,
    Split,
    blocked_folds,
    forward_folds,
    forward_split,
    grouped_folds,
    has_outcomes,
    is_usable,
    may_judge,
)

LEAST_FORWARD_FOLDS = 2


def select(
    ds: Dataset,
    settings: Settings,
    *,
    trials: int = 40,
    minutes: float | None = None,
    say: Say = silent,
    storage: str | None = "settings",
    horizon_days: int | None = None,
) -> Selection:
    """Choose, judge and fit the model of a dataset.

    Args:
        ds: matured, labelled snapshots, barred columns already left out.
        settings: seed, threads, least number of contracts of either outcome, where studies are kept.
        trials: of the search; undated data runs a third as many again in each outer fold, 8 at the least.
        minutes: time for everything; searches stop in time for it.
        say: called with each line of progress.
        storage: Optuna's database URL; `settings` for the settings' own, None for memory.
        horizon_days: of win labels, kept with the model.

    Raises:
        RenewalError: too few contracts or deals of either outcome, or no columns.
    """
    require_outcomes(ds.kind, *ds.outcome_counts(), settings.min_positives)
    if not ds.X.shape[1]:
        raise RenewalError(
            expected="at least one feature",
            found="none",
            do="Allow a column, or add events or columns to the CRM.",
        )
    url = make_ready(settings.optuna_url) if storage == "settings" else storage
    if url and url.startswith("sqlite:///"):
        settings.home.mkdir(parents=True, exist_ok=True)
    job = _Job(ds, settings, trials, minutes, say, url, horizon_days, time.monotonic())
    decision = _decide(job)
    job.say(f"served: {decision.recipe.served} ({decision.recipe.why})")
    return reported(ds, settings, decision, *_final(job, decision))


def served_model(ds: Dataset, settings: Settings, *, trials: int, minutes: float | None) -> Model:
    """The model `select` would serve, without the figures a report needs."""
    job = _Job(ds, settings, trials, minutes, silent, None, None, time.monotonic())
    return _final(job, _decide(job))[0]


@dataclass(frozen=True)
class _Job:
    ds: Dataset
    settings: Settings
    trials: int
    minutes: float | None
    say: Say
    storage: str | None
    horizon_days: int | None
    started: float

    def seconds(self, share: float) -> float | None:
        """A share of the time that is left."""
        if self.minutes is None:
            return None
        return max(1.0, share * (self.minutes * 60 - (time.monotonic() - self.started)))


def _decide(job: _Job) -> Decision:
    split = forward_split(job.ds) if job.ds.dated else None
    if split is not None and has_outcomes(job.ds, split.test, LEAST_TEST):
        earlier = job.ds.take(split.train, _start(job.ds, split))
        if has_outcomes(earlier, np.arange(len(earlier)), LEAST_TRAIN):
            return _forward(job, split, earlier)
    if job.ds.dated:
        job.say("too few contracts matured before the last quarter: judged on grouped folds, not forward")
    return _grouped(job)


def _forward(job: _Job, split: Split, earlier: Dataset) -> Decision:
    ds, start = job.ds, _start(job.ds, split)
    folds = tuning_folds(earlier, job.settings.seed)
    recipe = _choose(job, earlier, folds, "forward", job.trials, 0.6)
    job.say(f"chosen: {recipe.why}")
    recipe = _held_span_by_span(job, earlier, recipe)
    since = np.concatenate([split.test, _unsettled(ds, start)])
    every, score, recipe = _judged(job, earlier, ds.X.iloc[since], recipe, since, start)
    test = every.iloc[: len(split.test)].copy()
    verdict = _ranking(job, split, earlier, folds, score[: len(test)])
    if not verdict.is_real:
        recipe = _base_rate(earlier, recipe, start, _no_signal(verdict))
        test["probability"], score = test[BASE_RATE], np.zeros(len(since))
    limits = _limits(earlier, *adjusted(earlier, recipe, start))
    rows = np.concatenate([split.train[recipe.held.rows], since])
    held = Held(rows, np.concatenate([recipe.held.score, score]))
    judged = recipe.adjustment
    return Decision(replace(recipe, held=held), recipe.held, judged, verdict, test, split, limits)


def _unsettled(ds: Dataset, start: np.datetime64) -> np.ndarray:
    """Deals of the later part whose horizon is not over: not judged on, but their level is the latest."""
    return np.flatnonzero((_as_of(ds) >= start) & ~ds.is_settled & (ds.worth > 0))


def _held_span_by_span(job: _Job, earlier: Dataset, recipe: Recipe) -> Recipe:
    """The recipe with scores of every span of time, held out in turn, to read spread and level off.

    The folds it was chosen on go forward: their models are fitted on two fifths of the rows on average and
    judge three fifths. Here nearly as many rows teach as in the end, and all are judged, so that the slope
    is that of such a model and its error smaller (blocked cross-validation: Bergmeir & Benítez 2012).
    """
    folds = blocked_folds(earlier)
    if len(folds) < LEAST_FORWARD_FOLDS:
        return recipe
    threads = _threads(earlier, job.settings)
    return replace(recipe, held=held_out(earlier, recipe, folds, seed=job.settings.seed, threads=threads))


def _ranking(job: _Job, split: Split, earlier: Dataset, folds: list[Split], score: np.ndarray) -> Ranking:
    """How rows that had no say in their score are ranked: the later part by the recipe, the folds' rows by a
    model of which nothing was chosen.
    """
    ds, seed = job.ds, job.settings.seed
    before = unchosen_scores(earlier, folds, seed=seed, threads=_threads(earlier, job.settings))
    rows = np.concatenate([*[split.train[fold.test] for fold in folds], split.test])
    part = np.repeat(np.arange(len(folds) + 1), [*[len(fold.test) for fold in folds], len(split.test)])
    within = strata(_as_of(ds)[rows], part)
    return ranking(ds.y[rows], np.concatenate([before, score]), within, ds.groups[rows])


def _grouped(job: _Job) -> Decision:
    """Judged in nested grouped folds; dated data that is too short to be judged forward, too."""
    ds, seed, until = job.ds, job.settings.seed, _end(job.ds)
    parts = []
    for number, fold in enumerate(grouped_folds(ds, FOLDS, seed=seed)):
        inner = ds.take(fold.train)
        share, trials = 0.6 / (FOLDS + 1 - number), min(job.trials, max(8, job.trials // 3))
        recipe = _choose(job, inner, _folds_within(inner, seed), f"outer-{number}", trials, share)
        job.say(f"fold {number + 1} of {FOLDS}: {recipe.why}")
        test, score, recipe = _judged(job, inner, ds.X.iloc[fold.test], recipe, fold.test, until)
        parts.append(test.assign(fold=number, score=score))
    every = pd.concat(parts).sort_values("row", ignore_index=True)
    held = Held(every["row"].to_numpy(), every["score"].to_numpy())
    table = every[may_judge(ds)[held.rows]].reset_index(drop=True)
    rows = table["row"].to_numpy()
    within = strata(_as_of(ds)[rows], table["fold"].to_numpy())
    verdict = ranking(ds.y[rows], table["score"].to_numpy(), within, ds.groups[rows])
    recipe = replace(_choose(job, ds, _folds_within(ds, seed), "all", job.trials, 0.8), held=held)
    if verdict.is_real:
        recipe, _ = adjusted(ds, recipe, until)
    else:
        recipe = _base_rate(ds, recipe, until, _no_signal(verdict))
        table["probability"] = table[BASE_RATE]
    return Decision(
        recipe, recipe.held, recipe.adjustment, verdict, table.drop(columns=["fold", "score"]), None
    )


def _base_rate(ds: Dataset, recipe: Recipe, until: np.datetime64, why: str) -> Recipe:
    """The base rate in the recipe's place, at the level that is to be expected."""
    return adjusted(ds, recipe.base_rate_alone(why), until)[0]


def _no_signal(verdict: Ranking) -> str:
    return f"no signal found: nothing ranks outcomes beyond chance ({verdict.in_words()})"


def _as_of(ds: Dataset) -> np.ndarray:
    return ds.snapshots["as_of"].to_numpy("datetime64[us]")


def _start(ds: Dataset, split: Split) -> np.datetime64:
    return _as_of(ds)[split.test].min()


def _end(ds: Dataset) -> np.datetime64:
    """When the rows were known."""
    if ds.until is not None:
        return ds.until
    if not ds.dated:
        return np.datetime64("1970-01-01", "us")
    return ds.snapshots["matured_at"].to_numpy("datetime64[us]").max()


def tuning_folds(ds: Dataset, seed: int) -> list[Split]:
    """Folds to choose on: going forward if history allows, else spans of time, else grouped."""
    if ds.dated:
        for folds in (forward_folds(ds), blocked_folds(ds)):
            if len(folds) >= LEAST_FORWARD_FOLDS:
                return folds
    return _folds_within(ds, seed)


def _folds_within(ds: Dataset, seed: int) -> list[Split]:
    """Grouped folds to tune on; repeated where there are few contracts."""
    contracts = sum(ds.outcome_counts())
    repeats = 3 if contracts < 600 else 2 if contracts < 1500 else 1
    folds = grouped_folds(ds, FOLDS, repeats=repeats, seed=seed + 1)
    return [fold for fold in folds if is_usable(ds, fold)] or folds


def _choose(job: _Job, ds: Dataset, folds: list[Split], part: str, trials: int, share: float) -> Recipe:
    return choose_recipe(
        ds,
        folds,
        name=f"{ds.kind}-{job.ds.fingerprint}-{part}",
        storage=job.storage,
        trials=trials,
        seconds=job.seconds(share),
        seed=job.settings.seed,
        threads=job.settings.threads,
        say=job.say,
    )


def _threads(ds: Dataset, settings: Settings) -> int:
    return threads_for(ds.X.size, settings.threads)


def _judged(
    job: _Job, earlier: Dataset, later: pd.DataFrame, recipe: Recipe, rows: np.ndarray, until: np.datetime64
) -> tuple[pd.DataFrame, np.ndarray, Recipe]:
    """Probabilities of later rows by the recipe, adjusted and fitted on the earlier ones, and by the
    baselines; the recipe's scores of the later rows; and the recipe with its adjustment.
    """
    seed, threads = job.settings.seed, _threads(earlier, job.settings)
    recipe, _ = adjusted(earlier, recipe, until)
    model = fit_recipe(earlier, recipe, seed=seed, threads=threads)
    margin = model.margin(model.encode(later))
    plain = fit_recipe(earlier, recipe.logistic_alone(), seed=seed, threads=threads)
    constant = np.array([_base_rate(earlier, recipe, until, "").adjustment.level])
    predict: dict[str, Predict] = {
        BASE_RATE: lambda X: np.repeat(to_probability(constant), len(X)),
        "logistic regression": plain.probability,
        "heuristic baseline": heuristic_baseline(earlier).probability,
        "xgboost default": library_default(earlier.decided(), seed, threads),
    }
    test = {"row": rows, "probability": to_probability(model.calibration(margin))}
    table = pd.DataFrame({**test, **{name: f(later) for name, f in predict.items()}})
    return table, margin, recipe


def _final(job: _Job, decision: Decision) -> tuple[Model, Adjustment]:
    """The recipe fitted on all rows; spread, level, intervals and bands come from rows scored while not
    trained on.
    """
    ds = job.ds
    recipe, levelled = adjusted(ds, decision.recipe, _end(ds))
    model = fit_recipe(ds, recipe, seed=job.settings.seed, threads=_threads(ds, job.settings))
    cuts = np.quantile(to_probability(levelled.logit), BAND_SHARES)
    model = replace(
        model,
        intervals=_limits(ds, recipe, levelled),
        cuts=(float(cuts[0]), float(cuts[1])),
        horizon_days=job.horizon_days,
        timing=learn_timing(ds, ds.until) if ds.until is not None and ds.horizon_days else None,
        comparisons=_comparisons(ds.take(np.flatnonzero(may_judge(ds))), model),
    )
    return model, recipe.adjustment


def _comparisons(ds: Dataset, model: Model) -> dict[str, Comparison]:
    return comparisons(ds.X, ds.y, ds.subjects, model.encoding)


def _limits(ds: Dataset, recipe: Recipe, levelled: Levelled) -> Intervals:
    """The intervals of a recipe adjusted by its held rows."""
    judged = may_judge(ds)[recipe.held.rows]
    rows = recipe.held.rows[judged]
    p, expected = (to_probability(each[judged]) for each in (levelled.logit, levelled.expected))
    return fit_intervals(p, ds.y[rows], ds.subjects[rows], expected, recipe.adjustment.variance)
