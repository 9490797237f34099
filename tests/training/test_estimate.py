import effect_worlds as worlds
import numpy as np
import pytest

from training.effects.answer import ALL, answer, infer
from training.effects.estimate import estimate_arms, estimate_strategies
from training.effects.inference import e_value, lead_of_best, margin, without_covariates
from training.effects.nuisance import CrossFit, Hazard, decided_or_contacted, time_shape
from training.effects.targeting import intercept_shift
from training.effects.trial_arrays import Clock, Window


def drawn_and_said(world, n, seed):
    drawn = world.draw(n, seed)
    found = estimate_strategies(drawn.windows, drawn.y, drawn.cluster, seed=seed)
    return found, infer(found, seed)


@pytest.mark.parametrize("name", ["PEAK", "SEVERE", "SHARED"])
def test_truth_is_found_where_raw_rates_mislead(name):
    world = getattr(worlds, name)
    truth = world.truth(100_000)
    found, said = drawn_and_said(world, 10_000, 1)
    assert np.nanmean(np.abs(found.raw - truth)) > 1.5 * np.nanmean(np.abs(found.estimate - truth))
    result = said.usable
    assert ((said.low <= truth) & (truth <= said.high))[result].all()
    assert said.keep[np.argmax(truth)]


def test_no_effect_none_claimed():
    claimed = [not drawn_and_said(worlds.NO_EFFECT, 900, seed)[1].keep.all() for seed in range(4)]
    assert sum(claimed) <= 1


@pytest.mark.parametrize("n", [600, 1800])
@pytest.mark.parametrize("seed", [0, 1])
def test_without_overlap_nothing_is_told(n, seed):
    found, said = drawn_and_said(worlds.NO_OVERLAP, n, seed)
    assert not said.usable.any()
    result = answer("renewal", found.names, {ALL: found}, found)
    assert result["best"] == {ALL: None}
    assert all(row["estimate"] is None and row["why"].startswith("can't tell") for row in result["rows"])
    assert not any(row["overlap_ok"] for row in result["rows"])


def test_few_contracts_tell_little_and_say_so():
    found, said = drawn_and_said(worlds.PEAK, 120, 0)
    assert said.usable.sum() < len(found.names)
    assert all(w is None or w.startswith("can't tell") for w in said.why)


def test_effects_that_differ_by_group_are_told_apart():
    drawn = worlds.BY_GROUP.draw(16_000, 3)
    found = estimate_strategies(drawn.windows, drawn.y, drawn.cluster, seed=0)
    bare = estimate_strategies(without_covariates(drawn.windows), drawn.y, drawn.cluster, seed=0)
    groups = {f"g{g}": found.among(drawn.group == g) for g in (0, 1)}
    result = answer("renewal", found.names, {ALL: found, **groups}, bare)
    truth = worlds.BY_GROUP.truth_by_group(100_000)
    for g in (0, 1):
        best = found.names[int(np.argmax(truth[g]))]
        assert best in result["indistinguishable"][f"g{g}"]
        assert len(result["indistinguishable"][f"g{g}"]) < 7
        rows = [r for r in result["rows"] if r["group"] == f"g{g}"]
        assert [r["low"] <= t <= r["high"] for r, t in zip(rows, truth[g], strict=True)].count(False) <= 1


def test_small_groups_are_left_open():
    drawn = worlds.PEAK.draw(3000, 3)
    found = estimate_strategies(drawn.windows, drawn.y, drawn.cluster)
    tiny = np.arange(3000) < 60
    groups = {ALL: found, "tiny": found.among(tiny), "rest": found.among(~tiny)}
    result = answer("renewal", found.names, groups, found)
    assert result["best"]["tiny"] is None
    for row in result["rows"]:
        assert ("too few here" in (row["why"] or "")) == (row["group"] == "tiny")


def test_hidden_worry_lies_within_the_margin():
    truth = worlds.HIDDEN.truth(100_000)
    drawn = worlds.HIDDEN.draw(8000, 2)
    found = estimate_strategies(drawn.windows, drawn.y, drawn.cluster)
    bare = estimate_strategies(without_covariates(drawn.windows), drawn.y, drawn.cluster)
    usable = infer(found, 0).usable
    assert np.abs(found.estimate - truth)[usable].max() <= margin(found.estimate, bare.estimate, usable)


def test_equals_g_formula_by_counting():
    """One binary signal a window, two windows: the estimand by plain counting is the oracle."""
    rng = np.random.default_rng(4)
    n = 40_000
    x1 = rng.integers(0, 2, n)
    a1 = rng.uniform(size=n) < np.where(x1 == 1, 0.4, 0.15)
    x2 = rng.uniform(size=n) < np.where(x1 == 1, 0.7, 0.3)
    d1 = ~a1 & (rng.uniform(size=n) < 0.1)
    a2 = ~a1 & ~d1 & (rng.uniform(size=n) < np.where(x2, 0.5, 0.1))
    y = (rng.uniform(size=n) < 0.7 - 0.3 * np.where(d1, x1, x2) + 0.1 * a1 + 0.2 * a2).astype(float)
    never, ones = np.zeros(n, bool), np.ones(n)
    one = Clock(a1, d1, np.where(a1, 0.5, 1.0))
    two = Clock(a2, never, ones)
    windows = [
        Window("early", x1[:, None].astype(float), ~never, one, one),
        Window("late", np.column_stack([x2.astype(float)]), ~a1 & ~d1, two, two),
    ]
    found = estimate_strategies(windows, y, np.arange(n))
    expected = {"early": 0.0, "late": 0.0, "none": 0.0}
    for v1 in (0, 1):
        share = (x1 == v1).mean()
        expected["early"] += share * y[(x1 == v1) & a1].mean()
        stayed = (x1 == v1) & ~a1
        gone = d1[stayed].mean()
        for name, arm in (("late", a2), ("none", ~a2)):
            ahead = sum(
                (x2[stayed & ~d1] == v2).mean() * y[stayed & ~d1 & (x2 == v2) & arm].mean() for v2 in (0, 1)
            )
            expected[name] += share * (gone * y[stayed & d1].mean() + (1 - gone) * ahead)
    np.testing.assert_allclose(found.estimate, list(expected.values()), atol=0.004)


def test_arms_agree_with_doubleml():
    from doubleml import DoubleMLAPOS, DoubleMLData
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(6)
    n = 4000
    X = rng.normal(size=(n, 3))
    score = np.column_stack([np.zeros(n), 0.8 * X[:, 0], -0.8 * X[:, 0]])
    arm = (rng.gumbel(size=(n, 3)) + score).argmax(axis=1)
    y = (rng.uniform(size=n) < 1 / (1 + np.exp(-(0.3 + X[:, 0] + 0.5 * (arm == 1))))).astype(float)
    ours = estimate_arms(X, arm, ("a", "b", "c"), y, np.arange(n))
    np.random.seed(0)
    data = DoubleMLData.from_arrays(X, y, arm.astype(float))
    peer = DoubleMLAPOS(data, LogisticRegression(), LogisticRegression(), treatment_levels=[0, 1, 2]).fit()
    np.testing.assert_allclose(ours.estimate, peer.coef, atol=0.012)
    np.testing.assert_allclose(ours.contribution.std(axis=0) / np.sqrt(n), peer.se, rtol=0.15)


def test_stages_of_one_bucket_are_one_strategy():
    drawn = worlds.PEAK.draw(1200, 1)
    halves = [
        Window("first" if k < 2 else w.name, w.X, w.at_risk, w.any_contact, w.outbound)
        for k, w in enumerate(drawn.windows)
    ]
    found = estimate_strategies(halves, drawn.y, drawn.cluster)
    apart = estimate_strategies(drawn.windows, drawn.y, drawn.cluster)
    assert found.names == ("first", *apart.names[2:])
    share = apart.n[:2] / apart.n[:2].sum()
    assert found.estimate[0] == pytest.approx(share @ apart.estimate[:2])
    assert found.n[0] == apart.n[:2].sum()


def test_same_seed_same_numbers_and_whole_accounts_a_fold():
    cluster = np.repeat(np.arange(40), 5)
    fold = CrossFit.over(cluster, 5, 3).fold
    assert all(len(set(fold[cluster == c])) == 1 for c in range(40))
    np.testing.assert_array_equal(fold, CrossFit.over(cluster, 5, 3).fold)
    assert np.bincount(fold).tolist() == [40] * 5


def test_time_shape_is_uniform_where_contacts_are():
    rng = np.random.default_rng(0)
    at, gone = rng.uniform(size=20_000), rng.uniform(size=20_000) * 2
    clock = Clock(at < gone, gone <= at, np.minimum(at, gone))
    shape = time_shape(clock, np.ones(20_000, bool))
    late = clock.decided & (clock.exposure > 0.4) & (clock.exposure < 0.6)
    expected = np.log(1 - 0.5) / np.log(1 - 0.999)
    assert 0 < shape[late].mean() < 0.5
    assert shape[late].mean() == pytest.approx(expected, abs=0.06)
    assert (shape[~clock.decided] == 1).all()


def test_who_is_decided_at_once_follows_and_who_is_decided_late_hardly():
    decided = np.array([False, True, True])
    clock = Clock(np.array([True, False, False]), decided, np.array([0.5, 0.0, 1.0]))
    weight = decided_or_contacted(clock, Hazard(np.full(3, 0.4), np.array([1.0, 0.0, 1.0])))
    np.testing.assert_allclose(weight, [1.0, 0.4, 0.0])


def test_intercept_shift_solves_its_score():
    rng = np.random.default_rng(0)
    offset, weight = rng.normal(size=300), rng.uniform(0, 3, 300)
    y = (rng.uniform(size=300) < 0.8).astype(float)
    e = intercept_shift(y, offset, weight)
    assert np.sum(weight * (y - 1 / (1 + np.exp(-offset - e)))) == pytest.approx(0, abs=1e-6)
    assert intercept_shift(np.ones(5), np.zeros(5), np.ones(5)) > 5


@pytest.mark.parametrize(
    ("better", "worse", "expected"), [(0.8, 0.4, 2 + 2**0.5), (0.4, 0.8, 1.0), (0.5, 0.5, 1.0)]
)
def test_e_value(better, worse, expected):
    assert e_value(better, worse) == pytest.approx(expected)


def test_lead_of_best_is_measured_by_what_recorded_signals_moved():
    adjusted, bare = np.array([0.80, 0.70, 0.6]), np.array([0.75, 0.70, 0.6])
    lead = lead_of_best(("a", "b", "c"), adjusted, bare, np.array([True, True, False]))
    assert (lead["best"], lead["second"]) == ("a", "b")
    assert lead["times_recorded"] == pytest.approx(2.0)
    assert lead_of_best(("a",), adjusted[:1], bare[:1], np.array([True])) is None


def test_a_bucket_that_one_other_group_alone_lends_is_left_open():
    drawn = worlds.BY_GROUP.draw(3000, 3)
    found = estimate_strategies(drawn.windows, drawn.y, drawn.cluster)
    few = found.followed[:, 4] & (drawn.group == 0) & (np.cumsum(found.followed[:, 4]) > 30)
    groups = {f"g{g}": found.among((drawn.group == g) & ~few) for g in (0, 1)}
    result = answer("renewal", found.names, {ALL: found} | groups, found)
    rows = {row["group"]: row for row in result["rows"] if row["bucket"] == "15-30"}
    assert rows["g0"]["estimate"] is None
    assert "too few here" in rows["g0"]["why"]
    assert rows["g1"]["estimate"] is not None
    assert "15-30" in result["indistinguishable"]["g0"]
    assert result["best"]["g0"] != "15-30"
