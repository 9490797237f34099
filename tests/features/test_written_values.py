"""Values as people, accountants and spreadsheets of many countries write them, read by their whole column."""

from pathlib import Path

import pandas as pd
import pytest

from features.crm.load import load
from features.errors import RenewalError
from features.mapping_draft.outcome_words import meaning


def read_column(folder: Path, column: str, written: list[str], table: str = "contracts") -> tuple[list, str]:
    """The column's values in the order of the rows, and what the report says."""
    folder.mkdir(parents=True)
    rows = "".join(f'C{i:02},A{i:02},"{text}"\n' for i, text in enumerate(written))
    (folder / "contracts.csv").write_text(
        f"contract_id,account_id,{column if table == 'contracts' else 'note'}\n{rows}", encoding="utf-8"
    )
    if table == "accounts":
        (folder / "accounts.csv").write_text(
            f"account_id,{column}\n" + "".join(f'A{i:02},"{text}"\n' for i, text in enumerate(written)),
            encoding="utf-8",
        )
    crm = load(folder, into=folder.parent / f"{folder.name}-clean")
    frame = crm.frame(table).sort_values(f"{table[:-1]}_id")
    values = [None if pd.isna(value) else value for value in frame[column].tolist()]
    return values, "\n".join([*crm.quality.warnings, *crm.quality.readings])


AMOUNTS = {
    "a dash for no cents": (["12'500.50", "950.–", "CHF 1'200.-"], [12500.5, 950, 1200]),
    "parentheses behind the currency": (["$ (300.00)", "$(20.50)", "(5.00)"], [-300, -20.5, -5]),
    "an accountant's zero": (["$ -", "$ 1,200.00"], [0, 1200]),
    "one with its currency behind": (["-   €", "1.200,50 €"], [0, 1200.5]),
    "names of currencies": (["12.000 Euro", "1.500,50 Euros", "1.000 euro"], [12000, 1500.5, 1000]),
    "a dollar of a country behind": (["12,000.50 US$", "500.00 US$"], [12000.5, 500]),
    "Indian groups behind Rs.": (["Rs. 1,20,000", "Rs. 500.50"], [120000, 500.5]),
    "Arabic digits": (["١٢٠٠", "١٬٥٠٠٫٥٠"], [1200, 1500.5]),
    "wide digits": (["１２００", "１，５００．５０"], [1200, 1500.5]),
    "a share is no amount": (["10%", "1200", "500"], [None, 1200, 500]),
    "amounts a year": (["$12,000/yr", "$1,200.50 per year", "$99 p.a.", "$500"], [12000, 1200.5, 99, 500]),
    "amounts a month alone": (["€99/Monat", "120,50 € monatlich", "1 200 €/mois"], [1188, 1446, 14400]),
    "a month's and a year's": (["99 €/mois", "1 200 € par an", "12 k€ /an"], [99, 1200, 12000]),
    "amounts a seat are no amounts": (["99/user/month", "1200"], [None, 1200]),
}


@pytest.mark.parametrize("name", AMOUNTS)
def test_amounts(name, tmp_path):
    written, amounts = AMOUNTS[name]
    read, _ = read_column(tmp_path / "crm", "annual_value", written)
    assert read == [None if amount is None else amount * 100 for amount in amounts]


HEADCOUNTS = {
    "a point groups whole numbers": (["1.200", "850", "12.000"], [1200, 850, 12000]),
    "a point groups in bands": (["51 – 200", "1 to 10", "> 10.000"], [101, 3, 10000]),
    "bands with names": (["Small (1-50)", "Medium (51-250)", "Large (251+)"], [7, 113, 251]),
    "about": (["approx. 50", "around 200", "etwa 1.000"], [50, 200, 1000]),
    "a share is no number of people": (["100%", "20", "30"], [None, 20, 30]),
}


@pytest.mark.parametrize("name", HEADCOUNTS)
def test_numbers_of_people(name, tmp_path):
    written, employees = HEADCOUNTS[name]
    assert read_column(tmp_path / "crm", "employees", written, "accounts")[0] == employees


def test_codes_that_look_like_powers_stay_codes(tmp_path):
    assert read_column(tmp_path / "crm", "sku", ["1E10", "2E10", "12E4"])[0] == ["1E10", "2E10", "12E4"]


def test_amounts_of_several_units_are_told(tmp_path):
    for i, (written, words) in enumerate(
        (
            (
                ["99/month", "1200/year"],
                "amounts are 1 a month and 1 a year; they are read as the numbers they are",
            ),
            (["99/month", "100"], "amounts are 1 a month; they are read as the numbers they are"),
            (["99/month", "100 monthly"], "all amounts are a month's, and count 12 times a year"),
            (["300 per quarter"], "all amounts are a quarter's, and count 4 times a year"),
        )
    ):
        _, answer = read_column(tmp_path / str(i) / "crm", "annual_value", written)
        assert words in answer


PERIODS = {
    "ISO weeks": ["2024-W07", "KW 07/2024", "2024W07"],
    "months": ["2024-03", "03/2024", "Mar-24", "March 2024", "mars 2024", "März 2024", "marzo de 2024"],
    "quarters": ["Q3 2024", "2024 Q3", "2024-Q3", "3Q24", "Q3'24", "3. Quartal 2024", "T3 2024"],
    "halves": ["H1 2024", "1H 2024"],
}
SPANS = {
    "ISO weeks": ("2024-02-12", "2024-02-18"),
    "months": ("2024-03-01", "2024-03-31"),
    "quarters": ("2024-07-01", "2024-09-30"),
    "halves": ("2024-01-01", "2024-06-30"),
}


@pytest.mark.parametrize("name", PERIODS)
def test_periods_begin_and_end_with_a_day(name, tmp_path):
    for column, day, which in zip(("start_date", "end_date"), SPANS[name], ("first", "last"), strict=True):
        read, answer = read_column(tmp_path / column / "crm", column, [*PERIODS[name], "2022-05-06"])
        assert [str(value.date()) for value in read] == [day] * len(PERIODS[name]) + ["2022-05-06"]
        assert f"read as their {which} day" in answer


def test_a_day_of_a_week_is_that_day_and_a_fiscal_quarter_is_none(tmp_path):
    written = ["2024-W07-3", "FY24 Q3", "Q1 FY2024", "2024-W53", "2024-13"]
    read, answer = read_column(tmp_path / "crm", "end_date", written)
    assert [value and str(value.date()) for value in read] == ["2024-02-14", None, None, None, None]
    assert "2 values are of a fiscal year (FY24 Q3), which begins when a firm says so" in answer


TERMS = {
    "words": (["36 months", "3 yrs", "1 year", "24-month"], [36, 36, 12, 24]),
    "ISO": (["P1Y", "P6M", "P1Y6M"], [12, 6, 18]),
    "other languages": (["12 Monate", "2 Jahre", "1 an", "6 meses"], [12, 24, 12, 6]),
    "days": (["90 days", "52 weeks"], [2.96, 11.96]),
}


@pytest.mark.parametrize("name", TERMS)
def test_terms_are_read_in_months(name, tmp_path):
    written, months = TERMS[name]
    read, answer = read_column(tmp_path / "crm", "term", written)
    assert read == pytest.approx(months, abs=0.01)
    assert "read in months" in answer


def test_what_may_be_terms_or_millions_stays_as_written(tmp_path):
    assert read_column(tmp_path / "crm", "term", ["12M", "24M"])[0] == ["12M", "24M"]


LISTS = {
    "JSON": ['["B","A"]', '["A", "B"]', "A", "[]"],
    "Python": ["['B', 'A']", "['A', 'B']", "A", "[]"],
    "PostgreSQL": ["{B,A}", "{A,B}", "{A}", "{}"],
    "semicolons": ["B;A", "A; B;", "A", ""],
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("column", ["product", "Tags__c"])
def test_lists_are_sets(column, name, tmp_path):
    written = [text.replace('"', '""') for text in LISTS[name]]
    assert read_column(tmp_path / "crm", column, written)[0] == ["A;B", "A;B", "A", None]


def test_what_only_looks_like_a_list_stays(tmp_path):
    written = ["[<10k]", "[a", "{}x"]
    assert read_column(tmp_path / "crm", "tier", written)[0] == written


DAYS = {
    "ordinals": (["1st August 2023", "2nd May 2023", "August 3rd, 2023"],
                 ["2023-08-01", "2023-05-02", "2023-08-03"]),
    "first in French": (["1er janvier 2023", "2 mars 2023"], ["2023-01-01", "2023-03-02"]),
    "first in Portuguese": (["1º de março de 2023", "2 de abril de 2023"], ["2023-03-01", "2023-04-02"]),
    "Japanese": (["2022年12月31日", "2023年2月1日"], ["2022-12-31", "2023-02-01"]),
    "an open end": (["2099-12-31", "2023-02-01", "31.12.2099 23:59"], [None, "2023-02-01", None]),
}  # fmt: skip


@pytest.mark.parametrize("name", DAYS)
def test_days(name, tmp_path):
    written, days = DAYS[name]
    read, _ = read_column(tmp_path / "crm", "end_date", written)
    assert [None if day is None else str(day.date()) for day in read] == days


WORDS = {
    "renewed": {
        True: ["Odnowiona", "1 - Won", "🏆 Won", "Vundet", "Fechado e ganho", "Chiusa vinta"],
        False: [
            "Nieodnowiona",
            "2. Lost",
            "Lost to competitor",
            "Cancelled by customer",
            "Expired",
            "Disqualified",
        ],
        None: ["Not yet due", "Propuesta", "0 - Open", "W toku", "商談中", "appointmentscheduled"],
    },
    "auto_renew": {
        True: ["Automatic", "Auto-renew", "Evet"],
        False: ["Manual", "Hayır", "manuell"],
        None: ["Sometimes"],
    },
}


@pytest.mark.parametrize("column", WORDS)
def test_words(column, tmp_path):
    written = [(word, flag) for flag, words in WORDS[column].items() for word in words]
    read, _ = read_column(tmp_path / "crm", column, [word for word, _ in written])
    assert read == [flag for _, flag in written]


def test_what_somebody_else_won_is_asked_for(tmp_path):
    read, report = read_column(tmp_path / "crm", "renewed", ["Won", "Won by competitor", "Lost"])
    assert read == [True, False]
    assert "neither yes nor no as far as is known (Won by competitor)" in report


def test_a_stage_that_has_not_begun_is_drafted_as_open():
    assert [meaning(word) for word in ("Not started", "Not yet due", "Not won")] == [None, None, False]


BESIDE = {
    "a sum without its word": "C1,A1,2022-01-01,1000\nC2,A2,2022-01-01,2000\n,,,3000\n",
    "a line of units": ",,date,EUR\nC1,A1,2022-01-01,1000\nC2,A2,2022-01-01,2000\n",
    "a rule under the header": "---,---,---,---\nC1,A1,2022-01-01,1000\nC2,A2,2022-01-01,2000\n",
}


@pytest.mark.parametrize("name", BESIDE)
def test_a_row_without_id_account_and_day_is_no_contract(name, tmp_path):
    (tmp_path / "crm").mkdir()
    header = "contract_id,account_id,start_date,annual_value\n"
    (tmp_path / "crm" / "contracts.csv").write_text(header + BESIDE[name])
    crm = load(tmp_path / "crm", into=tmp_path / "clean")
    assert sorted(crm.frame("contracts")["annual_value"]) == [100000, 200000]
    assert crm.quality.quarantined == 1


def test_a_file_without_one_column_of_the_contract_is_refused(tmp_path):
    (tmp_path / "crm").mkdir()
    (tmp_path / "crm" / "contracts.csv").write_text("x,y\n1,2\n3,4\n")
    with pytest.raises(RenewalError, match=r"contracts to have columns of the contract.*found x, y alone"):
        load(tmp_path / "crm", into=tmp_path / "clean")
