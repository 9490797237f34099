"""The level of the next span: drift is followed, luck is not, and how unsure it is is said."""

import numpy as np
import pytest

from training.intervals import misses, next_level
from training.metrics import to_probability

ROWS = 600


def seen(levels, rng, rows=ROWS, looks=1):
    """Misses of spans whose outcomes lie so many log-odds above what was said."""
    logit = np.repeat(rng.normal(0.5, 1.0, rows * len(levels)), looks)
    period = np.repeat(np.arange(len(levels)), rows * looks)
    truth = to_probability(logit + np.asarray(levels)[period])
    y = (np.repeat(rng.random(rows * len(levels)), looks) < truth).astype(float)
    return misses(to_probability(logit), y, np.repeat(np.arange(rows * len(levels)), looks), period)


@pytest.mark.parametrize("step", [-0.6, 0.6])
def test_a_step_that_lasts_is_followed(step):
    told = [next_level(seen([0, 0, 0, step, step], np.random.default_rng(seed))) for seed in range(20)]
    shifts = np.array([level.shift for level in told])
    assert (np.sign(shifts) == np.sign(step)).all()
    assert 0.5 * abs(step) < abs(shifts.mean()) < abs(step)


def test_luck_is_not_followed():
    told = [next_level(seen([0] * 5, np.random.default_rng(seed), rows=150)) for seed in range(100)]
    assert np.mean([level.shift != 0 for level in told]) < 0.1
    assert np.sqrt(np.mean([level.variance for level in told])) < 0.3


def test_more_looks_at_the_same_contracts_make_nobody_surer():
    once = seen([0.2] * 4, np.random.default_rng(1))
    often = seen([0.2] * 4, np.random.default_rng(1), looks=7)
    np.testing.assert_allclose(often.variance, once.variance, rtol=1e-9)


def test_variance_holds_the_next_level_where_levels_wander():
    rng, surprises = np.random.default_rng(2), []
    for _ in range(200):
        level = [rng.normal(0, 0.3)]
        for _ in range(5):
            level.append(0.8 * level[-1] + rng.normal(0, 0.3))
        coming = next_level(seen(level[:-1], rng, rows=300))
        surprises.append((level[-1] - coming.shift) / np.sqrt(coming.variance))
    assert 0.7 < np.std(surprises) < 1.3


def test_levelled_probabilities_add_up_to_the_outcomes_of_each_span():
    rng = np.random.default_rng(3)
    p, period = rng.uniform(0.2, 0.9, 2000), np.arange(2000) // 1000
    y = (rng.random(2000) < p * 0.9).astype(float)
    levelled = misses(p, y, np.arange(2000), period).levelled
    for mark in (0, 1):
        at = period == mark
        assert levelled[at].mean() == pytest.approx(y[at].mean(), abs=0.01)
