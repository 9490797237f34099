import numpy as np
import pytest

from training.effects.inference import Errors, any_difference, may_be_best, pool, set_of_best, simultaneous


def normal(m, sd=0.02):
    return Errors(np.eye(m) * sd**2, None)


def test_critical_value_of_independent_normals_is_sidak():
    low, high = simultaneous(np.full(7, 0.5), normal(7), seed=3)
    half = np.log(high / (1 - high)) / (0.02 / 0.25)
    np.testing.assert_allclose(half, 2.683, atol=0.06)
    np.testing.assert_allclose(low + high, 1.0)


def test_intervals_stay_within_zero_and_one():
    low, high = simultaneous(np.array([0.999, 0.01]), normal(2, 0.05))
    assert (low >= 0).all()
    assert (high <= 1).all()


def test_clusters_are_summed():
    influence = np.repeat(np.random.default_rng(0).normal(size=(50, 2)), 4, axis=0)
    together = Errors.of(influence, np.repeat(np.arange(50), 4)).covariance
    apart = Errors.of(influence, np.arange(200)).covariance
    np.testing.assert_allclose(together, 4 * apart, rtol=0.02)


def test_few_heavy_weights_leave_few_degrees_of_freedom():
    rng = np.random.default_rng(0)
    light = rng.normal(size=(2000, 1))
    heavy = light * np.where(np.arange(2000) < 20, 50.0, 1.0)[:, None]
    one = np.ones((1, 1))
    assert Errors.of(light, np.arange(2000)).freedom(one)[0] > 1000
    assert Errors.of(heavy, np.arange(2000)).freedom(one)[0] < 40


@pytest.mark.parametrize(
    ("estimate", "kept"),
    [
        ([0.5, 0.5, 0.5, 0.5], [True] * 4),
        ([0.5, 0.52, 0.51, 0.5], [True] * 4),
        ([0.5, 0.7, 0.5, 0.5], [False, True, False, False]),
        ([0.5, 0.7, 0.68, 0.5], [False, True, True, False]),
        ([0.5], [True]),
    ],
)
def test_set_of_best(estimate, kept):
    assert set_of_best(np.array(estimate), normal(len(estimate))).tolist() == kept


@pytest.mark.slow
def test_set_holds_the_best_and_claims_nothing_where_nothing_is():
    rng = np.random.default_rng(5)
    truth = np.array([0.5, 0.5, 0.55, 0.5, 0.5])
    held = [set_of_best(truth + 0.02 * rng.normal(size=5), normal(5))[2] for _ in range(100)]
    claimed = [any_difference(0.5 + 0.02 * rng.normal(size=5), normal(5)) for _ in range(100)]
    assert np.mean(held) >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / 100)
    assert np.mean(claimed) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 100)


def test_the_best_of_the_data_is_always_kept():
    estimate = np.array([0.9, 0.5, 0.4])
    assert may_be_best(estimate, normal(3))[0]


def test_pooling_shrinks_to_one_curve_where_groups_do_not_differ():
    rng = np.random.default_rng(1)
    alone, pooled, taus = [], [], []
    for _ in range(30):
        truth = rng.normal(0.6, 0.1, size=(6, 1)) + np.array([0.0, 0.05, 0.1, 0.0, 0.0])
        y = truth + 0.03 * rng.normal(size=(6, 5))
        found = pool(y, [np.eye(5) * 0.03**2] * 6)
        alone.append(np.mean((y - truth) ** 2))
        pooled.append(np.mean((found.estimate - truth) ** 2))
        taus.append(found.tau)
    assert np.mean(pooled) < 0.6 * np.mean(alone)
    assert np.mean(taus) < 0.02


def test_pooling_leaves_clear_differences():
    curves = np.array([[0.5, 0.5, 0.8], [0.8, 0.5, 0.5], [0.5, 0.8, 0.5]])
    found = pool(curves, [np.eye(3) * 0.01**2] * 3)
    np.testing.assert_allclose(found.estimate, curves, atol=0.02)


def test_an_unseen_cell_takes_the_pooled_curve_at_the_groups_level():
    y = np.array([[0.5, 0.6], [0.7, 0.8], [0.3, np.nan]])
    found = pool(y, [np.eye(2) * 0.01**2] * 3)
    assert found.estimate[2, 1] == pytest.approx(0.4, abs=0.03)
    spread = np.sqrt(np.diag(found.errors.covariance)).reshape(3, 2)
    assert spread[2, 1] > spread[2, 0]


@pytest.mark.slow
def test_posterior_covers_groups_drawn_from_its_law():
    rng = np.random.default_rng(8)
    held = []
    for _ in range(120):
        truth = rng.normal(0.6, 0.08, (5, 1)) + np.array([0.0, 0.05, 0.0]) + 0.03 * rng.normal(size=(5, 3))
        found = pool(truth + 0.04 * rng.normal(size=(5, 3)), [np.eye(3) * 0.04**2] * 5)
        low, high = simultaneous(found.estimate.ravel(), found.errors)
        held.append(np.all((low <= truth.ravel()) & (truth.ravel() <= high)))
    assert np.mean(held) >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / 120)
