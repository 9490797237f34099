"""Pieces of pages by themselves: what they show of figures made up."""

import re
from types import SimpleNamespace

import pytest

from serving.pages import models_page
from serving.pages.profiles_page import _beyond, _figure
from serving.pages.view import _environment

EFFECT = {
    "bucket": "61-90", "estimate": 0.81, "low": 0.67, "high": 0.89, "raw": 0.7, "n": 175, "best": None,
    "alike": [], "present": "what is usually done from here", "usual": 0.74, "gain": 0.07, "gain_low": -0.01,
    "gain_high": 0.15, "why": "which may be chance",
}  # fmt: skip
SCORE = {"now": 0.86, "changed": 0.863, "difference": 0.003, "moved": ["x"], "why": "no effect"}


def words(html):
    return " ".join(re.sub("<[^>]+>", " ", html).split())


def supposed(**effect):
    answer = {"contact_days_before": {**EFFECT, **effect}}
    shown = {"contact_days_before": "First contact, days before the end"}
    page = _environment().get_template("what_if.html")
    return words(page.render(supposed={"score": SCORE, "effect": answer, "words": shown, "why": None}))


def test_a_what_if_shows_the_gain_over_the_present_plan():
    answer = supposed()
    assert "+7.0 points (−1.0 to +15.0) over what is usually done from here, 74 %" in answer
    assert "86 % → 86 % +0.3 points" in answer


def test_a_what_if_without_a_gain_shows_what_is_known():
    answer = supposed(gain=None, gain_low=None, gain_high=None, usual=None)
    assert "points (" not in answer
    assert "81 % (67 % – 89 %) would renew" in answer
    assert "Which may be chance." in supposed(estimate=None, gain=None)


def test_reasons_come_with_how_customers_like_this_fare():
    parts = _environment().get_template("parts.html").module
    reason = {"feature": "cases", "words": "cases: 6", "log_odds": -0.4, "comparison": "renew at 58 %"}
    plain = {"feature": "(base)", "words": "where a usual contract starts", "log_odds": 1.0}
    answer = words(parts.forces([reason, plain]))
    assert "cases: 6 renew at 58 %" in answer
    assert "−0.40" in answer
    assert answer.count("renew at") == 1


@pytest.mark.parametrize(
    ("outcome", "value", "shown"),
    [("win", 0.5, "50 %"), ("effort", 3.66, "3.7 h"), ("discount", 0.069, "7 %"), ("effort", None, "–")],
)
def test_outcomes_of_a_profile_are_told_as_people_say_them(outcome, value, shown):
    assert _figure(outcome, value) == shown


@pytest.mark.parametrize(
    ("outcome", "low", "high", "css"),
    [("win", 1.1, 2.0, "is-high"), ("win", 0.5, 0.9, "is-low"), ("win", 0.9, 2.0, ""),
     ("effort", 0.5, 0.9, "is-high"), ("discount", 1.1, 1.5, "is-low")],
)  # fmt: skip
def test_a_lift_beyond_chance_is_coloured_by_whether_it_is_good(outcome, low, high, css):
    assert _beyond(outcome, {"low": low, "high": high}) == css


def test_the_former_champion_stands_beside_the_new_one_by_figures_of_both(monkeypatch):
    row = {"one": 0.7, "other": 0.8, "change": 0.1}
    metrics = {
        "forward.auc": row,
        "forward.n": row,
        "random.auc": row,
        "forward.ece": {**row, "change": None},
    }
    running, shown = SimpleNamespace(settings=None), {"previous_champion": "1", "version": "2"}
    monkeypatch.setattr(models_page, "compare", lambda *args: {"versions": ["1", "2"], "metrics": metrics})
    assert list(models_page._against_former(running, "renewal", shown)["metrics"]) == ["forward.auc"]
    del metrics["forward.auc"]
    assert models_page._against_former(running, "renewal", shown) is None
