"""Small inputs that real exports taught: what each folder of ../shared/cases is read as, by its README."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from features.crm.load import load
from features.errors import RenewalError

CASES = Path(__file__).parents[3] / "shared" / "cases"


def crm_of(case: str, tmp_path: Path):
    folder = CASES / case
    if not folder.is_dir():
        pytest.skip(f"the case {case} is not beside the checkout, in ../shared/cases")
    return load(folder, into=tmp_path / "clean")


END = " 23:59:59.999999"
VALUES = {
    "01_de_thousands": {
        "contracts.annual_value": [129999, 95000, 1200000, 150000, 12300, 123456700],
    },
    "05_hubspot_epoch": {
        "opportunities.created_at": ["2022-05-06 15:57:34", "2022-05-07 23:30:00", "2022-05-07 23:30:00"],
        "opportunities.closed_at": ["2022-08-06 15:37:34", "2022-08-06 15:57:00", None],
        "opportunities.is_won": [True, False, None],
    },
    "06_excel_serial": {
        "contracts.start_date": ["2022-01-01", "2022-01-01", "2022-02-01"],
        "contracts.end_date": ["2022-12-31", "2022-12-31", "2023-01-31"],
    },
    "09_null_words": {
        "contracts.product": [None, None, None, "Pro"],
        "contracts.annual_value": [100000, None, None, None],
        "contracts.account_id": ["C1", "C2", "C3", "A1"],
        "accounts.industry": [None] * 6,
        "accounts.country": ["NA", None, "DE", None, "NA", None],
        "accounts.parent_account_id": [None] * 6,
    },
    "10_sf_report_footer": {"contracts.annual_value": [100000, 200000], "contracts.renewed": [True, False]},
    "14_percent": {
        "opportunities.forecast": [0.9, 0.1, 0.001],
        "opportunities.discount__c": [0.15, 0.125, 0.0015],
    },
    "15_close_before_create": {
        "opportunities.opportunity_id": ["1", "2"],
        "opportunities.is_won": [True, False],
    },
    "18_multiselect": {"contracts.Products__c": ["A;B", "A;B;C", "A;B"] * 4},
    "19_outcome_words": {
        "contracts.contract_id": ["C1", "C2", "C3", "C4", "C6", "C7"],
        "contracts.renewed": [True, False, True, True, True, True],
    },
    "20_trailing_comma": {"contracts.renewed": [True, False]},
    "21_title_rows": {"contracts.contract_id": ["C1", "C2", "C3"], "contracts.annual_value": [100000] * 3},
    "24_inner_quotes": {"contracts.product": ["plain", 'nanakorn, " tanin']},
    "25_cp1252": {
        "accounts.name": ["Müller – Söhne", "Café"],
        "accounts.country": ["Österreich", "France"],
    },
    "26_odd_dates": {
        "contracts.start_date": [
            *("2022-01-05", None, None, "2022-01-01", None, "2022-01-01", "2022-01-01", "2022-01-01"),
            *("2022-01-01", None),
        ],
        "contracts.end_date": [*["2022-12-31"] * 3, None, *["2022-12-31"] * 6],
    },
    "29_feature_names": {"contracts.ARR [<10k]": list(range(1, 41)), "contracts.Größe": [1, 2, 0, 1]},
    "30_negative_amounts": {
        "contracts.annual_value": [
            *(-100000, -100000, -50000, -50000, -50000, 10000000, 123450, 123450, 123400, 1000, 1000, 123450),
        ],
    },
    "31_utf8_ragged": {
        "accounts.name": ["Müller", "Peña", None],
        "accounts.country": ["Österreich", "España", None],
    },
    "33_map_ambiguous_dates": {"opportunities.is_won": [True, False]},
    "35_map_e_ids": {
        "opportunities.opportunity_id": ["12E4", "13E5", "120000"],
        "opportunities.account_id": ["1E10", "2E10", "10000000000"],
    },
    "36_map_utf16": {"opportunities.account_id": ["Müller", "Söhne"]},
    "39_map_hubspot_export": {
        "opportunities.opportunity_id": ["12345678901", "12345678902"],
        "opportunities.account_id": ["987654321", "12345678902"],
        "opportunities.is_won": [True, False],
    },
    "46b_mixed_newlines": {"contracts.contract_id": ["C1", "C2"], "contracts.renewed": [True, False]},
    "48_durations": {"activities.duration_seconds": [None, 90, 90, None, None, 90, 90]},
    "49_employee_ranges": {
        "accounts.account_id": ["A1", "A2", "A3", "A4", "A5"],
        "accounts.employees": [101, 1000, 250, 10, 50],
        "accounts.annual_revenue": [316227800, 1000000000, 500000000, 1000000000, None],
    },
    "52_zone_names": {
        "opportunities.created_at": [
            *["2022-03-13 07:30:00"] * 3,
            *("2022-03-13 14:30:00", f"2022-03-13{END}", "2022-03-13 02:30:00", "2022-03-13 02:30:00.123456"),
            *["2022-03-14"] * 2,
        ],
    },
    "58_repeated_header": {"contracts.contract_id": ["C1", "C2"], "contracts.renewed": [True, False]},
    "61_formula_injection": {"accounts.industry": ["=1+1", "+cmd|calc"]},
}
"""Case → `table.column` → its values in the order of the key (the first ones, where there are more)."""

REPORTED = {
    "06_excel_serial": ["contracts.start_date: 1 value is Excel's day numbers (44562 is 2022-01-01)"],
    "10_sf_report_footer": ["lines 4, 6–9 are totals, titles or footers", "line 5 is empty"],
    "14_percent": ["opportunities.forecast: 1 of 3 values have a per-cent sign, so all are per cent"],
    "19_outcome_words": ["contracts.renewed: 1 value is neither yes nor no as far as is known (-1)"],
    "21_title_rows": ["the header was found in line 4"],
    "25_cp1252": ["accounts.csv is not UTF-8 and was read as Windows-1252"],
    "26_odd_dates": [
        "start_date: 2 values stand for no day or an open end",
        "end_date: 1 values stand for no day",
    ],
    "30_negative_amounts": ["1 that could be either are read with the point"],
    "33_map_ambiguous_dates": [
        "Created: 2 dates fit both day first and month first",
        "Closed: 2 dates fit both",
    ],
    "48_durations": ["activities.duration_minutes: 2 values are no duration", "'1:30' in row 1"],
    "49_employee_ranges": ["accounts.employees: 3 values are bands"],
    "52_zone_names": ["in a named time zone (2022-03-13 02:30:00 America/New_York), made UTC"],
}
"""Case → what the quality report says among other things."""

REJECTED = {"24_inner_quotes": "line 2: ", "31_utf8_ragged": "line 4: 4 values where the header has 3"}
ASIDE = {
    "15_close_before_create": ("opportunities", "closed_at: '2017-10-11' is before created_at"),
    "19_outcome_words": ("contracts", "renewed: '-1' is not yes or no"),
    "58_repeated_header": ("contracts", "the header again"),
}


KEYS = {"accounts": "account_id", "activities": "activity_id", "opportunities": "opportunity_id"}


def as_written(value):
    """A value as the table above writes it: moments as text, a day without its midnight."""
    if pd.isna(value):
        return None
    return str(value).removesuffix(" 00:00:00") if isinstance(value, pd.Timestamp) else value


def number_at_end(ids: pd.Series) -> pd.Series:
    return ids.str.extract(r"(\d+)$")[0].astype(float)


@pytest.mark.parametrize("case", VALUES)
def test_each_value_is_read_as_the_column_shows(case, tmp_path):
    crm = crm_of(case, tmp_path)
    for place, expected in VALUES[case].items():
        table, _, column = place.partition(".")
        frame = crm.frame(table).sort_values(KEYS.get(table, "contract_id"), key=number_at_end, kind="stable")
        values = [as_written(value) for value in frame[column]][: len(expected)]
        assert values == [pytest.approx(v) if isinstance(v, float) else v for v in expected], place


@pytest.mark.parametrize("case", REPORTED)
def test_what_was_decided_is_reported(case, tmp_path):
    quality = crm_of(case, tmp_path).quality
    report = "\n".join([*quality.warnings, *quality.readings])
    for words in REPORTED[case]:
        assert words in report


@pytest.mark.parametrize("case", REJECTED)
def test_a_line_that_is_no_row_is_named(case, tmp_path):
    tables = crm_of(case, tmp_path).quality.tables.values()
    examples = [text for table in tables for reason in table.reasons.values() for text in reason["examples"]]
    assert any(REJECTED[case] in text for text in examples)


@pytest.mark.parametrize("case", ASIDE)
def test_a_row_aside_says_why(case, tmp_path):
    table, reason = ASIDE[case]
    aside = pq.read_table(crm_of(case, tmp_path).folder / "quarantine" / f"{table}.parquet")
    assert aside.num_rows == 1
    assert reason in aside["reason"].to_pylist()[0]


def test_carried_money_dates_and_numbers_are_typed(tmp_path):
    crm = crm_of("16_carried_money_dates", tmp_path)
    first = crm.frame("contracts").set_index("contract_id").loc["C1"]
    assert (first["ARR__c"], first["Seats__c"], first["Margin__c"]) == (1200.0, 1100.0, 1.5)
    assert crm.frame("contracts")["Kickoff__c"].max() == pd.Timestamp("2022-12-24")


def test_a_header_that_occurs_twice_is_refused_with_both_beginnings(tmp_path):
    with pytest.raises(
        RenewalError, match=r"annual_value twice: column 5 begins with USD, USD, and column 6 .*1000"
    ):
        crm_of("12_dup_header", tmp_path)
