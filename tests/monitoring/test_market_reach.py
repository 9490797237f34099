"""Who in the market nobody reaches, against a planted gap; rules changed, against counts by hand."""

import numpy as np
import pandas as pd
import pytest
from census_server import KEY, census_server
from serving_case import client_of

from features.crm.load import from_rows, ingest
from features.errors import RenewalError
from features.settings import Settings
from features.sources.census import population
from monitoring.market_reach import Cell, _p_under, market_reach
from monitoring.qualification import columns_of, read_rule, rule_change, usable
from monitoring.store import open_store
from serving.precompute import Prepared, WorkedOut

UNTIL = pd.Timestamp("2026-01-01")
N = 400
COST = 600.0


def account(at):
    return f"A{at:04}"


def tables(reached_b=0.25):
    """Every second account is of group b; campaigns reach three in four of a, one in four of b."""
    draw = np.random.default_rng(3)
    is_b = np.arange(N) % 2 == 1
    reached = draw.random(N) < np.where(is_b, reached_b, 0.75)
    employees = np.arange(N) + 1
    deals = [
        {
            "opportunity_id": f"O{at}", "account_id": account(at), "kind": "new",
            "created_at": "2024-02-01", "closed_at": "2024-03-01", "is_won": at >= N // 2, "amount": 100,
        }
        for at in range(N)
    ]  # fmt: skip
    touches = [
        {"touch_id": f"{at}-{n}", "account_id": account(at), "campaign_id": f"M{n}", "sent_at": "2025-03-01"}
        for at in np.flatnonzero(reached)
        for n in range(6)
    ]
    rows = {
        "accounts": [
            {
                "account_id": account(at),
                "employees": int(employees[at]),
                "industry": ("software", "retail")[at // 2 % 2],
                "credit_score": 500 + at % 97,
                "dress": "red" if is_b[at] == (at % 10 != 0) else "blue",
            }
            for at in range(N)
        ],
        "opportunities": deals,
        "touches": touches,
        "campaigns": [
            {"campaign_id": f"M{n}", "started_at": "2025-02-01", "cost": COST + 50 * n} for n in range(6)
        ],
        "segments": [
            {"account_id": account(at), "attribute": "group", "value": "ab"[int(is_b[at])]} for at in range(N)
        ],
        "population": [
            {"attribute": "group", "value": value, "people": people, "area": "all"}
            for value, people in (("a", 5000), ("b", 5000))
        ],
    }
    return rows, is_b, reached


@pytest.fixture(scope="module")
def planted():
    rows, is_b, reached = tables()
    return from_rows(rows, UNTIL), is_b, reached


def by_segment(result, channel):
    return {row["value"]: row for row in result["rows"] if row["channel"] == channel}


def test_a_group_that_campaigns_miss_is_named_with_the_cost_to_reach_it(planted):
    crm, is_b, reached = planted
    result = market_reach(crm, {account(at) for at in range(0, N, 3)})
    rows = by_segment(result, "campaigns")
    a, b = (reached & ~is_b).sum(), (reached & is_b).sum()
    assert (rows["b"]["reached"], rows["b"]["unreached"]) == (b, N / 2 - b)
    assert (rows["a"]["verdict"], rows["b"]["verdict"]) == ("ok", "alert")
    assert rows["b"]["ratio"] == pytest.approx(b / (a + b) / 0.5)
    assert rows["b"]["low"] < 0.25 < rows["b"]["high"]
    each = sum(COST + 50 * n for n in range(6)) / (6 * (a + b))
    assert result["contact_cost"]["cost_each"] == pytest.approx(each)
    assert rows["b"]["missing"] == pytest.approx(a - b)
    assert rows["b"]["cost_missing"] == pytest.approx(each * (a - b))
    assert by_segment(result, "list")["b"]["verdict"] != "alert"
    assert result["channels"]["surveys"] is None
    assert "surveys reach nobody on record" in result["notes"]
    assert result["guarded"] == ["group"]


def test_where_all_are_reached_alike_hardly_a_group_is_named():
    draw = np.random.default_rng(0)
    alarms = 0
    for _ in range(2_000):
        weight = (draw.random(300) < 0.3).astype(float)
        is_reached = draw.random(300) < 0.4
        alarms += _p_under(Cell("group", "b", "list", weight, is_reached, np.nan, np.nan)) <= 0.05
    assert alarms <= 2_000 * 0.05 + 3 * np.sqrt(2_000 * 0.05 * 0.95)
    assert alarms >= 2_000 * 0.02


def test_who_is_in_the_market_alone_and_a_group_too_small_to_be_shown():
    rows, is_b, _ = tables()
    rows["segments"] = [row for row, b in zip(rows["segments"], is_b, strict=True) if not b]
    result = market_reach(from_rows(rows, UNTIL), set())
    b = by_segment(result, "campaigns")["b"]
    assert b["verdict"] == "alert"
    assert (b["reached"], b["people"], b["market"]) == (None, 5000, 0.5)
    assert b["missing"] >= 50
    assert result["channels"]["list"] is None


def test_counts_of_the_census_are_the_market_and_costs_that_nobody_wrote_are_not_known(tmp_path):
    with census_server() as bureau:
        bureau.values = {("B01001_002E", 0): "900", ("B01001_026E", 0): "100"}
        bureau.values |= {("B01001_002E", 1): "100", ("B01001_026E", 1): "900"}
        url = f"http://127.0.0.1:{bureau.server_port}/data"
        settings = Settings(home=tmp_path, census_key=KEY, census_url=url)
        counted = population(settings, year=2022, by="county", attributes=["sex"], states=["25"]).rows
    accounts = [{"account_id": account(at), "county_fips": ("25017", "25025")[at % 2]} for at in range(200)]
    touches = [
        {"touch_id": str(at), "account_id": account(at), "sent_at": "2025-03-01"} for at in range(0, 200, 2)
    ]
    deals = tables()[0]["opportunities"][:1]
    rows = {"accounts": accounts, "population": counted, "touches": touches, "opportunities": deals}
    result = market_reach(from_rows(rows, UNTIL), set())
    sex = by_segment(result, "campaigns")
    assert (sex["male"]["market"], sex["female"]["people"]) == (0.5, 1000)
    assert sex["female"]["share"] == pytest.approx(0.1)
    assert sex["female"]["verdict"] == "alert"
    assert sex["female"]["missing"] == pytest.approx(80)
    assert sex["female"]["cost_missing"] is None
    assert any("not known" in note for note in result["notes"])
    assert any("ecological inference" in note for note in result["notes"])
    assert result["guarded"] == ["sex"]


def test_what_a_changed_rule_changes_is_what_is_counted_by_hand(planted):
    crm, _, reached = planted
    result = rule_change(crm, "employees>=301", "employees>=101")
    sets = {row["set"]: row for row in result["sets"]}
    assert [sets[name]["accounts"] for name in ("before", "after", "gained", "lost")] == [100, 300, 200, 0]
    assert sets["gained"]["win_rate"] == pytest.approx(0.5)
    assert sets["gained"]["low"] < 0.5 < sets["gained"]["high"]
    assert sets["lost"]["win_rate"] is None
    assert sets["gained"]["unreached"] == (~reached[100:300]).sum()
    assert [row["after"] for row in result["segments"]] == [0.75, 0.75]
    narrow = rule_change(crm, "", "industry=software|none, employees<=100")
    assert narrow["rule"] == "everybody"
    columns = usable(crm)
    standing = {name: columns.taken_out[name] for name in columns.standing}
    assert standing
    assert rule_change(crm, "employees>=301", "employees>=101", standing=standing) == result
    assert {row["set"]: row["accounts"] for row in narrow["sets"]}["after"] == 50


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("credit_score>=600", "credit scores and postcodes always do"), ("dress=red", "gives group away"),
        ("group=b", "column of"), ("employees>=many", "number"), ("employees", "terms like"),
        ("industry>=3", "no number"), ("founded<=3", "industry"),
    ],
)  # fmt: skip
def test_no_rule_is_made_of_what_stands_for_a_group(planted, rule, words):
    with pytest.raises(RenewalError, match=words):
        read_rule(rule, usable(planted[0]))


def test_page_and_route_state_the_same_and_name_no_group_to_those_who_may_not_see(tmp_path, monkeypatch):
    rows, _, _ = tables()
    folder = tmp_path / "crm"
    folder.mkdir()
    for name, part in rows.items():
        pd.DataFrame(part).to_csv(folder / f"{name}.csv", index=False)
    settings = Settings(home=tmp_path / "home", threads=1)
    crm = ingest(folder, settings)
    columns = usable(crm)
    kept_answer = {
        "reach": {
            **market_reach(crm, set()),
            "columns": columns_of(columns),
            "taken_out": columns.taken_out,
            "standing": list(columns.standing),
        }
    }
    monkeypatch.setattr(WorkedOut, "ask", lambda self, name: Prepared(kept_answer))
    monkeypatch.setattr(WorkedOut, "look", lambda self, ahead=(): None)
    store = open_store(settings)
    keys = {role: store.access.create_key(role)[0] for role in ("marketing", "mlops")}
    query = "rule=employees>=301&instead=employees>=101"
    answers, pages = {}, {}
    for role, key in keys.items():
        with client_of(settings.home, key=key) as client:
            answers[role] = client.get(f"/v1/icp/reach?{query}").json()
            pages[role] = client.get(f"/reach?{query}").text
            wrong = client.get("/v1/icp/reach?rule=dress=red")
            assert wrong.status_code == 422
            assert ("gives group away" in wrong.json()["detail"]) == (role == "mlops")
            assert client.get("/reach?rule=dress=red").status_code == 422
    missed = by_segment(answers["mlops"], "campaigns")["b"]
    assert missed["verdict"] == "alert"
    assert f"{missed['unreached']:.0f}" in pages["mlops"]
    assert f"{missed['cost_missing']:,.0f}" in pages["mlops"]
    assert answers["marketing"]["rows"] == answers["marketing"]["change"]["segments"] == []
    assert answers["marketing"]["audited"]["alert"] == 1
    assert "group: b" not in pages["marketing"]
    assert "gives group away" not in pages["marketing"]
    assert answers["marketing"]["change"]["sets"] == answers["mlops"]["change"]["sets"]
