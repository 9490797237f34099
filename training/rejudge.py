"""Another recipe on the rows a selection was judged on: what it would have predicted of them.

Two models trained on different days or columns can't be compared by figures of their own: each was judged on
other rows, and each has trained on what the other was judged on. So the other one's recipe is fitted on the
earlier rows of this selection and judged on the same later ones, at the same level: ranking and spread
decide.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from features.settings import Settings
from training.boosting import threads_for
from training.calibrate import Adjustment
from training.calibration_curve import Curve
from training.candidates import Held, Recipe, fit_recipe
from training.dataset import Dataset
from training.penalty import Regression
from training.search import Tuned
from training.selection_figures import Selection
from training.split import FOLDS, Split, grouped_folds


def recipe_facts(recipe: Recipe) -> dict[str, Any]:
    """What is kept with a model so that its recipe can be fitted on other rows; JSON values only."""
    tuned = recipe.tuned
    trees = {"params": tuned.params, "rounds": tuned.rounds, "contracts": tuned.contracts} if tuned else None
    return {
        "served": recipe.served,
        "share": recipe.share,
        "trees": trees,
        "regression": asdict(recipe.regression),
        "screen": recipe.screen,
        "slope": recipe.adjustment.slope,
        "curve": asdict(recipe.adjustment.curve),
    }


def recipe_of(facts: Mapping[str, Any]) -> Recipe:
    """The recipe of such facts."""
    trees = facts["trees"]
    tuned = Tuned(trees["params"], trees["rounds"], 0.0, 0, trees["contracts"], "", "") if trees else None
    return Recipe(
        served=facts["served"],
        share=facts["share"],
        tuned=tuned,
        regression=Regression(**facts["regression"]),
        screen=facts["screen"],
        adjustment=Adjustment(slope=facts["slope"], curve=Curve(**facts.get("curve", {}))),
        why="",
        losses={},
        study={},
        held=Held(np.zeros(0, int), np.zeros(0)),
    )


def rejudged(ds: Dataset, selection: Selection, recipe: Recipe, settings: Settings) -> np.ndarray:
    """Probabilities (m,) of the selection's test rows, in their order, by the recipe on the columns of `ds`.

    Args:
        ds: the rows the selection was made of, with the columns the recipe is to read.
        selection: whose split, level and anchor are used.
        recipe: of the other model.
        settings: seed and threads.
    """
    if selection.split is not None:
        level, folds = selection.judged.level, [selection.split]
        until = ds.snapshots["as_of"].to_numpy("datetime64[us]")[selection.split.test].min()
        recipe = replace(
            recipe,
            adjustment=replace(recipe.adjustment, level=level),
            held=selection.judged_held,
            anchor=selection.judged_anchor,
        )
    else:
        until, recipe, folds = None, recipe.at_base(), grouped_folds(ds, FOLDS, seed=settings.seed)
    p = np.full(len(ds), np.nan)
    for fold in folds:
        p[fold.test] = _predicted(ds, fold, recipe, settings, until)
    return p[selection.test["row"].to_numpy()]


def _predicted(
    ds: Dataset, fold: Split, recipe: Recipe, settings: Settings, until: np.datetime64 | None
) -> np.ndarray:
    earlier = ds.take(fold.train, until)
    threads = threads_for(earlier.X.size, settings.threads)
    model = fit_recipe(earlier, recipe, seed=settings.seed, threads=threads)
    return model.probability(ds.X.iloc[fold.test])
