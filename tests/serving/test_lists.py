"""Lists a team works by: one filter for tiles, rows, files and API; sorting, bulk actions, views, teams."""

import io
import re
from datetime import datetime

import pandas as pd
import pytest
from serving_case import client_of, home, night  # noqa: F401 (fixtures)

from features.settings import Settings
from monitoring.alerts import risk_alerts, survey_alerts
from monitoring.closing_the_loop import begin_tasks
from monitoring.store import open_store
from serving.crm_facts import facts_of
from serving.pages.view import money

pytestmark = pytest.mark.slow
TILE = re.compile(r'<div class="label">([^<]*)</div><div class="value[^"]*">([^<]*)</div>')


@pytest.fixture
def settings(home):  # noqa: F811
    return Settings(home=home, threads=1)


@pytest.fixture
def store(settings):
    return open_store(settings)


@pytest.fixture
def ask(home):  # noqa: F811
    with client_of(home) as client:
        yield client


def tiles(page):
    return dict(TILE.findall(page.text))


def listed(page):
    return re.findall(r'name="id" value="([^"]+)"', page.text)


def post(client, path, **fields):
    token = re.search(r'name="csrf" value="([^"]+)"', client.get("/renewals").text)[1]
    return client.post(path, data={"csrf": token, **fields}, follow_redirects=False)


def test_tiles_rows_file_roll_up_and_api_hold_the_same_whatever_the_filter(ask, store, settings):
    rows = store.scores.page("renewal", limit=1_000).rows
    manager = next(iter(facts_of(settings).teams))
    for query in (
        "order=at_risk",
        "band=watch",
        f"owner={rows[0]['owner_id']}&order=amount&way=up",
        f"team={manager}&order=end_date",
        f"q={rows[3]['account_name']}",
        f"region={rows[0]['region']}&status=not+started",
        "needs=nobody&before=2026-04-01",
        "q=nobody+of+that+name",
    ):
        page = ask.get(f"/renewals?{query}")
        answer = ask.get(f"/v1/renewals?limit=1000&{query.replace('way=up', 'falling=false')}").json()
        ids = [row["contract_id"] for row in answer["rows"]]
        saved = pd.read_parquet(io.BytesIO(ask.get(f"/renewals/export.parquet?{query}").content))
        assert saved["contract_id"].tolist() == ids, query
        assert listed(page) == ids[:25], query
        assert tiles(page)["Renewals due"] == money(sum(row["amount"] for row in answer["rows"]))
        assert tiles(page)["At risk"] == money(sum(row["at_risk"] for row in answer["rows"]))
        assert f"{len(ids):,} running contract" in page.text
        assert answer["total"] == answer["totals"]["rows"] == len(ids)
        assert sum(band["rows"] for band in answer["totals"]["bands"].values()) == len(ids)
        by_rep = ask.get(f"/renewals/by-rep?{query}").text
        total = f'<tr class="total"><td>All</td><td class="num" data-label="Contracts">{len(ids):,}<'
        assert (total in by_rep) == bool(ids)


def test_a_column_sorts_both_ways_and_pages_lead_forward_and_back(ask, store):
    page = ask.get("/renewals")
    to = re.search(r'<th scope="col" class="num"><a href="([^"]+)">ARR', page.text)[1].replace("&amp;", "&")
    amounts = [row["amount"] for row in store.scores.page("renewal", limit=1_000, order="amount").rows]
    first = ask.get(to)
    assert 'aria-sort="descending"' in first.text
    again = re.search(r'aria-sort="descending"><a href="([^"]+)"', first.text)[1].replace("&amp;", "&")
    risen = store.scores.page("renewal", order="amount", falling=False, limit=25).rows
    assert listed(ask.get(again)) == [row["contract_id"] for row in risen]
    seen, pages, at = [], [], to
    while at:
        page = ask.get(at)
        pages.append(listed(page))
        seen += pages[-1]
        following = re.search(r'<a class="button" href="([^"]+)" rel="next"', page.text)
        at = following and following[1].replace("&amp;", "&")
    assert len(seen) == len(set(seen)) == len(amounts)
    assert f"{len(seen) - len(pages[-1]) + 1}–{len(seen)} of {len(seen)}" in page.text
    for earlier in pages[-2::-1]:
        back = re.search(r'<a class="button" href="([^"]+)" rel="prev"', page.text)[1].replace("&amp;", "&")
        page = ask.get(back)
        assert listed(page) == earlier
    assert 'rel="prev"' not in page.text


def test_what_is_done_to_chosen_rows_is_done_to_them_alone_and_shown(ask, store, settings):
    rows = store.scores.page("renewal", limit=4).rows
    fallen = {**rows[0], "previous_probability": rows[0]["probability"] + 0.3}
    risk_alerts(store, settings, "renewal", [fallen])
    ids = [row["contract_id"] for row in rows[:2]]
    back = f"/renewals?region={rows[0]['region']}"
    done = post(ask, "/bulk/renewal", id=ids, do="status", status="negotiating", back=back)
    assert done.status_code == 303
    assert done.headers["location"].startswith(back)
    assert "Status noted: 2 rows." in ask.get(done.headers["location"]).text
    assert listed(ask.get("/renewals?status=negotiating")) == ids
    owner = rows[2]["owner_id"]
    task = {"do": "task", "title": "Send the new terms", "owner": owner, "due": "2020-01-31"}
    assert post(ask, "/bulk/renewal", id=ids[:1], **task).status_code == 303
    assert post(ask, "/bulk/renewal", id=ids[:1], **task).status_code == 303
    (given,) = store.tasks.read()
    assert (given["subject_id"], given["owner"], given["is_late"]) == (ids[0], owner, True)
    assert given["due_at"] == datetime(2020, 1, 31, 23, 59, 59)
    assert listed(ask.get("/renewals?needs=late")) == ids[:1]
    assert "Send the new terms" in ask.get("/renewals").text
    assert post(ask, "/bulk/renewal", id=ids, do="acknowledge").headers["location"].endswith("acknowledge-1")
    assert [alert["state"] for alert in store.alerts.read()] == ["acknowledged"]
    assert post(ask, "/bulk/renewal", id=ids, do="note", action="Called").status_code == 303
    assert store.judgements.actions("renewal")["subject_id"].tolist() == ids
    for wrong in (
        {"do": "status", "status": "agreed"},
        {"id": ids, "do": "status", "status": "fine"},
        {"id": ids, "do": "task", "title": " ", "due": "2020-01-31"},
        {"id": ids, "do": "task", "title": "x", "due": "soon"},
        {"id": ids, "do": "erase"},
    ):
        assert post(ask, "/bulk/renewal", **wrong).status_code == 422
    assert len(store.tasks.read()) == 1


def test_a_view_is_saved_offered_and_removed(ask, store):
    query = "band=watch&order=amount"
    assert post(ask, "/views", page="/renewals", name="Watch <b>", query=query).status_code == 303
    page = ask.get("/renewals").text
    assert 'href="/renewals?band=watch&amp;order=amount"' in page
    assert "Watch &lt;b&gt;" in page
    assert "Watch" not in ask.get("/pipeline").text
    (view,) = store.work.views("/renewals", "local")
    assert post(ask, f"/views/{view['view_id']}/drop", page="/renewals").status_code == 303
    assert store.work.views("/renewals", "local") == []
    assert post(ask, "/views", page="/elsewhere", name="x", query="").status_code == 404


def test_a_managers_key_sees_the_team_and_nobody_elses(home, store, settings):  # noqa: F811
    rows = store.scores.page("renewal", limit=1_000).rows
    teams = facts_of(settings).teams
    sizes = {manager: sum(row["owner_id"] in team for row in rows) for manager, team in teams.items()}
    manager = next(name for name, size in sizes.items() if 0 < size < len(rows))
    team = teams[manager]
    mine = [row["contract_id"] for row in rows if row["owner_id"] in team]
    other = next(row for row in rows if row["owner_id"] not in team)
    key = store.access.create_key("sales", label="a manager", manager_id=manager)[0]
    with client_of(home, key=key) as client:
        answer = client.get("/v1/renewals?limit=1000").json()
        assert [row["contract_id"] for row in answer["rows"]] == mine
        assert answer["total"] == len(mine)
        assert client.get(f"/v1/renewals?owner={other['owner_id']}").status_code == 403
        assert client.get(f"/v1/renewals?owner={next(iter(team))}").status_code == 200
        outside = next((name for name, members in teams.items() if not members <= team), None)
        assert outside is None or client.get(f"/v1/renewals?team={outside}").status_code == 403
        assert client.get(f"/accounts/{other['account_id']}").status_code == 404
        refused = post(client, "/bulk/renewal", id=[other["contract_id"]], do="status", status="agreed")
        assert refused.status_code == 422
        assert store.work.statuses("renewal", [other["contract_id"]]) == {}
        assert client.get("/forecast").status_code == 200
        assert other["contract_id"] not in client.get("/renewals?order=amount").text


def test_tasks_are_taken_up_and_closed_from_their_page_step_by_step(ask, store, settings):
    rows = store.scores.page("renewal", limit=3).rows
    assert "No tasks yet" in ask.get("/tasks").text
    survey_alerts(store, settings, [{**rows[0], "kind": "nps", "score": 1, "response_id": "R-1"}])
    (task,) = begin_tasks(store, settings)
    page = ask.get("/tasks").text
    assert "Call the customer" in page
    assert "step 1 of 3" in page
    assert rows[0]["account_name"] in page
    assert post(ask, f"/tasks/{task}/start").headers["location"].endswith("noted=started")
    assert "Call the customer" in ask.get("/tasks?state=started").text
    assert post(ask, f"/tasks/{task}/done", result=" ").status_code == 422
    assert post(ask, f"/tasks/{task}/done", result="settled").headers["location"].endswith("noted=next")
    page = ask.get("/tasks").text
    assert "step 2 of 3" in page
    assert tiles(ask.get("/tasks"))["Time to close"] == "under a minute"
    assert "settled" in ask.get("/tasks?state=closed").text
    assert post(ask, f"/tasks/{task}/done", result="again").status_code == 404
    assert "No task fits" in ask.get("/tasks?q=nobody-of-that-name").text


def test_every_word_that_a_page_links_to_is_in_the_glossary(ask):
    anchors = set(re.findall(r'<dt id="([^"]+)"', ask.get("/glossary").text))
    for path in ("/renewals", "/pipeline", "/tasks", "/forecast", "/renewals/by-rep"):
        page = ask.get(path).text
        assert '<a href="/glossary">' in page
        assert set(re.findall(r'href="/glossary#([^"]+)"', page)) <= anchors
