"""One rule on every route: the owner of the contract or deal itself decides, else the owner of its account.

The CRM is one in which the owners of an account, its contracts and its deals differ, and some have none.
"""

import re

import pandas as pd
import pytest
from serving_case import client_of, train_plainly

from features.crm.load import ingest
from features.owners import account_owners, owners_of
from features.settings import Settings
from features.simulation import simulate
from monitoring.alerts import risk_alerts
from monitoring.store import open_store
from serving.pages.site import PARTS
from serving.precompute import churn_drivers_of, similar_of, work_out
from serving.scoring.batch import score

pytestmark = pytest.mark.slow
MINE = "OWN-1"
OWNERS = (MINE, "OWN-2", "OWN-3")


def with_owners(folder):
    """Rewrite the owners: of accounts in turn, of contracts one further, of deals two; every fourth none."""
    for table, shift in (("accounts", 0), ("contracts", 1), ("opportunities", 2)):
        path = folder / f"{table}.csv"
        rows = pd.read_csv(path, dtype=str)
        at = pd.factorize(rows["account_id"])[0] + shift
        rows["owner_id"] = pd.Series(at).map(lambda number: OWNERS[number % 3])
        if shift:
            rows.loc[rows.index % 4 == 0, "owner_id"] = None
        rows.to_csv(path, index=False)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    place = tmp_path_factory.mktemp("scope")
    simulate(place / "crm", accounts=200, seed=4, draws=0)
    with_owners(place / "crm")
    settings = Settings(home=place / "home", threads=1)
    crm = ingest(place / "crm", settings)
    for kind in ("renewal", "win"):
        train_plainly(kind, crm, settings, place / kind)
        score(kind, crm, settings)
    for name in ("retention", similar_of("1"), churn_drivers_of({"renewal": "1", "win": "1"})):
        work_out(name, settings)
    return settings


@pytest.fixture(scope="module")
def whose(settings):
    """Every contract and deal with its account and the owner who decides, worked out here by hand."""
    from features.crm.crm import read_crm
    from features.crm.load import current_folder

    crm = read_crm(current_folder(settings))
    parts = []
    accounts = crm.frame("accounts", ["account_id", "owner_id"]).rename(columns={"owner_id": "of_account"})
    for table, key in (("contracts", "contract_id"), ("opportunities", "opportunity_id")):
        rows = crm.frame(table, [key, "account_id", "owner_id"]).rename(columns={key: "id"})
        rows = rows.merge(accounts, on="account_id", how="left")
        rows["decides"] = rows["owner_id"].fillna(rows["of_account"])
        if table == "opportunities":  # a deal names the contract it renews, whoever has that one
            named = crm.frame(table, ["opportunity_id", "contract_id"]).set_index("opportunity_id")[
                "contract_id"
            ]
            result = set(named.reindex(rows.loc[rows["decides"] == MINE, "id"]).dropna())
            parts[0]["is_told"] = parts[0]["id"].isin(result)
        parts.append(rows.assign(table=table))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def ask(settings):
    key = open_store(settings).access.create_key("sales", label="one owner", owner_id=MINE)[0]

    def asked(path, method="GET", **more):
        headers = {"accept": "text/html"} if method == "GET" else {}
        for _ in range(20):
            answer = client.request(method, path, follow_redirects=False, headers=headers, **more)
            if answer.status_code not in (503, 504):  # a machine that is busy with other things
                break
        return answer

    with client_of(settings.home, key=key) as client:
        yield asked


def foreign_in(text, whose):
    """Contracts and deals of others that a text names."""
    words = set(re.findall(r"[\w-]+", text))
    others = whose[(whose["decides"] != MINE) & ~whose["is_told"].fillna(False).astype(bool)]
    return sorted(words & set(others["id"]))


LISTS = (
    "/v1/renewals?limit=1000", "/v1/opportunities?limit=1000", "/v1/forecast", "/renewals", "/pipeline",
    "/renewals?q=a", "/pipeline?q=a", "/renewals/export.csv", "/pipeline/export.csv", "/forecast",
    "/forecast/export.csv", "/churn-drivers", "/churn-drivers?kind=win", "/docs", "/", "/effects",
    "/v1/tasks", "/tasks", "/tasks?state=closed", "/renewals/by-rep",
)  # fmt: skip
ELSEWHERE = {
    "/accounts/{account_id:path}", "/what-if/{contract_id:path}", "/actions/{kind}/{subject_id:path}",
    "/renewals/{contract_id:path}/override", "/v1/renewals/score", "/v1/opportunities/score", "/v1/what_if",
    "/v1/events",
}  # fmt: skip
"""Routes about one customer: each has a test below."""
NOT_STORED = {
    "/v1/score/records",
    "/v1/score/features",
    "/livez",
    "/readyz",
    "/openapi.json",
    "/glossary",
    "/sign-in",
    "/sign-out",
    "/surveys/{token}",
}
"""Routes that show no stored customer."""


def test_the_rule_fills_what_has_no_owner_from_the_account(settings, whose):
    from features.crm.crm import read_crm
    from features.crm.load import current_folder

    crm = read_crm(current_folder(settings))
    for kind, table in (("renewal", "contracts"), ("win", "opportunities")):
        rows = whose[whose["table"] == table].sample(frac=1, random_state=0)
        assert rows["owner_id"].isna().any()
        assert (rows["owner_id"].notna() & (rows["owner_id"] != rows["of_account"])).any()
        assert owners_of(crm, kind, rows["id"]).tolist() == rows["decides"].tolist()
    assert set(account_owners(crm)) == set(OWNERS)


def test_every_route_a_seller_may_ask_is_in_a_table_here(ask):
    from serving.app import create_app

    app = create_app()
    pages = {route.path for part in PARTS for route in part.router.routes}
    routes = pages | set(app.openapi()["paths"]) | {"/openapi.json"}
    listed = {path.partition("?")[0].replace(".csv", ".{ending}") for path in LISTS}
    rest = {
        path
        for path in routes
        if path.replace(":path", "") not in {p.replace(":path", "") for p in listed | ELSEWHERE | NOT_STORED}
    }
    refused = {
        path for path in rest if ask(re.sub(r"{\w+(:path)?}", "1", path)).status_code in (403, 404, 405)
    }
    assert rest - refused == {path for path in rest - refused if path.startswith("/effects")}


@pytest.mark.parametrize("path", LISTS)
def test_a_list_names_own_contracts_and_deals_only(ask, whose, path):
    result = ask(path)
    assert result.status_code in (200, 303, 307), result.text[:300]
    assert foreign_in(result.text, whose) == []


def test_lists_name_all_of_ones_own(ask, settings, whose):
    store = open_store(settings)
    for kind, path, key in (
        ("renewal", "/v1/renewals", "contract_id"),
        ("win", "/v1/opportunities", "opportunity_id"),
    ):
        running = {row["subject_id"] for row in store.scores.page(kind, limit=1_000).rows}
        mine = set(whose[whose["decides"] == MINE]["id"]) & running
        assert mine
        assert running - mine
        assert {row[key] for row in ask(f"{path}?limit=1000").json()["rows"]} == mine


def test_a_customers_page_shows_what_is_in_scope_and_no_event_of_the_rest(ask, settings, whose):
    store = open_store(settings)
    accounts = store.scores.page("renewal", limit=1_000).rows + store.scores.page("win", limit=1_000).rows
    for row in accounts:
        if row["kind"] == "win":
            risk_alerts(store, settings, "win", [{**row, "previous_probability": 0.99, "probability": 0.01}])
    mixed = seen = 0
    for account in sorted({row["account_id"] for row in accounts})[:60]:
        rows = whose[whose["account_id"] == account]
        result = ask(f"/accounts/{account}")
        is_known = MINE in set(rows["of_account"]) or any(
            row["owner_id"] == MINE for row in accounts if row["account_id"] == account
        )
        assert result.status_code == (200 if is_known else 404), account
        assert foreign_in(result.text, whose) == [], account
        seen += is_known
        mixed += is_known and (rows["decides"] != MINE).any()
    assert mixed > 5 < seen


def test_others_contracts_and_deals_are_not_scored_tried_judged_or_acted_on(ask, settings, whose):
    store = open_store(settings)
    token = re.search(r'name="csrf" value="([^"]+)"', ask("/renewals").text).group(1)
    form = {"csrf": token, "probability": "10", "reason": "x", "action": "Called"}
    for kind, path, key in (
        ("renewal", "/v1/renewals/score", "contract_ids"),
        ("win", "/v1/opportunities/score", "opportunity_ids"),
    ):
        rows = store.scores.page(kind, limit=200).rows
        owner = whose.set_index("id")["decides"]
        ids = [row["subject_id"] for row in rows][:40]
        for moment in ({}, {"as_of": "2025-11-30"}):
            found = ask(path, "POST", json={key: ids, **moment}).json()["rows"]
            scored = [one[key[:-1]] for one in found if one.get("probability") is not None]
            assert scored
            assert {owner[one] for one in scored} == {MINE}
        other = next(one for one in ids if owner[one] != MINE)
        assert ask(f"/actions/{kind}/{other}", "POST", data=form).status_code == 404
        if kind == "renewal":
            changes = {"contract_id": other, "changes": {"calls_30d": 3}}
            assert ask("/v1/what_if", "POST", json=changes).status_code == 404
            assert ask(f"/what-if/{other}?calls_30d=3").status_code == 404
            assert ask(f"/renewals/{other}/override", "POST", data=form).status_code == 404


def test_an_event_is_taken_for_ones_own_and_answered_without_the_rest(ask, settings, whose):
    store = open_store(settings)
    running = {row["subject_id"] for row in store.scores.page("renewal", limit=1_000).rows}
    rows = whose[(whose["table"] == "contracts") & whose["id"].isin(running)]
    mine = rows[(rows["decides"] == MINE) & (rows["of_account"] != MINE)].iloc[0]
    other = rows[(rows["decides"] != MINE) & (rows["of_account"] == MINE)].iloc[0]
    call = {"kind": "call", "occurred_at": "2025-12-01"}

    def sent(name, row, **more):
        event = {**call, "activity_id": name, "account_id": row["account_id"], **more}
        return ask("/v1/events", "POST", json={"table": "activities", "rows": [event]}).json()

    own = sent("E-1", mine, contract_id=mine["id"])
    assert (own["stored"], own["refused"]) == (1, [])
    assert mine["id"] in {row["contract_id"] for row in own["rows"]}
    refused = sent("E-2", other, contract_id=other["id"])
    assert (refused["stored"], len(refused["refused"])) == (0, 1)
    account_level = sent("E-3", other)
    assert account_level["stored"] == 1
    assert len(sent("E-4", mine)["refused"]) == 1
    assert foreign_in(str(own["rows"]) + str(account_level), whose) == []
