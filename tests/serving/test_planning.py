"""What-if, fit and targeting list over HTTP: two figures kept apart, scopes that hold, long answers kept."""

import io
import json
import shutil

import pandas as pd
import pytest
from folders import copy_of
from pages_case import Endless, informed  # noqa: F401 (fixture)
from serving_case import client_of, home, night, one_client, one_home  # noqa: F401 (fixtures)

from features.crm.load import opened
from features.settings import Settings
from monitoring.store import open_store
from serving import precompute
from serving.erase_everywhere import erase
from serving.precompute import FOLDER
from serving.studies import for_contracts
from training.effects.what_if import effect_of
from training.icp import fit, fit_rows

pytestmark = pytest.mark.slow


@pytest.fixture
def planned(informed, tmp_path):  # noqa: F811
    """A home whose long answers are there."""
    return copy_of(informed, tmp_path / "home")


def first_contract(client):
    return client.get("/v1/renewals").json()["rows"][0]


def test_score_and_effect_are_two_figures(planned):
    kept = json.loads(next((planned / FOLDER).glob("effects-*.json")).read_text())["value"]
    plan = {row["contract_id"]: row for row in kept["plan"]["rows"]}
    with client_of(planned) as client:
        rows = client.get("/v1/renewals", params={"limit": 1000}).json()["rows"]
        row = next(
            row for row in rows if row["lead_days"] > 45 and not plan[row["contract_id"]]["contacted_on"]
        )
        changes = {"contact_days_before": 45, "calls_30d": 12, "discount_pct": 15}
        asked = client.post("/v1/what_if", json={"contract_id": row["contract_id"], "changes": changes})
    result = asked.json()
    assert asked.status_code == 200, asked.text
    assert result["changes"] == changes
    assert result["score"]["now"] == pytest.approx(row["probability"], abs=1e-6)
    assert result["score"]["difference"] == pytest.approx(result["score"]["changed"] - result["score"]["now"])
    assert any("call" in name for name in result["score"]["moved"])
    likelihood = (row["probability"], row["low"], row["high"])
    effect, facts = result["effect"], {**plan[row["contract_id"]], "likelihood": likelihood}
    assert effect == {name: effect_of(for_contracts(kept), facts, name, at) for name, at in changes.items()}
    assert effect["contact_days_before"]["bucket"] == "31-60"
    assert effect["discount_pct"]["bucket"] == "10-20"
    assert effect["calls_30d"]["estimate"] is None
    assert "new business" in effect["calls_30d"]["why"]


def test_a_call_that_just_came_in_ends_the_question_when_to_make_it(planned):
    kept = json.loads(next((planned / FOLDER).glob("effects-*.json")).read_text())["value"]
    open_rows = {row["contract_id"] for row in kept["plan"]["rows"] if not row["contacted_on"]}
    with client_of(planned) as client:
        rows = client.get("/v1/renewals", params={"limit": 1000}).json()["rows"]
        row = next(row for row in rows if row["lead_days"] > 45 and row["contract_id"] in open_rows)
        call = {
            "activity_id": "new",
            "account_id": row["account_id"],
            "kind": "call",
            "occurred_at": row["as_of"],
        }
        sent = client.post("/v1/events", json={"table": "activities", "rows": [call]})
        assert sent.json()["stored"] == 1, sent.text
        ask = {"contract_id": row["contract_id"], "changes": {"contact_days_before": 45}}
        result = client.post("/v1/what_if", json=ask).json()["effect"]["contact_days_before"]
    assert result["estimate"] is None
    assert f"was made on {row['as_of'][:10]}" in result["why"]


def test_as_many_calls_as_there_were_change_nothing_and_more_move_the_count(planned):
    settings = Settings(home=planned)
    with client_of(planned) as client, opened(settings) as crm:
        for row in client.get("/v1/renewals", params={"limit": 1000}).json()["rows"]:
            calls = crm.sql(
                f"SELECT count(*) FROM activities WHERE account_id = '{row['account_id']}' AND kind = 'call' "
                f"AND occurred_at >= TIMESTAMP '{crm.until}' - INTERVAL 30 DAY"
            ).to_pylist()[0]["count_star()"]
            if calls:
                break
        ask = {"contract_id": row["contract_id"], "changes": {"calls_30d": calls}}
        same = client.post("/v1/what_if", json=ask).json()["score"]
        ask["changes"]["calls_30d"] = 0
        none = client.post("/v1/what_if", json=ask).json()["score"]
    assert same["moved"] == []
    assert same["difference"] == 0
    assert none["moved"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"price": 3}, "Expected changes of actions: contact_days_before, calls_30d, discount_pct; found"),
        ({}, "at least one"),
        ({"discount_pct": 120}, "discount_pct"),
        ({"contact_days_before": "soon"}, "contact_days_before"),
    ],
)
def test_a_change_that_is_no_action_is_refused(one_client, changes, says):  # noqa: F811
    result = one_client.post("/v1/what_if", json={"contract_id": "C1", "changes": changes})
    assert result.status_code == 422
    assert result.headers["content-type"] == "application/problem+json"
    assert says in result.text


def test_a_scope_holds_for_a_what_if_and_roles_for_all(planned):
    store = open_store(Settings(home=planned))
    every = store.scores.page("renewal", limit=1000).rows
    region = every[0]["region"]
    elsewhere = next(row for row in every if row["region"] != region)
    sales, _ = store.access.create_key("sales", region=region)
    marketing, _ = store.access.create_key("marketing")
    narrow, _ = store.access.create_key("marketing", region=region)
    asked = {"contract_id": elsewhere["contract_id"], "changes": {"calls_30d": 1}}
    with client_of(planned, key=sales) as client:
        assert client.post("/v1/what_if", json=asked).status_code == 404
        own = {**asked, "contract_id": every[0]["contract_id"]}
        assert client.post("/v1/what_if", json=own).status_code == 200
        assert client.get("/v1/icp/list").status_code == 403
        assert client.post("/v1/icp/fit", json={"accounts": [{"id": "P"}]}).status_code == 403
    with client_of(planned, key=marketing) as client:
        assert client.post("/v1/what_if", json=asked).status_code == 403
        assert client.get("/v1/icp/list").status_code == 200
    with client_of(planned, key=narrow) as client:
        assert client.get("/v1/icp/list.csv").status_code == 403
        assert client.post("/v1/icp/fit", json={"accounts": [{"id": "P"}]}).status_code == 200


def test_what_takes_long_is_worked_out_beside_the_service_once(home, informed, monkeypatch):  # noqa: F811
    """The process that works it out is in `test_precompute`; here its answer comes while the service runs."""
    begun: list[str] = []
    monkeypatch.setattr(precompute, "_start", lambda name, settings: begun.append(name) or Endless())
    with client_of(home) as client:
        ask = {
            "contract_id": first_contract(client)["contract_id"],
            "changes": {"contact_days_before": 45},
        }
        first, again = (client.post("/v1/what_if", json=ask).json() for _ in range(2))
        shutil.copytree(informed / FOLDER, home / FOLDER, dirs_exist_ok=True)
        answer = client.post("/v1/what_if", json=ask).json()
    assert begun == ["effects"]
    assert first["effect"] is again["effect"] is None
    assert "ask again" in first["why"]
    assert first["score"]["now"] is not None
    assert answer["why"] is None
    assert answer["effect"]["contact_days_before"]["bucket"] == "31-60"


def test_prospects_are_rated_as_the_library_rates_them(planned):
    settings = Settings(home=planned)
    sent = [{"id": "P-1", "industry": "software", "employees": 120, "region": "west"}, {"id": "P-2"}]
    with client_of(planned) as client:
        rows = client.post("/v1/icp/fit", json={"accounts": sent}).json()["rows"]
    with opened(settings) as crm:
        want = fit_rows(fit(crm, settings), sent)
    assert [row["id"] for row in rows] == ["P-1", "P-2"]
    assert [row["fit"] for row in rows] == pytest.approx([row["fit"] for row in want])


def test_the_list_comes_as_json_csv_and_excel_and_is_audited(planned):
    with client_of(planned) as client:
        rows = client.get("/v1/icp/list").json()["rows"]
        csv = pd.read_csv(io.BytesIO(client.get("/v1/icp/list.csv").content))
        excel = pd.read_excel(io.BytesIO(client.get("/v1/icp/list.xlsx").content))
        assert client.get("/v1/icp/list.exe").status_code == 422
    place = [(row["kind"] == "account", -row["value_per_hour"]) for row in rows]
    assert place == sorted(place)
    ids = [row["id"] for row in rows]
    assert csv["id"].tolist() == excel["id"].tolist() == ids
    assert csv["reason_1"].iloc[0] == rows[0]["reasons"][0]["words"]
    assert csv["reason_1_direction"].iloc[0] in ("raises", "lowers")
    assert csv["domain"].notna().any()
    noted = open_store(Settings(home=planned)).audit.read()
    assert [each["action"] for each in noted if each["subject"] == "icp"]


def test_the_list_comes_for_platforms_and_by_grade(planned):
    with client_of(planned) as client:
        best = client.get("/v1/icp/list?grade=B").json()["rows"]
        linkedin = pd.read_csv(io.BytesIO(client.get("/v1/icp/list.csv?grade=B&for=linkedin").content))
        google = pd.read_csv(io.BytesIO(client.get("/v1/icp/list.csv?grade=B&for=google").content))
        assert client.get("/v1/icp/list.csv?for=myspace").status_code == 422
    assert {row["grade"] for row in best} <= {"A", "B"}
    assert len(linkedin) == len(best)
    assert google["Email"].str.fullmatch("[0-9a-f]{64}").all()
    assert list(google.columns) == ["Email"]


def test_an_erased_customer_is_in_no_kept_answer(planned):
    with client_of(planned) as client:
        one = client.get("/v1/icp/list").json()["rows"][0]["id"]
    erase(one, Settings(home=planned))
    assert not list((planned / FOLDER).glob("*.json"))
