"""Many-valued categories: planted effects are found, noise is not, nobody reads what was not yet known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from model_data import dated, info, undated

from training.candidates import choose_recipe, encoded_rows, fit_recipe
from training.dataset import dataset
from training.explain import contributions, reasons
from training.metrics import log_loss, to_logit, to_probability
from training.model import Model
from training.split import Split, forward_split, grouped_folds
from training.target_statistics import MANY_LEVELS, history_of

OWNERS = 120


def with_owners(ds, *, spread=1.2, seed=0):
    """The same rows under owners (the contract's, some rarely seen), who move the log-odds by `spread`."""
    rng = np.random.default_rng(seed)
    contracts = ds.subjects.max() + 1
    owner = np.minimum(rng.geometric(0.02, contracts), OWNERS)[ds.subjects]
    effect = spread * rng.normal(size=OWNERS + 1)
    X = ds.X.assign(owner=pd.Categorical([f"owner {each}" for each in owner]))
    probability = 0.3 * ds.X["calls_90d"].to_numpy() - 0.5 + effect[owner]
    p = np.bincount(ds.subjects, to_probability(probability)) / np.bincount(ds.subjects)
    y = (rng.random(contracts) < p).astype(float)[ds.subjects]
    infos = {**ds.infos, "owner": info("owner", words="owner", unit="category", group="owner")}
    made = dataset(X, y, ds.snapshots, infos, ds.kind, ds.dated)
    return made, effect, owner


def recipe_of(ds, trials=2):
    return choose_recipe(
        ds, grouped_folds(ds, 3), name="owners", storage=None, trials=trials, seconds=None,
        seed=0, threads=1,
    )  # fmt: skip


def history(ds, names=("owner",)):
    times = [ds.snapshots[name].to_numpy(dtype="datetime64[us]") for name in ("as_of", "matured_at")]
    return history_of(
        ds.X, names, y=ds.y, weight=ds.weights / ds.weights.mean(), subjects=ds.subjects,
        together=ds.together,
        times=tuple(times) if ds.dated else None,
    )  # fmt: skip


def slow_ordered(ds, strength_of):
    """Each row's statistic by going through all contracts one by one."""
    as_of, known = (ds.snapshots[name].to_numpy() for name in ("as_of", "matured_at"))
    out = []
    for row in range(len(ds)):
        own = good = n = all_good = 0.0
        for contract in np.unique(ds.subjects):
            first = np.flatnonzero(ds.subjects == contract)[0]
            if contract == ds.subjects[row] or not known[first] < as_of[row]:
                continue
            own += 1
            all_good += ds.y[first]
            if ds.X["owner"].iloc[first] == ds.X["owner"].iloc[row]:
                n, good = n + 1, good + ds.y[first]
        rate = (all_good + 0.5) / (own + 1)
        drawn = (good + strength_of * rate) / (n + strength_of)
        out.append(to_logit(np.array([drawn]))[0] - to_logit(np.array([rate]))[0])
    return np.array(out)


def test_a_row_reads_what_was_known_when_it_was_scored_as_a_plain_loop_says(monkeypatch):
    ds, _, _ = with_owners(dated(120))
    monkeypatch.setattr("training.target_statistics._strength", lambda good, n: 3.0)
    fast = history(ds).for_training(np.arange(len(ds)))[0]
    assert np.allclose(fast, slow_ordered(ds, 3.0), atol=1e-12)
    assert fast.std() > 0.1


@pytest.mark.parametrize("make", [dated, undated])
def test_its_own_outcome_never_moves_what_a_row_reads(make, monkeypatch):
    monkeypatch.setattr("training.target_statistics._strength", lambda good, n: 3.0)
    ds, _, _ = with_owners(make(300))
    every = np.arange(len(ds))
    before = history(ds).for_training(every)[0]
    for contract in (3, 50, 200):
        own = ds.subjects == contract
        flipped = replace(ds, y=np.where(own, 1 - ds.y, ds.y))
        after = history(flipped).for_training(every)[0]
        assert np.array_equal(before[own], after[own])
        assert not np.array_equal(before, after)


def test_later_outcomes_change_nothing_that_was_read_before(monkeypatch):
    monkeypatch.setattr("training.target_statistics._strength", lambda good, n: 3.0)
    ds, _, _ = with_owners(dated(300))
    middle = np.median(ds.snapshots["as_of"].to_numpy().astype("int64"))
    late = ds.snapshots["matured_at"].to_numpy().astype("int64") >= middle
    changed = replace(ds, y=np.where(late, 1 - ds.y, ds.y))
    early = ds.snapshots["as_of"].to_numpy().astype("int64") <= middle
    every = np.arange(len(ds))
    before, after = (history(each).for_training(every)[0] for each in (ds, changed))
    assert np.array_equal(before[early], after[early])
    assert not np.array_equal(before, after)


def test_planted_owners_are_found_and_owners_of_no_effect_are_not():
    ds, effect, owner = with_owners(dated(1500))
    table = history(ds).tables(np.arange(len(ds)))["owner"]
    often = [at for at in np.unique(owner) if (owner == at).sum() >= 60]
    got = [table[f"owner {at}"] for at in often]
    assert np.corrcoef(got, effect[often])[0, 1] > 0.8
    idle, _, _ = with_owners(dated(1500), spread=0.0)
    assert np.abs(list(history(idle).tables(np.arange(len(idle)))["owner"].values())).max() < 0.35


def test_the_model_of_many_owners_is_nearer_the_truth_than_one_that_cannot_tell_them_apart():
    ds, _, _ = with_owners(dated(1500))
    split = forward_split(ds)
    later = ds.take(split.test)

    def loss(part):
        learned = part.take(split.train)
        return log_loss(
            later.y, fit_recipe(learned, recipe_of(learned), seed=0, threads=1).probability(later.X)
        )

    assert loss(ds) < loss(ds.without(["owner"])) - 0.03


def test_a_row_alone_in_a_batch_and_after_loading_gets_the_same_bits_and_reasons_name_the_value(tmp_path):
    ds, _, _ = with_owners(undated(900))
    model = fit_recipe(ds, recipe_of(ds), seed=0, threads=1)
    assert "owner" in model.encoding.statistics
    model.save(tmp_path)
    loaded = Model.load(tmp_path)
    rows = ds.X.iloc[:40].copy()
    rows["owner"] = rows["owner"].astype(object)
    rows.loc[rows.index[0], "owner"] = "somebody new"
    rows.loc[rows.index[1], "owner"] = None
    batch = model.probability(rows)
    assert np.array_equal(batch, loaded.probability(rows))
    assert np.array_equal(batch, np.concatenate([loaded.probability(rows.iloc[[at]]) for at in range(40)]))
    E = model.encode(rows)[:, model.features.index("owner")]
    assert E[0] == 0
    assert np.isnan(E[1])
    answer = contributions(loaded, rows)
    assert np.allclose(answer.total(), answer.log_odds, atol=1e-9)
    named = [next((r for r in each if r["feature"] == "owner"), None) for each in reasons(loaded, rows)]
    assert sum(each is not None for each in named) > 10
    for row, each in enumerate(named):
        if each is not None:
            assert each["value"] == rows["owner"].iloc[row]


def test_folds_are_judged_by_what_their_other_rows_knew():
    ds, _, _ = with_owners(dated(400))
    rows, encoding = encoded_rows(ds)
    at = encoding.columns.index("owner")
    fold = Split(np.arange(600), np.arange(600, len(ds)))
    flipped = replace(
        rows, history=replace(rows.history, y=np.where(np.arange(len(ds)) < 600, ds.y, 1 - ds.y))
    )
    assert np.array_equal(rows.for_judging(fold)[:, at], flipped.for_judging(fold)[:, at], equal_nan=True)
    assert np.array_equal(
        rows.for_training(fold.train)[:, at], flipped.for_training(fold.train)[:, at], equal_nan=True
    )
    assert len(encoding.statistics["owner"]) > MANY_LEVELS
