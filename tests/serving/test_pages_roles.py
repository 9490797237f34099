"""Who sees what on the pages: roles, owner and region scopes, exports; and sound markup for all."""

import json
import re
from functools import cache
from importlib.resources import files

import pandas as pd
import pytest
from contrast import FAINT_TEXT
from folders import copy_of
from pages_case import NEEDS_CHROMIUM, browser, informed, night, served, watched_page  # noqa: F401
from serving_case import client_of

from features.identity.links import COLUMNS, keep_links
from features.settings import Settings
from monitoring.store import open_store
from serving.app import create_app
from serving.pages.site import PARTS
from serving.precompute import FOLDER

pytestmark = pytest.mark.slow

ROLES = ("sales", "marketing", "mlops", "admin")
MAY = {
    "/renewals": ("sales", "admin"),
    "/renewals/export.csv": ("sales", "admin"),
    "/renewals/by-rep": ("sales", "admin"),
    "/tasks": ("sales", "admin"),
    "/glossary": ROLES,
    "/pipeline": ("sales", "admin"),
    "/pipeline/export.csv": ("sales", "admin"),
    "/forecast": ("sales", "admin"),
    "/forecast/export.csv": ("sales", "admin"),
    "/experiments": ROLES,
    "/voice": ROLES,
    "/kpis": ROLES,
    "/churn-drivers": ROLES,
    "/profiles": ("marketing", "admin"),
    "/profiles/targets.csv": ("marketing", "admin"),
    "/journey": ("marketing", "mlops", "admin"),
    "/reach": ("marketing", "mlops", "admin"),
    "/models": ("mlops", "admin"),
    "/status": ("mlops", "admin"),
    "/identity": ("mlops", "admin"),
    "/touchpoints": ("marketing", "mlops", "admin"),
    "/docs": ROLES,
}
LINKS = {
    "sales": [
        "Renewals",
        "Pipeline",
        "Tasks",
        "Forecast",
        "Effects",
        "Experiments",
        "KPIs",
        "Voice",
        "Churn drivers",
        "API",
    ],
    "marketing": ["Effects", "Experiments", "Profiles", "Journey", "KPIs", "Voice", "Churn drivers", "API"],
    "mlops": ["Experiments", "Journey", "KPIs", "Voice", "Churn drivers", "Models", "Status", "API"],
    "admin": [
        "Renewals",
        "Pipeline",
        "Tasks",
        "Forecast",
        "Effects",
        "Experiments",
        "Profiles",
        "Journey",
        "KPIs",
        "Voice",
        "Churn drivers",
        "Models",
        "Status",
        "API",
    ],
}


@pytest.fixture(scope="module")
def home(informed, tmp_path_factory):  # noqa: F811
    """A home of this file's own, with a pair of records to decide."""
    home = copy_of(informed, tmp_path_factory.mktemp("roles") / "home")
    pair = pd.DataFrame([("crm:1", "billing:7", "Acme", "ACME Inc", 0.6, "", "model")], columns=COLUMNS)
    keep_links(home, pair, judged=set())
    return home


@pytest.fixture(scope="module")
def rows(home):
    return pd.DataFrame(open_store(Settings(home=home)).scores.page("renewal", limit=1_000).rows)


@pytest.fixture(scope="module")
def keys(home, rows):
    store = open_store(Settings(home=home))
    made = {role: store.access.create_key(role, label=f"the {role}")[0] for role in ROLES}
    owner, region = rows["owner_id"].mode()[0], rows["region"].mode()[0]
    made["owner"] = store.access.create_key("sales", label="one owner", owner_id=owner)[0]
    made["region"] = store.access.create_key("sales", label="one region", region=region)[0]
    return made


@pytest.fixture(scope="module")
def ask(home, keys):
    """Ask for an address as the holder of a key."""
    with client_of(home) as client:
        yield lambda key, path, **more: client.request(
            more.pop("method", "GET"),
            path,
            headers={"authorization": f"Bearer {keys[key]}", "accept": "text/html"},
            follow_redirects=False,
            **more,
        )


@pytest.mark.parametrize("path", MAY)
@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_its_pages_and_is_refused_the_others(ask, path, role):
    result = ask(role, path)
    assert result.status_code == (200 if role in MAY[path] else 403)


@pytest.mark.parametrize("path", ["/models/renewal/1/card", "/models/renewal/report"])
def test_what_was_not_made_is_not_there_for_keepers_and_refused_to_others(ask, path):
    assert [ask(role, path).status_code for role in ROLES] == [403, 403, 404, 404]


def test_every_page_is_in_the_table():
    pages = {
        route.path.replace("{ending}", "csv")
        for part in PARTS
        for route in part.router.routes
        if "GET" in route.methods and not route.path.startswith("/effects")
    }
    made_for_one = {"/accounts/{account_id:path}", "/what-if/{contract_id:path}"}
    models = {"/models/{kind}/{version}/card", "/models/{kind}/report"}
    assert pages == set(MAY) | made_for_one | models | {"/sign-in", "/surveys/{token}"}


@pytest.mark.parametrize(("key", "column"), [("owner", "owner_id"), ("region", "region")])
def test_a_scope_holds_on_every_page_and_export(ask, rows, key, column):
    own = rows[column].mode()[0]
    mine, others = rows[rows[column] == own], rows[rows[column] != own]
    listed = ask(key, "/renewals?order=amount").text
    assert not [name for name in others["contract_id"] if f">{name} " in listed]
    assert [name for name in mine["contract_id"] if f"{name} " in listed]
    saved = csv_of(ask(key, "/renewals/export.csv"))
    assert set(saved["contract_id"]) == set(mine["contract_id"])
    deals = csv_of(ask(key, "/pipeline/export.csv"))
    assert set(deals[column]) == {own}
    whole = csv_of(ask(key, "/forecast/export.csv")).iloc[-1]
    everybody = csv_of(ask("sales", "/forecast/export.csv")).iloc[-1]
    assert mine["amount"].sum() - 0.01 <= whole["up"] < everybody["up"]
    foreign = others.iloc[0]
    assert ask(key, f"/accounts/{foreign['account_id']}").status_code == 404
    assert ask(key, f"/what-if/{foreign['contract_id']}?discount_pct=10").status_code == 404
    name = "owner" if column == "owner_id" else "region"
    assert ask(key, f"/renewals?{name}={foreign[column]}").status_code == 403
    assert ask(key, f"/forecast?{name}={foreign[column]}").status_code == 403


@pytest.mark.parametrize(("key", "column"), [("owner", "owner_id"), ("region", "region")])
def test_customers_alike_and_losses_are_of_the_scope_only(ask, home, rows, key, column):
    own = rows[column].mode()[0]
    past = pd.DataFrame(result(home, "similar")["known"])
    foreign = set(past[past[column] != own]["contract_id"])
    account = rows[rows[column] == own].iloc[0]["account_id"]
    page = ask(key, f"/accounts/{account}").text
    listed = set(re.findall(r'<span class="sub">([^<]+)</span>', page))
    assert not listed & foreign
    groups = re.findall(r'<h2 id="g\\d+">([^<]+)</h2>', ask(key, "/churn-drivers").text)
    assert set(groups) <= {own, result(home, "churn-drivers")["renewal"]["names"].get(own, own)}


def test_a_scoped_judgement_of_anothers_contract_is_refused(ask, home, rows):
    other = rows[rows["owner_id"] != rows["owner_id"].mode()[0]].iloc[0]["contract_id"]
    page = ask("owner", "/renewals").text
    token = re.search(r'name="csrf" value="([^"]+)"', page).group(1)
    result = ask(
        "owner",
        f"/renewals/{other}/override",
        method="POST",
        data={"csrf": token, "probability": "10", "reason": "not mine"},
    )
    assert result.status_code == 404
    assert open_store(Settings(home=home)).judgements.overrides("renewal").empty


def test_segments_are_seen_by_their_keepers_alone(ask, home):
    secret = result(home, "journey")["from_segments"]
    assert secret
    hidden = [f">By {name.replace('_', ' ')}<" for name in secret]
    assert all(words in ask("mlops", "/journey").text for words in hidden)
    assert not any(words in ask("marketing", "/journey").text for words in hidden)


def test_what_the_list_does_to_segments_is_named_to_their_keepers_alone(ask, home):
    found = result(home, "icp")
    assert found["list"]["reach"]
    named = {row["attribute"].replace("_", " ") for row in found["list"]["reach"]}
    for key, path in (("mlops", "/journey"), ("admin", "/journey"), ("admin", "/profiles")):
        page = ask(key, path).text
        assert "Who the list leaves out" in page or "Who the targeting list leaves out" in page
        assert all(f"{name}: " in page for name in named)
    page = ask("marketing", "/profiles").text
    assert f"Of {len(found['list']['reach'])} audited groups" in page
    assert not any(name in page for name in named)
    listed, profiles = (ask("marketing", f"/v1/icp/{what}") for what in ("list", "profiles"))
    assert (listed.status_code, profiles.status_code) == (200, 200)
    assert not any(name in listed.text + profiles.text for name in (*named, *_plain(named)))
    assert [row["id"] for row in listed.json()["rows"]] == [row["id"] for row in found["list"]["rows"]]
    assert [each["rule"] for each in profiles.json()["profiles"]] == [
        each["rule"] for each in found["profiles"]["profiles"]
    ]
    whole = ask("admin", "/v1/icp/list").json()
    assert len(whole["reach"]) == len(found["list"]["reach"])


def _plain(named):
    return {name.replace(" ", "_") for name in named}


def test_taking_a_list_is_noted(ask, home):
    ask("sales", "/forecast/export.csv")
    ask("sales", "/renewals/export.csv?band=watch")
    entries = open_store(Settings(home=home)).audit.read(limit=5)
    taken = {(entry["actor"], entry["action"], entry["subject"]) for entry in entries}
    assert {("the sales", "export", "forecast"), ("the sales", "export", "renewal")} <= taken


def test_before_anything_is_scored_the_pages_say_what_to_run(settings):
    from starlette.testclient import TestClient

    with TestClient(create_app(settings), base_url="http://127.0.0.1", client=("127.0.0.1", 1)) as client:
        for path, words in (
            ("/renewals", "perennial train renewal"),
            ("/pipeline", "perennial train win"),
            ("/forecast", "perennial train renewal"),
            ("/churn-drivers", "perennial ingest"),
            ("/journey", "perennial ingest"),
            ("/models", "perennial train win"),
        ):
            result = client.get(path, headers={"accept": "text/html"})
            assert result.status_code == 200
            assert words in result.text


def csv_of(answer):
    from io import StringIO

    assert answer.status_code == 200
    return pd.read_csv(StringIO(answer.text))


def result(home, name):
    """A long answer as it was worked out."""
    return json.loads(next((home / FOLDER).glob(f"{name}*.json")).read_text())["value"]


@pytest.fixture(scope="module")
def site(home, keys):
    with served(home) as address:
        yield address


@pytest.fixture(scope="module")
def doors(browser, site, keys):  # noqa: F811
    """For each role the state of a browser that has signed in."""
    states = {}
    for role in ROLES:
        context = browser.new_context(base_url=site)
        page = context.new_page()
        page.goto("/renewals?band=watch" if role == "sales" else "/")
        page.get_by_label("Key").fill(keys[role])
        page.get_by_role("button", name="Sign in").click()
        states[role] = context.storage_state()
        context.close()
    return states


@NEEDS_CHROMIUM
@pytest.mark.parametrize("role", ROLES)
def test_a_role_starts_at_its_page_and_has_links_to_its_own_only(browser, site, doors, role):  # noqa: F811
    with watched_page(browser, site, storage_state=doors[role]) as page:
        page.goto("/")
        assert page.locator("nav.nav a").all_inner_texts() == LINKS[role]
        assert page.locator("nav.nav a[aria-current=page]").count() == 1
        assert f"the {role}" in page.locator("header").inner_text()


@NEEDS_CHROMIUM
def test_signing_in_with_a_wrong_key_and_out(browser, site, keys):  # noqa: F811
    with watched_page(browser, site) as page:
        page.goto("/renewals?band=watch")
        page.get_by_label("Key").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        assert "not valid" in page.get_by_role("alert").inner_text()
        page.get_by_label("Key").fill(keys["sales"])
        page.get_by_role("button", name="Sign in").click()
        assert page.url.endswith("/renewals?band=watch")
        assert page.goto("/models").status == 403
        assert "This page is for" in page.locator("main").inner_text()
        page.go_back()
        page.get_by_role("button", name="Sign out").click()
        assert page.url.endswith("/sign-in")


PAGES = [*(path for path in MAY if "." not in path), "/effects", "/accounts/A000001", "/nowhere"]


@cache
def axe() -> str:
    """axe-core, as the package axe-playwright-python ships it: nothing is fetched."""
    return (files("axe_playwright_python") / "axe.min.js").read_text()


@NEEDS_CHROMIUM
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious_and_nothing_overflows(browser, site, doors, path, rows):  # noqa: F811
    path = path.replace("A000001", rows.iloc[0]["account_id"])
    with watched_page(browser, site, storage_state=doors["admin"]) as page:
        page.goto(path)
        assert page.locator("h1").count() == 1
        assert page.title()
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        page.evaluate(axe())
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        grave = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
        assert [(each["id"], each["nodes"][0]["html"][:200]) for each in grave] == []
        page.emulate_media(color_scheme="dark")
        assert page.evaluate(FAINT_TEXT) == []  # of the dark scheme only colours can be wrong
        for width in (1920, 768, 360):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
