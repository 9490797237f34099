"""Exports in forms that are not plain CSV: each kind once, and what it must be read as."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from datetime import datetime
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.crm.load import load
from features.errors import RenewalError
from features.mapping_draft.folder_draft import map_folder
from perennial.print.text import short

HEADER = ["contract_id", "account_id", "start_date", "end_date", "annual_value", "renewed"]
ROWS = [
    ["C1", "A1", "2022-01-01", "2022-12-31", "1000", "yes"],
    ["C2", "A2", "2022-02-01", "2023-01-31", "2000", "no"],
]
RIGHT = {"contract_id": ["C1", "C2"], "annual_value": [100000, 200000], "renewed": [True, False]}


SUPPORT = Path(__file__).parents[1] / "support"


def text_of(rows: list[list[str]] = ROWS, sign: str = ",") -> str:
    return "\n".join(sign.join(row) for row in [HEADER, *rows]) + "\n"


def workbook(
    sheets: dict[str, list[list]], hidden: tuple[str, ...] = (), merged: tuple[str, ...] = ()
) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        sheet.sheet_state = "hidden" if name in hidden else "visible"
        for row in rows:
            sheet.append(row)
        for cells in merged:
            sheet.merge_cells(cells)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def packed(**files: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"export/{name}.csv", text)
    return content.getvalue()


def open_document(rows: list[list[str]]) -> bytes:
    cells = "".join(
        "<table:table-row>"
        + "".join(
            f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>'
            for cell in row
        )
        + "</table:table-row>"
        for row in rows
    )
    space = "urn:oasis:names:tc:opendocument:xmlns:"
    names = "".join(f' xmlns:{name}="{space}{name}:1.0"' for name in ("office", "table", "text"))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", f'<m:manifest xmlns:m="{space}manifest:1.0"/>')
        archive.writestr(
            "content.xml",
            f"<office:document-content{names}><office:body><office:spreadsheet>"
            f'<table:table table:name="contracts">{cells}</table:table>'
            "</office:spreadsheet></office:body></office:document-content>",
        )
    return content.getvalue()


RECORDS = [dict(zip(HEADER, row, strict=True)) for row in ROWS]
CELLS = [
    ["C1", "A1", datetime(2022, 1, 1), datetime(2022, 12, 31), 1000, True],
    ["C2", "A2", datetime(2022, 2, 1), datetime(2023, 1, 31), 2000.0, False],
]
QUOTED = "\n".join('"' + line + '"' for line in text_of().splitlines())
HTML = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in [HEADER, *ROWS])
LINES = "\n".join(map(json.dumps, RECORDS))
BOOK = workbook({"Sheet1": [HEADER, *CELLS]})
OLD_BOOK = (SUPPORT / "contracts_97.xls").read_bytes()
XML_BOOK = (
    '<?xml version="1.0"?><Workbook xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet">'
    "<Worksheet><Table>"
    + "".join(
        f"<Row>{''.join(f'<Cell><Data>{cell}</Data></Cell>' for cell in row)}</Row>" for row in [HEADER]
    )
    + "".join(
        f"<Row>{''.join(f'<Cell><Data>{cell}</Data></Cell>' for cell in row[:4])}"
        f'<Cell ss:Index="5"><Data>{row[4]}</Data></Cell><Cell><Data>{row[5]}</Data></Cell></Row>'
        for row in ROWS
    )
    + "</Table></Worksheet></Workbook>"
).encode()


def parquet_of(rows: list[list[str]] = ROWS) -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.table(dict(zip(HEADER, zip(*rows, strict=True), strict=True))), content)
    return content.getvalue()


PACKED = {
    "contracts.json.gz": gzip.compress(json.dumps(RECORDS).encode()),
    "contracts.ndjson.gz": gzip.compress(LINES.encode()),
    "contracts.jsonl.bz2": bz2.compress(LINES.encode()),
    "contracts.tsv.gz": gzip.compress(text_of(sign="\t").encode()),
    "contracts.csv.xz": lzma.compress(text_of().encode()),
    "contracts.txt.gz": gzip.compress(text_of(sign="|").encode()),
    "contracts.xlsx.gz": gzip.compress(BOOK),
    "contracts.gz": gzip.compress(text_of().encode()),
    "contracts.zip": packed(export=text_of()),
}
NAMED_OTHERWISE = {
    "a workbook called CSV": {"contracts.csv": BOOK},
    "an old workbook called a new one": {"contracts.xlsx": OLD_BOOK},
    "a new workbook called an old one": {"contracts.xls": BOOK},
    "CSV called a workbook": {"contracts.xlsx": text_of(sign=";").encode()},
    "UTF-16 with tabs called CSV": {"contracts.csv": text_of(sign="\t").encode("utf-16")},
    "UTF-16 with tabs called a workbook": {"contracts.xls": text_of(sign="\t").encode("utf-16")},
    "a page called a workbook": {"contracts.xlsx": f"<table>{HTML}</table>".encode()},
    "a page called CSV": {"contracts.csv": f"\n<!DOCTYPE html><table>{HTML}</table>".encode()},
    "a page": {"contracts.html": f"<table>{HTML}</table>".encode("utf-16")},
    "Excel's XML": {"contracts.xls": XML_BOOK},
    "JSON called CSV": {"contracts.csv": json.dumps(RECORDS).encode()},
    "JSON lines called text": {"contracts.txt": LINES.encode()},
    "CSV called JSON": {"contracts.json": text_of().encode()},
    "Parquet called CSV": {"contracts.csv": parquet_of()},
    "CSV called Parquet": {"contracts.parquet": text_of().encode()},
    "packed and called CSV": {"contracts.csv": gzip.compress(text_of().encode())},
    "a ZIP file called CSV": {"contracts.csv": packed(contracts=text_of())},
    "called packed and not": {"contracts.csv.gz": text_of().encode()},
    "no ending": {"Contracts": text_of().encode()},
    "ending in .dat": {"contracts.dat": text_of(sign="|").encode()},
}
ACCOUNTS = [{"account_id": "A1", "industry": "Retail"}, {"account_id": "A2", "industry": "IT"}]
ANSWERS = {
    **{f"under {key}": {"contracts.json": {key: RECORDS}} for key in ("results", "value", "data", "items")},
    "OData": {"contracts.json": {"d": {"results": RECORDS}}},
    "GraphQL": {"contracts.json": {"data": {"deals": {"edges": [{"node": each} for each in RECORDS]}}}},
    "JSON:API": {"contracts.json": {"data": [{"type": "contract", "attributes": each} for each in RECORDS]}},
    "pages": {"contracts.json": [{"results": RECORDS[:1], "paging": {}}, {"results": RECORDS[1:]}]},
    "a list beside errors": {"contracts.json": {"records": RECORDS, "errors": [{"message": "x"}] * 3}},
    "columns and rows": {"contracts.json": {"columns": HEADER, "data": ROWS}},
    "lists": {"contracts.json": [HEADER, *ROWS]},
    "by id": {"contracts.json": {each["contract_id"]: each for each in RECORDS}},
    "by column": {"contracts.json": dict(zip(HEADER, zip(*ROWS, strict=True), strict=True))},
    "by column and number": {
        "contracts.json": {
            name: {str(i): row[at] for i, row in enumerate(ROWS)} for at, name in enumerate(HEADER)
        }
    },
    "several tables": {"crm.json": {"accounts": ACCOUNTS, "contracts": RECORDS}},
    "several tables in an answer": {
        "crm.json": {"ok": True, "data": {"accounts": ACCOUNTS, "contracts": RECORDS}}
    },
    "a table under its name": {"export.json": {"contracts": RECORDS}},
}
CONTRACTS = {
    **{name: {name: content} for name, content in PACKED.items()},
    **NAMED_OTHERWISE,
    **{
        f"json {name}": {file: json.dumps(value).encode() for file, value in files.items()}
        for name, files in ANSWERS.items()
    },
    "json without commas": {"contracts.json": "".join(map(json.dumps, RECORDS)).encode()},
    "json with a comma at the end": {
        "contracts.json": f"[\n{LINES.replace(chr(10), f',{chr(10)}')},\n]".encode()
    },
    "json lines of lists": {"contracts.jsonl": "\n".join(map(json.dumps, [HEADER, *ROWS])).encode()},
    "workbook": {"renewals.xlsx": workbook({"contracts": [HEADER, *CELLS]})},
    "titled sheet with totals": {
        "contracts.xlsx": workbook(
            {"Sheet1": [["Renewals"], [], HEADER, *CELLS, ["Total", None, None, None, 3000, None]]}
        )
    },
    "sheets": {
        "crm.xlsx": workbook(
            {
                "contracts": [HEADER, *CELLS],
                "accounts": [["account_id"], ["A1"], ["A2"]],
                "old": [["x"], [1]],
            },
            hidden=("old",),
        )
    },
    "sheet beside a table's": {
        "contracts.xlsx": workbook(
            {"Tabelle1": [HEADER, *CELLS], "accounts": [["account_id"], ["A1"], ["A2"]]}
        )
    },
    "Excel before 2007": {"old.xls": (SUPPORT / "contracts_97.xls").read_bytes()},
    "OpenDocument": {"renewals.ods": open_document([HEADER, *ROWS])},
    "zero bytes": {"contracts.csv": text_of().replace("C1", "C1\0").replace("yes", "yes\0").encode()},
    "html": {"contracts.xls": f"<html><table>{HTML}</table></html>".encode()},
    "json list": {"contracts.json": json.dumps(RECORDS).encode()},
    "json answer": {"contracts.json": json.dumps({"totalSize": 2, "records": RECORDS}).encode()},
    "json properties": {
        "contracts.json": json.dumps({"results": [{"properties": each} for each in RECORDS]}).encode("utf-16")
    },
    "json lines": {"contracts.jsonl": "\n".join(map(json.dumps, RECORDS)).encode()},
    "zip": {"export.zip": packed(contracts=text_of())},
    "text file": {"contracts.txt": text_of(sign="\t").encode()},
    "caret": {"contracts.csv": text_of(sign="^").encode()},
    "quoted lines": {"contracts.csv": QUOTED.encode()},
    "dated name": {"Contracts 2024-05-01 (1).csv": text_of().encode()},
    "currency in a header": {
        "contracts.csv": text_of().replace("annual_value", "Annual value (EUR)").encode()
    },
    "kept as text by a spreadsheet": {
        "contracts.csv": text_of(
            [
                ["C1", "A1", "'2022-01-01", '"=""2022-12-31"""', "'1000", "yes"],
                [*ROWS[1][:4], '"=""2000"""', "no"],
            ]
        ).encode()
    },
    "no cents": {"contracts.csv": text_of([[*row[:4], f'"{row[4]},-"', row[5]] for row in ROWS]).encode()},
    "outcome named as its column": {
        "contracts.csv": text_of().replace("yes", "Renewed").replace(",no", ",Churned").encode()
    },
}


def loaded(folder: Path, files: dict[str, bytes], table: str = "contracts"):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    crm = load(folder, into=folder.parent / f"{folder.name}-clean")
    return pq.read_table(folder.parent / f"{folder.name}-clean" / f"{table}.parquet").to_pandas(), crm.quality


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_same_contracts_in_any_form(name, tmp_path):
    frame, quality = loaded(tmp_path / "crm", CONTRACTS[name])
    assert {column: frame[column].tolist() for column in RIGHT} == RIGHT
    assert quality.quarantined == 0


def test_what_is_left_out_is_noted(tmp_path):
    _, quality = loaded(tmp_path / "crm", CONTRACTS["sheets"])
    assert "crm.xlsx: hidden sheets are not read: old" in quality.warnings


def test_words_written_as_in_web_pages(tmp_path):
    names = "account_id,name,region\nA1,Smith &amp; Sons,1 &lt; 2\nA2,O&#39;Hara,R&D\nA3,plain,&x\n"
    files = CONTRACTS["text file"] | {"accounts.csv": names.encode()}
    frame, quality = loaded(tmp_path / "crm", files, "accounts")
    assert frame["name"].tolist() == ["Smith & Sons", "O'Hara", "plain"]
    assert frame["region"].tolist() == ["1 < 2", "R&D", "&x"]
    assert any("'Smith &amp; Sons' is 'Smith & Sons'" in text for text in quality.warnings)


def test_one_broken_line_of_json_costs_the_line(tmp_path):
    lines = [*LINES.split("\n"), '{"contract_id": "C3", "account_id"']
    frame, quality = loaded(tmp_path / "crm", {"contracts.ndjson": "\n".join(lines).encode()})
    assert frame["contract_id"].tolist() == ["C1", "C2"]
    assert any(
        "contracts.ndjson: a line is no record and left out: line 3" in text for text in quality.warnings
    )


def test_lists_inside_records(tmp_path):
    rows = [
        each
        | {"tags": ["b", "a"], "companies": [{"id": 7}, {"id": 8}], "lines": [{"sku": "x"}]}
        | {
            "attributes": {"type": "Contract", "url": "/1"},
            "relationships": {"owner": {"data": {"id": "O1"}}},
        }
        | {"note": "one\u2028line"}
        for each in RECORDS
    ]
    files = {"contracts.jsonl": "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()}
    frame, quality = loaded(tmp_path / "crm", files)
    assert frame["tags"].tolist() == ["a;b", "a;b"]
    assert frame["companies.id"].tolist() == ["7;8", "7;8"]
    assert frame["owner_id"].tolist() == ["O1", "O1"]
    assert "contracts.jsonl: lists of records inside records are not read: lines" in quality.warnings


NO_TABLES = {
    "a PDF": (b"%PDF-1.4", "to hold a table; found a PDF"),
    "a login page": (b"<!DOCTYPE html><body>Log in</body>", "to hold a table; found a web page without one"),
    "cut off": (gzip.compress(text_of().encode())[:-30], "whole packed file|read to their end"),
    "JSON cut off": (json.dumps(RECORDS).encode()[:-20], "to be JSON.*behind 1 whole record"),
}


@pytest.mark.parametrize("name", NO_TABLES)
@pytest.mark.parametrize("ending", ["csv", "xlsx", "json", "json.gz"])
def test_what_holds_no_table_is_refused_whatever_it_is_called(name, ending, tmp_path):
    content, found = NO_TABLES[name]
    with pytest.raises(RenewalError, match=found):
        loaded(tmp_path / "crm", {f"contracts.{ending}": content})


def test_beside_a_table_what_holds_none_is_told(tmp_path):
    files = {"contracts.csv": text_of().encode(), "terms.html": b"<html>Terms</html>", "cases.xlsx": b""}
    _, quality = loaded(tmp_path / "crm", files)
    assert "terms.html holds no table (a web page without one) and is ignored" in quality.warnings
    assert "cases.xlsx is empty and is ignored" in quality.warnings


def test_cells_of_a_page_that_span_rows_and_columns(tmp_path):
    page = (
        "<table><tr><th colspan=2>Renewals</th></tr>"
        "<tr><th>account_id<th>contract_id<th>product<th>annual_value</tr>"
        "<tr><td rowspan=2>A1</td><td>C1<td><b>Pro</b> <i>Plus</i><br>EU<td>1000"
        "<tr><td>C2<td>Basic<td>2000<tr><td>A2<td>C3<td>Basic<td>500</table>"
    )
    frame, _ = loaded(tmp_path / "crm", {"contracts.xls": page.encode()})
    assert frame["account_id"].tolist() == ["A1", "A1", "A2"]
    assert frame["product"].tolist() == ["Pro Plus EU", "Basic", "Basic"]
    assert frame["annual_value"].tolist() == [100000, 200000, 50000]


def test_labels_merged_over_rows_hold_for_each_and_amounts_once(tmp_path):
    rows = [
        ["Region", "account_id", "contract_id", "end_date", "annual_value"],
        ["North", 1001, "C1", "2022-12-31", 900],
        [None, None, "C2", "2022-12-31", None],
        ["South", 1002, "C3", "2022-12-31", 500],
        [None, 1003, "C4", "2022-12-31", 600],
    ]
    content = workbook({"S": rows}, merged=("A2:A3", "B2:B3", "E2:E3"))
    frame, quality = loaded(tmp_path / "crm", {"contracts.xlsx": content})
    frame = frame.sort_values("contract_id").astype(object).where(lambda each: each.notna(), None)
    assert frame["Region"].tolist() == ["North", "North", "South", None]
    assert frame["account_id"].tolist() == ["1001", "1001", "1002", "1003"]
    assert frame["annual_value"].tolist() == [90000, None, 50000, 60000]
    assert "contracts.xlsx: cells merged over rows hold for each of them: 2 in S" in quality.warnings


TWO_HEADERS = [
    ["Contract", None, None, "Account", None],
    ["ID", "Start date", "End date", "ID", "Industry"],
    ["C1", "2022-01-01", "2022-12-31", "A1", "Retail"],
    ["C2", "2022-02-01", "2023-01-31", "A2", "IT"],
]


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_names_that_occur_twice_stand_behind_their_groups(form, tmp_path):
    text = "\n".join(",".join(cell or "" for cell in row) for row in TWO_HEADERS)
    content = text.encode() if form == "csv" else workbook({"S": TWO_HEADERS}, merged=("A1:C1", "D1:E1"))
    frame, _ = loaded(tmp_path / "crm", {f"contracts.{form}": content})
    assert frame["contract_id"].tolist() == ["C1", "C2"]
    assert frame["account_id"].tolist() == ["A1", "A2"]
    assert frame["Industry"].tolist() == ["Retail", "IT"]
    map_folder(tmp_path / "crm")
    mapped = load(tmp_path / "crm", into=tmp_path / "mapped").frame("contracts")
    assert mapped["contract_id"].tolist() == ["C1", "C2"]
    assert mapped["account_id"].tolist() == ["A1", "A2"]


def test_a_draft_reads_the_table_between_titles_and_totals(tmp_path):
    rows = text_of().replace("contract_id", "Contract No").replace("account_id", "Customer")
    text = f"Renewals of 2022\n\n{rows}Total,,,,3000,\n"
    (tmp_path / "crm").mkdir()
    (tmp_path / "crm" / "renewals 2022.csv").write_text(text)
    map_folder(tmp_path / "crm")
    crm = load(tmp_path / "crm", into=tmp_path / "clean")
    assert crm.frame("contracts")["contract_id"].tolist() == ["C1", "C2"]


@pytest.mark.parametrize("labels_first", [True, False])
def test_labels_beside_names_are_no_row(labels_first, tmp_path):
    names, labels = ",".join(HEADER), ",".join(each.replace("_", " ").title() for each in HEADER)
    headers = [labels, names] if labels_first else [names, labels]
    text = "\n".join([*headers, *(",".join(row) for row in ROWS)])
    frame, quality = loaded(tmp_path / "crm", {"contracts.csv": text.encode()})
    assert frame["contract_id"].tolist() == ["C1", "C2"]
    assert frame["annual_value"].tolist() == [100000, 200000]
    assert quality.quarantined == 1


def test_years_in_sheets_or_folders_are_parts_of_a_table(tmp_path):
    book = workbook({"2022": [HEADER, CELLS[0]], "2023": [HEADER, CELLS[1]]})
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for year, row in zip(("2022", "2023"), ROWS, strict=True):
            archive.writestr(f"{year}/contracts.csv", text_of([row]))
    for name, file in (("contracts.xlsx", book), ("export.zip", content.getvalue())):
        frame, _ = loaded(tmp_path / name / "crm", {name: file})
        assert sorted(frame["contract_id"]) == ["C1", "C2"]


def test_a_broken_workbook(tmp_path):
    for name, content in (("contracts.xlsx", b"PK\x03\x04none"), ("contracts.xls", b"\xd0\xcf\x11\xe0none")):
        with pytest.raises(RenewalError, match="to be a workbook without a password"):
            loaded(tmp_path / name, {name: content})


USE = "account_id,used_on,metric,value\nA1,2022-03-01,logins,5\n"


def test_parts_of_a_table_are_one_table(tmp_path):
    later = [["C2", "A2", "2022-02-01", "2023-01-31", "2500", "no"], ["C10", *ROWS[0][1:]]]
    files = {
        "Contracts_part_2.csv": text_of().encode(),
        "Contracts_part_10.csv": text_of(later, ";").encode("utf-16"),
        "usage 2022-Q1.csv": f"{USE}A1,2022-03-02,logins,6\nA1,2022-03-02,logins,6\n".encode(),
        "usage 2022-Q2.csv": f"{USE}A1,2022-04-02,logins,7\n".encode(),
        "old_1.csv": b"x\n1\n",
        "old_2.csv": b"y\n1\n",
    }
    frame, quality = loaded(tmp_path / "crm", files)
    assert frame["contract_id"].tolist() == ["C1", "C10", "C2"]
    assert frame["annual_value"].tolist() == [100000, 100000, 250000]
    assert any(
        text.startswith("Contracts_part_2.csv, Contracts_part_10.csv have") for text in quality.warnings
    )
    use = pq.read_table(tmp_path / "crm-clean" / "usage.parquet").to_pandas()
    assert sorted(use["value_milli"]) == [5000, 6000, 6000, 7000]
    drafted = map_folder(tmp_path / "crm")
    assert ("contracts", "renewed") in {(line["table"], line["column"]) for line in drafted["lines"]}
    load(tmp_path / "crm", into=tmp_path / "mapped")
    again = pq.read_table(tmp_path / "mapped" / "contracts.parquet").to_pandas()
    assert again["annual_value"].tolist() == frame["annual_value"].tolist()


def test_parts_that_a_mapping_names_are_let_be(tmp_path):
    mapping = "contracts: SELECT * FROM 'contracts_1.csv' UNION ALL SELECT * FROM contracts_2\n"
    files = {
        "contracts_1.csv": text_of(ROWS[:1]).encode(),
        "contracts_2.csv": text_of(ROWS[1:]).encode(),
        "mapping.yaml": mapping.encode(),
    }
    frame, quality = loaded(tmp_path / "crm", files)
    assert frame["contract_id"].tolist() == ["C1", "C2"]
    assert not any("one table" in text for text in quality.warnings)


def test_two_files_for_one_table_are_refused(tmp_path):
    with pytest.raises(RenewalError, match=r"contracts\.csv and contracts\.csv"):
        loaded(tmp_path / "crm", CONTRACTS["html"] | CONTRACTS["json list"])


def test_moments_of_json_and_dotted_halves(tmp_path):
    text = (
        "opportunity_id,account_id,created_at,closed_at,is_won\n"
        "O1,A1,/Date(1651852654000)/,08/14/2022 9:05 p.m.,1\n"
        "O2,A2,/Date(1651852999000+0200)/,08/16/2022 12:00 a.m.,0\n"
    )
    frame, _ = loaded(tmp_path / "crm", {"opportunities.csv": text.encode()}, "opportunities")
    assert frame["created_at"].astype(str).tolist() == ["2022-05-06 15:57:34", "2022-05-06 16:03:19"]
    assert frame["closed_at"].astype(str).tolist() == ["2022-08-14 21:05:00", "2022-08-16 00:00:00"]


MOMENTS = {
    "mail": ["Mon, 15 Jan 2024 10:30:00 +0000", "Wed, 28 Feb 2024 23:00:00 +0100"],
    "javascript": ["Mon Jan 15 2024 11:30:00 GMT+0100 (Central European Standard Time)",
                   "Wed Feb 28 2024 22:00:00 GMT+0000 (Coordinated Universal Time)"],
    "c": ["Mon Jan 15 10:30:00 2024", "Wed Feb 28 22:00:00 2024"],
    "unix": ["Mon Jan 15 10:30:00 UTC 2024", "Wed Feb 28 23:00:00 CET 2024"],
    "offset after a space": ["2024-01-15 10:30:00 +0000", "2024-02-28 23:00:00 +01:00"],
    "web server": ["15/Jan/2024:10:30:00 +0000", "28/Feb/2024:23:00:00 +0100"],
    "logger": ["2024-01-15 10:30:00,000", "2024-02-28 22:00:00,000"],
    "german": ["Mo, 15.01.2024 10:30 Uhr", "Mi, 28.02.2024 22:00 Uhr"],
}  # fmt: skip


def test_moments_as_mail_programs_and_loggers_write_them(tmp_path):
    header = "activity_id,account_id,kind,occurred_at"
    for i, (first, second) in enumerate(MOMENTS.values()):
        folder = tmp_path / f"crm{i}"
        text = "\n".join([header, f'1,A1,call,"{first}"', f'2,A2,call,"{second}"'])
        files = {"contracts.csv": text_of().encode(), "activities.csv": text.encode()}
        frame, _ = loaded(folder, files, "activities")
        assert frame["occurred_at"].astype(str).tolist() == ["2024-01-15 10:30:00", "2024-02-28 22:00:00"]


def test_text_that_was_encoded_twice_is_mended_and_other_text_left(tmp_path):
    contracts = {"contracts.csv": text_of().encode()}
    for i, (written, right) in enumerate(
        {"MÃ¼ller – x": "MÃ¼ller – x", "MÃ¼ller": "Müller", "São Ã": "São Ã"}.items()
    ):
        content = f"account_id,name\nA1,{written}\nA2,plain\n".encode()
        frame, _ = loaded(tmp_path / f"crm{i}", contracts | {"accounts.csv": content}, "accounts")
        assert frame["name"].tolist() == [right, "plain"]


def test_indian_multiples_and_ids_in_links(tmp_path):
    rows = [["C1", "https://x.test/A1", *ROWS[0][2:4], "12.5 lakh", "yes"], [*ROWS[1][:4], "1.2 Cr", "no"]]
    files = {"contracts.csv": text_of(rows).encode(), "accounts.csv": b"account_id,name\nA1,a\nA2,b\n"}
    frame, quality = loaded(tmp_path / "crm", files)
    assert frame["annual_value"].tolist() == [125000000, 1200000000]
    assert frame["account_id"].tolist() == ["A1", "A2"]
    assert quality.of("accounts").derived == 0


def test_a_workbook_is_drafted_and_read_by_its_draft(tmp_path):
    folder = tmp_path / "crm"
    folder.mkdir()
    deals = [["Deal ID", "Company", "Created", "Close date", "Won", "Amount"]]
    deals += [
        [i, f"K{i}", "2023-01-05", "2023-03-01", "yes" if i % 2 else "no", 100 * i] for i in range(1, 9)
    ]
    (folder / "pipe.xlsx").write_bytes(workbook({"Deals": deals, "Firms": [["x", "y"], [1, 2]]}))
    drafted = map_folder(folder)
    assert ("opportunities", "is_won") in {(line["table"], line["column"]) for line in drafted["lines"]}
    crm = load(folder, into=tmp_path / "clean")
    frame = pq.read_table(tmp_path / "clean" / "opportunities.parquet").to_pandas()
    assert frame["is_won"].tolist() == [bool(i % 2) for i in range(1, 9)]
    assert any("pipe.xlsx: sheets" in text for text in crm.quality.warnings)


def test_amounts_are_printed_whole():
    assert [short(94500.0), short(1234.56), short(0.25)] == ["94,500", "1,234.56", "0.25"]


def drafted(folder: Path, files: dict[str, str]) -> dict[tuple[str, str], list[str]]:
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return {(line["table"], line["column"]): line["from"] for line in map_folder(folder)["lines"]}


def test_a_flag_of_churn_is_drafted_turned_round(tmp_path):
    rows = "".join(f"{i},Pro,{i % 2}\n" for i in range(20))
    lines = drafted(tmp_path / "crm", {"customers": f"seats,plan,Churned\n{rows}"})
    assert lines["contracts", "renewed"] == ["customers.Churned"]
    load(tmp_path / "crm", into=tmp_path / "clean")
    frame = pq.read_table(tmp_path / "clean" / "contracts.parquet").to_pandas()
    assert frame.sort_values("seats")["renewed"].tolist() == [i % 2 == 0 for i in range(20)]


def test_pairs_stages_and_histories_are_drafted_together(tmp_path):
    day = "2023-01-05 10:00:00"
    deals = "".join(f"{i},st{i % 3},{day},2023-02-0{i},{100 * i}\n" for i in range(1, 7))
    lines = drafted(
        tmp_path / "crm",
        {
            "company": "id,name,industry\n9,Nine,Retail\n80,N0,Food\n81,N1,Food\n",
            "deal": f"deal_id,deal_stage_id,createdate,closedate,amount\n{deals}",
            "deal_pipeline_stage": "stage_id,is_closed,closed_won\nst0,false,false\nst1,true,true\n"
            "st2,true,false\n",
            "deal_company": "deal_id,company_id\n" + "".join(f"{i},9\n" for i in range(1, 7)),
            "deal_history": f"deal_id,valid_from,stage\n1,{day},a\n1,{day},b\n2,{day},a\n",
            "engagement_meeting": f"engagement_id,start_time,end_time\nm1,{day},2023-01-05 10:45:00\n",
            "engagement_company": "engagement_id,company_id\nm1,9\n",
            "engagement_deal": "engagement_id,deal_id\nm1,2\n",
        },
    )
    assert lines["stage_history", "changed_at"] == ["deal_history.valid_from"]
    load(tmp_path / "crm", into=tmp_path / "clean")
    frame = (
        pq.read_table(tmp_path / "clean" / "opportunities.parquet").to_pandas().sort_values("opportunity_id")
    )
    assert frame["is_won"].tolist() == [True, False, None] * 2
    assert set(frame["account_id"]) == {"9"}
    meeting = pq.read_table(tmp_path / "clean" / "activities.parquet").to_pylist()[0]
    assert (meeting["opportunity_id"], meeting["duration_seconds"]) == ("2", 2700)


FIRMS = [f"Firm {letter}" for letter in "ABCDEFGH"]
DAY = "2023-01-05 10:00:00"


def cleaned(folder: Path, table: str):
    load(folder, into=folder.parent / f"{folder.name}-clean")
    return pq.read_table(folder.parent / f"{folder.name}-clean" / f"{table}.parquet").to_pandas()


def test_accounts_are_met_by_their_names_whatever_the_column_is_called(tmp_path):
    stages = ["Won", "Lost", "Negotiation", "New"]
    deals = [f"{70 + i},{stages[i % 4]},2023-04-0{1 + i},{firm},{DAY},Ann" for i, firm in enumerate(FIRMS)]
    files = {
        "Deals": "Id,Deal stage,Closed date,Sales account,Created at,Sales owner\n" + "\n".join(deals),
        "Accounts": "Id,Name,Industry type,Number of employees,Created at\n"
        + "\n".join(f"{500 + i},{firm},IT,11-50,{DAY}" for i, firm in enumerate(FIRMS)),
        "Tasks": "Id,Task type,Due date,Related to\n"
        + "\n".join(f"{i},Call,Mon Feb 06 2023 10:30:00 GMT+0000,{firm}" for i, firm in enumerate(FIRMS)),
    }
    lines = drafted(tmp_path / "crm", files)
    assert lines["opportunities", "owner_id"] == ["Deals.Sales owner"]
    assert lines["accounts", "employees"] == ["Accounts.Number of employees"]
    frame = cleaned(tmp_path / "crm", "opportunities").sort_values("opportunity_id")
    assert frame["account_id"].tolist() == [str(500 + i) for i in range(8)]
    assert frame["is_won"].tolist() == [True, False, None, None] * 2
    assert set(pq.read_table(tmp_path / "crm-clean" / "activities.parquet")["account_id"].to_pylist()) == set(
        frame["account_id"]
    )


def test_leads_that_deals_name_are_the_accounts_and_values_tell_the_outcome(tmp_path):
    deals = [
        f"o{i},l{i},{('won', 'lost', 'active')[i % 3]},{DAY},{'2023-03-01' if i % 3 == 0 else ''},"
        f"{'2023-03-02' if i % 3 == 1 else ''}"
        for i in range(9)
    ]
    files = {
        "opportunities": "id,lead_id,how it went,date_created,date_won,date_lost\n" + "\n".join(deals),
        "leads": "id,display_name,url,date_created\n"
        + "\n".join(f"l{i},Firm {i},f{i}.io,{DAY}" for i in range(9)),
    }
    lines = drafted(tmp_path / "crm", files)
    assert lines["accounts", "account_id"] == ["leads.id"]
    frame = cleaned(tmp_path / "crm", "opportunities").sort_values("opportunity_id")
    assert frame["is_won"].tolist() == [True, False, None] * 3
    assert frame["closed_at"].notna().tolist() == [True, True, False] * 3


def test_stages_that_say_who_won_alone(tmp_path):
    rows = [
        f"x{i},{DAY},{('Won', 'New', 'New')[i % 3]},{'False' if i % 3 == 2 else 'True'}" for i in range(9)
    ]
    drafted(tmp_path / "crm", {"crm.lead deals": "External ID,Created on,Stage,Active\n" + "\n".join(rows)})
    frame = cleaned(tmp_path / "crm", "opportunities").sort_values("opportunity_id")
    assert frame["is_won"].tolist() == [True, None, False] * 3


def test_subscriptions_with_a_status_are_contracts_worth_twelve_months(tmp_path):
    rows = [f"s{i},c{i},{('active', 'cancelled')[i % 2]},2022-01-01,2022-12-31,{10 + i}" for i in range(8)]
    rows[3:5] = [rows[3].replace(",13", ",$13.00"), rows[4].replace(",14", ",14 USD/mo")]
    header = "Subscription Id,Customer Id,Status,Started At,Current Term End,MRR\n"
    drafted(tmp_path / "crm", {"Subscriptions": header + "\n".join(rows)})
    frame = cleaned(tmp_path / "crm", "contracts").sort_values("contract_id")
    assert frame["annual_value"].tolist() == [1200 * (10 + i) for i in range(8)]
    assert frame["renewed"].tolist() == [None, False] * 4


def test_exports_in_german_and_french_are_drafted(tmp_path):
    rows = [f"V{i},K{i},13.01.2022,1{i}.02.2023,{100 + i},{('Ja', 'Nein')[i % 2]},Anna" for i in range(8)]
    header = "Vertragsnummer,Kundennummer,Vertragsbeginn,Vertragsende,Jahreswert,Verlängert,Betreuer\n"
    lines = drafted(tmp_path / "crm", {"Verträge": header + "\n".join(rows)})
    assert lines["contracts", "owner_id"] == ["Verträge.Betreuer"]
    frame = cleaned(tmp_path / "crm", "contracts").sort_values("contract_id")
    assert frame["renewed"].tolist() == [True, False] * 4
    deals = [
        f"{i},Firme {i},13/01/2022,2{i}/02/2023,{('Gagnée', 'Perdue', 'En cours')[i % 3]}" for i in range(6)
    ]
    header = "Identifiant,Client,Date de création,Date de clôture,Statut\n"
    drafted(tmp_path / "fr", {"opportunités": header + "\n".join(deals)})
    frame = cleaned(tmp_path / "fr", "opportunities").sort_values("opportunity_id")
    assert frame["is_won"].tolist() == [True, False, None] * 2


def test_a_column_that_bears_its_own_name_is_mapped_though_no_system_calls_it_otherwise(tmp_path):
    contracts = [[*HEADER, "forecast"], *([*row, "0.8"] for row in ROWS)]
    (tmp_path / "contracts.csv").write_text("\n".join(",".join(row) for row in contracts))
    (tmp_path / "accounts.csv").write_text("account_id,name,industry\nA1,Ada,retail\nA2,Ben,health\n")
    calls = ["V1,A1,2022-05-01,call,C1", "V2,A1,2022-06-01,call,C1", "V3,A2,2022-06-02,mail,C2"]
    header = "activity_id,account_id,occurred_at,kind,contract_id"
    (tmp_path / "activities.csv").write_text("\n".join([header, *calls]))
    drafted = {(line["table"], line["column"]) for line in map_folder(tmp_path)["lines"]}
    assert {("contracts", "forecast"), ("activities", "contract_id")} <= drafted
    crm = load(tmp_path, into=tmp_path / "clean")
    assert crm.frame("activities")["contract_id"].tolist() == ["C1", "C1", "C2"]
