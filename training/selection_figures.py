"""What was chosen and the figures that belong to it: on the later part, on random folds (what a split that
ignores time would have promised), for each lead time, and on accounts that were not trained on.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from features.settings import Settings
from training.boosting import threads_for
from training.calibrate import Adjustment
from training.candidates import BASE_RATE, Held, Recipe, fit_recipe
from training.dataset import Dataset
from training.intervals import Intervals
from training.metrics import Figures, figures
from training.model import Model
from training.ranking import Ranking
from training.split import FOLDS, Split, grouped_folds, may_judge

BASELINES = (BASE_RATE, "logistic regression", "heuristic baseline", "xgboost default")


class LeadFigures(Figures):
    """Of rows scored so many days ahead."""

    lead_days: int


@dataclass(frozen=True)
class Selection:
    """A model ready to serve and the honest figures that belong to it.

    Attributes:
        model: fitted on all rows.
        served: which candidate it is.
        why: one sentence on the choice.
        ranking: of the candidate on rows that had no say in it; what decides.
        judged, adjustment: spread and level of the model that was judged and of the one that is served.
        judged_intervals: those the judged model had; None where it was judged in folds.
        judged_held, judged_anchor: the rows (positions among `split.train`) its adjustment was read off, and
            their weights in it.
        forward: figures of the served procedure on the later part; None without dates.
        random: the same on random folds that keep contracts (undated: equal rows) together.
        baselines: name → figures on the same rows as `forward` (undated: `random`).
        test: for those rows their position in the dataset (`row`), `probability`, and a column for each
            baseline.
        study: how the search went.
        gap: AUC at random less AUC forward; None without dates.
        by_lead_time: figures of the later part for each whole lead time.
        unseen_accounts: figures of the later part's accounts not trained on; None where there are too few.
        split: the rows trained on and judged on; None without dates.
        recipe: what was chosen, enough to fit it again.
    """

    model: Model
    served: str
    why: str
    ranking: Ranking
    judged: Adjustment
    adjustment: Adjustment
    judged_intervals: Intervals | None
    judged_held: Held = field(repr=False)
    judged_anchor: np.ndarray = field(repr=False)
    forward: Figures | None
    random: Figures
    baselines: dict[str, Figures]
    test: pd.DataFrame
    study: dict[str, Any]
    gap: float | None
    by_lead_time: list[LeadFigures]
    unseen_accounts: Figures | None
    split: Split | None
    recipe: Recipe = field(repr=False)


@dataclass(frozen=True)
class Decision:
    """What is to be served, and the rows it was judged on.

    Attributes:
        recipe: with `held` for the rows of its folds (positions in the whole dataset) and of the later part.
        held, judged: the rows the judged model was adjusted by, and its spread and level.
        intervals: of the judged model.
        test: the judged rows, their scores and probabilities.
        split: None where rows were judged in grouped folds.
    """

    recipe: Recipe
    held: Held
    judged: Adjustment
    ranking: Ranking
    test: pd.DataFrame
    split: Split | None
    intervals: Intervals | None = None


def reported(
    ds: Dataset, settings: Settings, decision: Decision, model: Model, adjustment: Adjustment
) -> Selection:
    """The decision with its figures; `model` is what it came to, fitted on all rows, `adjustment` its own."""
    test, split = decision.test, decision.split
    rows = test["row"].to_numpy()
    y = ds.y[rows]
    judged = figures(y, test["probability"].to_numpy())
    random = judged if split is None else _random_figures(ds, settings, decision.recipe)
    later = ds.take(rows)
    return Selection(
        model=model,
        served=decision.recipe.served,
        why=decision.recipe.why,
        ranking=decision.ranking,
        judged=decision.judged,
        adjustment=adjustment,
        judged_intervals=decision.intervals,
        judged_held=decision.held,
        judged_anchor=decision.recipe.anchor,
        forward=None if split is None else judged,
        random=random,
        baselines={name: figures(y, test[name].to_numpy()) for name in BASELINES},
        test=test,
        study=decision.recipe.study,
        gap=None if split is None else random["auc"] - judged["auc"],
        by_lead_time=[] if split is None else _by_lead_time(later, test),
        unseen_accounts=None if split is None else _unseen(ds.take(split.train), later, test),
        split=split,
        recipe=decision.recipe,
    )


def _random_figures(ds: Dataset, settings: Settings, recipe: Recipe) -> Figures:
    """Figures of the chosen recipe on random folds: what a split that ignores time would have promised."""
    recipe, threads = recipe.at_base(), threads_for(ds.X.size, settings.threads)
    p = np.empty(len(ds))
    for fold in grouped_folds(ds, FOLDS, seed=settings.seed):
        model = fit_recipe(ds.take(fold.train), recipe, seed=settings.seed, threads=threads)
        p[fold.test] = model.probability(ds.X.iloc[fold.test])
    judged = may_judge(ds)
    return figures(ds.y[judged], p[judged])


def _by_lead_time(later: Dataset, test: pd.DataFrame) -> list[LeadFigures]:
    lead, p = later.snapshots["lead_days"].to_numpy(float), test["probability"].to_numpy()
    return [
        {"lead_days": int(days), **figures(later.y[lead == days], p[lead == days])}
        for days in np.unique(lead[~np.isnan(lead)])
    ]


def _unseen(earlier: Dataset, later: Dataset, test: pd.DataFrame) -> Figures | None:
    new = ~np.isin(later.snapshots["account_id"], earlier.snapshots["account_id"].unique())
    if len(np.unique(later.subjects[new])) < 30 or np.ptp(later.y[new]) == 0:
        return None
    return figures(later.y[new], test["probability"].to_numpy()[new])
