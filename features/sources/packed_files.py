"""Data files that are neither CSV nor Parquet, laid down as CSV: workbooks, JSON, HTML tables, ZIP files."""

import csv
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import Any

from features.crm.contract import TABLES
from features.errors import RenewalError
from features.sources.workbooks import cell_text, sheets, starts_like_workbook
from features.sources.zip_parts import missing_parts, parts_of, with_parts_below

WORKBOOKS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
PACKED = (*WORKBOOKS, ".json", ".jsonl", ".ndjson", ".zip", ".txt")
PLAIN = (".parquet", ".csv", ".tsv", ".csv.gz", ".tsv.gz")
_MOST_BYTES = 20_000_000_000
"""What a packed folder may hold at most, unpacked."""


def ending_of(path: Path, endings: Iterable[str] = PLAIN) -> str | None:
    """Which of the endings a data file has; None for other files and hidden ones."""
    name = path.name.lower()
    return next((end for end in endings if name.endswith(end) and not name.startswith((".", "~$"))), None)


def opened_folder(place: Path, staging: Path) -> Path:
    """The folder itself; a single data file, packed or not, as a new folder in `staging` that holds it alone.

    A ZIP file that is a part of an export has the other parts beside it.

    Raises:
        RenewalError: it is neither.
    """
    if place.is_dir():
        return place
    if not place.is_file() or not ending_of(place, (*PLAIN, *PACKED)):
        raise RenewalError(
            expected=f"a folder of CRM data, or a file of them (CSV, Excel, JSON, Parquet, ZIP), at {place}",
            found=f"a file that ends in {place.suffix!r}" if place.exists() else "nothing there",
            do="Check the path.",
        )
    folder = staging / "packed"
    folder.mkdir(parents=True)
    for part in parts_of(place):
        try:
            os.link(part.resolve(), folder / part.name)
        except OSError:  # another disk
            shutil.copyfile(part, folder / part.name)
    return folder


def data_files(folder: Path, staging: Path, notes: list[str]) -> list[Path]:
    """The folder's data files by name, those in other forms as CSV files in `staging`.

    Args:
        folder: the exports.
        staging: where the CSV files go.
        notes: gets what was made of workbooks, packed folders and files that can't be read.

    Raises:
        RenewalError: a workbook, JSON file or packed folder is broken.
    """
    files = [path for path in folder.iterdir() if ending_of(path)]
    for path in sorted(folder.iterdir()):
        ending = ending_of(path, PACKED)
        if ending and path.is_file() and path.stat().st_size:
            target = staging / "unpacked" / path.name
            target.mkdir(parents=True)
            files += _unpacked(path, ending, target, notes)
    notes += [f"{name} is not there: what it holds is missing" for name in missing_parts(folder)]
    return sorted(with_parts_below(files, notes), key=lambda path: path.name)


def _unpacked(path: Path, ending: str, target: Path, notes: list[str]) -> list[Path]:
    stem = path.name[: -len(ending)]
    if ending == ".zip":
        return _from_zip(path, target, notes)
    if ending == ".txt":
        return _from_text(path, stem, target)
    if ending in WORKBOOKS:
        if ending == ".xls" and not starts_like_workbook(path):
            return [_from_html(path, stem, target)]
        return [
            _write(target / f"{name}.csv", None, rows) for name, rows in sheets(path, stem, notes).items()
        ]
    rows = _records(path)
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not names:
        notes.append(f"{path.name} holds no list of records and is ignored")
        return []
    return [_write(target / f"{stem}.csv", names, ([row.get(name) for name in names] for row in rows))]


def _from_zip(path: Path, target: Path, notes: list[str]) -> list[Path]:
    try:
        with zipfile.ZipFile(path) as packed:
            members = [each for each in packed.infolist() if _is_data(each)]
            if sum(each.file_size for each in members) > _MOST_BYTES:
                raise RenewalError(
                    expected=f"{path.name} to unpack to less than {_MOST_BYTES // 10**9} GB",
                    found="more",
                    do="Unpack it yourself.",
                )
            for member in members:
                inside = PurePosixPath(member.filename)
                name = (
                    inside.name
                    if not (target / inside.name).exists()
                    else f"{inside.parent.name}-{inside.name}"
                )
                if not name.startswith("."):
                    with packed.open(member) as source, (target / name).open("wb") as out:
                        shutil.copyfileobj(source, out)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise RenewalError(
            expected=f"{path.name} to be a whole ZIP file without a password",
            found=str(error)[:120] or "an end too early",
            do="Download it again, or unpack it yourself.",
        ) from error
    files = data_files(target, target, notes)
    notes.append(
        f"{path.name} was unpacked: {', '.join(file.name for file in files) or 'no data file in it'}"
    )
    return files


def _is_data(member: zipfile.ZipInfo) -> bool:
    """Whether a file in a ZIP file may hold rows: attachments stay packed."""
    name = PurePosixPath(member.filename)
    is_file = bool(member.file_size) and not member.is_dir()
    return is_file and ending_of(Path(name.name), (*PLAIN, *PACKED)) is not None


def _from_text(path: Path, stem: str, target: Path) -> list[Path]:
    """A text file that looks like a table: its first line has separators, or it bears a table's name."""
    with path.open("rb") as file:
        first = file.read(4096).replace(b"\0", b"").split(b"\n")[0]
    if stem.lower() not in TABLES and not any(sign in first for sign in (b"\t", b";", b"|")):
        return []
    copy = target / f"{stem}.csv"
    shutil.copyfile(path, copy)
    return [copy]


def _from_html(path: Path, stem: str, target: Path) -> Path:
    """Reports that are saved as "Excel" are often a page with a table, or CSV."""
    content = path.read_bytes()
    if b"<table" not in content[:200_000].lower():
        copy = target / f"{stem}.csv"
        copy.write_bytes(content)
        return copy
    table = _HtmlTable()
    table.feed(content.decode("utf-8", "replace"))
    return _write(target / f"{stem}.csv", None, table.rows)


class _HtmlTable(HTMLParser):
    """The cells of a page's tables, row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._is_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A row or a cell begins."""
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self._is_cell = True

    def handle_endtag(self, tag: str) -> None:
        """A cell ends."""
        self._is_cell = self._is_cell and tag not in ("td", "th", "tr")

    def handle_data(self, data: str) -> None:
        """Text of the present cell."""
        if self._is_cell:
            self.rows[-1][-1] += data.strip()


def _records(path: Path) -> list[dict[str, Any]]:
    """The records of a JSON file: a list, the list inside an answer (`records`, `results`), or one a line."""
    content = path.read_bytes()
    marks = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))
    encoding = next((name for mark, name in marks if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
        try:
            whole = json.loads(text)
        except json.JSONDecodeError:
            whole = [json.loads(line) for line in text.splitlines() if line.strip().strip("[],")]
    except ValueError as error:
        raise RenewalError(
            expected=f"{path.name} to be JSON, whole or a record a line",
            found=" ".join(str(error).split())[:120],
            do="Export it again.",
        ) from error
    if isinstance(whole, dict):
        lists = [value for value in whole.values() if isinstance(value, list) and value]
        whole = max(lists, key=len, default=[whole])
    return [dict(_flat(row)) for row in whole if isinstance(row, dict)] if isinstance(whole, list) else []


def _flat(row: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values under joined names; what only wraps (`properties`) adds none."""
    for name, value in row.items():
        if name == "attributes" and isinstance(value, dict):
            continue
        if isinstance(value, dict):
            yield from _flat(value, before if name in ("properties", "fields") else f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _write(path: Path, names: list[str] | None, rows: Iterable[Iterable[Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        if names is not None:
            out.writerow(names)
        out.writerows([cell_text(value) for value in row] for row in rows)
    return path
