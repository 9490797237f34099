"""monitoring/forecasters.py: who was closer to what happened, and never by hindsight."""

import numpy as np
import pandas as pd
import pytest
from decided_case import decided

from monitoring.forecasters import MODEL, OVERRIDES, OWNERS, who_was_right


def row_of(answer, who, segment=""):
    return next(row for row in answer["compared"] if row["who"] == who and row["segment"] == segment)


def test_owners_who_saw_more_than_the_model_were_right(tmp_path):
    case = decided(tmp_path, forecast_spread=0.2)
    case.log(case.blurred(1.5))
    answer = who_was_right(case.crm, case.settings, "renewal")
    row = row_of(answer, OWNERS)
    assert row["closer"] == OWNERS
    assert 0 < row["low"] < row["gain"] < row["high"]
    assert row["rows"] == 600
    assert row["accounts"] == 300
    said = np.clip(case.blurred(1.5), 0.01, 0.99)
    by_hand = -np.mean(np.where(case.renewed, np.log(said), np.log(1 - said)))
    assert row["log_loss"][MODEL] == pytest.approx(by_hand)
    assert {part["segment"] for part in answer["compared"]} >= {"owner=O0", "owner=O1", "owner=O2"}


def test_a_model_that_saw_more_than_the_owners_was_right_though_todays_forecast_knows_the_end(tmp_path):
    case = decided(tmp_path, forecast_spread=2.0)
    case.log(case.blurred(0.2))
    row = row_of(who_was_right(case.crm, case.settings), OWNERS)
    assert row["closer"] == MODEL
    assert row["brier"][OWNERS] > 0.1, "today's forecast, which is the outcome, was taken for one"


def test_equals_are_neither_and_few_are_unknown(tmp_path):
    case = decided(tmp_path, forecast_spread=0.7)
    case.log(case.blurred(0.7))
    assert row_of(who_was_right(case.crm, case.settings), OWNERS)["closer"] == "neither"
    few = decided(tmp_path / "few", n=60) if (tmp_path / "few").mkdir() is None else None
    few.log(few.blurred(0.7))
    row = row_of(who_was_right(few.crm, few.settings), OWNERS)
    assert row["closer"] == "unknown"
    assert row["gain"] is None
    assert "are needed" in row["why"]


def test_without_history_the_forecast_logged_that_night_counts_and_todays_never(tmp_path):
    case = decided(tmp_path)
    (tmp_path / "crm" / "history.csv").unlink()
    from features.crm.load import load

    crm = load(tmp_path / "crm", until=pd.Timestamp("2025-03-01"), into=tmp_path / "bare")
    case.log(case.blurred(1.0))
    answer = who_was_right(crm, case.settings)
    assert answer["compared"] == []
    assert "forecast" in answer["notes"][0]
    case.log(case.blurred(1.0), current=True, forecast=case.blurred(0.1))
    assert row_of(who_was_right(crm, case.settings), OWNERS)["closer"] == OWNERS


def test_overrides_count_against_the_score_they_were_noted_on(tmp_path):
    case = decided(tmp_path)
    case.log(case.blurred(1.5))
    for name, probability in zip(case.ids, case.truth, strict=True):
        case.store.judgements.override(
            "renewal", name, account_id=None, probability=float(probability), reason="", made_by="Ann"
        )
    assert row_of(who_was_right(case.crm, case.settings), OVERRIDES)["closer"] == OVERRIDES


def test_forecasts_in_words_and_calibration_by_what_was_done(tmp_path):
    case = decided(tmp_path)
    case.log(case.truth, held_out=np.arange(600) % 5 == 0)
    for name in case.ids[::2]:
        case.store.judgements.record_action("renewal", name, "called")
    answer = who_was_right(case.crm, case.settings)
    words = {row["category"]: row for row in answer["categories"]}
    assert words["commit"]["came_true"] == pytest.approx(case.renewed[case.truth > 0.6].mean())
    assert "after the fact" in words["commit"]["known"]
    parts = {row["rows_of"]: row for row in answer["calibration"]}
    assert set(parts) == {"all", "actions=taken", "actions=none", "held out"}
    assert (parts["actions=taken"]["rows"], parts["held out"]["rows"]) == (300, 120)
    assert parts["all"]["gap"] == pytest.approx(case.renewed.mean() - case.truth.mean())
    assert parts["all"]["low"] < 0 < parts["all"]["high"]


def test_nothing_scored_is_said(tmp_path):
    case = decided(tmp_path)
    answer = who_was_right(case.crm, case.settings)
    assert answer["notes"] == ["renewal: no scores are logged; run `perennial score renewal`"]
