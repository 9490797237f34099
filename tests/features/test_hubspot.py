"""HubSpot against a local server that speaks its protocol."""

import duckdb
import pandas as pd
import pytest
from api_server import CUT, DOWN, LIMIT, serving
from hubspot_server import HubSpotServer, account, record

from features.crm.load import load
from features.errors import RenewalError
from features.progress import silent
from features.sources import hubspot, web_api
from features.sources.connection_file import Connection, pulled_folder, write_connection

SECRET = "pat-eu1-very-secret"
DEALS = [f"3{i}" for i in range(1, 6)]


@pytest.fixture
def server(settings, monkeypatch):
    monkeypatch.setattr(web_api, "pause", lambda seconds: None)
    monkeypatch.setenv("PERENNIAL_SECRET_ACME", SECRET)
    with serving(HubSpotServer(account(), SECRET)) as each:
        each.custom = {"companies": {"tier", "perennial_band"}}
        write_connection(Connection("acme", "hubspot", each.url), settings.home)
        yield each


@pytest.fixture
def pulled(server, settings):
    """A function that pulls deals alone; returns their table."""

    def pull():
        api = hubspot.opened_api(Connection("acme", "hubspot", server.url))
        (result,) = hubspot.pull_objects(api, ["deals"], pulled_folder("acme", settings.home), silent)
        return duckdb.sql(result.query).df().set_index("id").sort_index()

    return pull


def test_every_object_becomes_its_table(server, settings):
    crm = load("hubspot://acme", into=settings.home / "clean", home=settings.home)
    deals = crm.frame("opportunities").set_index("opportunity_id").sort_index()
    assert deals.index.tolist() == DEALS
    assert deals["is_won"].isna().sum() == 2
    assert deals["amount"].tolist() == [10_000, 20_000, 30_000, 40_000, 50_000]
    assert deals["account_id"].tolist() == ["11", "12", "12", "12", "12"]  # of several the lowest id
    activities = crm.frame("activities").set_index("activity_id").sort_index()
    assert activities["kind"].tolist() == ["call", "email", "meeting"]
    assert activities["opportunity_id"].tolist() == ["31"] * 3
    assert activities["duration_seconds"].iloc[[0, 2]].tolist() == [600, 1800]
    stages = crm.frame("stage_history")
    assert sorted(stages[stages["opportunity_id"] == "31"]["stage"]) == ["closedwon", "offer"]
    history = crm.frame("history")
    assert set(zip(history["column"], history["value"], strict=True)) == {("amount", "100")}
    assert len(history) == 5
    assert "tier" in crm.carried["accounts"]
    assert "perennial_band" not in crm.carried["accounts"]
    for table in ("owners", "contacts", "cases"):
        assert len(crm.frame(table)) == 1, table
    assert sum(table.quarantined for table in crm.quality.tables.values()) == 0


@pytest.mark.parametrize("fault", [CUT, LIMIT, DOWN])
def test_what_breaks_is_asked_for_again(server, pulled, fault):
    pulled()
    server.objects["deals"][0] |= {"updatedAt": "2024-05-01T10:00:00Z"}
    server.faults += [(place, fault) for place in ("/properties", "/search", "/batch/read", "archived=true")]
    assert pulled().index.tolist() == DEALS
    assert not server.faults


def test_changes_come_by_search_with_history_and_links(server, pulled):
    pulled()
    deals = server.objects["deals"]
    deals[0]["properties"]["amount"] = "777"
    deals[0] |= {"updatedAt": "2024-05-01T10:00:00Z", "links": {"companies": ["14"]}}
    deals[1] |= {"updatedAt": "2024-05-02T10:00:00Z", "archived": True}
    deals.append(record("36", "05-03", {}, amount="5"))
    calls = len(server.calls)
    table = pulled()
    assert not [path for _, path, _ in server.calls[calls:] if "archived=false" in path]  # no list of all
    assert table.index.tolist() == [*DEALS, "36"]
    assert table.loc["31", ["amount", "company_id"]].tolist() == ["777", "14"]
    assert "closedwon" in table.loc["31", "history"]
    assert table.loc["32", "archived"] == "true"
    assert pd.isna(table.loc["32", "amount"])


def test_a_search_goes_on_past_its_most_results(server, pulled, monkeypatch):
    pulled()
    for number, deal in enumerate(server.objects["deals"]):
        deal["updatedAt"] = f"2024-06-0{number + 1}T10:00:00Z"
        deal["properties"]["amount"] = "9"
    monkeypatch.setattr(hubspot, "MOST_OF_A_SEARCH", 53)
    assert pulled()["amount"].tolist() == ["9"] * 5


def test_what_the_token_may_not_read_is_named(server, settings):
    server.forbidden = {"tickets"}
    server.objects.pop("emails")
    examined = hubspot.examine(Connection("acme", "hubspot", server.url))
    assert sorted(examined.missing) == ["emails", "tickets"]
    assert "cases" not in examined.drafted.selects


def test_a_wrong_token_is_one_line_without_it(server, settings, monkeypatch):
    monkeypatch.setenv("PERENNIAL_SECRET_ACME", "pat-wrong-and-never-shown")
    with pytest.raises(RenewalError, match="INVALID_AUTHENTICATION") as error:
        load("hubspot://acme", into=settings.home / "clean", home=settings.home)
    assert "never-shown" not in str(error.value)
