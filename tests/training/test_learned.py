"""What experiments found, laid into estimates: precision-weighted, carried to other choices, wary of bias."""

import numpy as np
import pytest
from effect_answers import CLEAR, NAMES, both, made_up

from training.effects.learned import Z95, Finding, learned
from training.effects.timing_curve import curves


def finding(effect, sd=0.02, bucket="61-90"):
    return Finding("try", "renewal", bucket, effect, effect - Z95 * sd, effect + Z95 * sd)


def contrast_of(answer, group="all"):
    curve = curves(answer)[group]
    c = np.eye(3)[curve.buckets.index("61-90")] - 1 / 3
    return float(c @ curve.estimate), float(c @ curve.covariance @ c)


def test_the_difference_is_the_precision_weighted_mean_and_surer_than_either():
    answer = made_up(CLEAR, sd=0.02)
    observed, spread = contrast_of(answer)
    one = finding(observed + 0.01, 0.015)
    new = learned(answer, [one])
    mean, variance = contrast_of(new)
    expected = (observed / spread + one.effect / 0.015**2) / (1 / spread + 1 / 0.015**2)
    assert mean == pytest.approx(expected, abs=2e-5)
    assert variance == pytest.approx(1 / (1 / spread + 1 / 0.015**2), rel=1e-6)
    line = new["experiments"][0]
    assert line["both"]["estimate"] == pytest.approx(expected, abs=2e-5)
    assert line["bias"] == 0
    row = next(row for row in new["rows"] if row["bucket"] == "61-90")
    assert row["observed"]["estimate"] == CLEAR[0]
    assert row["low"] < row["estimate"] < row["high"]
    assert answer["rows"][0]["estimate"] == CLEAR[0]


def test_where_both_contradict_each_other_the_experiment_is_believed():
    answer = made_up(CLEAR, sd=0.01)
    observed, _ = contrast_of(answer)
    new = learned(answer, [finding(-0.1, 0.02)])
    mean, _ = contrast_of(new)
    assert abs(mean - -0.1) < 0.01
    assert new["experiments"][0]["bias"] > 0.15
    assert observed > 0.1
    assert new["best"]["all"] != "61-90"


def test_a_finding_that_agrees_changes_little_and_the_best_stays():
    answer = made_up(CLEAR, sd=0.01)
    new = learned(answer, [finding(contrast_of(answer)[0])])
    assert [row["estimate"] for row in new["rows"]] == pytest.approx(list(CLEAR), abs=1e-4)
    assert new["best"]["all"] == "61-90"


def test_a_choice_observation_says_nothing_of_is_shown_and_changes_nothing():
    new = learned(made_up(CLEAR), [finding(0.1, bucket="0-14")])
    assert new["experiments"][0]["both"] is None
    assert [row["estimate"] for row in new["rows"]] == list(CLEAR)


def test_groups_learn_less_the_more_they_differ():
    answer = both(made_up(CLEAR, sd=0.02), made_up(CLEAR, sd=0.02, group="retail"))
    moved = []
    for between in (0.0, 0.1):
        new = learned({**answer, "between": between}, [finding(0.2, 0.01)])
        moved.append(contrast_of(new, "retail")[0] - contrast_of(answer, "retail")[0])
    assert moved[0] > moved[1] > 0


def test_answers_with_two_outcomes_are_updated_where_the_finding_belongs():
    one = made_up(CLEAR)
    deals = [{**row, "outcome": "win"} for row in one["rows"]]
    answer = {
        **one,
        "rows": deals + one["rows"],
        "covariance": {"win": one["covariance"], "renewal": one["covariance"]},
        "best": {"all": "61-90", "renewal: all": "61-90"},
        "indistinguishable": {"all": ["61-90"], "renewal: all": ["61-90"]},
    }
    new = learned(answer, [finding(0.3, 0.005)])
    changed = {row["outcome"] for row in new["rows"] if "observed" in row}
    assert changed == {"renewal"}
    assert len(new["experiments"]) == 1


@pytest.mark.parametrize(
    "treated", [{}, {"estimate": 0.1, "low": None, "high": None}, {"estimate": 0.1, "low": -1.0, "high": 1.0}]
)
def test_an_experiment_that_tells_nothing_of_treatment_is_no_finding(treated):
    row = {"experiment_id": "x", "choice": NAMES[0], "result": {"treated": treated, "kind": "renewal"}}
    assert Finding.of(row) is None
