"""Rows that arrive one by one: plain writing is read without a query, just as the query would."""

from datetime import datetime

import pytest

from features.crm.arriving import Reader, read_plainly, values_lost
from features.crm.contract import TABLES, Kind

VALUES = {
    Kind.ID: ["A-1", "17", 17, "x.0y", "1.0", " A", "", None, "é", "null", "1.00", "\u00a0x", "a\u2003"],
    Kind.CATEGORY: ["call", "Call ", "x.0", "", None, "nan", "N/A", True],
    Kind.NUMBER: [1, -2, 0.5, 1.25, "3.000", "1e3", "1,000", "n/a", None, "-0", 7.1234567, "50 %", ".5"],
    Kind.WHOLE: [1, -3, "4.0", 4.5, "007", None, "x", 10**13, "1 000"],
    Kind.MONEY: [100, 0.1, "12.345", "1.005", "-7.50", "EUR 5", None, "1.0", 99999999.99, "(5)", -0.0],
    Kind.DURATION: [12, 0.5, 0.25, "1:02:03", -3, None, "x", 12.1],
    Kind.FLAG: [True, False, "true", "yes", 1, 0, None, "maybe", "True"],
    Kind.TIME: [
        "2026-01-01T09:00:00", "2026-01-01 09:00:00", "2026-01-01T09:00:00Z", "2026-01-01T09:00:00.5",
        "2026-01-01T09:00:00.123456Z", "2026-01-01", "2026-02-30", "2026-01-01T24:00:00", "2026-1-1",
        "2026-01-01T09:00:00+02:00", "yesterday", None, "0000-01-01", "2026-01-01T23:59:60", "9999-12-31",
        datetime(2026, 1, 1, 9, 0, 0, 7), "2026-01-01T09:00", "1900-01-01T00:00:00 Z",
    ],
}  # fmt: skip
VALUES[Kind.TEXT], VALUES[Kind.DATE] = VALUES[Kind.CATEGORY], VALUES[Kind.TIME]
COLUMNS = {
    (column.kind, column.stored != column.name, column.required): (table, column)
    for table in TABLES
    for column in TABLES[table].columns
}


@pytest.mark.parametrize("what", COLUMNS, ids=lambda what: "-".join(map(str, what)))
def test_what_is_written_plainly_is_read_as_the_query_reads_it(what):
    _, column = COLUMNS[what]
    reader, plainly = Reader(), 0
    for value in VALUES[column.kind]:
        rows = [{column.name: value}]
        queried, faults = reader._read([column], rows)
        found = read_plainly([column], rows)
        if found is not None:
            plainly += 1
            assert found.equals(queried), (value, found.to_pylist(), queried.to_pylist())
            assert faults == [None], value
    assert plainly


def test_one_odd_value_sends_all_rows_to_the_query_with_the_same_result():
    row = {"activity_id": "E1", "account_id": "A1", "kind": "call", "occurred_at": "2026-01-01T09:00:00"}
    read, faults = Reader().read(
        "activities", [row, {**row, "occurred_at": "yesterday"}, {**row, "kind": None}]
    )
    assert read.num_rows == 3
    assert faults[0] is None
    assert faults[1].startswith("occurred_at: 'yesterday'")
    assert faults[2] == "kind: is missing"
    assert Reader().read("activities", [row])[0].equals(read.slice(0, 1))


def test_values_that_are_not_stored_are_named():
    row = {"activity_id": "E1", "account_id": "A1", "kind": "call", "occurred_at": "2026-01-01T09:00:00"}
    rows = [
        {**row, "duration_minutes": "a while", "subject": "n/a"},
        {**row, "activity_id": "E2", "duration_minutes": 5, "durations": 5, "owner": None},
        {**row, "activity_id": "E3", "occurred_at": "yesterday", "duration_minutes": "a while"},
    ]
    read, faults = Reader().read("activities", rows)
    assert values_lost("activities", rows, read, faults) == [
        {"row": 0, "column": "duration_minutes", "value": "a while", "why": "is not a duration"},
        {"row": 1, "column": "durations", "value": "5", "why": "is no column of the table"},
    ]
