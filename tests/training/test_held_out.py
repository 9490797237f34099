"""Spread and level are read off every span of time, each scored by a model of all the others."""

from dataclasses import replace

import numpy as np
from model_data import dated

from training.candidates import adjusted, choose_recipe, fit_recipe, held_out
from training.select import tuning_folds
from training.split import blocked_folds


def test_every_span_is_scored_by_a_model_of_the_others_and_the_slope_is_surer():
    ds = dated(250)
    folds = blocked_folds(ds)
    recipe = choose_recipe(
        ds, tuning_folds(ds, 0), name="held", storage=None, trials=1, seconds=None, seed=0, threads=1
    )
    held = held_out(ds, recipe, folds, seed=0, threads=1)
    assert sorted(held.rows) == list(range(len(ds)))
    first = folds[0]
    model = fit_recipe(ds.take(first.train), recipe.at_base(), seed=0, threads=1)
    scores = model.margin(model.encode(ds.X.iloc[first.test]))
    assert np.array_equal(held.score[: len(first.test)], scores)
    until = ds.snapshots["matured_at"].to_numpy("datetime64[us]").max()
    forward, _ = adjusted(ds, recipe, until)
    by_span, _ = adjusted(ds, replace(recipe, held=held), until)
    assert by_span.adjustment.slope_error < forward.adjustment.slope_error
