"""A table that cannot be read at all is one error that says how to read it."""

import re

import pytest

from features.crm.load import from_rows, load
from features.crm.quality import formats_of
from features.errors import RenewalError

ROWS = 12


def contracts(day, n=ROWS):
    rows = "".join(f"c{i},{day(1 + i % 28, 3)},{day(1 + i % 28, 9)},5\n" for i in range(n))
    return "contract_id,start_date,end_date,annual_value\n" + rows


def loaded(folder, text):
    (folder / "contracts.csv").write_text(text)
    return load(folder, into=folder.parent / "clean")


@pytest.mark.parametrize(
    ("written", "form"),
    [
        (lambda day, month: f"{day + 12:02}.{month:02}.2024", "%d.%m.%Y"),
        (lambda day, month: f"{month:02}/{day + 12:02}/2024", "%m/%d/%Y"),
    ],
)
def test_dates_in_another_form_are_one_error_and_the_mapping_it_names_reads_them(tmp_path, written, form):
    crm = tmp_path / "crm"
    crm.mkdir()
    with pytest.raises(RenewalError, match=rf"all 12 put aside.*start_date.*{form}") as error:
        loaded(crm, contracts(written))
    assert not (tmp_path / "clean").exists()
    line = re.search(r"`(contracts: .*)`", str(error.value)).group(1)
    (crm / "mapping.yaml").write_text(line)
    found = load(crm, into=tmp_path / "clean").frame("contracts")
    assert len(found) == ROWS
    assert str(found["end_date"].max())[:10] == "2024-09-24"


def test_what_is_no_date_at_all_names_the_fault_alone(tmp_path):
    crm = tmp_path / "crm"
    crm.mkdir()
    with pytest.raises(RenewalError, match="is before start_date") as error:
        loaded(crm, contracts(lambda day, month: f"{2030 - month}-01-{day:02}"))
    assert "strptime" not in str(error.value)


def test_one_row_that_can_be_read_is_enough_and_a_few_bad_rows_are_just_that(tmp_path):
    crm = tmp_path / "crm"
    crm.mkdir()
    bad = contracts(lambda day, month: f"{day:02}.{month:02}.2024")
    assert loaded(crm, bad + "good,2024-01-01,2024-12-31,5\n").quality.quarantined == ROWS
    assert loaded(crm, contracts(lambda day, month: "soon", n=3)).quality.quarantined == 3


def test_rows_that_a_program_sends_keep_their_quarantine():
    rows = [{"contract_id": f"c{i}", "end_date": "31.12.2024"} for i in range(ROWS)]
    assert from_rows({"contracts": rows}).quality.quarantined == ROWS


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (["03.04.2024"], "%d.%m.%Y"),
        (["03/04/2024"], "%m/%d/%Y"),
        (["03/04/2024", "13/04/2024"], "%d/%m/%Y"),
        (["3-14-24"], "%m-%d-%y"),
        (["2024.12.31"], "%Y.%m.%d"),
        (["31.12.2024 10:30"], "%d.%m.%Y %H:%M"),
        (["2024-13-01"], None),
        (["soon"], None),
        (["31.12.2024", "soon"], None),
    ],
)
def test_the_form_of_days(values, form):
    assert formats_of([("day", value) for value in values]).get("day") == form
