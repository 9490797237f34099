import numpy as np

from training.effects.deal_questions import LOST, OPEN, WON, cumulative_incidence


def test_without_open_deals_it_is_plain_shares():
    time, event = np.array([0, 1, 1, 2, 3]), np.array([WON, LOST, WON, WON, LOST])
    curve = cumulative_incidence(time, event, 3)
    np.testing.assert_allclose(curve["won"], [0.2, 0.4, 0.6, 0.6])
    np.testing.assert_allclose(curve["lost"], [0.0, 0.2, 0.2, 0.4])
    np.testing.assert_array_equal(curve["at_risk"], [5, 4, 2, 1])


def test_equals_statsmodels_with_censoring():
    from statsmodels.duration.survfunc import CumIncidenceRight

    rng = np.random.default_rng(0)
    time, event = rng.integers(0, 12, 400), rng.choice([OPEN, WON, LOST], 400, p=[0.3, 0.4, 0.3])
    curve = cumulative_incidence(time, event, 11)
    peer = CumIncidenceRight(time + 1, event)
    at = np.asarray(peer.times, dtype=int) - 1
    np.testing.assert_allclose(curve["won"][at], peer.cinc[0], atol=1e-12)
    np.testing.assert_allclose(curve["lost"][at], peer.cinc[1], atol=1e-12)
    np.testing.assert_allclose(curve["won_error"][at][1:], peer.cinc_se[0][1:], rtol=0.05)


def test_error_shrinks_with_the_root_of_n():
    rng = np.random.default_rng(1)
    time, event = rng.integers(0, 6, 500), rng.choice([WON, LOST], 500)
    one = cumulative_incidence(time, event, 5)["won_error"][4]
    four = cumulative_incidence(np.tile(time, 4), np.tile(event, 4), 5)["won_error"][4]
    assert 1.9 < one / four < 2.1
