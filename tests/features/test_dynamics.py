"""Dynamics 365 against a local server that speaks its protocol: every row once, whatever breaks."""

import json
import logging
import sys

import duckdb
import pandas as pd
import pytest
from api_server import CUT, DOWN, EXPIRED, LIMIT, assert_nowhere, serving
from dynamics_server import DynamicsServer, organisation

from features.crm.load import load
from features.errors import RenewalError
from features.progress import silent
from features.sources import dynamics, object_pull, web_api
from features.sources.connection_file import Connection, pulled_folder, write_connection

SECRET = "client-secret-of-dynamics"
DEALS = [f"o{i}" for i in range(1, 9)]


@pytest.fixture
def waits(monkeypatch):
    """Waits are noted, not waited."""
    waited = []
    monkeypatch.setattr(web_api, "pause", waited.append)
    return waited


@pytest.fixture
def server(waits):
    with serving(DynamicsServer(organisation(), SECRET)) as each:
        yield each


@pytest.fixture
def connection(server, settings, monkeypatch):
    monkeypatch.setenv("PERENNIAL_SECRET_ACME", SECRET)
    login = {"tenant": "contoso", "client_id": "app", "authority": server.url}
    connection = Connection("acme", "dynamics", server.url, login)
    write_connection(connection, settings.home)
    return connection


@pytest.fixture
def pulled(connection, settings):
    """A function that pulls opportunities alone; returns their table."""

    def pull(say=silent):
        api = dynamics.opened_api(connection)
        table = dynamics.definitions(api)["opportunity"]
        (result,) = dynamics.pull_objects(api, [table], pulled_folder("acme", settings.home), say)
        return duckdb.sql(result.query).df().set_index("opportunityid").sort_index()

    return pull


def test_every_table_becomes_its_table(server, connection, settings):
    crm = load("dynamics://acme", into=settings.home / "clean", home=settings.home)
    accounts = crm.frame("accounts").set_index("account_id").sort_index()
    assert accounts.index.tolist() == [f"a{i}" for i in range(1, 8)]
    assert set(accounts["industry"]) == {"Energy"}  # the choice's label
    deals = crm.frame("opportunities").set_index("opportunity_id").sort_index()
    assert deals.loc[["o1", "o2", "o3", "o4"], "account_id"].tolist() == ["a7", "a1", "a2", "a3"]
    assert deals["is_won"].isna().sum() == 3
    assert deals["is_won"].sum() == 2
    assert deals.loc[["o1", "o2", "o3"], "amount"].tolist() == [
        10_000,
        20_000,
        3_000,
    ]  # won: what it was worth
    activities = crm.frame("activities").set_index("activity_id").sort_index()
    assert activities.index.tolist() == [
        "c1",
        "c3",
        "c4",
    ]  # a call that is only planned is none; c5 has no account
    assert activities["account_id"].tolist() == ["a2", "a1", "a3"]
    assert activities["kind"].tolist() == ["call", "email", "meeting"]
    assert activities["duration_seconds"].iloc[[0, 2]].tolist() == [600, 1800]
    assert activities.loc["c1", "opportunity_id"] == "o3"
    assert activities.loc["c3", "contact_id"] == "p1"
    assert crm.frame("contracts")["annual_value"].tolist() == [100_000]  # 2,000 for two years
    (quote,) = crm.frame("quotes").to_dict("records")
    assert (quote["list_amount"], quote["net_amount"], quote["opportunity_id"]) == (120_000, 100_000, "o1")
    (lead,) = crm.frame("leads").to_dict("records")
    assert (lead["source"], lead["opportunity_id"]) == ("Web", "o1")
    (case,) = crm.frame("cases").to_dict("records")
    assert case["closed_at"] == pd.Timestamp("2024-01-09 10:00")
    for table in ("owners", "contacts", "campaigns"):
        assert len(crm.frame(table)) == 1, table
    assert sum(table.quarantined for table in crm.quality.tables.values()) == 0
    assert {"new_tiername", "new_region"} <= set(crm.carried["accounts"])
    assert not {"new_score", "new_perennial_band", "new_tier"} & set(crm.carried["accounts"])


@pytest.mark.parametrize("fault", [CUT, EXPIRED, LIMIT, DOWN])
def test_what_breaks_is_asked_for_again(server, pulled, waits, fault):
    places = ["/EntityDefinitions", "/Attributes", "/opportunitys", "skiptoken", "skiptoken", "/token"]
    server.faults += [(place, fault) for place in places[: 4 if fault == EXPIRED else 6]]
    assert pulled().index.tolist() == DEALS
    assert not server.faults
    if fault == LIMIT:
        assert waits.count(3.0) == 5  # a login's refusal gives no time


def test_changes_and_deletions_alone_come_the_second_time(server, pulled):
    pulled()
    server.change("opportunity", "o2", estimatedvalue=7777)
    server.change("opportunity", "o4")
    server.change("opportunity", "o9", estimatedvalue=5, statecode=0)
    server.change("account", "a1", name="of another table")
    calls = len(server.calls)
    deals = pulled()
    asked = [path for _, path, _ in server.calls[calls:] if "/opportunitys" in path]
    assert len([path for path in asked if "$deltatoken" in path]) == 1
    assert len(asked) == 1
    assert deals.index.tolist() == [*DEALS, "o9"]
    assert deals.loc["o2", "estimatedvalue"] == "7777"
    assert deals.loc["o4", "isdeleted"] == "true"
    assert pd.isna(deals.loc["o4", "estimatedvalue"])  # nothing is kept but that it is gone
    assert pulled().equals(deals)


def test_a_delta_link_that_expired_has_all_read_anew(server, pulled):
    pulled()
    server.change("opportunity", "o4")
    server.oldest = server.version + 1
    said = []
    assert pulled(said.append).index.tolist() == [each for each in DEALS if each != "o4"]
    assert any("Version stamp" in line for line in said)
    server.change("opportunity", "o1", estimatedvalue=1)
    assert pulled().loc["o1", "estimatedvalue"] == "1"


def test_a_table_without_change_tracking_is_read_in_full(server, pulled, connection):
    server.untracked = {"opportunity"}
    pulled()
    server.objects["opportunity"].pop()
    server.objects["opportunity"][0]["estimatedvalue"] = 1
    deals = pulled()
    assert deals.index.tolist() == DEALS[:-1]
    assert deals.loc["o1", "estimatedvalue"] == "1"
    assert "opportunity" in dynamics.examine(connection).notes[0]


def test_a_new_attribute_is_read_for_all_rows_and_a_lost_one_is_gone(server, pulled):
    pulled()
    for row in server.objects["opportunity"]:
        row["new_segment"] = "South"
    server.hidden["opportunity"] = {"actualvalue"}
    deals = pulled()
    assert deals["new_segment"].tolist() == ["South"] * 8
    assert "actualvalue" not in deals


@pytest.mark.parametrize("point", ["_noted-1", "_noted-2", "_to_disk-1", "_merged-0", "_merged-1"])
def test_a_pull_cut_short_goes_on_where_it_was(server, pulled, monkeypatch, point):
    """Ended at a call of a function; the next pull brings every row once."""
    name, left = point.split("-")
    before, left = getattr(object_pull, name), int(left)

    def counted(*given):
        nonlocal left
        left -= 1
        if left < 0:
            raise SystemExit(9)
        return before(*given)

    with monkeypatch.context() as patched:
        patched.setattr(object_pull, name, counted)
        if point == "_merged-1":
            pulled()
        with pytest.raises(SystemExit):
            pulled()
    server.change("opportunity", "o3")
    deals = pulled()
    assert deals.index.is_unique
    assert deals[deals["isdeleted"] == "false"].index.tolist() == [each for each in DEALS if each != "o3"]


def test_what_the_app_may_not_read_is_named(server, connection):
    server.forbidden = {"incident"}
    del server.objects["quote"]
    examined = dynamics.examine(connection)
    assert sorted(examined.missing) == ["entitlement", "incident", "quote"]
    assert not {"cases", "quotes"} & set(examined.drafted.selects)
    assert "account_id" in examined.drafted.columns["activities"]  # through the tables that are left


def test_a_table_of_their_own_is_read_whole_for_the_mapping(server, connection, settings):
    server.objects["new_subscription"] = [
        {"new_subscriptionid": "s1", "new_until": "2025-01-01", "new_tier": 1}
    ]
    api = dynamics.opened_api(connection)
    table = dynamics.definitions(api)["new_subscription"]
    (result,) = dynamics.pull_objects(api, [table], pulled_folder("acme", settings.home), silent)
    (row,) = duckdb.sql(result.query).df().to_dict("records")
    assert row == {
        "new_subscriptionid": "s1",
        "new_until": "2025-01-01",
        "new_tiername": "Gold",
        "isdeleted": "false",
    }


def test_no_secret_in_logs_messages_or_the_home(server, pulled, settings, caplog, capfd, monkeypatch):
    caplog.set_level(logging.DEBUG)
    lines = []
    pulled(lines.append)
    monkeypatch.setenv("PERENNIAL_SECRET_ACME", "a-wrong-secret-that-is-echoed")
    with pytest.raises(RenewalError, match="invalid_client") as error:
        pulled()
    assert lines
    texts = [caplog.text, str(error.value), *lines, *capfd.readouterr()]
    assert_nowhere((SECRET, "a-wrong-secret-that-is-echoed", *server.tokens), texts, settings.home)


def test_the_command(server, connection, settings, monkeypatch, capsys):
    from perennial.cli import main

    monkeypatch.setenv("PERENNIAL_HOME", str(settings.home))

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["perennial", *words])
        with pytest.raises(SystemExit) as status:
            main()
        return (status.value.code or 0, *capsys.readouterr())

    status, out, err = run("connect", "acme", "--json")
    assert status == 0, err
    answers = {each["answer"]: each["state"] for each in json.loads(out)["answers"]}
    assert answers["win probability"] == answers["likelihood to renew"] == "readable"
    status, _, err = run("connect", "other", "--system", "dynamics", "--url", "https://x.crm4.dynamics.com")
    assert (status, "--tenant" in err) == (2, True)
