"""Ids, postal codes and owners as spreadsheets and people leave them: numbers for codes, names for ids."""

from pathlib import Path

import pytest

from features.crm.load import load

CONTRACTS = "contract_id,account_id,end_date,owner_id\n"
OWNERS = "owner_id,name\n1001,Ann Lee\n1002,Bob\n1003,Cy\n1004,Cy\n"


def loaded(folder: Path, **tables: str):
    folder.mkdir()
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    crm = load(folder, into=folder.parent / "clean")
    return crm, "\n".join([*crm.quality.warnings, *crm.quality.readings])


def contracts(owners: list[str]) -> str:
    return CONTRACTS + "".join(f'C{i},A{i},2022-12-31,"{owner}"\n' for i, owner in enumerate(owners))


def owners_of(crm) -> list[str]:
    return crm.frame("contracts").sort_values("contract_id")["owner_id"].tolist()


SPOILT = {
    "all numbers, in one column": (["1002.00", "1002.0", "1002", "1,002"], ["1002"] * 4, "'1,002'"),
    "decimals alone": (["7.00", "8", "9"], ["7", "8", "9"], "'7.00'"),
    "decimals that count": (["1002.00", "1002.10"], ["1002.00", "1002.10"], ""),
    "two ids in one cell": (["100,200", "100", "200"], ["100,200", "100", "200"], ""),
    "codes among them": (["1002.00", "X-1"], ["1002.00", "X-1"], ""),
}


@pytest.mark.parametrize("name", SPOILT)
def test_ids_that_a_spreadsheet_took_for_numbers(name, tmp_path):
    written, right, example = SPOILT[name]
    crm, answer = loaded(tmp_path / "crm", contracts=contracts(written))
    assert owners_of(crm) == right
    assert ("ids are written as numbers" in answer) == bool(example)
    assert example in answer


def test_a_key_with_decimals_is_met_by_those_without(tmp_path):
    activities = "activity_id,account_id,occurred_at,kind,contract_id\n1,A1,2021-01-01,call,1002\n"
    crm, _ = loaded(
        tmp_path / "crm",
        contracts="contract_id,account_id,end_date\n1002.00,A1,2022-12-31\nX-1,A2,2022-12-31\n",
        activities=activities,
    )
    assert crm.frame("activities")["contract_id"].tolist() == ["1002.00"]


def test_postal_codes_get_their_zeros_back_where_the_country_has_them(tmp_path):
    rows = [
        ("1067.0", "DE", "01067"),
        ("1067", "Germany", "01067"),
        ("80331.0", "DE", "80331"),
        ("501", "us", "00501"),
        ("8001.0", "CH", "8001"),
        ("150", "NO", "0150"),
        ("12345", "NO", "12345"),
        ("90210-1234", "US", "90210-1234"),
        ("SW1A 1AA", "GB", "SW1A 1AA"),
        ("1067", "", "1067"),
    ]
    accounts = "account_id,postal_code,country\n" + "".join(
        f"A{i},{code},{country}\n" for i, (code, country, _) in enumerate(rows)
    )
    crm, answer = loaded(tmp_path / "crm", accounts=accounts, contracts=contracts(["x"]))
    read = crm.frame("accounts").sort_values("account_id")["postal_code"].tolist()
    assert read == [right for *_, right in rows]
    assert "accounts.postal_code: a spreadsheet made 6 codes numbers" in answer


def test_owners_are_met_by_their_names_where_one_bears_it(tmp_path):
    written = ["Ann Lee", "LEE, Ann", " bob", "1002", "Cy"]
    crm, answer = loaded(tmp_path / "crm", owners=OWNERS, contracts=contracts(written))
    assert owners_of(crm) == ["1001", "1001", "1002", "1002", "Cy"]
    assert "meet them when they are taken for names ('Ann Lee' is '1001'" in answer
    assert "if they are taken for names, but not one to one ('Cy' beside '1003' and '1004')" in answer


def test_accounts_are_met_by_their_names_and_owners_by_the_names_beside_their_ids(tmp_path):
    crm, _ = loaded(
        tmp_path / "crm",
        accounts="account_id,name\n1,Acme Inc.\n2,Beta\n",
        contracts="contract_id,account_id,end_date,owner_id,Owner Name\nC0,ACME Inc,2022-12-31,7,Ann\n",
        opportunities="opportunity_id,account_id,created_at,owner_id\nO1,2,2021-01-01,Ann\n",
    )
    assert crm.frame("contracts")["account_id"].tolist() == ["1"]
    assert crm.frame("opportunities")["owner_id"].tolist() == ["7"]
