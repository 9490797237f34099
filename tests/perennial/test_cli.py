"""The command line as its user meets it: what it prints, how it fails, what it leaves behind."""

import json
import sys

import pandas as pd
import pytest

from perennial import cli


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run a command in a home of its own; returns exit status, standard output and standard error."""
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PERENNIAL_THREADS", "1")

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["perennial", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return call


@pytest.fixture
def folder(tmp_path):
    """A tiny CRM that holds to the contract."""
    crm = tmp_path / "crm"
    crm.mkdir()
    accounts = pd.DataFrame({"account_id": ["A1", "A2"], "industry": ["Retail", "Health"]})
    contracts = pd.DataFrame(
        {
            "contract_id": ["C1", "C2"],
            "account_id": ["A1", "A2"],
            "start_date": ["2024-01-01", "2024-02-01"],
            "end_date": ["2024-12-31", "2025-01-31"],
            "annual_value": ["1200.50", "900"],
            "renewed": ["true", "false"],
        }
    )
    accounts.to_csv(crm / "accounts.csv", index=False)
    contracts.to_csv(crm / "contracts.csv", index=False)
    return crm


def told_in_one_line(err):
    return err.startswith("perennial: ") and err.count("\n") == 1


def test_check_prints_one_json_object_and_nothing_else(run, folder):
    status, out, err = run("check", folder, "--json")
    assert status == 2  # two contracts answer nothing yet
    assert told_in_one_line(err)
    result = json.loads(out)
    assert result["tables"]["contracts"]["kept"] == 2
    assert not result["usable"]


def test_check_for_people_names_tables_and_counts(run, folder):
    status, out, _ = run("check", "--crm", folder)
    assert status == 2
    assert "contracts" in out
    assert "4 rows read, 0 put aside" in out


def test_check_changes_nothing(run, folder, tmp_path):
    run("check", folder)
    files = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["accounts.csv", "contracts.csv"]


def test_ingest_then_no_source_is_needed(run, folder):
    assert run("ingest", folder)[0] == 0
    assert json.loads(run("check", "--json")[1])["tables"]["contracts"]["kept"] == 2


BAD_SOURCES = {
    "a folder that is not there": lambda crm: crm / "nowhere",
    "an empty file": lambda crm: ((crm / "contracts.csv").write_text(""), crm)[1],
    "a missing column": lambda crm: ((crm / "activities.csv").write_text("activity_id,kind\n1,call\n"), crm)[
        1
    ],
    "neither contracts nor opportunities": lambda crm: ((crm / "contracts.csv").unlink(), crm)[1],
    "a broken SELECT": lambda crm: ((crm / "mapping.yaml").write_text("contracts: SELEC nothing"), crm)[1],
    "an unknown table": lambda crm: ((crm / "mapping.yaml").write_text("contrats: SELECT 1"), crm)[1],
    "a mapping that is no mapping": lambda crm: ((crm / "mapping.yaml").write_text("- a\n- b"), crm)[1],
    "a mapping that reads elsewhere": lambda crm: (
        (crm / "mapping.yaml").write_text("contracts: SELECT * FROM read_csv('/etc/passwd')"),
        crm,
    )[1],
}


@pytest.mark.parametrize("fault", BAD_SOURCES)
def test_a_bad_source_costs_one_line_and_leaves_nothing(run, folder, tmp_path, fault):
    source = BAD_SOURCES[fault](folder)
    for words in (("check", source), ("ingest", source)):
        status, out, err = run(*words)
        assert status == 2, err
        assert out == ""
        assert told_in_one_line(err)
        assert "Expected" in err
        assert "found" in err
    kept = [path for path in (tmp_path / "home").rglob("*") if path.suffix == ".parquet"]
    assert kept == []


def test_a_failed_ingest_keeps_what_was_ingested(run, folder):
    run("ingest", folder)
    before = run("check", "--json")[1]
    (folder / "contracts.csv").write_text("")
    assert run("ingest", folder)[0] == 2
    assert run("check", "--json")[1] == before


QUARANTINED = {
    "a duplicate key": ("C1,A1,2024-01-01,2024-12-30,10,", "contract_id"),
    "an end before its start": ("C3,A1,2024-05-01,2024-04-01,10,", "end_date"),
}


UNREAD = {
    "a malformed date": ("C3,A1,2024-13-45,2025-01-31,10,", "start_date"),
    "text for money": ("C3,A1,2024-05-01,2025-04-01,plenty,", "annual_value"),
}


@pytest.mark.parametrize("fault", UNREAD)
def test_a_bad_optional_value_costs_the_value(run, folder, fault):
    line, column = UNREAD[fault]
    with (folder / "contracts.csv").open("a") as file:
        file.write(line + "\n")
    contracts = json.loads(run("check", folder, "--json")[1])["tables"]["contracts"]
    assert (contracts["kept"], contracts["quarantined"]) == (3, 0)
    assert list(contracts["unread"]) == [column]


@pytest.mark.parametrize("fault", QUARANTINED)
def test_a_bad_row_is_put_aside_with_its_reason(run, folder, fault):
    line, column = QUARANTINED[fault]
    path = folder / "contracts.csv"
    path.write_text(path.read_text() + line + "\n")
    status, out, _ = run("check", folder, "--json")
    contracts = json.loads(out)["tables"]["contracts"]
    assert status == 2
    assert (contracts["kept"], contracts["quarantined"]) == (2, 1)
    assert any(reason.startswith(column) for reason in contracts["reasons"])


@pytest.mark.parametrize(
    "words",
    [
        ("train", "nope"),
        ("bogus",),
        ("train", "renewal", "--trials", "x"),
        ("score", "renewal", "--as-of", "someday"),
        ("check", "--until", "2025-99-99"),
        ("check", "--out", "report.docx"),
        ("score", "renewal", "--rows", "nowhere.csv"),
        ("train", "renewal"),
        ("serve", "--port", "99999"),
    ],
    ids=" ".join,
)
def test_a_mistake_costs_one_line_and_status_2(run, words):
    status, out, err = run(*words)
    assert status == 2
    assert out == ""
    assert told_in_one_line(err)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("score", "rene"), "'rene' is not one of 'renewal', 'win'. See `perennial score --help`."),
        (("train", "win", "--trials", "x"), "it should be a valid integer. See `perennial train --help`."),
        (("models", "show"), "Choose from: renewal, win. See `perennial models show --help`."),
        (("scor",), "Did you mean 'score'? See `perennial --help`."),
    ],
)
def test_a_word_that_does_not_fit_is_answered_plainly_with_the_help_of_its_command(run, words, line):
    _, _, err = run(*words)
    assert err.endswith(line + "\n")
    assert "Value error" not in err
    assert told_in_one_line(err)


def test_the_help_of_a_group_cuts_no_sentence(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for words in ((), ("models",), ("icp",)):
        _, out, _ = run(*words, "--help")
        listed = out.split("Commands:")[1]
        assert "..." not in listed
        assert max(map(len, listed.splitlines())) <= 80
    assert "truth.json with the true effects beside it." in " ".join(run("--help")[1].split())


def test_an_unknown_customer_is_not_said_to_be_erased(run, folder):
    assert run("ingest", folder)[0] == 0
    assert "Nothing of A9 is on record" in run("erase", "A9")[1]
    out = run("erase", "A1")[1]
    assert "Removed: A1" in out
    assert "crm.contracts" in out
    assert "Looked again: nothing is left." in out


def test_a_new_key_says_what_it_is_for_and_the_list_says_what_each_sees(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = run("keys", "create", "sales", "--owner", "O-7", "--label", "Berlin")[1]
    assert "label: Berlin" in out
    assert "shown this once" in out
    lines = run("keys", "list")[1].splitlines()
    assert lines[1].split() == ["prefix", "role", "label", "sees", "created", "revoked"]
    assert "owner O-7" in lines[2]


def test_too_little_to_learn_from_is_refused_with_what_is_missing(run, folder):
    status, out, err = run("train", "renewal", "--crm", folder)
    assert status == 2
    assert out == ""
    assert told_in_one_line(err.splitlines(keepends=True)[-1])
    assert "40" in err
