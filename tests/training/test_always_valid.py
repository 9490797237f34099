"""Intervals that hold at every look: formulas against independent figures, and simulated years."""

import numpy as np
import pytest
from scipy import stats

from training.effects.always_valid import (
    chance_found,
    fixed_variance,
    half_width,
    inflation,
    mixing_variance,
    p_values,
)
from training.effects.randomised import Outcomes, path, treated_interval


def test_the_interval_ends_where_the_mixture_ratio_is_one_over_the_level():
    """Slow and obvious: the likelihood ratio of N(0, τ²) effects against none, by numerical integration."""
    v, tau2, level = 0.0009, 0.0025, 0.05
    half = half_width(np.array([v]), tau2, level)[0]
    grid = np.linspace(-1, 1, 200_001)
    ratio = np.trapezoid(
        stats.norm.pdf(grid, 0, np.sqrt(tau2)) * stats.norm.pdf(half, grid, np.sqrt(v)), grid
    ) / stats.norm.pdf(half, 0, np.sqrt(v))
    assert ratio == pytest.approx(1 / level, rel=1e-4)
    assert p_values(np.array([half]), np.array([v]), tau2)[0] == pytest.approx(level, rel=1e-9)


def test_nothing_known_is_no_claim():
    assert np.isinf(half_width(np.array([np.nan, 0.0]), 0.01, 0.05)).all()
    assert p_values(np.array([np.nan, 0.3]), np.array([np.nan, 0.0]), 0.01).tolist() == [1.0, 1.0]


def test_p_values_never_rise_again():
    p = p_values(np.array([0.2, 0.05, 0.01]), np.array([0.003, 0.002, 0.001]), 0.01)
    assert (np.diff(p) <= 0).all()
    assert p[0] < 0.05


@pytest.mark.parametrize("power", [0.8, 0.9])
def test_inflated_information_gives_the_power_promised_and_no_gap_no_more_than_the_level(power):
    mixing = mixing_variance(0.05, 0.05, power)
    last = inflation(0.05, power) / fixed_variance(0.05, 0.05, power)
    information = np.linspace(last / 365, last, 365)
    assert chance_found(0.05, information, mixing, 0.05)[-1] == pytest.approx(power, abs=0.015)
    assert chance_found(0.0, information, mixing, 0.05)[-1] <= 0.05
    assert 1.0 < inflation(0.05, power) < 2.0


def outcomes(rng, clusters=400, effect=0.0, followed=1.0, each=2):
    drawn = np.tile([0, 1], clusters // 2)
    stratum = np.arange(clusters) // 2 % 3
    base = rng.beta(6, 2, clusters) - 0.05 * stratum
    cluster = np.repeat(np.arange(clusters), each)
    treated = (drawn[cluster] == 1) & (rng.random(clusters * each) < followed)
    y = rng.random(clusters * each) < np.clip(base[cluster] + effect * treated, 0, 1)
    days = rng.integers(0, 200, clusters * each)
    return Outcomes(cluster, drawn[cluster], stratum[cluster], days, y.astype(float), treated.astype(float))


def test_the_estimate_is_that_of_a_regression_with_clustered_errors():
    """statsmodels' least squares with strata as dummies and cluster-robust errors is the oracle."""
    import statsmodels.api as sm

    data = outcomes(np.random.default_rng(0), effect=0.1)
    X = np.column_stack([data.drawn, *[data.stratum == s for s in range(3)]]).astype(float)
    fit = sm.OLS(data.y, X).fit(
        cov_type="cluster", cov_kwds={"groups": data.cluster, "use_correction": False}
    )
    found = path(data, np.array([199]))
    clusters = len(np.unique(data.cluster))
    assert found.effect[-1] == pytest.approx(fit.params[0], rel=1e-9)
    assert found.variance[-1] == pytest.approx(fit.bse[0] ** 2 * clusters / (clusters - 1), rel=1e-9)
    assert found.clusters[-1].tolist() == [200, 200]


def test_a_look_sees_only_what_was_known_by_then():
    data = outcomes(np.random.default_rng(1))
    whole = path(data, np.arange(0, 200, 10))
    early = data.known_on <= 100
    part = Outcomes(*(getattr(data, name)[early] for name in Outcomes.__dataclass_fields__))
    cut = path(part, np.array([100]))
    assert whole.effect[10] == pytest.approx(cut.effect[0], rel=1e-12)
    assert whole.variance[10] == pytest.approx(cut.variance[0], rel=0.01)


def test_nothing_is_said_of_few_customers():
    data = outcomes(np.random.default_rng(2), clusters=50)
    assert np.isnan(path(data, np.array([199])).effect).all()


@pytest.mark.slow
def test_years_without_an_effect_claim_one_in_at_most_one_of_twenty():
    mixing = mixing_variance(0.08, 0.05, 0.8)
    claims = []
    for seed in range(150):
        found = path(outcomes(np.random.default_rng(seed)), np.arange(0, 200, 2))
        claims.append(np.any(np.abs(found.effect) > half_width(found.variance, mixing, 0.05)))
    assert np.mean(claims) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 150)


def test_the_effect_of_treatment_is_larger_than_that_of_the_draw_where_half_follow():
    inside = []
    for seed in range(40):
        data = outcomes(np.random.default_rng(seed), clusters=1200, effect=0.15, followed=0.5)
        found = path(data, np.array([199]))
        estimate, low, high = treated_interval(found, -1, mixing_variance(0.05, 0.05, 0.8), 0.05)
        assert estimate == pytest.approx(found.effect[-1] / found.uptake[-1])
        inside.append(low <= 0.135 <= high)  # 0.15 less what the ceiling of probabilities takes
    assert np.mean(inside) >= 0.9


def test_where_nobody_follows_the_effect_of_treatment_is_not_told():
    data = outcomes(np.random.default_rng(3), effect=0.2, followed=0.0)
    estimate, low, high = treated_interval(path(data, np.array([199])), -1, 0.01, 0.05)
    assert np.isnan(estimate)
    assert (low, high) == (-1.0, 1.0) or np.isnan(low)
