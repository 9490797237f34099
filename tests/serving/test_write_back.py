"""Scores written back: read back equal, the second time nothing, undone as it was, killed without harm."""

import json
import sys
from dataclasses import replace

import pytest
from api_server import DOWN, serving
from dynamics_server import DynamicsServer
from hubspot_server import HubSpotServer, record
from pages_case import informed, night  # noqa: F401 (fixtures)
from salesforce_server import SalesforceServer, stamped
from store_case import rows

from features.errors import RenewalError
from features.settings import Settings
from features.sources import web_api
from features.sources.connection_file import Connection, write_connection
from monitoring.store import open_store
from serving.precompute import answered
from serving.write_back import forget_written, suggested_fields, targets, undo, write_back
from serving.write_back.present_values import present_values
from serving.write_back.written_log import WrittenLog

FIELDS = {
    "likelihood": "Perennial_Likelihood__c",
    "band": "Perennial_Band__c",
    "reasons": "Perennial_Reasons__c",
}


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr(web_api, "pause", lambda seconds: None)
    monkeypatch.setenv("PERENNIAL_SECRET_ACME", "secret-of-acme")
    return Settings(home=tmp_path)


@pytest.fixture
def store(settings):
    """Five contracts, c0 to c4, scored 10 to 90 per cent."""
    store = open_store(settings)
    score(store, rows(5))
    return store


def score(store, frame, run_id="r1"):
    store.scores.write("renewal", frame, run_id=run_id, model_version="3", complete=True)


@pytest.fixture
def server():
    contracts = [
        stamped(f"c{i}", "01-01", **dict.fromkeys(FIELDS.values()), Note__c="theirs") for i in range(6)
    ]
    contracts[0]["Perennial_Band__c"] = "by hand"
    with serving(SalesforceServer({"Contract": contracts, "Opportunity": [], "Account": []},
                                  secret="secret-of-acme")) as each:  # fmt: skip
        yield each


@pytest.fixture
def connection(server):
    return Connection("acme", "salesforce", server.url, {"client_id": "app"}, (), {"contracts": FIELDS})


def standing(server):
    names = FIELDS.values()
    return {row["Id"]: [row[name] for name in names] for row in server.objects["Contract"]}


def counts(result):
    return {name: value for name, value in result["objects"][0].items() if name != "object"}


def test_what_is_written_is_read_back_and_the_second_time_nothing_is(server, connection, store, settings):
    first = write_back(connection, store, settings)
    assert counts(first) == {"changed": 5, "unchanged": 0, "failed": 0}
    assert standing(server)["c0"] == [10.0, "at risk", "no call"]
    assert standing(server)["c4"] == [90.0, "safe", "no call"]
    assert standing(server)["c5"] == [None, None, None]  # not scored
    patches = server.counted("/composite/sobjects", "PATCH")
    second = write_back(connection, store, settings)
    assert counts(second) == {"changed": 0, "unchanged": 5, "failed": 0}
    assert server.counted("/composite/sobjects", "PATCH") == patches


def test_only_what_changed_is_written_and_what_is_no_longer_scored_is_emptied(
    server, connection, store, settings
):
    write_back(connection, store, settings)
    frame = rows(5)
    frame.loc[1, "probability"] = 0.55
    score(store, frame.iloc[:4], "r2")
    assert counts(write_back(connection, store, settings)) == {"changed": 2, "unchanged": 3, "failed": 0}
    assert standing(server)["c1"][0] == 55.0
    assert standing(server)["c4"] == [None, None, None]


def test_a_dry_run_writes_nothing(server, connection, store, settings):
    result = write_back(connection, store, settings, dry_run=True)
    assert counts(result)["changed"] == 5
    assert server.counted("/composite") == 0
    assert not (settings.home / "written" / "acme.jsonl").exists()


def test_undo_puts_back_what_stood_and_leaves_what_people_changed(server, connection, store, settings):
    write_back(connection, store, settings)
    server.objects["Contract"][2]["Perennial_Band__c"] = "a person's word"
    assert counts(undo(connection, settings)) == {"changed": 5, "unchanged": 1, "failed": 0}
    assert standing(server)["c0"] == [None, "by hand", None]
    assert standing(server)["c2"] == [None, "a person's word", None]
    assert counts(write_back(connection, store, settings))["changed"] == 5


def test_held_out_customers_are_not_written(server, connection, store, settings):
    score(store, rows(5).assign(held_out=[True, False, False, False, False]), "r2")
    assert counts(write_back(connection, store, settings))["changed"] == 4
    assert standing(server)["c0"] == [None, "by hand", None]


def test_a_refused_record_is_named_and_tried_again(server, connection, store, settings):
    server.locked = {"c1"}
    del server.objects["Contract"][3]
    result = write_back(connection, store, settings)
    assert counts(result) == {"changed": 3, "unchanged": 0, "failed": 2}
    assert {each["id"]: each["why"] for each in result["failures"]} == {
        "c1": "ENTITY_IS_LOCKED locked",
        "c3": "there is no such record",
    }
    server.locked = set()
    assert counts(write_back(connection, store, settings)) == {"changed": 1, "unchanged": 3, "failed": 1}


def test_killed_after_the_call_what_stood_before_is_still_known(
    server, connection, store, settings, monkeypatch
):
    monkeypatch.setattr(WrittenLog, "confirm", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_back(connection, store, settings)
    monkeypatch.undo()
    monkeypatch.setenv("PERENNIAL_SECRET_ACME", "secret-of-acme")
    with (settings.home / "written" / "acme.jsonl").open("a") as file:
        file.write('{"object": "Contr')  # a line cut short
    assert counts(write_back(connection, store, settings))["changed"] == 5
    undo(connection, settings)
    assert standing(server)["c0"] == [None, "by hand", None]


def test_a_server_that_is_down_for_a_moment(server, connection, store, settings):
    server.faults += [("/composite/sobjects", DOWN)] * 3
    assert counts(write_back(connection, store, settings))["changed"] == 5


def test_a_customer_is_forgotten(server, connection, store, settings):
    write_back(connection, store, settings)
    assert forget_written(settings.home, ["a0", "c0"]) == 1
    assert '"c0"' not in (settings.home / "written" / "acme.jsonl").read_text()
    assert len(WrittenLog("acme", settings.home).read()) == 4


def test_fields_are_suggested_where_they_are_there_and_editable(server, connection, settings):
    server.read_only.add("Perennial_Reasons__c")
    fields, lacking = suggested_fields(connection)
    assert fields == {"contracts": {"likelihood": FIELDS["likelihood"], "band": FIELDS["band"]}}
    assert "Contract.Perennial_Reasons__c" in lacking
    server.read_only.update(FIELDS.values())
    with pytest.raises(RenewalError, match="Create those you want"):
        suggested_fields(connection)


def test_hubspot_takes_the_rest_where_one_record_is_refused(settings, store):
    deals = [record(f"c{i}", "01-01", perennial_likelihood=None) for i in range(4)]
    with serving(HubSpotServer({"deals": deals}, "secret-of-acme")) as server:
        target = targets.HubSpotTarget(Connection("acme", "hubspot", server.url))
        assert target.read("deals", ["c0", "c9"], ["perennial_likelihood"]) == {
            "c0": {"perennial_likelihood": None}
        }
        values = {f"c{i}": {"perennial_likelihood": i} for i in range(5)}
        failed = target.write("deals", values)
        assert list(failed) == ["c4"]
        assert [deal["properties"]["perennial_likelihood"] for deal in deals] == [0, 1, 2, 3]


@pytest.fixture
def dynamics_contracts(settings):
    """Dynamics 365 with contracts c0 to c5, the fields under a publisher's prefix, and a connection to it."""
    names = ("new_perennial_likelihood", "new_perennial_band", "new_perennial_contact_by")
    contracts = [{"contractid": f"c{i}", **dict.fromkeys(names), "title": "theirs"} for i in range(6)]
    contracts[0]["new_perennial_band"] = "by hand"
    tables = {"contract": contracts, "opportunity": [], "account": []}
    with serving(DynamicsServer(tables, "secret-of-acme")) as server:
        login = {"tenant": "contoso", "client_id": "app", "authority": server.url}
        yield server, Connection("acme", "dynamics", server.url, login)


def test_dynamics_takes_them_under_its_publishers_prefix(dynamics_contracts, store, settings):
    server, connection = dynamics_contracts
    contracts = server.objects["contract"]
    server.locked = {"c1"}
    del contracts[3]
    fields, _ = suggested_fields(connection)
    assert fields == {
        "contracts": {
            "likelihood": "new_perennial_likelihood",
            "band": "new_perennial_band",
            "contact_by": "new_perennial_contact_by",
        }
    }
    connection = replace(connection, write_back={"contracts": fields["contracts"]})
    result = write_back(connection, store, settings)
    assert counts(result) == {"changed": 3, "unchanged": 0, "failed": 2}
    assert {each["id"]: each["why"] for each in result["failures"]} == {
        "c1": "400 the record is closed",
        "c3": "there is no such record",
    }
    assert [row["new_perennial_likelihood"] for row in contracts] == [10.0, None, 50.0, 90.0, None]
    server.locked = set()
    assert counts(write_back(connection, store, settings, dry_run=True))["changed"] == 2
    assert counts(write_back(connection, store, settings)) == {"changed": 1, "unchanged": 3, "failed": 1}
    batches = server.counted("$batch")
    contracts.append({"contractid": "c3", **dict.fromkeys(contracts[0])} | {"contractid": "c3"})
    write_back(connection, store, settings)
    assert counts(write_back(connection, store, settings)) == {"changed": 0, "unchanged": 5, "failed": 0}
    assert server.counted("$batch") == batches + 1
    contracts[2]["new_perennial_band"] = "a person's word"
    assert counts(undo(connection, settings)) == {"changed": 5, "unchanged": 1, "failed": 0}
    assert [row["new_perennial_band"] for row in contracts] == [
        "by hand",
        None,
        "a person's word",
        None,
        None,
        None,
    ]


@pytest.mark.slow
def test_contact_days_and_fit_are_those_that_pages_show(informed):  # noqa: F811
    settings = Settings(home=informed, threads=1)
    store = open_store(settings)
    kept = {name: answered(name, settings).value for name in ("effects", "icp")}
    days = {row["contract_id"]: row for row in kept["effects"]["plan"]["rows"] if row["act_by"]}
    values = present_values("contracts", store, settings, {"likelihood", "contact_from", "contact_by"})
    assert values
    assert {id for id, each in values.items() if each["contact_by"]} <= set(days)
    for id, each in values.items():
        if each["contact_by"]:
            assert (each["contact_from"], each["contact_by"]) == (days[id]["act_from"], days[id]["act_by"])
    fits = present_values("accounts", store, settings, {"fit", "grade"})
    rows = {row["account_id"]: row for row in kept["icp"]["list"]["rows"] if row["kind"] != "lead"}
    assert len(rows) > 10
    for account, row in rows.items():
        assert fits[account] == {"fit": round(100 * row["fit"], 1), "grade": row["grade"]}


def test_the_command(server, connection, store, settings, monkeypatch, capsys):
    from perennial.cli import main

    monkeypatch.setenv("PERENNIAL_HOME", str(settings.home))

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["perennial", "write-back", *words])
        with pytest.raises(SystemExit) as status:
            main()
        return (status.value.code or 0, *capsys.readouterr())

    assert "perennial connect NAME --write-back" in run()[2]
    write_connection(connection, settings.home)
    status, out, err = run("--json")
    assert status == 0, err
    assert json.loads(out)["written"][0]["objects"] == [
        {"object": "Contract", "changed": 5, "unchanged": 0, "failed": 0}
    ]
    assert "put back" in run("--undo")[1]
    assert standing(server)["c0"] == [None, "by hand", None]
