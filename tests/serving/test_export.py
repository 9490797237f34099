"""serving/scoring/export.py: results as files."""

import json

import openpyxl
import pandas as pd
import pytest

from features.errors import RenewalError
from serving.scoring import export
from serving.scoring.answer_tables import answer_tables

ROWS = [
    {
        "contract_id": "C1",
        "probability": 0.25,
        "as_of": pd.Timestamp("2025-06-30"),
        "reasons": [{"feature": "calls_90d", "words": "no call in 90 days", "value": 0.0, "log_odds": -0.4}],
        "problem": None,
    },
    {
        "contract_id": "=2+5",
        "probability": float("nan"),
        "as_of": pd.NaT,
        "reasons": [],
        "problem": "unknown id",
    },
]


def test_json_is_whole_and_plain(tmp_path):
    export.write(tmp_path / "out.json", {"kind": "renewal", "rows": ROWS})
    read = json.loads((tmp_path / "out.json").read_text())
    assert read["rows"][0]["as_of"] == "2025-06-30T00:00:00"
    assert read["rows"][1]["probability"] is None
    assert read["rows"][0]["reasons"][0]["log_odds"] == -0.4


def test_tables_hold_one_line_a_row(tmp_path):
    for ending, read in ((".csv", pd.read_csv), (".parquet", pd.read_parquet), (".xlsx", pd.read_excel)):
        export.write(tmp_path / f"out{ending}", {"kind": "renewal", "rows": ROWS})
        frame = read(tmp_path / f"out{ending}")
        assert frame["probability"].iloc[0] == 0.25
        assert len(frame) == 2
        assert frame["reason_1"].iloc[0] == "no call in 90 days"
        assert frame["reason_1_direction"].iloc[0] == "lowers"


def test_a_spreadsheet_gets_words_and_no_formula(tmp_path):
    export.write(tmp_path / "out.xlsx", {"rows": ROWS})
    sheet = openpyxl.load_workbook(tmp_path / "out.xlsx").active
    cells = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert cells[1][3] == "no call in 90 days"
    assert cells[2][0] == "'=2+5"


def test_a_workbook_has_units_filters_and_a_header_that_stays(tmp_path):
    rows = [{"contract_id": "C1", "probability": 0.25, "amount": 1200.5, "as_of": "2025-06-30"}]
    result = {"rows": rows, "notes": ["one thing", "another"], "version": 3}
    export.write(tmp_path / "out.xlsx", result, currency="EUR")
    book = openpyxl.load_workbook(tmp_path / "out.xlsx")
    assert book.sheetnames == ["rows", "notes", "facts", "columns"]
    sheet = book["rows"]
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == "A1:D2"
    assert sheet["B2"].number_format == "0.0%"
    assert sheet["C2"].number_format == '#,##0 "EUR"'
    assert sheet["D2"].number_format == "yyyy-mm-dd"
    assert sheet["D2"].is_date
    legend = {row[0].value: row[1].value for row in book["columns"].iter_rows(min_row=2)}
    assert legend["amount"] == "EUR"
    assert legend["probability"] == "per cent"


def test_what_is_nested_becomes_columns_tables_or_words():
    result = {
        "model": "renewal",
        "forward": {"auc": 0.7, "n": 40},
        "gates": {"parity": {"passed": True, "why": "fine"}, "slope": {"passed": None, "why": "few"}},
        "alerts": [{"id": 1, "reasons": ["a", "b"], "details": {"x": 1}}],
    }
    tables = {table.name: table.frame for table in answer_tables(result)}
    assert list(tables) == ["alerts", "gates", "facts"]
    assert tables["alerts"].to_dict("records") == [{"id": 1, "reasons": "a; b", "details_x": 1}]
    assert tables["gates"]["name"].tolist() == ["parity", "slope"]
    assert dict(tables["facts"].itertuples(index=False))["forward auc"] == 0.7


def test_a_page_shows_every_table_or_is_the_one_the_answer_brings(tmp_path):
    checks = [{"name": "drift", "verdict": "alert", "threshold": 0.1}]
    result = {"verdict": "alert", "html": "/a/path.html", "checks": checks}
    export.write(tmp_path / "out.html", result, title="Watch")
    page = (tmp_path / "out.html").read_text()
    assert "threshold" in page
    assert page.count("<table>") == 2
    export.write(tmp_path / "out.html", {"html": "<!doctype html><p>mine", "rows": []})
    assert (tmp_path / "out.html").read_text() == "<!doctype html><p>mine"


def test_html_escapes(tmp_path):
    export.write(tmp_path / "out.html", {"rows": [{"name": "<script>alert(1)</script>"}]})
    assert "<script>" not in (tmp_path / "out.html").read_text()


def test_a_result_that_is_no_list_is_one_row(tmp_path):
    export.write(tmp_path / "out.csv", {"model": "perennial-renewal", "version": 3})
    assert pd.read_csv(tmp_path / "out.csv").to_dict("records") == [
        {"model": "perennial-renewal", "version": 3}
    ]


@pytest.mark.parametrize("name", ["out.docx", "out", "missing-folder/out.csv"])
def test_a_wrong_name_is_told_and_nothing_is_written(tmp_path, name):
    with pytest.raises(RenewalError):
        export.write(tmp_path / name, {"rows": ROWS})
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "out.csv"
    export.write(target, {"rows": ROWS})
    before = target.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setitem(export.WRITERS, ".csv", fail)
    with pytest.raises(RenewalError, match="disk full"):
        export.write(target, {"rows": ROWS[:1]})
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize(
    "words", ["2026-11-30T22:50:13+00:00 pilot in the north only", "2025-13-45", "9999-12-31", "1200-01-01"]
)
def test_what_only_begins_like_a_day_stays_text(tmp_path, words):
    export.write(tmp_path / "a.xlsx", {"rows": [{"promoted": words, "day": "2025-01-31"}]})
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx").worksheets[0]
    assert sheet["A2"].value == words
    assert sheet["B2"].value.isoformat() == "2025-01-31T00:00:00"
