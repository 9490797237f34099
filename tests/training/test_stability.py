"""Among many idle columns the informative ones, alone or together, are offered to the trees more often."""

import numpy as np
import pytest

from training.boosting import DEFAULT, fit_trees
from training.metrics import to_probability
from training.stability import LEAST, column_weights

IDLE = 60


def planted(*, signal=True, rows=1800):
    """Two rows of each contract; columns 0 and 1 are informative alone, 2 and 3 only together."""
    rng = np.random.default_rng(4)
    subjects = np.repeat(np.arange(rows // 2), 2)
    E = rng.normal(size=(rows // 2, 4 + IDLE))[subjects].astype(np.float32)
    E[:, 2] = rng.integers(0, 3, rows // 2)[subjects]
    together = (E[:, 2] == 0) & (E[:, 3] < 0)
    margin = 0.4 * E[:, 0] - 0.4 * E[:, 1] + 2.0 * together if signal else np.zeros(rows)
    y = (rng.random(rows // 2)[subjects] < to_probability(margin)).astype(float)
    return E, y, subjects, ["q", "q", "c", *"q" * (1 + IDLE)]


@pytest.fixture(scope="module")
def weights():
    return column_weights(*planted())


def test_what_tells_alone_or_only_together_is_offered_more_often_than_what_does_not(weights):
    assert weights.min() >= LEAST
    assert weights[:2].min() > 0.9
    assert weights[2:4].min() > np.quantile(weights[4:], 0.9)
    assert weights[:4].mean() > 2.5 * weights[4:].mean()


def test_without_a_signal_no_column_stands_out():
    weights = column_weights(*planted(signal=False))
    assert weights.mean() < LEAST + 0.35
    assert weights.max() < LEAST + 0.85


def test_trees_read_mostly_what_they_are_offered(weights):
    E, y, _, types = planted()
    params = {**DEFAULT, "colsample_bytree": 0.1}

    def shares(offered):
        trees = fit_trees(E, y, np.ones(len(y)), types, [0] * len(types), params, 60, offered=offered, seed=1)
        splits = trees.booster.get_score(importance_type="weight")
        answer = sum(count for name, count in splits.items() if int(name[1:]) < 4)
        return answer / sum(splits.values())

    assert shares(weights) > 1.5 * shares(None)
