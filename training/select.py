"""Which model is served, and how good it is on data that had no say in the choice.

Dated data: parameters, blend, calibration and the choice itself come from forward folds inside the earlier
part; the later part is touched once, for the report. Undated data: the whole choice is made again inside each
of five grouped folds (nested), so that every row is judged by a procedure that never saw it. What is served
is fitted on all rows, with the calibration kept that was chosen before.

Never something worse than the base rate: what loses to it on later data is not served.
"""

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings
from training.baselines import Predict, heuristic_baseline, library_default
from training.boosting import threads_for
from training.calibrate import Calibration
from training.candidates import Held, Recipe, choose_recipe, fit_recipe
from training.dataset import Dataset, require_outcomes
from training.intervals import fit_intervals, misses, next_level
from training.metrics import figures, log_loss, to_logit, to_probability
from training.model import BAND_SHARES, Model, comparisons
from training.model_versions import make_ready
from training.split import Split, blocked_folds, forward_folds, forward_split, grouped_folds, is_usable

FOLDS = 5
LEAST_FORWARD_FOLDS = 2
BASE_RATE = "base rate"
BASELINES = (BASE_RATE, "logistic regression", "heuristic baseline", "xgboost default")


@dataclass(frozen=True)
class Selection:
    """A model ready to serve and the honest figures that belong to it.

    Attributes:
        model: fitted on all rows.
        served: which candidate it is.
        why: one sentence on the choice.
        forward: figures of the served procedure on the later part; None without dates.
        random: the same on random folds that keep contracts (undated: equal rows) together.
        baselines: name → figures on the same rows as `forward` (undated: `random`).
        test: for those rows their position in the dataset (`row`), `probability`, and a column for each
            baseline.
        study: how the search went.
        calibration: `none`, `platt` or `isotonic`.
        gap: AUC at random less AUC forward; None without dates.
        by_lead_time: figures of the later part for each whole lead time.
        unseen_accounts: figures of the later part's accounts held out; None where there are too few.
        split: the rows trained on and judged on; None without dates.
        recipe: what was chosen, enough to fit it again.
    """

    model: Model
    served: str
    why: str
    forward: dict[str, Any] | None
    random: dict[str, Any]
    baselines: dict[str, dict[str, Any]]
    test: pd.DataFrame
    study: dict[str, Any]
    calibration: str
    gap: float | None
    by_lead_time: list[dict[str, Any]]
    unseen_accounts: dict[str, Any] | None
    split: Split | None
    recipe: Recipe = field(repr=False)


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
        trials: of the search; undated data runs a third as many again in each outer fold.
        minutes: time for everything; searches stop in time for it.
        say: told of progress.
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
    split = forward_split(ds) if ds.dated else None
    if split is None or not is_usable(ds, split):
        if ds.dated:
            say("too few contracts matured before the last quarter: judged on grouped folds, not forward")
        return _grouped(job)
    return _forward(job, split)


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


def _forward(job: _Job, split: Split) -> Selection:
    ds, say = job.ds, job.say
    earlier = ds.take(split.train)
    folds, is_forward = tuning_folds(earlier, job.settings.seed)
    if not is_forward:
        say("too little history for forward folds: tuned on spans of time of the earlier part")
    recipe = _choose(job, earlier, folds, is_forward, "forward", job.trials, 0.6)
    say(f"chosen: {recipe.why}")
    later = ds.take(split.test)
    test = _judged(job, earlier, later, recipe, split.test)
    random = _random_figures(job, recipe)
    log_odds = to_logit(test["probability"].to_numpy()) - recipe.calibration.level
    held = _with_test(recipe.held, split, to_probability(log_odds))
    forward = figures(later.y, test["probability"].to_numpy())
    return Selection(
        model=_final(job, recipe, held),
        served=recipe.served,
        why=recipe.why,
        forward=forward,
        random=random,
        baselines={name: figures(later.y, test[name].to_numpy()) for name in BASELINES},
        test=test,
        study=recipe.study,
        calibration=recipe.calibration.name,
        gap=random["auc"] - forward["auc"],
        by_lead_time=_by_lead_time(later, test),
        unseen_accounts=_unseen(earlier, later, test),
        split=split,
        recipe=recipe,
    )


def _grouped(job: _Job) -> Selection:
    ds, seed = job.ds, job.settings.seed
    parts = []
    outer = grouped_folds(ds, FOLDS, seed=seed)
    for number, fold in enumerate(outer):
        inner = ds.take(fold.train)
        share = 0.6 / (FOLDS + 1 - number)
        recipe = _choose(
            job, inner, _inner_folds(inner, seed), False, f"outer-{number}", max(8, job.trials // 3), share
        )
        job.say(f"fold {number + 1} of {FOLDS}: {recipe.why}")
        parts.append(_judged(job, inner, ds.take(fold.test), recipe, fold.test))
    test = pd.concat(parts).sort_values("row", ignore_index=True)
    recipe = _choose(job, ds, _inner_folds(ds, seed), False, "all", job.trials, 0.8)
    job.say(f"chosen: {recipe.why}")
    rows, p = test["row"].to_numpy(), test["probability"].to_numpy()
    y = ds.y[rows]
    return Selection(
        model=_final(job, recipe, Held(rows, p)),
        served=recipe.served,
        why=recipe.why,
        forward=None,
        random=figures(y, p),
        baselines={name: figures(y, test[name].to_numpy()) for name in BASELINES},
        test=test,
        study=recipe.study,
        calibration=recipe.calibration.name,
        gap=None,
        by_lead_time=[],
        unseen_accounts=None,
        split=None,
        recipe=recipe,
    )


def tuning_folds(ds: Dataset, seed: int) -> tuple[list[Split], bool]:
    """Folds to choose on and whether they go forward: if history allows, else spans of time, else grouped."""
    if ds.dated:
        for folds, is_forward in ((forward_folds(ds), True), (blocked_folds(ds), False)):
            if len(folds) >= LEAST_FORWARD_FOLDS:
                return folds, is_forward
    return _inner_folds(ds, seed), False


def _inner_folds(ds: Dataset, seed: int) -> list[Split]:
    """Grouped folds to tune on; repeated where there are few contracts."""
    contracts = sum(ds.outcome_counts())
    repeats = 3 if contracts < 600 else 2 if contracts < 1500 else 1
    folds = grouped_folds(ds, FOLDS, repeats=repeats, seed=seed + 1)
    return [fold for fold in folds if is_usable(ds, fold)] or folds


def _choose(
    job: _Job, ds: Dataset, folds: list[Split], is_forward: bool, part: str, trials: int, share: float
) -> Recipe:
    return choose_recipe(
        ds,
        folds,
        is_forward=is_forward,
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


def _judged(job: _Job, earlier: Dataset, later: Dataset, recipe: Recipe, rows: np.ndarray) -> pd.DataFrame:
    """Probabilities of later rows by the served procedure and the baselines, fitted on the earlier ones."""
    seed, threads = job.settings.seed, _threads(earlier, job.settings)
    model = fit_recipe(earlier, recipe, seed=seed, threads=threads)
    plain = fit_recipe(earlier, recipe.logistic_alone(), seed=seed, threads=threads)
    predict: dict[str, Predict] = {
        "probability": model.probability,
        "base rate": lambda X: np.full(len(X), earlier.base_rate),
        "logistic regression": plain.probability,
        "heuristic baseline": heuristic_baseline(earlier).probability,
        "xgboost default": library_default(earlier, seed, threads),
    }
    return pd.DataFrame({"row": rows, **{name: f(later.X) for name, f in predict.items()}})


def _random_figures(job: _Job, recipe: Recipe) -> dict[str, Any]:
    """Figures of the chosen recipe on random folds: what a split that ignores time would have promised."""
    ds, recipe = job.ds, replace(recipe, calibration=replace(recipe.calibration, level=0.0))
    p = np.empty(len(ds))
    for fold in grouped_folds(ds, FOLDS, seed=job.settings.seed):
        model = fit_recipe(
            ds.take(fold.train), recipe, seed=job.settings.seed, threads=_threads(ds, job.settings)
        )
        p[fold.test] = model.probability(ds.X.iloc[fold.test])
    return figures(ds.y, p)


def _final(job: _Job, recipe: Recipe, held: Held) -> Model:
    """The recipe fitted on all rows; level, intervals and bands come from rows predicted while not learned
    from.
    """
    ds = job.ds
    y, subjects, shift = ds.y[held.rows], ds.subjects[held.rows], 0.0
    if held.period is not None and recipe.served != BASE_RATE:
        shift = next_level(misses(held.probability, y, subjects, held.period)).shift
    recipe = replace(recipe, calibration=replace(recipe.calibration, level=shift))
    model = fit_recipe(ds, recipe, seed=job.settings.seed, threads=_threads(ds, job.settings))
    cuts = np.quantile(to_probability(to_logit(held.probability) + shift), BAND_SHARES)
    return replace(
        model,
        intervals=fit_intervals(held.probability, y, subjects, held.period, shift),
        cuts=(float(cuts[0]), float(cuts[1])),
        horizon_days=job.horizon_days,
        comparisons=comparisons(ds.X, ds.y, ds.subjects, model.encoding),
    )


def _with_test(held: Held, split: Split, p: np.ndarray) -> Held:
    """The earlier part's judged rows and the later part's, which is one more span; p has no level added."""
    period = held.period
    if period is not None:
        period = np.concatenate([period, np.full(len(p), period.max() + 1)])
    rows = np.concatenate([split.train[held.rows], split.test])
    return Held(rows, np.concatenate([held.probability, p]), period)


def _by_lead_time(later: Dataset, test: pd.DataFrame) -> list[dict[str, Any]]:
    lead, p = later.snapshots["lead_days"].to_numpy(float), test["probability"].to_numpy()
    return [
        {"lead_days": int(days), **figures(later.y[lead == days], p[lead == days])}
        for days in np.unique(lead[~np.isnan(lead)])
    ]


def _unseen(earlier: Dataset, later: Dataset, test: pd.DataFrame) -> dict[str, Any] | None:
    new = ~np.isin(later.snapshots["account_id"], earlier.snapshots["account_id"].unique())
    if len(np.unique(later.subjects[new])) < 30 or np.ptp(later.y[new]) == 0:
        return None
    return figures(later.y[new], test["probability"].to_numpy()[new])


def no_worse_than_base_rate(ds: Dataset, selection: Selection, settings: Settings) -> Selection:
    """The selection, or the base rate in its place where that has the lower log loss on the rows judged.

    The base rate was learned from the same earlier rows and has nothing to tune, so its figures stay honest.
    """
    test = selection.test
    rows = test["row"].to_numpy()
    y, base, served = ds.y[rows], test[BASE_RATE].to_numpy(float), test["probability"].to_numpy(float)
    if selection.served == BASE_RATE or log_loss(y, served) <= log_loss(y, base):
        return selection
    recipe = replace(selection.recipe, served=BASE_RATE, share=0.0, calibration=Calibration())
    period = np.zeros(len(y)) if selection.forward else None
    model = replace(
        fit_recipe(ds, recipe, seed=settings.seed, threads=1),
        intervals=fit_intervals(base, y, ds.subjects[rows], period),
        cuts=(float(base.mean()), float(base.mean())),
        horizon_days=selection.model.horizon_days,
    )
    base_figures = selection.baselines[BASE_RATE]
    return replace(
        selection,
        model=model,
        served=BASE_RATE,
        recipe=recipe,
        calibration="none",
        why=(
            f"the {selection.served} lost to the base rate on rows not learned from (log loss "
            f"{log_loss(y, served):.4f} against {log_loss(y, base):.4f}), so the base rate is served"
        ),
        forward=base_figures if selection.forward else None,
        random=figures(ds.y, np.full(len(ds), ds.base_rate)) if selection.forward else base_figures,
        test=test.assign(probability=base),
        gap=None if selection.gap is None else 0.0,
        by_lead_time=_base_rate_by_lead_time(ds, rows, base) if selection.by_lead_time else [],
        unseen_accounts=None,
    )


def _base_rate_by_lead_time(ds: Dataset, rows: np.ndarray, p: np.ndarray) -> list[dict]:
    lead = ds.snapshots["lead_days"].to_numpy(float)[rows]
    return [
        {"lead_days": int(days), **figures(ds.y[rows][lead == days], p[lead == days])}
        for days in np.unique(lead[~np.isnan(lead)])
    ]
