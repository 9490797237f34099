"""Seven looks at a contract whose columns never change are one row; where something happened, more."""

import numpy as np
import pandas as pd
import pytest
from model_data import INFOS

from training.dataset import dataset
from training.looks import repeats

DAY = np.timedelta64(1, "D")
LEADS = np.array([180, 150, 120, 90, 60, 30, 14])


def looks(contracts: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Contracts as a table without events shows them: a plan, a number of seats, and days that pass."""
    of, lead = np.repeat(np.arange(contracts), 7), np.tile(LEADS, contracts)
    X = pd.DataFrame({"usage": 10.0 * of, "days_since_meeting": 400.0 - lead, "noise": np.nan})
    X["industry"] = pd.Categorical(np.array(["retail", "steel", "retail"])[of % 3])
    snapshots = pd.DataFrame(
        {
            "subject_id": [f"c{i}" for i in of],
            "account_id": [f"a{i}" for i in of],
            "as_of": np.datetime64("2024-12-31", "us") - lead * DAY,
            "lead_days": lead.astype(float),
            "matured_at": np.datetime64("2025-02-14", "us"),
        }
    )
    return X, snapshots


def test_only_the_first_look_counts_where_nothing_changes():
    X, snapshots = looks()
    assert (~repeats(X, snapshots)).nonzero()[0].tolist() == [0, 7, 14]
    order = np.random.default_rng(0).permutation(len(X))
    shuffled = repeats(X.iloc[order].reset_index(drop=True), snapshots.iloc[order].reset_index(drop=True))
    assert sorted(order[~shuffled].tolist()) == [0, 7, 14]


def test_a_look_at_which_something_happened_is_a_row():
    X, snapshots = looks()
    X.loc[10:13, "usage"] = 99.0  # from the fourth look at the second contract on
    X.loc[20, "days_since_meeting"] = 2.0  # a meeting before the last look at the third
    X.loc[5:6, "industry"] = np.nan
    assert (~repeats(X, snapshots)).nonzero()[0].tolist() == [0, 5, 7, 10, 14, 20]


def test_repeats_are_not_learnt_from_and_each_contract_counts_once():
    X, snapshots = looks()
    y = np.repeat([1.0, 0.0, 1.0], 7)
    ds = dataset(X, y, snapshots, INFOS, "renewal", True)
    assert ds.weights.reshape(3, 7).sum(axis=1) == pytest.approx(1)
    assert (ds.weights.reshape(3, 7)[:, 1:] == 0).all()
    assert (ds.plain_weights > 0).all()
    part = ds.take(np.arange(7, 21))
    assert part.weights.sum() == pytest.approx(2)
    X["usage"] += np.arange(21)
    busy = dataset(X, y, snapshots, INFOS, "renewal", True)
    assert (busy.weights > 0).all()
    assert (busy.without(["usage"]).weights > 0).sum() == 3
