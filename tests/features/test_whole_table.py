"""A table of which not one row could be read is one error."""

import pytest

from features.crm.load import from_rows, load
from features.errors import RenewalError

ROWS = 12


def contracts(day, n=ROWS):
    rows = "".join(f"c{i},{day(1 + i % 28, 3)},{day(1 + i % 28, 9)},5\n" for i in range(n))
    return "contract_id,start_date,end_date,annual_value\n" + rows


def loaded(folder, text):
    crm = folder / "crm"
    crm.mkdir()
    (crm / "contracts.csv").write_text(text)
    return load(crm, into=folder / "clean")


def test_a_table_without_one_good_row_is_refused_with_an_example(tmp_path):
    with pytest.raises(RenewalError, match=r"all 12 put aside, .* is before start_date"):
        loaded(tmp_path, contracts(lambda day, month: f"{2030 - month}-01-{day:02}"))
    assert not (tmp_path / "clean").exists()


def test_one_row_that_can_be_read_is_enough(tmp_path):
    bad = contracts(lambda day, month: f"{2030 - month}-01-{day:02}")
    assert loaded(tmp_path, bad + "good,2024-01-01,2024-12-31,5\n").quality.quarantined == ROWS


def test_a_few_bad_rows_are_just_that(tmp_path):
    crm = loaded(tmp_path, contracts(lambda day, month: f"{2030 - month}-01-01", n=3))
    assert crm.quality.quarantined == 3


def test_values_that_cannot_be_read_do_not_cost_the_table(tmp_path):
    crm = loaded(tmp_path, contracts(lambda day, month: "soon"))
    assert len(crm.frame("contracts")) == ROWS
    assert crm.quality.tables["contracts"].unread["end_date"]["count"] == ROWS


def test_days_that_a_program_sends_are_read_by_themselves_and_not_by_custom():
    rows = [{"contract_id": f"c{i}", "end_date": "05/06/2024"} for i in range(ROWS)]
    quality = from_rows({"contracts": rows}).quality
    assert quality.quarantined == 0
    assert quality.tables["contracts"].unread["end_date"]["count"] == ROWS
