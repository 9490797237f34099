from dataclasses import replace

import numpy as np
import pytest

from training.base_rate import Spans
from training.calibrate import adjust, one_line
from training.intervals import fit_intervals
from training.metrics import log_loss, to_logit, to_probability


def sample(n: int, seed: int = 0, *, slope: float = 1.0, per_contract: int = 1):
    """True log-odds, outcomes, predicted log-odds (true · slope), contract codes."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.normal(0.8, 1.0, n // per_contract), per_contract)
    y = np.repeat(rng.random(n // per_contract), per_contract) < to_probability(truth)
    return truth, y.astype(float), slope * truth, np.repeat(np.arange(n // per_contract), per_contract)


def adjusted(logit, y, subjects=None, spans=None, wanted=0.0):
    spans = spans or Spans(np.zeros(len(y), dtype=int), np.zeros(1))
    subjects = np.arange(len(y)) if subjects is None else subjects
    return adjust(y, logit, np.ones(len(y)), spans, subjects, wanted)


def test_right_probabilities_are_left_nearly_alone():
    _, y, logit, _ = sample(3000)
    line = one_line(logit, y)
    assert line.slope == pytest.approx(1, abs=0.06)
    assert np.abs(line(logit) - logit).mean() < 0.1


def test_overconfidence_is_mended_and_the_gain_is_real_on_new_rows():
    _, y, logit, _ = sample(3000, slope=2.5)
    line = one_line(logit, y)
    _, new_y, new, _ = sample(5000, 1, slope=2.5)
    assert log_loss(new_y, to_probability(line(new))) < log_loss(new_y, to_probability(new)) - 0.02
    assert line.slope == pytest.approx(0.4, abs=0.08)


def bent_sample(n: int, seed: int):
    """Scores, outcomes, and true log-odds that rise steeply in the middle and hardly at the ends."""
    rng = np.random.default_rng(seed)
    score = rng.normal(0, 1.2, n)
    truth = 2.2 * np.tanh(1.8 * score)
    return score, (rng.random(n) < to_probability(truth)).astype(float), truth


def test_scores_too_timid_in_the_middle_are_bent_and_keep_their_order():
    score, y, _ = bent_sample(1500, 0)
    new, new_y, _ = bent_sample(20_000, 1)
    curve = one_line(score, y)
    line = replace(curve, knots=(), slopes=())
    gain = log_loss(new_y, to_probability(line(new))) - log_loss(new_y, to_probability(curve(new)))
    assert gain > 0.015
    assert (np.diff(curve(np.linspace(-9, 9, 500))) > 0).all()


def test_a_straight_spread_pays_next_to_nothing_for_the_curve():
    """Expected log loss above that of the slope alone, 30 draws of 300 contracts."""
    costs = []
    for seed in range(30):
        truth, y, logit, _ = sample(300, seed)
        curve, rate = one_line(logit, y), to_probability(truth)
        served = [to_probability(each(logit)) for each in (curve, replace(curve, knots=(), slopes=()))]
        bent, straight = (-np.mean(rate * np.log(p) + (1 - rate) * np.log1p(-p)) for p in served)
        costs.append(bent - straight)
    assert np.mean(costs) < 0.002


@pytest.mark.slow
def test_the_fewer_the_rows_the_nearer_the_slope_stays_to_one():
    def slope(n):
        return np.mean([adjusted(*sample(n, seed, slope=2.5)[2:0:-1])[0].slope for seed in range(30)])

    few, some, many = slope(40), slope(300), slope(5000)
    assert 1 > few > some > many > 0.4


def test_more_looks_at_the_same_contracts_do_not_make_the_slope_surer():
    _, y, logit, contract = sample(700, slope=1.5)
    once = adjusted(logit, y)[0]
    often = adjusted(np.repeat(logit, 7), np.repeat(y, 7), np.repeat(contract, 7))[0]
    assert often.slope_error == pytest.approx(once.slope_error, rel=0.1)


def test_drift_does_not_flatten_the_slope():
    """Spans of opposite levels whose scores are right: pooled, they would look too steep or too flat."""
    rng = np.random.default_rng(4)
    of = np.repeat([0, 1], 2000)
    logit = rng.normal(0, 1, 4000)
    y = (rng.random(4000) < to_probability(logit + np.array([-1.5, 1.5])[of])).astype(float)
    found, levelled = adjusted(logit, y, spans=Spans(of, np.array([0.0, 3.0])), wanted=6.0)
    assert found.slope == pytest.approx(1, abs=0.08)
    assert levelled.expected[of == 1].mean() - levelled.expected[of == 0].mean() == pytest.approx(3, abs=0.2)
    assert found.level > 0.8
    assert found.variance > 0.2


def test_the_anchor_sets_another_model_at_the_same_level():
    _, y, logit, _ = sample(2000)
    found, levelled = adjusted(logit, y)
    assert levelled.anchor.sum() == pytest.approx(1)
    other = logit + 3.0  # the same ranking, from another level
    line = found.calibration(float(levelled.anchor @ other))
    assert to_probability(line(other)).mean() == pytest.approx(y.mean(), abs=0.01)


def test_a_base_rate_has_the_level_alone():
    y = np.repeat([1.0, 0.0], [30, 70])
    found, _ = adjusted(np.zeros(100), y)
    assert found.slope == 1
    assert to_probability(found.calibration(-5.0)(np.array([-5.0]))) == pytest.approx(0.3, abs=0.01)


def test_separable_rows_stay_finite():
    line = one_line(np.array([-2.0, -1, 1, 2] * 20), np.array([0.0, 0, 1, 1] * 20))
    assert np.isfinite([line.slope, line.shift]).all()


def test_intervals_hold_the_probability_and_rise_with_it():
    _, y, logit, contract = sample(1500)
    p = np.sort(to_probability(logit))
    low, high = fit_intervals(to_probability(logit), y, contract).at(p)
    assert (low <= p).all()
    assert (p <= high).all()
    assert (low >= 0).all()
    assert (high <= 1).all()
    assert (np.diff(low) >= -1e-12).all()
    assert (np.diff(high) >= -1e-12).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("contracts", "per_contract", "slope"), [(400, 1, 1.0), (400, 7, 1.0), (2000, 1, 1.5)]
)
def test_nine_in_ten_intervals_hold_the_rate_of_rows_scored_alike(contracts, per_contract, slope):
    """Among rows scored p the true rate is that of log-odds logit(p) / slope, whatever the score."""
    share, trials = [], 60
    for seed in range(trials):
        _, y, logit, contract = sample(contracts * per_contract, seed, slope=slope, per_contract=per_contract)
        p = np.quantile(to_probability(logit), np.linspace(0.05, 0.95, 10))
        low, high = fit_intervals(to_probability(logit), y, contract).limits(p)
        true_rate = to_probability(to_logit(p) / slope)
        share.append(((low <= true_rate) & (true_rate <= high)).mean())
    error = np.std(share) / np.sqrt(trials)
    assert abs(np.mean(share) - 0.9) <= 2 * error + 0.01


@pytest.mark.slow
def test_intervals_hold_the_rate_of_the_next_span_where_levels_wander_from_span_to_span():
    held, blind, trials, spans, rows = [], [], 120, 8, 400
    rng = np.random.default_rng(0)
    for _ in range(trials):
        level = np.cumsum(rng.normal(0, 0.3, spans + 1))
        logit = rng.normal(0.0, 1.0, spans * rows)
        of = np.repeat(np.arange(spans), rows)
        y = (rng.random(spans * rows) < to_probability(logit + level[of])).astype(float)
        found, levelled = adjusted(logit, y, spans=Spans(of, 3.0 * np.arange(spans)), wanted=3.0 * spans)
        p, expected = to_probability(levelled.logit), to_probability(levelled.expected)
        scored = np.quantile(logit, np.linspace(0.05, 0.95, 10))
        true_rate = to_probability(scored + level[-1])
        served = to_probability(found.calibration(float(logit.mean()))(scored))
        for answer, drift in ((held, found.variance), (blind, 0.0)):
            low, high = fit_intervals(p, y, np.arange(len(y)), expected, drift).limits(served)
            answer.append(((low <= true_rate) & (true_rate <= high)).mean())
    assert np.mean(held) >= 0.9 - 2 * np.std(held) / np.sqrt(trials)
    assert np.mean(blind) < 0.6


def test_spans_at_one_level_cost_little_width():
    _, y, logit, contract = sample(20_000)
    of = np.arange(20_000) // 2_500
    found, levelled = adjusted(logit, y, spans=Spans(of, 3.0 * np.arange(8)), wanted=24.0)
    p, expected = to_probability(levelled.logit), to_probability(levelled.expected)
    at, width = np.array([0.3, 0.5, 0.7]), {}
    for drift in (0.0, found.variance):
        low, high = fit_intervals(p, y, contract, expected, drift).at(at)
        width[drift] = float((high - low).mean())
    assert width[found.variance] < 2.5 * width[0.0]


def test_intervals_are_wider_for_fewer_contracts_however_many_snapshots():
    widths = []
    for contracts, per_contract in ((100, 7), (700, 1)):
        _, y, logit, contract = sample(contracts * per_contract, 3, per_contract=per_contract)
        low, high = fit_intervals(to_probability(logit), y, contract).at(np.array([0.4, 0.6, 0.8]))
        widths.append(float((high - low).mean()))
    assert widths[0] > 1.2 * widths[1]
