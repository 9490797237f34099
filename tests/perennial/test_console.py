"""The command line's tables."""

import pytest

from perennial.print import data_print, models_print, monitoring_print, scores_print, voice_print


def _row(contract_id: str, problem: object) -> dict[str, object]:
    figures = {"probability": 0.6, "low": 0.5, "high": 0.7, "band": "watch", "amount": 100.0, "at_risk": 40.0}
    return {"contract_id": contract_id, "account_id": "A", **figures, "reasons": [], "problem": problem}


def test_rows_without_a_problem_are_listed_beside_one_with_a_problem(capsys):
    """A column of problems reads NaN where there is none, as pandas fills it in."""
    rows = [_row("C-1", float("nan")), _row("C-2", None), _row("C-3", "no such contract")]
    scores_print.scored({"kind": "renewal", "rows": rows})
    shown = capsys.readouterr().out
    assert "first 2 of 2" in shown
    assert "not scored C-3: no such contract" in shown
    assert "not scored C-1" not in shown


def test_the_journey_shows_no_figure_of_a_group_too_small_and_says_where_a_gap_opens(capsys):
    shown = {"rate": 0.5, "low": 0.4, "high": 0.6, "ratio": 0.8, "n": 1200}
    rows = [
        {"stage": "win", "attribute": "owned_by", "segment": "a", **shown},
        {"stage": "win", "attribute": "owned_by", "segment": "b", **dict.fromkeys(shown)},
    ]
    gaps = [{"attribute": "owned_by", "why": "owned_by=a first"}, {"attribute": "owned_by", "why": "then"}]
    costs = [{"attribute": "owned_by", "segment": "b", "cost": None, "wins": None, "cost_per_win": None}]
    monitoring_print.journey(
        {"rows": rows, "gaps": gaps, "costs": costs, "compared": ["owned_by"], "not_compared": []}
    )
    out = capsys.readouterr().out
    assert "None" not in out
    assert "40.0–60.0 %" in out
    assert "The gap opens here owned_by=a first" in out
    assert "Gap then" in out


def test_at_80_columns_no_figure_is_cut_and_what_does_not_fit_stands_below(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    deal = {
        "opportunity_id": "OPP-2026-000272", "account_id": "ACC-000000154", "probability": 0.26,
        "low": 0.17, "high": 0.26, "band": "hot", "amount": 1_267_820.0, "expected": 269_877.0,
        "problem": None,
        "reasons": [{"words": "no meeting in 94 days"}],
        "by_quarter_end": 0.1, "close_date": "2026-03-01",
    }  # fmt: skip
    scores_print.scored({"kind": "win", "rows": [deal]})
    out = capsys.readouterr().out
    whole = ("OPP-2026-000272", "ACC-000000154", "17 %–26 %", "1,267,820", "269,877", "no meeting in 94 days")
    assert all(words in out for words in whole)
    assert max(map(len, out.splitlines())) <= 80


def test_what_customers_say_is_readable_at_80_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    row = {
        "kpi": "CSAT", "dimension": "stage", "group": "run-up to renewal", "asked": 1232,
        "response_rate": 0.45, "raw": 3.81, "estimate": 3.62, "low": 3.5, "high": 3.74,
        "silent": 3.4, "if_worse": 3.2,
    }  # fmt: skip
    voice_print.kpis({"rows": [row], "notes": []})
    out = capsys.readouterr().out
    assert all(
        words in out for words in ("stage run-up to renewal", "3.62 (3.50 to 3.74)", "the silent 3.40")
    )
    assert max(map(len, out.splitlines())) <= 80


def test_checks_are_whole_at_80_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    check = {
        "kind": "win", "name": "parity (live, with outcome): true positive rate",
        "segment": "leadership=men & veteran_owned=no", "value": 0.861, "threshold": 0.8,
        "verdict": "unknown",
        "why": "differs from the rest by -0.094 (limit 0.135); chance alone could explain it",
    }  # fmt: skip
    figures = {"open": 0, "acknowledged": 0, "closed": 0}
    hours = dict.fromkeys(("median_hours_to_close", "median_hours_to_acknowledge"))
    alerts = {"opened": [], "grown": [], "figures": {**figures, **hours}}
    monitoring_print.monitored({"verdict": "unknown", "checks": [check], "alerts": alerts})
    out = capsys.readouterr().out
    assert all(words in out for words in (check["name"], check["segment"], "0.861", "0.800"))
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("printer", "result", "following"),
    [
        ("keys", {"keys": []}, "perennial keys create"),
        ("requests", {"requests": []}, "voice.yaml"),
        ("pairs", {"rows": []}, "perennial identity match"),
    ],
)
def test_an_empty_list_says_what_fills_it(printer, result, following, capsys):
    getattr(data_print, printer)(result)
    assert following in capsys.readouterr().out


def test_reasons_say_which_way_they_tell(monkeypatch, capsys):
    row = _row("C-1", None) | {
        "reasons": [
            {"words": "no meeting in 94 days", "log_odds": -0.4},
            {"words": "CSAT 5", "log_odds": 0.2},
        ]
    }
    scores_print.scored({"kind": "renewal", "rows": [row], "currency": "EUR"})
    out = capsys.readouterr().out
    assert "↓ no meeting in 94 days; ↑ CSAT 5" in " ".join(out.split())
    assert "at risk, EUR" in out


def test_groups_that_lost_too_few_are_told_so(capsys):
    models_print.churn_drivers({"by": "industry", "drivers": [], "stated": [], "lost": []})
    assert "too few for drivers" in capsys.readouterr().out


def test_why_rows_were_put_aside_is_said_once_with_a_value(capsys):
    table = {"rows": 9, "kept": 4, "quarantined": 5, "left_out": 0, "first": None, "last": None}
    wrong = "end_date: … is before start_date"
    reasons = {
        wrong: {"count": 1, "examples": ["end_date: '2024-06-01' is before start_date"]},
        "case_id: … occurs again": {"count": 3, "examples": ["case_id: 'K1' occurs again"]},
        "amount: is missing": {"count": 1, "examples": ["amount: is missing"]},
    }
    tables = {"contracts": {**table, "reasons": reasons}}
    data_print.quality({"tables": tables, "readings": [], "warnings": [], "rows": 9, "quarantined": 5})
    out = " ".join(capsys.readouterr().out.split())
    assert "1 × end_date: '2024-06-01' is before start_date" in out
    assert "3 × case_id: … occurs again, e.g. 'K1'" in out
    assert out.count("is missing") == 1
    assert out.count("is before") == 1
