"""What everybody asked would say: truth found where records predict who answers, nothing claimed of few."""

import numpy as np
import pandas as pd
import pytest

from features.crm.load import from_rows
from monitoring.voice_kpis import figures_of, points_of, voice, whole

UNTIL = pd.Timestamp("2026-01-01")


def drawn(seed, n=1500):
    """Scores that go by x; the unhappy are silent."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    score = 3 + x + rng.normal(0, 0.5, n)
    answered = rng.random(n) < 1 / (1 + np.exp(0.8 - 1.2 * x))
    account = pd.Series(rng.integers(0, n // 2, n).astype(str))
    return x[:, None], score, answered, account


def test_the_mean_of_everybody_is_found_where_the_mean_of_answers_is_off():
    inside, raw_inside, off = [], [], []
    for seed in range(40):
        X, score, answered, account = drawn(seed)
        points = np.where(answered, score, np.nan)
        answer = figures_of(points, account, whole(points, X, account), np.ones(len(score), bool))
        inside.append(answer["low"] <= 3.0 <= answer["high"])
        raw_inside.append(answer["raw_low"] <= 3.0 <= answer["raw_high"])
        off.append(answer["estimate"] - 3.0)
        assert answer["silent"] < answer["estimate"] < answer["raw"]
        assert answer["if_worse"] < answer["estimate"]
    assert np.mean(inside) >= 0.9 - 3 * np.sqrt(0.09 / 40)
    assert np.mean(raw_inside) == 0
    assert abs(np.mean(off)) < 0.02


def test_either_model_alone_suffices():
    """The chance of answering goes by x², which no linear model of x shows; the expected score does."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=4000)
    score = 3 + x + rng.normal(0, 0.5, 4000)
    answered = rng.random(4000) < 1 / (1 + np.exp(1 - np.where(x > 0, x**2, 0)))
    account = pd.Series(np.arange(4000).astype(str))
    points = np.where(answered, score, np.nan)
    answer = figures_of(points, account, whole(points, x[:, None], account), np.ones(4000, bool))
    assert answer["raw"] - 3 > 0.3
    assert answer["estimate"] == pytest.approx(3 + x.mean(), abs=0.06)


def test_nothing_is_said_of_few_and_nothing_weighed_where_all_answer():
    few = np.array([5.0] * 9 + [np.nan] * 50)
    account = pd.Series(np.arange(59).astype(str))
    answer = figures_of(few, account, None, np.ones(59, bool))
    assert answer["raw"] is answer["estimate"] is None
    assert answer["response_rate"] == pytest.approx(9 / 59)
    full = np.arange(59.0)
    assert whole(full, np.zeros((59, 1)), account) is None
    answer = figures_of(full, account, None, np.ones(59, bool))
    assert answer["estimate"] == answer["raw"]
    assert answer["silent"] is None


def test_nps_counts_promoters_less_detractors():
    scores = pd.Series([10, 9, 8, 7, 6, 0, np.nan])
    assert points_of(scores, "nps").tolist()[:6] == [100, 100, 0, 0, -100, -100]
    assert np.isnan(points_of(scores, "nps")[6])


def test_figures_come_by_stage_segment_owner_and_touchpoint_and_look_only_back():
    accounts = [
        {"account_id": f"A{n}", "industry": "it" if n % 2 else "retail", "owner_id": "ann"} for n in range(80)
    ]
    spans = {True: ("2023-01-01", "2026-12-31"), False: ("2025-07-01", "2027-06-30")}
    contracts = [
        {
            "contract_id": f"C{n}",
            "account_id": f"A{n}",
            "start_date": spans[n < 40][0],
            "end_date": spans[n < 40][1],
        }
        for n in range(80)
    ]
    surveys = [
        {"response_id": f"S{n}", "account_id": f"A{n}", "kind": "CSAT", "asked_at": "2025-10-01",
         "answered_at": "2025-10-02" if n % 4 else None, "score": 4 if n % 4 else None, "touchpoint": "case"}
        for n in range(80)
    ]  # fmt: skip
    tables = {"accounts": accounts, "contracts": contracts, "surveys": surveys}
    crm = from_rows(tables, UNTIL)
    answer = voice(crm)
    found = {(row["dimension"], row["group"]): row for row in answer["rows"]}
    assert found["all", "all"]["asked"] == 80
    assert found["all", "all"]["answered"] == 60
    assert found["all", "all"]["estimate"] == pytest.approx(4)
    assert found["stage", "customer"]["asked"] == found["stage", "first half-year"]["asked"] == 40
    assert {("industry", "it"), ("owner", "ann"), ("touchpoint", "case")} <= set(found)
    later = [{"case_id": f"K{n}", "account_id": f"A{n}", "opened_at": "2025-11-01"} for n in range(0, 80, 2)]
    assert voice(from_rows({**tables, "cases": later}, UNTIL))["rows"] == answer["rows"]


def test_without_surveys_it_says_so():
    crm = from_rows({"contracts": [{"contract_id": "C", "account_id": "A", "end_date": "2026-05-01"}]}, UNTIL)
    assert voice(crm) == {"rows": [], "notes": ["fewer than ten answers to any kind of survey are on record"]}
