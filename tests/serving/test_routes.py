"""Every route with every role, every scope, a wrong key and none: one table, and no route outside it."""

import io
import re
from contextlib import contextmanager
from typing import NamedTuple

import pandas as pd
import pyarrow.parquet as pq
import pytest
from serving_case import client_of, home, night, one_home  # noqa: F401 (fixtures)
from starlette.requests import Request

from features.settings import Settings
from monitoring.alerts import survey_alerts
from monitoring.store import open_store
from serving.app import METHODS, create_app
from serving.pages.api_docs_page import _admitted
from serving.precompute import Prepared, WorkedOut

pytestmark = pytest.mark.slow
ROLES = ("sales", "marketing", "mlops", "admin")
SELLING, KEEPING, TARGETING = ("sales", "admin"), ("mlops", "admin"), ("marketing", "admin")
WATCHING, ALL = ("marketing", "mlops", "admin"), ROLES
OPEN = ("nobody", *ROLES)
"""A key is not asked for."""
PROVEN = {"POST /sign-in", "POST /v1/surveys/answer", "GET /surveys/{token}", "POST /surveys/{token}"}
"""Open to everybody who brings what proves them: a key to sign in with, the signed link of a survey."""


class Asked(NamedTuple):
    """A route: who may, and how it is asked in this test; {contract}, … are of somebody outside the scope."""

    roles: tuple[str, ...]
    path: str = ""
    json: dict | None = None
    form: dict | None = None
    hides: bool = False
    """A scoped key is answered 404 for what is another's."""


CALL = {"activity_id": "R-1", "account_id": "{account}", "kind": "call", "occurred_at": "2026-01-01T10:00:00"}
CRM = {
    "contracts": [
        {"contract_id": "X1", "account_id": "X", "start_date": "2025-01-01", "end_date": "2026-06-01"}
    ]
}
ROUTES = {
    "GET /livez": Asked(OPEN),
    "GET /readyz": Asked(OPEN),
    "GET /sign-in": Asked(OPEN),
    "POST /sign-in": Asked(OPEN, form={"key": ""}),
    "GET /static": Asked(OPEN, "/static/perennial.css"),
    "GET /openapi.json": Asked(ALL),
    "GET /docs": Asked(ALL),
    "GET /": Asked(ALL),
    "POST /sign-out": Asked(ALL, form={}),
    "GET /metrics": Asked(KEEPING),
    "POST /v1/renewals/score": Asked(SELLING, json={"contract_ids": ["{contract}"]}),
    "POST /v1/opportunities/score": Asked(SELLING, json={"opportunity_ids": ["{opportunity}"]}),
    "POST /v1/score/records": Asked(("sales", "mlops", "admin"), json={"model": "renewal", "crm": CRM}),
    "POST /v1/score/features": Asked(("sales", "mlops", "admin"), json={"columns": {"days_to_end": [40.0]}}),
    "POST /v1/events": Asked(SELLING, json={"table": "activities", "rows": [CALL]}),
    "POST /v1/outcomes": Asked(
        ("sales", "mlops", "admin"), json={"rows": [{"contract_id": "{contract}", "outcome": "renewed"}]}
    ),
    "GET /v1/renewals": Asked(SELLING, "/v1/renewals?limit=1000"),
    "GET /v1/opportunities": Asked(SELLING, "/v1/opportunities?limit=1000"),
    "POST /v1/what_if": Asked(
        SELLING, json={"contract_id": "{contract}", "changes": {"calls_30d": 1}}, hides=True
    ),
    "GET /v1/forecast": Asked(SELLING),
    "POST /v1/icp/fit": Asked(TARGETING, json={"accounts": [{"id": "P-1"}]}),
    "GET /v1/icp/list": Asked(TARGETING),
    "GET /v1/icp/profiles": Asked(TARGETING),
    "GET /v1/icp/list.{ending}": Asked(TARGETING, "/v1/icp/list.csv"),
    "GET /renewals": Asked(SELLING),
    "GET /renewals/by-rep": Asked(SELLING),
    "GET /tasks": Asked(SELLING),
    "POST /tasks/{task_id}/{step}": Asked(SELLING, "/tasks/none/start", form={}, hides=True),
    "POST /bulk/{kind}": Asked(
        SELLING, "/bulk/renewal", form={"id": "{contract}", "do": "status", "status": "agreed"}
    ),
    "POST /views": Asked(SELLING, form={"page": "/renewals", "name": "mine", "query": ""}),
    "POST /views/{view_id}/drop": Asked(SELLING, "/views/none/drop", form={}),
    "GET /glossary": Asked(ALL),
    "GET /renewals/export.{ending}": Asked(SELLING, "/renewals/export.parquet"),
    "POST /renewals/{contract_id}/override": Asked(
        SELLING, "/renewals/{contract}/override", form={"probability": "50"}, hides=True
    ),
    "GET /accounts/{account_id:path}": Asked(SELLING, "/accounts/{account}", hides=True),
    "POST /actions/{kind}/{subject_id:path}": Asked(
        SELLING, "/actions/renewal/{contract}", form={"action": "Called"}, hides=True
    ),
    "GET /what-if/{contract_id:path}": Asked(SELLING, "/what-if/{contract}?calls_30d=1", hides=True),
    "GET /pipeline": Asked(SELLING),
    "GET /pipeline/export.{ending}": Asked(SELLING, "/pipeline/export.csv"),
    "GET /forecast": Asked(SELLING),
    "GET /forecast/export.{ending}": Asked(SELLING, "/forecast/export.xlsx"),
    "GET /effects": Asked(("sales", "marketing", "admin")),
    "GET /effects/plan.{ending}": Asked(SELLING, "/effects/plan.csv"),
    "GET /experiments": Asked(ALL),
    "GET /v1/experiments": Asked(ALL),
    "GET /churn-drivers": Asked(ALL),
    "GET /profiles": Asked(TARGETING),
    "GET /profiles/targets.{ending}": Asked(TARGETING, "/profiles/targets.csv"),
    "GET /journey": Asked(WATCHING),
    "GET /voice": Asked(ALL),
    "GET /reach": Asked(WATCHING),
    "GET /v1/icp/reach": Asked(WATCHING),
    "GET /kpis": Asked(ALL),
    "GET /v1/kpis": Asked(ALL),
    "GET /v1/tasks": Asked(SELLING),
    "POST /v1/tasks/{task_id}/{step}": Asked(SELLING, "/v1/tasks/none/done", json={}, hides=True),
    "POST /v1/surveys/answer": Asked(OPEN, json={"token": "none", "score": 5}),
    "GET /surveys/{token}": Asked(OPEN, "/surveys/none"),
    "POST /surveys/{token}": Asked(OPEN, "/surveys/none", form={"score": "5"}),
    "GET /models": Asked(KEEPING),
    "GET /status": Asked(KEEPING),
    "GET /identity": Asked(KEEPING),
    "POST /identity": Asked(KEEPING, form={"left": "none", "right": "other", "decision": "same"}),
    "GET /touchpoints": Asked(WATCHING),
    "GET /models/{kind}/report": Asked(KEEPING, "/models/renewal/report"),
    "GET /models/{kind}/{version}/card": Asked(KEEPING, "/models/renewal/1/card"),
    "POST /models/{kind}/promote": Asked(KEEPING, "/models/renewal/promote", form={"version": "1"}),
    "POST /models/{kind}/rollback": Asked(KEEPING, "/models/renewal/rollback", form={}),
    "POST /alerts/{alert_id}/{step}": Asked(KEEPING, "/alerts/none/close", form={}),
}


@pytest.fixture
def store(home):  # noqa: F811
    return open_store(Settings(home=home))


@pytest.fixture(autouse=True)
def _no_long_work(monkeypatch):
    """Effects, profiles and the journey are tested where they are worked out."""
    monkeypatch.setattr(WorkedOut, "ask", lambda self, name, *rest, **more: Prepared(None, "not now", False))


def routes_of(routes) -> set[str]:
    found = set()
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            found |= routes_of(included.routes)
        else:
            methods = getattr(route, "methods", None) or {"GET"}
            found |= {f"{method} {route.path}" for method in methods - {"HEAD"}}
    return found


def test_every_route_is_in_the_table():
    """A new route needs a line above: who may ask it, and with what."""
    everything_else = {f"{method} /{{path:path}}" for method in METHODS}
    assert routes_of(create_app().routes) - everything_else == set(ROUTES)


def filled(value, ids):
    if isinstance(value, str):
        return re.sub(r"\{(contract|opportunity|account)\}", lambda hit: ids[hit[1]], value)
    if isinstance(value, dict):
        return {name: filled(part, ids) for name, part in value.items()}
    return [filled(part, ids) for part in value] if isinstance(value, list) else value


def ask(client, name, ids, **headers):
    """One route of the table, forms with the token of whoever asks."""
    method, template = name.split(" ")
    asked = ROUTES[name]
    path = filled(asked.path or template, ids)
    if asked.form is None:
        return client.request(
            method, path, json=filled(asked.json, ids), headers=headers, follow_redirects=False
        )
    form = {**filled(asked.form, ids), **form_of(client)}
    return client.request(method, path, data=form, headers=headers, follow_redirects=False)


def form_of(client):
    """The token that a form of somebody without a session carries."""
    scope = {"type": "http", "headers": [(b"host", b"127.0.0.1")], "scheme": "http", "path": "/"}
    request = Request({**scope, "server": None, "query_string": b""})
    return {"csrf": client.app.state.running.door.csrf_token(request)}


def bearer(key):
    return {"authorization": f"Bearer {key}"}


def anybodys(store):
    renewal, deal = store.scores.page("renewal", limit=1).rows[0], store.scores.page("win", limit=1).rows[0]
    ids = {"contract": renewal["contract_id"], "account": renewal["account_id"]}
    return ids | {"opportunity": deal["opportunity_id"]}


def test_every_route_with_every_role(home, store):  # noqa: F811
    keys = {role: store.access.create_key(role, label=role)[0] for role in ROLES}
    ids = anybodys(store)
    with client_of(home) as client:
        for name, asked in ROUTES.items():
            for role in ROLES:
                answer = ask(client, name, ids, **bearer(keys[role]))
                assert (answer.status_code == 403) == (role not in asked.roles), (
                    name,
                    role,
                    answer.text[:300],
                )
                assert answer.status_code not in (405, 500, 504), (name, role, answer.text[:300])
                if name not in PROVEN:
                    assert answer.status_code != 401, (name, role)


@pytest.mark.parametrize("headers", [{}, bearer("wrong"), bearer(""), {"authorization": "Basic YTpi"}])
def test_no_route_answers_without_a_valid_key(home, store, headers):  # noqa: F811
    store.access.create_key("admin")
    ids = anybodys(store)
    with client_of(home) as client:
        for name, asked in ROUTES.items():
            answer = ask(client, name, ids, **headers)
            if asked.roles is OPEN:
                assert answer.status_code == (401 if name in PROVEN else 200), name
                continue
            assert answer.status_code == 401, (name, answer.status_code)
            assert answer.headers["content-type"] == "application/problem+json", name
            assert answer.headers["www-authenticate"].startswith("Bearer"), name
            page = ask(client, name, ids, **{**headers, "accept": "text/html"})
            is_page = not name.split(" ")[1].startswith(("/v1/", "/openapi", "/metrics"))
            assert page.status_code == (303 if is_page else 401), name


@pytest.mark.parametrize(
    ("address", "host"),
    [("10.0.0.7", "127.0.0.1"), ("127.0.0.1", "rebound.example"), ("127.0.0.1", "10.0.0.7")],
)
def test_while_no_key_exists_no_route_answers_others(one_home, address, host):  # noqa: F811
    ids = anybodys(open_store(Settings(home=one_home)))
    with client_of(one_home, address=address, base=f"http://{host}") as client:
        for name, asked in ROUTES.items():
            answer = ask(client, name, ids)
            assert answer.status_code == (401 if name in PROVEN else 200 if asked.roles is OPEN else 403), (
                name
            )


def foreign(rows, scope):
    """Ids (of accounts, contracts, deals) that lie outside a scope, and not also inside."""
    column, own = scope
    inside, outside = set(), set()
    for row in rows:
        ids = {row["account_id"], row["subject_id"]}
        (inside if row[column] == own else outside).update(ids)
    return outside - inside


def words_of(response) -> set[str]:
    """Everything that looks like an id in an answer, whatever its format."""
    kind = response.headers.get("content-type", "")
    if "parquet" in kind:
        text = pq.read_table(io.BytesIO(response.content)).to_pandas().to_csv()
    elif "spreadsheet" in kind:
        text = pd.read_excel(io.BytesIO(response.content), dtype=str).to_csv()
    else:
        text = response.text
    return set(re.findall(r"[A-Z]\d{5,}", text))


@pytest.mark.parametrize("column", ["owner_id", "region"])
def test_scopes_hold_on_every_route(home, store, column):  # noqa: F811
    every = store.scores.page("renewal", limit=1_000).rows + store.scores.page("win", limit=1_000).rows
    own = next(row[column] for row in every if row[column])
    others = foreign(every, (column, own))
    renewal = next(row for row in every if row["kind"] == "renewal" and row["account_id"] in others)
    deal = next(row for row in every if row["kind"] == "win" and row["subject_id"] in others)
    ids = {
        "contract": renewal["subject_id"],
        "account": renewal["account_id"],
        "opportunity": deal["subject_id"],
    }
    keys = {role: store.access.create_key(role, **{column: own})[0] for role in ROLES}
    low = [
        {"account_id": one, "kind": "nps", "score": 1} for one in sorted(others)[:5] if one.startswith("A")
    ]
    survey_alerts(store, Settings(home=home), low)
    theirs = store.alerts.read()[0]["alert_id"]
    with client_of(home) as client:
        for name, asked in ROUTES.items():
            for role in set(asked.roles) & set(ROLES):
                answer = ask(client, name, ids, **bearer(keys[role]))
                leaked = (words_of(answer) & others) - set(ids.values())
                assert not leaked, (name, role, leaked)
                if asked.hides:
                    assert answer.status_code == 404, (name, role, answer.status_code)
                assert answer.status_code < 500, (name, role, answer.text[:300])
        closing = client.post(f"/alerts/{theirs}/close", data=form_of(client), headers=bearer(keys["mlops"]))
        assert closing.status_code == 404
        assert (
            low[0]["account_id"]
            in client.get("/models", headers=bearer(store.access.create_key("mlops")[0])).text
        )
        seller = bearer(keys["sales"])
        for name in ("POST /v1/renewals/score", "POST /v1/opportunities/score"):
            row = ask(client, name, ids, **seller).json()["rows"][0]
            assert "There is no" in row["problem"]
            assert row.get("probability") is None
        assert (
            "there is no account" in ask(client, "POST /v1/events", ids, **seller).json()["refused"][0]["why"]
        )
        assert "there is no" in ask(client, "POST /v1/outcomes", ids, **seller).json()["refused"][0]["why"]
        mine = {row["subject_id"] for row in every if row[column] == own and row["kind"] == "renewal"}
        assert {
            row["contract_id"] for row in ask(client, "GET /v1/renewals", ids, **seller).json()["rows"]
        } == mine
    assert store.judgements.overrides("renewal").empty
    assert store.judgements.actions("renewal").empty
    assert not store.events.read(account_id=ids["account"])
    assert store.outcomes.read("renewal").empty


@contextmanager
def reading_segments(monkeypatch):
    """A journey whose groups come from the table `segments`, among others."""
    row = {"stage": "win", "group": "nebula", "n": 10, "rate": 0.5, "low": 0.4, "high": 0.6, "of": 20}
    answer = {
        "rows": [{**row, "attribute": "zodiac"}, {**row, "attribute": "region", "group": "west"}],
        "gaps": [{**row, "attribute": "zodiac", "why": "zodiac"}], "costs": [],
        "from_segments": ["zodiac"],
    }  # fmt: skip
    from serving.pages import journey_page

    yield journey_page.visible_journey, answer


def test_segments_are_for_mlops(monkeypatch):
    from serving.security.auth import Principal

    with reading_segments(monkeypatch) as (seen, answer):
        for role in ROLES:
            shown = str(seen(answer, Principal("k", role)))
            assert ("nebula" in shown) == (role in KEEPING), role


def test_the_documentation_tells_who_may(home):  # noqa: F811
    answer = {
        f"{method.upper()} {route.path}": who for route, method, who in _admitted(create_app().routes) if who
    }
    for name, asked in ROUTES.items():
        if name.partition(" ")[2].startswith("/v1"):
            assert set(answer.get(name, OPEN)) == set(asked.roles), name
    with client_of(home) as client:
        page = client.get("/docs", headers={"accept": "text/html"}).text
    assert page.count("for sales, admin") == sum(asked.roles == SELLING for asked in _documented().values())
    assert "curl &#39;http://127.0.0.1/v1/icp/list.csv?weights=" in page


def _documented():
    return {name: asked for name, asked in ROUTES.items() if "/v1/" in name}
