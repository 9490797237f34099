"""Ids in several written forms meet where one row can be meant, and stay apart where several can."""

from pathlib import Path

import pytest

from features.crm.id_forms import meet, salesforce_15, salesforce_suffix
from features.crm.load import load

CASES = Path(__file__).parents[3] / "shared" / "cases"
CONTRACTS = "contract_id,account_id,start_date,end_date,renewed\n"


def crm_of(folder, accounts, contracts, more=None):
    source = folder / "crm"
    source.mkdir()
    rows = "".join(f"C{i},{account},2022-01-01,2022-12-31,true\n" for i, account in enumerate(contracts))
    (source / "contracts.csv").write_text(CONTRACTS + rows, encoding="utf-8")
    if accounts:
        (source / "accounts.csv").write_text(accounts, encoding="utf-8")
    for name, text in (more or {}).items():
        (source / name).write_text(text, encoding="utf-8")
    return load(source, into=folder / "clean")


def accounts_of(crm):
    frame = crm.frame("contracts").sort_values("contract_id")
    return frame["account_id"].tolist()


@pytest.mark.parametrize(
    ("fifteen", "eighteen"),
    [
        ("0015000000GtBqm", "0015000000GtBqmAAF"),
        ("0015000000GtBqM", "0015000000GtBqMAAV"),
        ("001500000000000", "001500000000000AAA"),
    ],
)
def test_the_suffix_is_salesforces_own(fifteen, eighteen):
    assert fifteen + salesforce_suffix(fifteen) == eighteen
    assert salesforce_15(eighteen) == fifteen
    assert salesforce_15(eighteen.lower()) == fifteen
    assert salesforce_15(eighteen[:-1] + "9") is None


@pytest.mark.parametrize(
    ("key", "stray"),
    [
        ("00123", "123"),
        ("123", "00123"),
        ("acme", "ACME"),
        ("A1", "A1​"),
        ("A 1", "A 1"),
        ("{6F9619FF-8B86-D011-B42D-00C04FC964FF}", "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
        ("1234567", "1,234,567"),
        ("00123", '="00123"'),
        ("0015000000GtBqmAAF", "0015000000GtBqm"),
        ("0015000000GtBqm", "0015000000GTBQMAAF"),
    ],
)
def test_one_id_in_two_forms_meets(key, stray):
    meeting = meet([key, "something else"], [stray])
    assert meeting.key_of == {stray: key}


@pytest.mark.parametrize(
    ("keys", "stray", "others"),
    [
        (["0007", "7"], "007", []),
        (["00123"], "123", ["00123"]),
        (["0015000000GtBqM"], "0015000000GtBqm", []),
        (["Ab", "aB"], "ab", []),
        (["A-12", "A12"], "A 12", []),
        (["10000000000"], "1E10", []),
        (["12300000000"], "1.23E+10", []),
    ],
)
def test_what_may_be_several_stays_as_written(keys, stray, others):
    assert meet(keys, [stray], others).key_of == {}


def test_a_rule_that_joins_is_told(tmp_path):
    crm = crm_of(tmp_path, "account_id,name\n00123,Acme\n00124,Bolt\n", ["123", "124"])
    assert accounts_of(crm) == ["00123", "00124"]
    assert len(crm.frame("accounts")) == 2
    assert any(
        "leading zeros are dropped" in text and "'123' is '00123'" in text for text in crm.quality.warnings
    )


def test_tables_meet_without_a_table_of_accounts(tmp_path):
    calls = "activity_id,account_id,occurred_at,kind\n1,007,2022-06-01 10:00:00,call\n"
    crm = crm_of(tmp_path, None, ["7"], {"activities.csv": calls})
    assert crm.frame("accounts")["account_id"].tolist() == ["7"]
    assert crm.frame("activities")["account_id"].tolist() == ["7"]


def test_ids_that_a_spreadsheet_rounded_are_told_and_kept(tmp_path):
    crm = crm_of(tmp_path, "account_id\n12345678901\n", ["1.23E+10"])
    assert accounts_of(crm) == ["1.23E+10"]
    assert any("made numbers by a spreadsheet" in text for text in crm.quality.warnings)


def test_what_refers_to_a_merged_record_follows_its_master(tmp_path):
    accounts = (
        "account_id,name,MasterRecordId,IsDeleted\nA1,Acme,,false\nA2,Acme old,A3,true\nA3,Acme two,A1,true\n"
    )
    crm = crm_of(tmp_path, accounts, ["A1", "A2", "A3"])
    assert accounts_of(crm) == ["A1", "A1", "A1"]
    assert crm.frame("accounts")["account_id"].tolist() == ["A1"]
    assert "merged_into" not in crm.frame("accounts")
    assert crm.quality.tables["accounts"].merged == 2
    assert crm.quality.tables["accounts"].left_out == 0


def test_a_circle_of_mergers_is_kept(tmp_path):
    crm = crm_of(tmp_path, "account_id,merged_into\nA1,A2\nA2,A1\n", ["A1"])
    assert len(crm.frame("accounts")) == 2
    assert any("circle" in text for text in crm.quality.warnings)


def test_deleted_rows_are_left_out(tmp_path):
    crm = crm_of(tmp_path, "account_id,name,is_deleted\nA1,Acme,0\nA9,Gone,1\n", ["A1"])
    assert crm.frame("accounts")["account_id"].tolist() == ["A1"]
    assert crm.quality.tables["accounts"].deleted == 1


@pytest.mark.parametrize(
    ("case", "accounts"),
    [
        ("03_sf_15_18", {"0015000000GtBqmAAF", "0015000000GtBqMAAV"}),
        ("08_leading_zero", {"00123", "00124"}),
    ],
)
def test_the_shared_cases_meet(case, accounts, tmp_path):
    if not (CASES / case).is_dir():
        pytest.skip(f"{case} is not beside the checkout, in ../shared/cases")
    crm = load(CASES / case, into=tmp_path / "clean")
    assert set(crm.frame("accounts")["account_id"]) == accounts
    assert set(crm.frame("contracts")["account_id"]) == accounts
