"""Reasons in words: beside the customer's own usual, one for each theme, nothing of the seller's."""

import numpy as np
import pandas as pd
import pytest
from model_data import info, undated
from test_model import chosen

from training.candidates import fit_recipe
from training.explain import beside_normal, reasons, worded
from training.reason_words import is_reportable, normal_of, trend_in_words, windows_of_trend


def values_of(**columns):
    return lambda name: np.array([columns[name]], float) if name in columns else None


@pytest.mark.parametrize(
    ("feature", "columns", "expected"),
    [
        (info("calls_90d", unit="count"), {"calls_365d": 8.0}, 8 * 90 / 365),
        (info("calls_90d", unit="count"), {"calls_365d": 8.0, "tenure_days": 180.0}, 4.0),
        (info("calls_90d", unit="count"), {"calls_365d": 8.0, "tenure_days": 60.0}, np.nan),
        (info("share_90d", unit="share"), {"share_365d": 0.4}, 0.4),
        (info("usage_seats_30d", unit="units"), {"usage_seats_180d": 600.0}, 100.0),
        (info("days_since_meeting", unit="days"), {"meetings_365d": 12.0}, 365 / 12),
        (info("days_since_human", unit="days"), {"human_gap_days_365d": 20.0}, 20.0),
    ],
)
def test_what_is_usual_is_the_customers_own_longer_window(feature, columns, expected):
    usual = normal_of(feature, values_of(**columns))
    assert usual == pytest.approx(np.array([expected]), nan_ok=True)


@pytest.mark.parametrize("feature", [info("people_90d", unit="people"), info("nps_last", unit="score")])
def test_what_does_not_add_up_over_time_has_no_usual(feature):
    assert normal_of(feature, values_of(people_365d=3.0, nps_365d=5.0)) is None


@pytest.mark.parametrize(
    ("words", "unit", "value", "usual", "expected"),
    [
        ("calls in the last 90 days", "count", 0.0, 2.0, "no calls in the last 90 days (usually 2)"),
        ("days since the last meeting", "days", 94.0, 30.4, "no meeting in 94 days (usually every 30)"),
        ("days since the last meeting", "days", 9.0, 30.4, "no meeting in 9 days"),
        ("calls in the last 90 days", "count", 2.0, 2.0, "calls in the last 90 days: 2"),
        ("mean active seats pct in the last 90 days", "units", 39.2, 52.0,
         "mean active seats in the last 90 days: 39 % (usually 52 %)"),
        ("calls in the last 90 days", "count", 1.0, np.nan, "calls in the last 90 days: 1"),
    ],
)  # fmt: skip
def test_a_value_stands_beside_what_is_usual(words, unit, value, usual, expected):
    assert beside_normal(info("x", words=words, unit=unit), value, usual) == expected


@pytest.mark.parametrize(
    ("recent", "before", "expected"),
    [
        (30.0, 60.0, "logins: down 50 % on the 90 days before"),
        (90.0, 60.0, "logins: up 50 % on the 90 days before"),
        (0.0, 60.0, "logins: stopped (last 90 days against the 90 before)"),
        (3.0, 0.0, "logins: begun (last 90 days against the 90 before)"),
        (None, None, "logins in the last 90 days: less than in the 90 before"),
    ],
)
def test_a_trend_is_told_as_a_change(recent, before, expected):
    assert trend_in_words("logins, last 90 days against 90 before", -0.4, recent, before) == expected


def test_a_trend_finds_its_windows():
    found = windows_of_trend(info("activity_trend_90d"), values_of(activities_90d=3.0, activities_180d=10.0))
    assert [each.tolist() for each in found] == [[3.0], [7.0]]
    assert worded(info("x", words="silence, in usual gaps", unit="gaps"), 3.2).startswith("silence for 3.2")


def test_the_sellers_load_and_sums_of_rates_are_not_told():
    assert not is_reportable(info("owner_contracts_running", touchpoint="owner"))
    assert not is_reportable(info("usage_active_pct_90d", words="total active pct in the last 90 days"))
    assert is_reportable(info("usage_logins_90d", words="total logins in the last 90 days"))


def test_one_reason_for_each_theme_what_can_be_done_first_and_the_sum_still_exact():
    from dataclasses import replace

    ds = undated(500)
    model = fit_recipe(ds, chosen(ds, "logistic"), seed=0, threads=1)
    infos = {name: replace(each, touchpoint="sales contact") for name, each in model.infos.items()}
    infos["industry"] = replace(infos["industry"], touchpoint="accounts")
    infos["usage"] = replace(infos["usage"], touchpoint="owner")
    infos["noise"] = replace(infos["noise"], touchpoint="owner")
    model = replace(model, infos=infos)
    p = model.probability(ds.X)
    for row, probability in zip(reasons(model, ds.X.head(40)), p, strict=False):
        answer = [each for each in row if not each["feature"].startswith("(")]
        assert len({each["subject"] for each in answer}) == len(answer)
        assert {each["subject"] for each in answer} <= {"Contact", "Company"}
        is_action = [each["action"] is not None for each in answer]
        assert is_action == sorted(is_action, reverse=True)
        assert all(each["log_odds"] < 0 for each in answer if each["action"])
        total = sum(each["log_odds"] for each in row)
        assert total == pytest.approx(np.log(probability / (1 - probability)), abs=1e-6)
    assert pd.Series(p).between(0, 1).all()
