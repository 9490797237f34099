"""serving/scoring/export.py: results as files."""

import json

import openpyxl
import pandas as pd
import pytest

from features.errors import RenewalError
from serving.scoring import export

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
    assert json.loads(pd.read_csv(tmp_path / "out.csv")["reasons"][0])[0]["words"] == "no call in 90 days"


def test_a_spreadsheet_gets_words_and_no_formula(tmp_path):
    export.write(tmp_path / "out.xlsx", {"rows": ROWS})
    sheet = openpyxl.load_workbook(tmp_path / "out.xlsx").active
    cells = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert cells[1][3] == "no call in 90 days"
    assert cells[2][0] == "'=2+5"


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
