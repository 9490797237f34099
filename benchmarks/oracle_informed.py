"""The informed analyst, who is given the simulator's hidden states and has to estimate only their weights."""

from datetime import date

import numpy as np
import pandas as pd

from features.simulation import EPOCH, UNTIL, worry
from features.simulation.contract_events import contract_keys
from features.simulation.planted import Options
from features.simulation.records import World, world
from training.dataset import Dataset

YEARS = 4
KINDS = ("accounts.industry", "accounts.region", "accounts.tier", "contracts.product", "contracts.billing")
SHARES = ("contracts.auto_renew", "renewals", "owner_renewal_share", "owner_win_share")
CONTACT_EDGES = (0, 15, 30, 45, 60, 90, 120, 180)
PENALTY = 0.1


def lived(accounts: int, seed: int, until: date = UNTIL) -> World:
    """The world that `perennial simulate --accounts N --seed S` writes down, future included."""
    last = (until - EPOCH).days
    return world(Options(accounts, seed, True, False, True, True, "peaked", last - 365 * YEARS, last, 0))


def informed(ds: Dataset, of: World, learned: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Likelihood to renew of the rows `judged` by a regression on what decides in the simulator.

    Args:
        ds: renewal snapshots.
        of: the world they come from.
        learned: rows whose outcomes are trained on.
        judged: rows (n,) to predict.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    states, is_known = _states(ds, of)
    learned = learned[is_known[learned]]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=500))
    weight = ds.weights[learned]
    model.fit(states[learned], ds.y[learned], logisticregression__sample_weight=weight)
    return model.predict_proba(states[judged])[:, 1]


def _states(ds: Dataset, of: World) -> tuple[np.ndarray, np.ndarray]:
    """What enters the probability of each snapshot (n, k); whether its contract is of the world (n,)."""
    terms = of.terms
    place = pd.Series(np.arange(terms.size), index=contract_keys(np.arange(terms.size)))
    places = place.reindex(ds.snapshots["subject_id"].to_numpy()).to_numpy(float)
    is_known = np.isfinite(places)
    row = np.where(is_known, np.nan_to_num(places), 0).astype(int)
    lead = ds.snapshots["lead_days"].to_numpy(float)
    step = np.array([np.flatnonzero(each == worry.LEAD_START)[0] for each in lead])
    usage, marks, _, felt = terms.mood[row, step].T
    visible = worry.MARK_WEIGHT * (marks - worry.MARK_MEAN) - worry.USAGE_WEIGHT * usage
    contact = np.where(terms.contact_lead[row] > lead, terms.contact_lead[row], -1)
    steps = pd.get_dummies(lead).to_numpy(float)
    windows = pd.get_dummies(np.digitize(contact, CONTACT_EDGES)).to_numpy(float)
    kinds = [name for name in KINDS if name in ds.X]
    shares = [name for name in SHARES if name in ds.X]
    standing = np.column_stack(
        [
            pd.get_dummies(ds.X[kinds].astype(str)).to_numpy(float),
            ds.X[shares].astype(float).fillna(0.0).to_numpy(),
            of.who.size[terms.account[row]],
        ]
    )
    moods = np.column_stack([visible, felt, visible[:, None] * steps, felt[:, None] * steps])
    return np.column_stack([standing, moods, steps, windows]), is_known
