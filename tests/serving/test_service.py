"""The HTTP interface: answers, mistakes, and a service that starts, swaps and stops well."""

import json
import os
import re
import signal
import time

import httpx
import pytest
from serving_case import client_of, home, night, one_client, one_home, serving, train_plainly  # noqa: F401

from features.crm.load import opened
from features.settings import Settings
from monitoring.store import open_store

pytestmark = pytest.mark.slow
ONE = {"contracts": [{"contract_id": "C"}]}
SECURE = {"content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy"}


@pytest.fixture
def client(one_client):  # noqa: F811
    """The application; what these tests ask of it changes nothing."""
    return one_client


def ids_of(client, path="/v1/renewals", key="contract_id"):
    return [row[key] for row in client.get(path, params={"limit": 1000}).json()["rows"]]


def test_the_list_comes_by_money_at_risk_in_pages_that_repeat_nothing(client):
    seen, cursor = [], None
    while True:
        answer = client.get(
            "/v1/renewals", params={"limit": 7, **({"cursor": cursor} if cursor else {})}
        ).json()
        seen += answer["rows"]
        if not (cursor := answer["next_cursor"]):
            break
    assert len(seen) == answer["total"] == len({row["contract_id"] for row in seen})
    money = [row["at_risk"] for row in seen]
    assert money == sorted(money, reverse=True)


@pytest.mark.parametrize(
    ("params", "holds"),
    [
        ({"band": "at risk"}, lambda row: row["band"] == "at risk"),
        ({"region": "west"}, lambda row: row["region"] == "west"),
        ({"before": "2026-03-01"}, lambda row: row["end_date"] < "2026-03-01"),
    ],
)
def test_a_filter_keeps_exactly_what_fits(client, params, holds):
    every = client.get("/v1/renewals", params={"limit": 1000}).json()["rows"]
    kept = client.get("/v1/renewals", params={"limit": 1000, **params}).json()["rows"]
    assert {row["contract_id"] for row in kept} == {row["contract_id"] for row in every if holds(row)}
    assert 0 < len(kept) < len(every)


@pytest.mark.parametrize(
    ("list_path", "score_path", "key", "member"),
    [
        ("/v1/renewals", "/v1/renewals/score", "contract_id", "contract_ids"),
        ("/v1/opportunities", "/v1/opportunities/score", "opportunity_id", "opportunity_ids"),
    ],
)
def test_stored_subjects_are_scored_in_the_order_asked_for(client, list_path, score_path, key, member):
    listed = {row[key]: row for row in client.get(list_path, params={"limit": 1000}).json()["rows"]}
    ids = [*list(listed)[:3][::-1], "no such"]
    rows = client.post(score_path, json={member: ids}).json()["rows"]
    assert [row[key] for row in rows] == ids
    assert all(row["probability"] == listed[row[key]]["probability"] for row in rows[:3])
    assert all(row["reasons"] for row in rows[:3])
    assert "no such" in rows[3]["problem"]


def test_as_of_scores_as_things_stood_then(client):
    one = ids_of(client)[0]
    rows = client.post(
        "/v1/renewals/score", json={"contract_ids": [one], "as_of": "2025-12-02T00:00:00Z"}
    ).json()["rows"]
    assert rows[0]["as_of"].startswith("2025-12-02T00:00")
    assert 0 < rows[0]["probability"] < 1


@pytest.mark.parametrize("as_of", ["1999-01-01T00:00:00Z", "2040-01-01T00:00:00Z"])
def test_a_moment_at_which_nobody_could_judge_is_a_problem(client, as_of):
    one = ids_of(client)[0]
    row = client.post("/v1/renewals/score", json={"contract_ids": [one], "as_of": as_of}).json()["rows"][0]
    assert "begun and be undecided" in row["problem"]
    assert row.get("probability") is None


def test_the_callers_own_rows_score_like_stored_ones(client, one_home):  # noqa: F811
    """Everything one account has, sent as JSON, gives the very same probability."""
    with opened(Settings(home=one_home)) as crm:
        account, contract = first_lone_account(
            crm, client.get("/v1/renewals", params={"limit": 1000}).json()["rows"]
        )
        body = {
            "model": "renewal",
            "crm": {
                table: as_json_rows(crm.sql(f"SELECT * FROM {table} WHERE account_id = '{account}'"))
                for table in ("accounts", "contracts", "activities")
            },
            "as_of": crm.until.isoformat(),
        }
    answer = client.post("/v1/score/records", json=body)
    assert answer.status_code == 200, answer.text
    by_id = {row["contract_id"]: row for row in answer.json()["rows"]}
    assert 0 < by_id[contract]["probability"] < 1
    assert by_id[contract]["amount"] == pytest.approx(1234.5)
    assert client.get("/v1/renewals").json()["total"] == len(ids_of(client))


def first_lone_account(crm, rows):
    return rows[0]["account_id"], rows[0]["contract_id"]


def as_json_rows(table):
    rows = []
    for row in table.to_pylist():
        plain = {
            name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()
        }
        if "annual_value" in plain:
            plain["annual_value"] = 1234.5
        if "duration_seconds" in plain:
            plain["duration_minutes"] = (plain.pop("duration_seconds") or 0) / 60
        rows.append(plain)
    return rows


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", "/v1/renewals/score", b"{", 400, "JSON"),
        ("POST", "/v1/renewals/score", {"contract_ids": []}, 422, "contract_ids"),
        ("POST", "/v1/renewals/score", {"contract_ids": ["C1"], "nonsense": 1}, 422, "nonsense"),
        ("POST", "/v1/renewals/score", {"contract_ids": ["C1"], "as_of": "soon"}, 422, "as_of"),
        ("POST", "/v1/score/records", {"model": "churn", "crm": {}}, 422, "model"),
        ("POST", "/v1/score/records", {"model": "renewal", "crm": {"contracts": []}}, 422, "contracts"),
        ("POST", "/v1/score/records", {"model": "renewal", "crm": {**ONE, "pets": [{"a": 1}]}}, 422, "pets"),
        ("GET", "/v1/renewals?limit=0", None, 422, "limit"),
        ("GET", "/v1/renewals?order=mood", None, 422, "order"),
        ("GET", "/v1/renewals?cursor=zzz", None, 422, "cursor"),
        ("GET", "/v1/renewals?before=soon", None, 422, "before"),
        ("GET", "/v1/nothing", None, 404, "/v1/nothing"),
        ("DELETE", "/v1/renewals", None, 405, "Method"),
    ],
)  # fmt: skip
def test_every_mistake_is_a_problem_that_says_what_to_mend(client, method, path, body, status, says):
    content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    answer = client.request(method, path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert {"type", "title", "status", "detail"} <= set(problem)
    assert problem["status"] == status
    assert says in answer.text


def test_too_large_a_body_is_refused(client):
    answer = client.post("/v1/score/records", content=b"x", headers={"content-length": str(10**9)})
    assert answer.status_code == 413


def test_without_a_model_the_answer_says_how_to_get_one(settings):
    with client_of(settings.home) as client:
        answer = client.post("/v1/renewals/score", json={"contract_ids": ["C1"]})
        assert answer.status_code == 409
        assert "perennial train renewal" in answer.json()["detail"]
        assert client.get("/readyz").json() == {"status": "ready", "models": {"renewal": None, "win": None}}
        listed = client.get("/v1/renewals").json()
        assert (listed["rows"], listed["total"], listed["totals"]["amount"]) == ([], 0, 0)
        assert listed["next_cursor"] is listed["previous_cursor"] is None


def test_answers_carry_security_headers_and_are_not_cached(client):
    for path in ("/v1/renewals", "/renewals", "/docs", "/nowhere", "/static/perennial.css"):
        headers = client.get(path).headers
        assert set(headers) >= SECURE, path
    assert client.get("/v1/renewals").headers["cache-control"] == "no-store"
    assert "unsafe" not in client.get("/renewals").headers["content-security-policy"]


def test_metrics_count_by_route_and_not_by_path(client):
    for name in ("A", "B", "C"):
        client.get(f"/accounts/{name}")
    text = client.get("/metrics").text
    assert re.search(
        r'perennial_requests_total\{method="GET",route="/accounts/\{account_id:path\}",status="404"\} 3\.0',
        text,
    )
    assert "/accounts/A" not in text


def test_a_moved_alias_is_served_without_a_restart(home):  # noqa: F811
    settings = Settings(home=home, threads=1)
    with client_of(home) as client:
        one = ids_of(client)[0]
        before = client.post("/v1/renewals/score", json={"contract_ids": [one]}).json()
        with opened(settings) as crm:
            train_plainly("renewal", crm, settings, home / "next", C=0.001)
        client.app.state.running.models.refresh()
        after = client.post("/v1/renewals/score", json={"contract_ids": [one]}).json()
    assert (before["model_version"], after["model_version"]) == ("1", "2")
    assert after["rows"][0]["model_version"] == "2"
    assert after["rows"][0]["probability"] != before["rows"][0]["probability"]


def test_the_documentation_shows_every_route_of_the_description(client):
    described = client.get("/openapi.json").json()["paths"]
    shown = client.get("/docs").text
    assert {"/v1/renewals/score", "/v1/opportunities/score", "/v1/score/records", "/v1/events"} <= set(
        described
    )
    for path, methods in described.items():
        for method in methods:
            assert f"{method.upper()} {path}" in shown


def test_it_stops_in_good_order_and_a_taken_port_is_one_line(home):  # noqa: F811
    with serving(home) as first:
        assert httpx.get(f"{first.site}/v1/renewals?limit=1").status_code == 200
        with serving(home, port=int(first.site.rsplit(":", 1)[1])) as second:
            assert second.ended(60) == 2
            lines = second.output.read_text().strip().splitlines()
            assert len([line for line in lines if "Expected a free port" in line]) == 1
        os.kill(first.process.pid, signal.SIGTERM)
        assert first.ended(30) == 0


def test_it_will_not_listen_for_others_before_a_key_exists(home):  # noqa: F811
    with serving(home, "--host", "0.0.0.0") as refused:
        assert refused.ended(60) == 2
        assert "perennial keys create" in refused.output.read_text()
    open_store(Settings(home=home)).access.create_key("admin")
    with serving(home, "--host", "0.0.0.0") as running:
        assert httpx.get(f"{running.site}/v1/renewals").status_code == 401


def test_no_request_is_lost_while_a_model_is_swapped(home):  # noqa: F811
    settings = Settings(home=home, threads=1)
    with serving(home) as running, httpx.Client(base_url=running.site) as asked:
        one = asked.get("/v1/renewals?limit=1").json()["rows"][0]["contract_id"]
        versions = set()
        with opened(settings) as crm:
            train_plainly("renewal", crm, settings, home / "next", C=0.001)
        until = time.monotonic() + 10
        while time.monotonic() < until and "2" not in versions:
            answer = asked.post("/v1/renewals/score", json={"contract_ids": [one]})
            assert answer.status_code == 200
            assert answer.json()["rows"][0]["model_version"] == answer.json()["model_version"]
            versions.add(answer.json()["model_version"])
        assert versions == {"1", "2"}
