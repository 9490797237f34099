"""The level of the next span: drift is followed, luck is not, and its uncertainty is reported."""

import numpy as np
import pytest
from model_data import dated, undated

from training.base_rate import Spans, level_with, levelled_loss, next_level, span_levels, spans_of
from training.metrics import log_loss, to_logit, to_probability

ROWS = 200


def outcomes(levels, rng, looks=1):
    """Scores and outcomes of contracts in spans of these levels: y, score, spans, subjects."""
    n = ROWS * len(levels)
    score, of = np.repeat(rng.normal(0, 1.0, n), looks), np.repeat(np.arange(len(levels)), ROWS * looks)
    truth = to_probability(score + np.asarray(levels)[of])
    y = (np.repeat(rng.random(n), looks) < truth).astype(float)
    return y, score, Spans(of, 3.0 * np.arange(len(levels)) + 1.5), np.repeat(np.arange(n), looks)


def found(levels, seed, looks=1):
    y, score, spans, subjects = outcomes(levels, np.random.default_rng(seed), looks)
    weight = np.full(len(y), 1 / looks)
    return span_levels(y, score, weight, spans, subjects)


def test_a_span_without_scores_has_the_log_odds_of_its_rate():
    y = np.repeat([1.0, 0.0, 1.0, 0.0], [80, 20, 30, 70])
    spans = Spans(np.repeat([0, 1], 100), np.array([0.0, 1.0]))
    levels, variances = span_levels(y, np.zeros(200), np.ones(200), spans, np.arange(200))
    assert levels == pytest.approx(to_logit(np.array([0.8, 0.3])), abs=0.03)
    assert variances == pytest.approx([1 / 16, 1 / 21], rel=0.05)


def test_a_span_of_a_single_outcome_stays_finite_and_unsure():
    y = np.repeat([1.0, 0.0, 1.0], [5, 40, 60])
    spans = Spans(np.repeat([0, 1], [5, 100]), np.array([0.0, 1.0]))
    levels, variances = span_levels(y, np.zeros(105), np.ones(105), spans, np.arange(105))
    assert 0 < levels[0] < 4
    assert variances[0] > 5 * variances[1]


@pytest.mark.parametrize("step", [-1.0, 1.0])
def test_a_step_that_lasts_is_followed(step):
    levels = [0.5] * 6 + [0.5 + step] * 3
    answer = [
        next_level(*found(levels, seed), 3.0 * np.arange(9) + 1.5, 30.0).mean - 0.5 for seed in range(20)
    ]
    assert 0.8 * abs(step) < abs(np.mean(answer)) < 1.05 * abs(step)


def test_where_nothing_moves_the_mean_of_all_spans_is_told():
    month = 3.0 * np.arange(9) + 1.5
    pairs = [(found([0.5] * 9, seed), seed) for seed in range(40)]
    answer = np.array([next_level(*pair, month, 30.0).mean for pair, _ in pairs])
    last = np.array([pair[0][-1] for pair, _ in pairs])
    assert np.std(answer) < 0.7 * np.std(last)
    assert np.mean(answer) == pytest.approx(0.5, abs=0.06)


def test_the_weights_of_spans_sum_to_one_and_give_the_level():
    levels, variances = found([0.2, 0.4, 0.1, 0.9], 1)
    answer = next_level(levels, variances, 3.0 * np.arange(4), 12.0)
    assert answer.weights.sum() == pytest.approx(1)
    assert answer.weights @ levels == pytest.approx(answer.mean)
    assert answer.weights.argmax() == 3


@pytest.mark.slow
def test_the_variance_holds_the_next_level_where_levels_wander():
    held, month = [], 3.0 * np.arange(13) + 1.5
    rng = np.random.default_rng(50)
    for seed in range(200):
        level = 0.5 + np.cumsum(rng.normal(0, 0.25, 13))
        answer = next_level(*found(level[:-1], seed), month[:-1], month[-1])
        held.append(abs(level[-1] - answer.mean) < 1.645 * np.sqrt(answer.variance))
    assert np.mean(held) == pytest.approx(0.9, abs=0.05)


def seasonal(months, rng, size=0.6):
    """Levels that swing with the year and wander a little."""
    phase = rng.uniform(0, 12)
    return (
        0.8 + size * np.sin(2 * np.pi * (months - phase) / 12) + np.cumsum(rng.normal(0, 0.03, len(months)))
    )


def test_a_season_that_came_back_is_expected_again_and_its_interval_holds():
    month = 3.0 * np.arange(13) + 1.5
    errors, last, held = [], [], []
    for seed in range(60):
        level = seasonal(month, np.random.default_rng(seed))
        levels, variances = found(level[:-1], seed)
        answer = next_level(levels, variances, month[:-1], month[-1])
        errors.append(level[-1] - answer.mean)
        last.append(level[-1] - levels[-1])
        held.append(abs(errors[-1]) < 1.645 * np.sqrt(answer.variance))
    assert np.std(errors) < 0.5 * np.std(last)
    assert np.mean(held) > 0.84


def test_spans_of_a_year_show_no_season():
    month = 12.0 * np.arange(4) + 6
    levels, variances = found([0.2, 0.6, 0.1, 0.5], 1)
    early, late = (next_level(levels, variances, month, wanted, 12.0).mean for wanted in (48.0, 54.0))
    assert early == pytest.approx(late, abs=0.05)


def test_further_ahead_is_less_sure():
    pair, month = found([0.2, 0.6, 0.1, 0.9], 1), 3.0 * np.arange(4)
    near, far = (next_level(*pair, month, wanted) for wanted in (10.0, 22.0))
    assert near.mean == pytest.approx(far.mean, abs=0.05)
    assert far.variance > near.variance


def test_more_looks_at_the_same_contracts_make_nobody_surer():
    once, often = found([0.2] * 4, 1), found([0.2] * 4, 1, looks=7)
    np.testing.assert_allclose(often[0], once[0], atol=1e-6)
    np.testing.assert_allclose(often[1], once[1], rtol=1e-6)


def test_a_loss_with_its_level_mended_does_not_see_a_shift():
    y, score, _, _ = outcomes([0.3], np.random.default_rng(0))
    assert levelled_loss(y, score + 2) == pytest.approx(levelled_loss(y, score - 1))
    assert levelled_loss(y, score) == pytest.approx(
        min(log_loss(y, to_probability(score + a)) for a in np.linspace(-1, 1, 2001)), abs=1e-6
    )
    assert to_probability(score + level_with(y, score)).mean() == pytest.approx(y.mean())


def test_spans_are_short_where_contracts_are_many_and_all_of_time_where_there_are_no_dates():
    many, few = spans_of(dated(4000)), spans_of(dated(200))
    assert np.diff(many.month).max() < 1.5
    assert len(few.month) < len(many.month) / 2
    assert (spans_of(undated(50)).of == 0).all()
