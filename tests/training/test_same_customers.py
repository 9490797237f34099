"""The same customer under several ids: planted copies are found and counted once, coincidences reported."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from model_data import dated, undated

from training.baselines import library_default
from training.dataset import dataset
from training.metrics import figures
from training.same_customers import counted_once
from training.split import blocked_folds, grouped_folds

PLACES = [above / "shared" / "data" / "salvirt_b2b" for above in Path(__file__).parents]
SHARED = next((place for place in PLACES if place.is_dir()), None)


def with_copies(ds, share=0.4, *, ends_alike=True, seed=0):
    """The dataset and copies of a share of its contracts, under ids of their own."""
    rng = np.random.default_rng(seed)
    copied = rng.random(ds.subjects.max() + 1) < share
    again = np.flatnonzero(copied[ds.subjects])
    snapshots = ds.snapshots.iloc[again].copy()
    for name in ("subject_id", "account_id"):
        snapshots[name] = "again-" + ds.snapshots["subject_id"].iloc[again]
    y = ds.y[again]
    if not ends_alike:
        y = (rng.random(ds.subjects.max() + 1) < 0.5).astype(float)[ds.subjects[again]]
    X = pd.concat([ds.X, ds.X.iloc[again]], ignore_index=True)
    both = pd.concat([ds.snapshots, snapshots], ignore_index=True)
    made = dataset(X, np.concatenate([ds.y, y]), both, ds.infos, ds.kind, ds.dated)
    order = rng.permutation(len(made)) if not ds.dated else np.arange(len(made))
    return made.take(order), int(copied.sum())


@pytest.mark.parametrize("make", [dated, undated])
def test_planted_copies_are_found_and_counted_once(make):
    ds, copies = with_copies(make(400))
    once, found = counted_once(ds)
    assert len(found.copies) == copies
    assert sum(once.outcome_counts()) == 400
    assert once.weights.sum() == pytest.approx(400)
    for copy, kept in found.copies.items():
        assert copy.removeprefix("again-") == kept.removeprefix("again-")
    answer = found.in_words("contracts")
    assert answer.startswith(f"{copies:,} contracts repeat another one")
    assert "counted once" in answer


@pytest.mark.parametrize("make", [dated, undated])
def test_where_every_row_differs_nothing_is_left_out_or_told(make):
    ds = make(400)
    once, found = counted_once(ds)
    assert len(once) == len(ds)
    assert found.in_words("contracts") is None


@pytest.mark.parametrize("folds_of", [lambda ds: grouped_folds(ds, 4), blocked_folds])
def test_contracts_alike_that_ended_differently_stay_and_are_never_parted(folds_of):
    ds, copies = with_copies(dated(400), ends_alike=False)
    kept, found = counted_once(ds)
    assert len(kept) == len(ds)
    assert not found.copies
    assert (found.alike, found.pairs) == (copies, copies)
    assert 0.3 < found.conflicts / found.pairs < 0.7
    assert "taken for different ones" in found.in_words("contracts")
    for fold in folds_of(kept):
        assert not set(kept.together[fold.train]) & set(kept.together[fold.test])


def test_a_model_that_remembers_rows_gains_nothing_from_copies():
    plain = dated(400, signal=False)
    ds, _ = with_copies(plain, share=0.9)
    once, _ = counted_once(ds)

    def auc(part):
        p = np.empty(len(part))
        for fold in grouped_folds(part, 4):
            p[fold.test] = library_default(part.take(fold.train), 0, 1)(part.X.iloc[fold.test])
        return figures(part.y, p)["auc"]

    assert auc(ds) > 0.65
    assert abs(auc(once) - 0.5) < 0.06


def test_contracts_of_one_account_are_its_own_though_alike():
    ds, copies = with_copies(dated(400))
    owner = ds.snapshots["account_id"].where(~ds.snapshots["subject_id"].str.startswith("again-"), None)
    same = ds.snapshots["subject_id"].str.removeprefix("again-")
    first = owner.groupby(same).transform("first")
    _, found = counted_once(replace(ds, snapshots=ds.snapshots.assign(account_id=first)))
    assert found.pairs == 0
    assert copies > 100


def test_a_look_that_differs_makes_two_contracts():
    ds, copies = with_copies(dated(400))
    rows = ds.snapshots["subject_id"].str.startswith("again-").to_numpy()
    X = ds.X.copy()
    last = np.flatnonzero(rows)[-1]
    X.iloc[last, X.columns.get_loc("calls_90d")] += 1
    _, found = counted_once(replace(ds, X=X))
    assert len(found.copies) == copies - 1


@pytest.mark.skipif(SHARED is None, reason="the shared real data are not here")
def test_of_real_deals_judged_alike_a_third_of_the_pairs_ended_differently():
    table = pd.read_csv(SHARED / "Salvirt_B2B_ML_dataset.csv", sep=";").astype(str)
    won = (table.pop("Status") == "Won").to_numpy(float)
    X = table.apply(lambda column: column.astype("category"))
    ids = [f"deal-{at}" for at in range(len(X))]
    snapshots = pd.DataFrame(
        {"subject_id": ids, "account_id": ids, "as_of": pd.NaT, "lead_days": np.nan, "matured_at": pd.NaT}
    )
    ds = dataset(X, won, snapshots, {}, "win", False)
    kept, found = counted_once(ds)
    assert len(kept) == 448
    assert (found.alike, found.pairs, found.conflicts) == (102, 226, 72)
    assert all(not set(kept.together[f.train]) & set(kept.together[f.test]) for f in grouped_folds(kept))
