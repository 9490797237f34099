"""`perennial connect`: the login is tested, what is missing is said, the secret goes nowhere."""

import json
import sys

import pytest
from api_server import serving
from salesforce_server import SalesforceServer, organisation

from perennial.cli import main

SECRET = "client-secret-of-salesforce"


@pytest.fixture
def server():
    with serving(SalesforceServer(organisation(), secret=SECRET)) as each:
        yield each


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run a command in a home of its own; returns exit status, standard output and standard error."""
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PERENNIAL_SECRET_ACME", SECRET)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["perennial", *map(str, words)])
        with pytest.raises(SystemExit) as status:
            main()
        return (status.value.code or 0, *capsys.readouterr())

    return call


def connect(run, server, *more):
    return run("connect", "acme", "--system", "salesforce", "--url", server.url, "--client-id", "app", *more)


def test_it_says_what_may_be_read_and_what_that_allows(run, server, tmp_path):
    del server.objects["Quote"]
    server.hidden["Opportunity"] = {"ContractId"}
    status, out, err = connect(run, server, "--json")
    assert status == 0, err
    result = json.loads(out)
    answers = {each["answer"]: each for each in result["answers"]}
    assert answers["win probability"]["state"] == "readable"
    assert "quotes.list_amount (Quote)" in answers["discount"]["missing"]
    assert "Opportunity.ContractId" in answers["money at risk"]["missing"]
    assert "Quote" in result["not_readable"]
    assert "990 of 1,000 calls a day are left" in result["notes"]
    assert [p for p in tmp_path.rglob("*") if p.is_file() and SECRET in p.read_text()] == []
    assert SECRET not in out + err


def test_a_second_time_nothing_is_asked_again(run, server):
    connect(run, server)
    status, out, err = run("connect", "acme")
    assert status == 0, err
    assert "What it can answer" in out
    assert "perennial ingest salesforce://acme" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("connect", "acme"), "Give --system"),
        (("connect", "acme", "--system", "sap"), "a system of"),
        (("connect", "acme", "--system", "salesforce"), "Give --url"),
        (
            ("connect", "acme", "--system", "salesforce", "--url", "http://x.example", "--client-id", "a"),
            "https",
        ),
        (("connect", "A/b"), "a connection's name"),
    ],
)
def test_what_is_wrong_or_lacks_is_one_line(run, words, message):
    status, _, err = run(*words)
    assert status == 2
    assert message in err
    assert err.strip().count("\n") == 0


def test_no_secret_or_a_wrong_one(run, server, monkeypatch):
    monkeypatch.setenv("PERENNIAL_SECRET_ACME", "wrong-and-never-shown")
    status, out, err = connect(run, server)
    assert (status, "invalid_client" in err, "wrong-and-never-shown" in out + err) == (2, True, False)
    monkeypatch.delenv("PERENNIAL_SECRET_ACME")
    status, _, err = connect(run, server)
    assert status == 2
    assert "PERENNIAL_SECRET_ACME_FILE" in err
