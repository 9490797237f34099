"""Never something worse than the base rate: what loses to it on later data is not served."""

from dataclasses import replace

import numpy as np

from features.settings import Settings
from training.calibrate import Calibration
from training.candidates import fit_recipe
from training.dataset import Dataset
from training.intervals import fit_intervals
from training.metrics import figures, log_loss
from training.select import Selection

BASE_RATE = "base rate"


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
    told = selection.baselines[BASE_RATE]
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
        forward=told if selection.forward else None,
        random=figures(ds.y, np.full(len(ds), ds.base_rate)) if selection.forward else told,
        test=test.assign(probability=base),
        gap=None if selection.gap is None else 0.0,
        by_lead_time=_by_lead_time(ds, rows, base) if selection.by_lead_time else [],
        unseen_accounts=None,
    )


def _by_lead_time(ds: Dataset, rows: np.ndarray, p: np.ndarray) -> list[dict]:
    lead = ds.snapshots["lead_days"].to_numpy(float)[rows]
    return [
        {"lead_days": int(days), **figures(ds.y[rows][lead == days], p[lead == days])}
        for days in np.unique(lead[~np.isnan(lead)])
    ]
