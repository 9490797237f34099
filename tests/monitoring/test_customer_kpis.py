"""Customer KPIs against figures counted by hand, and touchpoints whose effect was planted."""

import json

import numpy as np
import pandas as pd
import pytest
from serving_case import client_of
from typer.testing import CliRunner

from features.crm.load import from_rows
from monitoring.customer_kpis import KPIS, customer_kpis
from monitoring.journey_map import MAP, journey_map
from monitoring.kpi_movers import movers, touchpoints_of
from perennial import cli
from perennial.print import monitoring_print, voice_print
from serving.pages.kpi_charts import figure_words
from serving.precompute import Prepared, WorkedOut
from training.icp.persona_members import NO_PERSONA, persona_of
from training.icp.rules import Condition, Rule

UNTIL = pd.Timestamp("2026-01-01")
CUSTOMERS = 450
GAIN = 0.8


@pytest.fixture(scope="module")
def planted():
    """Meetings raise CSAT by 0.8; cases lower it and bring about calls, which change nothing."""
    rng = np.random.default_rng(5)
    surveys, cases, activities = [], [], []
    for at in range(CUSTOMERS):
        account = f"A{at:04}"
        asked = UNTIL - pd.Timedelta(days=int(rng.integers(40, 300)))
        old = rng.poisson(1.0)
        case, meets = rng.random() < 0.25, rng.random() < 0.2 + 0.1 * min(old, 3)
        calls = rng.random() < (0.7 if case else 0.2)
        mood = 3.2 - 0.3 * old - 1.0 * case + GAIN * meets + rng.normal(0, 0.5)
        answers = rng.random() < 0.75 - 0.1 * min(old, 3)

        def before(days, asked=asked):
            return str(asked - pd.Timedelta(days=float(rng.uniform(1, days))))

        surveys.append(
            {
                "response_id": account, "account_id": account, "kind": "csat", "asked_at": str(asked),
                "answered_at": str(asked + pd.Timedelta(days=1)) if answers else None,
                "score": float(np.clip(round(2 * mood) / 2, 1, 5)) if answers else None,
            }
        )  # fmt: skip
        cases += [
            {
                "case_id": f"{account}-{n}",
                "account_id": account,
                "opened_at": str(asked - pd.Timedelta(days=60 + n)),
            }
            for n in range(old)
        ]
        if case:
            cases.append({"case_id": f"{account}-n", "account_id": account, "opened_at": before(29)})
        for kind, happens in (("meeting", meets), ("call", calls)):
            if happens:
                activities.append(
                    {
                        "activity_id": f"{kind}{account}",
                        "account_id": account,
                        "kind": kind,
                        "occurred_at": before(29),
                    }
                )
    accounts = [
        {"account_id": f"A{at:04}", "industry": ("software", "retail")[at % 2]} for at in range(CUSTOMERS)
    ]
    rows = {"accounts": accounts, "surveys": surveys, "cases": cases, "activities": activities}
    rows["contracts"] = [
        {"contract_id": "C1", "account_id": "A0001", "start_date": "2025-01-01", "end_date": "2026-12-31"}
    ]
    return from_rows(rows, UNTIL)


@pytest.fixture(scope="module")
def view(planted):
    """What page, command and route give."""
    figures = customer_kpis(planted)
    return {**figures, **movers(planted), "map": journey_map(planted, figures)}


def test_what_was_planted_moves_the_kpi_and_what_was_not_cant_be_told(view):
    result = view
    whole = {
        row["touchpoint"]: row for row in result["movers"] if row["group"] == "all" and row["kpi"] == "CSAT"
    }
    assert set(whole) == {"call", "meeting", "case opened", "survey"}
    assert whole["meeting"]["verdict"] == "raises"
    assert whole["meeting"]["low"] < GAIN < whole["meeting"]["high"]
    assert whole["case opened"]["verdict"] == "lowers"
    call = whole["call"]
    assert (call["verdict"], call["low"] < 0 < call["high"]) == ("can't tell", True)
    assert call["raw"] < -0.2  # by itself it looks as if calls did harm
    assert whole["survey"]["estimate"] is None
    assert "nobody did so" in whole["survey"]["why"]
    parts = [
        row for row in result["movers"] if row["dimension"] == "industry" and row["touchpoint"] == "meeting"
    ]
    assert {row["group"] for row in parts if row["kpi"] == "CSAT"} == {"software", "retail"}
    assert all(row["low"] < GAIN < row["high"] for row in parts if row["kpi"] == "CSAT")
    assert any(note.startswith("retention:") for note in result["notes"])
    assert any(note.startswith("NPS:") for note in result["notes"])


def test_page_route_and_terminal_state_the_same(view, settings, monkeypatch, capsys):
    monkeypatch.setattr(WorkedOut, "ask", lambda self, name, *rest: Prepared(view))
    with client_of(settings.home) as client:
        given = client.get("/v1/kpis").json()
        assert given == json.loads(json.dumps(view))
        page = client.get("/kpis", headers={"accept": "text/html"}).text
        software = client.get("/kpis?team=service&of=industry:software", headers={"accept": "text/html"}).text
    meeting = next(row for row in view["movers"] if (row["touchpoint"], row["group"]) == ("meeting", "all"))
    words = figure_words(meeting["estimate"], meeting["unit"], signed=True)
    assert f">{words}<" in page
    assert page.index("raises it") < page.index("may be chance")
    assert "Not measured: it takes surveys of kind nps." in page
    assert "Campaign response" in page
    assert "Campaign response" not in software
    part = next(row for row in view["movers"] if (row["touchpoint"], row["group"]) == ("meeting", "software"))
    assert f">{figure_words(part['estimate'], part['unit'], signed=True)}<" in software
    voice_print.customer(view)
    assert "meeting" in capsys.readouterr().out


def test_the_command_says_what_is_missing(tmp_path, monkeypatch):
    (tmp_path / "contracts.csv").write_text("contract_id,account_id,end_date\nC,A,2025-06-01\n")
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    result = CliRunner().invoke(cli.app, ["kpis", "--crm", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    notes = json.loads(result.stdout)["notes"]
    assert notes[0].startswith("no personas: ")
    assert "retention: takes contracts with end_date" in notes


def test_the_map_names_what_happens_what_is_measured_and_what_is_missing(planted, view):
    places = {row["touchpoint"]: row for row in view["map"]}
    assert set(places) == {place.touchpoint for place in MAP}
    meetings = planted.frame("activities").query("kind == 'meeting'")
    assert places["meeting"]["events"] == len(meetings)
    assert places["meeting"]["share"] == len(meetings) / CUSTOMERS
    assert places["meeting"]["missing"] == "first response is not measured: takes activities with direction"
    closed = places["case closed"]
    assert closed["events"] is None
    assert closed["missing"].startswith("not on record: takes cases with closed_at; case resolution is not")
    assert closed["measured"][0]["kpi"] == "CSAT"
    assert closed["measured"][0]["value"] > 1
    personas = {f"A{at:04}": "few" if at < 5 else "the others" for at in range(CUSTOMERS)}
    rows = journey_map(planted, customer_kpis(planted, personas), personas)
    assert list(dict.fromkeys(row["persona"] for row in rows)) == ["everybody", "few", "the others"]
    few = next(row for row in rows if (row["persona"], row["touchpoint"]) == ("few", "case closed"))
    assert "CSAT: too few, ten are needed" in few["missing"]
    monitoring_print.journey({"map": rows, "notes": []})


@pytest.mark.parametrize(
    ("value", "unit", "signed", "words"),
    [
        (None, "share", False, "–"), (0.8284, "share", False, "82.8 %"),
        (-0.071, "share", True, "−7.1 points"), (26.3, "hours", False, "26 h"),
        (0.8, "on its scale", True, "+0.80"), (-17.6, "points", True, "−18"),
    ],
)  # fmt: skip
def test_figures_are_written_in_their_unit(value, unit, signed, words):
    assert figure_words(value, unit, signed=signed) == words


def test_figures_are_those_counted_by_hand_and_few_are_not_told():
    contracts = [
        {
            "contract_id": f"C{n}", "account_id": f"A{n}", "start_date": "2024-02-01",
            "end_date": f"2025-02-{1 + n:02}", "renewed": n % 4 > 0, "decided_at": "2025-01-30",
        }
        for n in range(20)
    ]  # fmt: skip
    activities = []
    for n in range(12):
        first = pd.Timestamp("2024-08-05T10:00")
        for kind, direction, hours in (
            ("email", "inbound", 0),
            ("email", "inbound", 1),
            ("call", "outbound", 5),
        ):
            activities.append(
                {
                    "activity_id": f"{n}-{hours}", "account_id": f"A{n}",
                    "kind": kind, "direction": direction,
                    "occurred_at": str(first + pd.Timedelta(hours=hours + n / 10)),
                }
            )  # fmt: skip
    touches = [
        {
            "touch_id": f"T{n}", "account_id": f"A{n % 20}", "sent_at": "2024-10-02",
            "responded_at": ("2024-10-05", "2024-12-20", None, None)[n % 4],
        }
        for n in range(40)
    ]  # fmt: skip
    crm = from_rows({"contracts": contracts, "activities": activities, "touches": touches}, UNTIL)
    result = customer_kpis(crm)
    figures = {(row["kpi"], row["quarter"]): row for row in result["series"]}
    kept = figures["retention", "2025Q1"]
    assert (kept["n"], kept["value"]) == (20, 0.75)
    assert kept["low"] < 0.75 < kept["high"]
    reply = figures["first response", "2024Q3"]
    assert (reply["n"], round(reply["value"], 6)) == (12, 5.0)  # from the first of two mails to our call
    assert figures["campaign response", "2024Q4"]["value"] == 0.25  # an answer after 79 days is none
    assert figures["effort", "2024Q4"]["value"] == 0.0
    why = {row["kpi"]: row["why"] for row in result["kpis"]}
    assert why["NPS"] == "takes surveys of kind nps"
    assert [row["kpi"] for row in result["kpis"]] == [kpi.name for kpi in KPIS]
    assert {row["kpi"] for row in result["series"]} == {name for name, lacks in why.items() if lacks is None}
    few = next(row for row in result["groups"] if row["kpi"] == "retention" and row["dimension"] == "all")
    assert (few["n"], few["value"] is None) == (20, False)


def test_without_anything_the_reason_is_given():
    crm = from_rows({"contracts": [{"contract_id": "C", "account_id": "A", "end_date": "2025-06-01"}]}, UNTIL)
    assert all(row["why"] for row in customer_kpis(crm)["kpis"])
    assert touchpoints_of(crm) == []
    result = movers(crm)
    assert result["movers"] == []
    assert result["notes"][0].startswith("no touchpoints are on record")


def test_everybody_has_the_first_persona_whose_rule_it_fulfils():
    class Few:
        account_id = np.array(["A", "B", "C"], dtype=object)
        frame = pd.DataFrame({"industry": ["software", "software", "retail"], "employees": [10, 90, 20]})

    software, large = Condition("industry", ("software",)), Condition("employees", low=50)
    rules = [Rule((software, large)), Rule((software,))]
    assert persona_of(Few, rules) == {"A": rules[1].words, "B": rules[0].words, "C": NO_PERSONA}
    assert persona_of(Few, []) == {}
