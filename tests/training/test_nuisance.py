import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from training.effects.trial_arrays import Scaling, encode, forward_select, knots_of, with_hinges
from training.ridge import fit_ridge, fit_ridge_logistic, with_intercept


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(400, 5))
    y = (rng.uniform(size=400) < 1 / (1 + np.exp(-(Z[:, 0] - 0.5)))).astype(float)
    return Z, y, rng.uniform(0.2, 2.0, 400)


def test_logistic_equals_scikit_learn(data):
    Z, y, weight = data
    peer = LogisticRegression(C=1 / 3.0, tol=1e-10, max_iter=1000).fit(Z, y, sample_weight=weight)
    beta = fit_ridge_logistic(with_intercept(Z), y, weight, ridge=3.0)
    np.testing.assert_allclose(beta, [peer.intercept_[0], *peer.coef_[0]], atol=2e-4)


def test_linear_equals_scikit_learn_for_every_column(data):
    Z, y, weight = data
    Y = np.column_stack([y, Z[:, 1] + y])
    beta = fit_ridge(with_intercept(Z), Y, weight, ridge=2.0)
    for column in range(2):
        peer = Ridge(alpha=2.0).fit(Z, Y[:, column], sample_weight=weight)
        np.testing.assert_allclose(beta[:, column], [peer.intercept_, *peer.coef_], atol=1e-5)


def test_separable_data_stay_finite():
    Z = np.linspace(-1, 1, 60)[:, None]
    beta = fit_ridge_logistic(with_intercept(Z), (Z[:, 0] > 0).astype(float), np.ones(60), ridge=1.0)
    assert np.isfinite(beta).all()


def test_forward_selection_finds_the_columns_that_matter():
    rng = np.random.default_rng(1)
    Z = rng.normal(size=(2000, 60))
    target = Z[:, 7] - 0.5 * Z[:, 30] + rng.normal(size=2000)
    Z, target = Z - Z.mean(axis=0), target - target.mean()
    chosen = forward_select(Z.T @ Z, Z.T @ target, target @ target, 2000, most=40)
    assert set(chosen[:2]) == {7, 30}
    assert len(chosen) < 15


def test_forward_selection_takes_one_of_two_equal_columns():
    rng = np.random.default_rng(2)
    one = rng.normal(size=500)
    Z = np.column_stack([one, one])
    target = one + 0.1 * rng.normal(size=500)
    assert len(forward_select(Z.T @ Z, Z.T @ target, target @ target, 500, most=5)) == 1


def test_scaling_flags_missing_values_and_bounds_outliers():
    X = np.column_stack([np.append(np.arange(99.0), 1e9), np.where(np.arange(100) < 30, np.nan, 1.0)])
    Z = Scaling.fit(X).apply(X)
    assert Z.shape == (100, 3)
    assert np.abs(Z).max() < 10
    np.testing.assert_array_equal(Z[:, 2], np.arange(100) < 30)


def test_encoding_keeps_numbers_and_makes_levels():
    import pandas as pd

    frame = pd.DataFrame({"calls": [1.0, np.nan, 3.0], "kind": pd.Categorical(["a", "b", "a"])})
    X, names = encode(frame)
    assert names == ["calls", "kind = a", "kind = b"]
    np.testing.assert_array_equal(X[:, 1], [1, 0, 1])


def test_hinges_bend_only_columns_with_many_values():
    Z = np.column_stack([np.linspace(0, 1, 50), np.arange(50) % 2])
    knots = knots_of(Z)
    assert [len(k) for k in knots] == [2, 0]
    assert with_hinges(Z, knots).shape == (50, 4)
