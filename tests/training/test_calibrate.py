import numpy as np
import pytest

from training.calibrate import choose, fit
from training.intervals import fit_intervals
from training.metrics import log_loss, to_logit, to_probability


def sample(n: int, seed: int = 0, *, slope: float = 1.0, per_contract: int = 1):
    """True log-odds, outcomes, predicted log-odds (true · slope), contract codes."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.normal(0.8, 1.0, n // per_contract), per_contract)
    y = np.repeat(rng.random(n // per_contract), per_contract) < to_probability(truth)
    return truth, y.astype(float), slope * truth, np.repeat(np.arange(n // per_contract), per_contract)


def test_right_odds_are_left_alone():
    _, y, logit, _ = sample(3000)
    assert choose(logit, y, np.arange(3000) % 5, np.arange(3000), forward=False).name == "none"


def test_overconfidence_is_mended_and_the_gain_is_real_on_new_rows():
    _, y, logit, _ = sample(3000, slope=2.5)
    chosen = choose(logit, y, np.arange(3000) % 5, np.arange(3000), forward=False)
    _, new_y, new, _ = sample(5000, 1, slope=2.5)
    assert chosen.name != "none"
    assert log_loss(new_y, to_probability(chosen(new))) < log_loss(new_y, to_probability(new)) - 0.02


def test_forward_choice_is_judged_only_by_what_earlier_folds_teach():
    _, y, logit, _ = sample(2000, slope=2.5)
    fold = np.repeat([0, 1, 2, 3], 500)
    y[fold < 3] = (logit[fold < 3] > 0) * 1.0  # before the last fold overconfidence was right
    later = choose(logit, y, fold, np.arange(len(y)), forward=True)
    assert later.name == "none" or later.slope >= 1


def test_isotonic_never_says_0_or_1_and_never_falls():
    _, y, logit, _ = sample(2000)
    y[logit > 1.5], y[logit < -1] = 1.0, 0.0
    curve = fit("isotonic", logit, y)
    p = to_probability(curve(np.linspace(-30, 30, 1001)))
    assert 0 < p.min() < p.max() < 1
    assert (np.diff(p) >= 0).all()


def test_platt_survives_separable_rows():
    curve = fit("platt", np.array([-2.0, -1, 1, 2] * 20), np.array([0.0, 0, 1, 1] * 20))
    assert np.isfinite([curve.slope, curve.shift]).all()


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


def test_intervals_hold_the_rate_of_the_next_span_where_levels_shift_from_span_to_span():
    held, blind, trials, spans, rows = [], [], 120, 5, 400
    rng = np.random.default_rng(0)
    for _ in range(trials):
        shift = rng.normal(0, 0.3, spans + 1)
        logit = rng.normal(0.5, 1.0, spans * rows)
        period = np.repeat(np.arange(spans), rows)
        y = (rng.random(spans * rows) < to_probability(logit + shift[period])).astype(float)
        p, contract = to_probability(logit), np.arange(spans * rows)
        scored = np.quantile(p, np.linspace(0.05, 0.95, 10))
        true_rate = to_probability(to_logit(scored) + shift[-1])
        for told, spans_told in ((held, period), (blind, None)):
            low, high = fit_intervals(p, y, contract, spans_told).limits(scored)
            told.append(((low <= true_rate) & (true_rate <= high)).mean())
    assert np.mean(held) >= 0.9 - 2 * np.std(held) / np.sqrt(trials)
    assert np.mean(blind) < 0.6


def test_spans_at_one_level_cost_little_width():
    _, y, logit, contract = sample(20_000)
    p, at = to_probability(logit), np.array([0.3, 0.5, 0.7])
    width = {}
    for name, period in (("none", None), ("spans", np.arange(20_000) // 4_000)):
        low, high = fit_intervals(p, y, contract, period).at(at)
        width[name] = float((high - low).mean())
    assert width["spans"] < 2.5 * width["none"]


def test_intervals_are_wider_for_fewer_contracts_however_many_snapshots():
    widths = []
    for contracts, per_contract in ((100, 7), (700, 1)):
        _, y, logit, contract = sample(contracts * per_contract, 3, per_contract=per_contract)
        low, high = fit_intervals(to_probability(logit), y, contract).at(np.array([0.4, 0.6, 0.8]))
        widths.append(float((high - low).mean()))
    assert widths[0] > 1.2 * widths[1]
