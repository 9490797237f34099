"""What a change is estimated to do to one contract, over its present plan; and what cannot be estimated."""

import json

import pytest
from effect_answers import CLEAR, UNCLEAR, both, made_up

from features.errors import RenewalError
from training.effects.what_if import checked, effect_of

CONTRACT = {
    "group": "software",
    "days_to_end": 100,
    "contacted_on": None,
    "planned_on": None,
    "planned": None,
}
NO_DISCOUNT = {"why": "Expected a table quotes; found none. Add quotes."}


def told_of(changes, timing=None, **facts):
    answer = {"timing": timing or made_up(CLEAR), "discount": NO_DISCOUNT}
    (name, at), *_ = changes.items()
    return effect_of(answer, {**CONTRACT, **facts}, name, at)


def test_a_what_if_names_the_effect_over_the_present_plan():
    answer = told_of({"contact_days_before": 75})
    assert (answer["bucket"], answer["group"], answer["estimate"]) == ("61-90", "all", 0.9)
    assert answer["gain"] == pytest.approx(0.1333, abs=1e-4)
    assert answer["gain_low"] > 0
    assert answer["gain"] == pytest.approx(answer["estimate"] - answer["usual"], abs=1e-4)
    assert "beyond chance" in answer["why"]
    own = both(made_up(CLEAR), made_up(UNCLEAR, group="software", best=None))
    assert told_of({"contact_days_before": 75}, timing=own)["group"] == "software"
    assert told_of({"contact_days_before": 75}, timing=own, curve="all")["group"] == "all"
    worse = told_of({"contact_days_before": 45}, planned="61-90", planned_on="2026-02-01")
    assert worse["gain"] == pytest.approx(-0.1)
    assert "2026-02-01" in worse["present"]
    json.dumps(answer)


@pytest.mark.parametrize(
    ("changes", "facts", "says"),
    [
        ({"contact_days_before": 75}, {"contacted_on": "2025-12-01"}, "made on 2025-12-01"),
        ({"contact_days_before": 120}, {}, "ends in 100 days"),
        ({"contact_days_before": 100}, {}, "can't tell"),
        ({"calls_30d": 3}, {}, "new business only"),
        ({"discount_pct": 10}, {}, "table quotes"),
    ],
)
def test_a_what_if_that_can_not_be_told_says_why(changes, facts, says):
    answer = told_of(changes, **facts)
    assert answer["estimate"] is None
    assert answer["gain"] is None
    assert says in answer["why"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"industry": 1},
        {"discount_pct": 95},
        {"calls_30d": -1},
        {"calls_30d": "many"},
        {"calls_30d": True},
    ],
)
def test_only_actions_within_limits_can_be_changed(changes):
    with pytest.raises(RenewalError):
        checked(changes)
