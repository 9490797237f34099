import numpy as np
import pytest
from sklearn import metrics as peer

from training import metrics

Y = np.array([1.0, 0, 1, 1, 0, 0, 1, 0])
P = np.array([0.9, 0.2, 0.6, 0.6, 0.6, 0.1, 0.3, 0.5])
W = np.array([1.0, 2, 1, 3, 1, 1, 2, 1])


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (metrics.auc, peer.roc_auc_score),
        (metrics.log_loss, peer.log_loss),
        (metrics.brier, peer.brier_score_loss),
    ],
)
@pytest.mark.parametrize("weight", [None, W])
def test_metrics_equal_scikit_learns(f, expected, weight):
    assert f(Y, P, weight=weight) == pytest.approx(expected(Y, P, sample_weight=weight))


def test_auc_of_one_outcome_is_unknown():
    assert np.isnan(metrics.auc(np.ones(4), P[:4]))


@pytest.mark.parametrize(
    ("y", "p", "expected"),
    [
        ([1, 0, 1, 0], [0.5] * 4, 0.0),
        ([1, 1, 1, 1], [0.7] * 4, 0.3),
        ([1, 0, 1, 1], [0.25, 0.25, 0.75, 0.75], 0.25),
    ],
)
def test_ece(y, p, expected):
    assert metrics.ece(np.array(y, float), np.array(p), bins=2) == pytest.approx(expected)


def test_calibration_slope_finds_overconfidence():
    rng = np.random.default_rng(0)
    logit = rng.normal(size=20_000)
    y = (rng.random(20_000) < metrics.to_probability(logit)).astype(float)
    assert metrics.calibration_slope(y, metrics.to_probability(logit)) == pytest.approx(1, abs=0.05)
    assert metrics.calibration_slope(y, metrics.to_probability(2 * logit)) == pytest.approx(0.5, abs=0.03)
    assert np.isnan(metrics.calibration_slope(y, np.full(20_000, 0.3)))


def test_money_caught_by_list_order():
    y = np.array([0.0, 0, 1, 1, 0])
    caught = metrics.money_caught(
        y, np.array([0.1, 0.2, 0.3, 0.9, 0.9]), np.array([100.0, 50, 70, 10, 50]), (0.2, 0.4)
    )
    assert caught == {0.2: 0.5, 0.4: 0.5}


def test_lift_table_counts_every_row_once():
    table = metrics.lift_table(Y, P, bins=4)
    assert table["n"].sum() == len(Y)
    assert (table["n"] * table["rate"]).sum() == Y.sum()


def test_bootstrap_by_group_is_wider_than_by_row_when_rows_repeat():
    rng = np.random.default_rng(1)
    y, p = (rng.random(60) < 0.5).astype(float), rng.random(60)
    many = np.repeat(np.arange(60), 10)
    low, high = metrics.bootstrap(metrics.brier, y[many], p[many], many)
    row_low, row_high = metrics.bootstrap(metrics.brier, y[many], p[many], np.arange(600))
    assert high - low > 2 * (row_high - row_low)


def test_bootstrap_gain_covers_the_true_mean_about_as_often_as_promised():
    rng = np.random.default_rng(2)
    inside = 0
    for seed in range(200):
        group = np.repeat(np.arange(40), 3)
        gain = 0.1 + rng.normal(size=40)[group] + 0.1 * rng.normal(size=120)
        _, low, high = metrics.bootstrap_gain(gain, group, times=200, seed=seed)
        inside += low <= 0.1 <= high
    assert 0.83 <= inside / 200 <= 0.95
