"""Data files that are not plain CSV or Parquet, laid down as CSV: workbooks, JSON, web pages, packed files.

What a file is, its bytes say (`features.sources.file_form`); its name says only that it is data, and whose.
"""

import bz2
import csv
import gzip
import lzma
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from features.crm.contract import TABLES
from features.errors import RenewalError
from features.sources.csv_text import as_utf8
from features.sources.file_form import (
    HEAD,
    JSON,
    PACKED,
    PAGE,
    PARQUET,
    TEXT,
    WORKBOOK,
    WORKBOOKS,
    ZIP,
    form_in,
    form_of,
)
from features.sources.html_tables import rows_of_page
from features.sources.json_records import json_tables
from features.sources.workbooks import cell_text, sheets
from features.sources.zip_parts import missing_parts, parts_of, with_parts_below

_COMPRESSED = (".gz", ".bz2", ".xz")
_TEXTS = (".txt", ".tab", ".psv", ".dat", ".html", ".htm", ".xml")
_OTHERS = (*WORKBOOKS, ".json", ".jsonl", ".ndjson", ".zip", *_TEXTS)
PLAIN = (".parquet", ".csv", ".tsv", ".csv.gz", ".tsv.gz")
ENDINGS = (
    *PLAIN,
    *_OTHERS,
    *(ending + packed for ending in (".csv", ".tsv", *_OTHERS) for packed in _COMPRESSED),
    *_COMPRESSED,
)
"""Of all files that may hold rows, the longer before what they end in."""
_AS_NAMED = {(TEXT, ".csv"), (TEXT, ".tsv"), (PARQUET, ".parquet")}
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
    if not place.is_file() or not ending_of(place, ENDINGS):
        raise RenewalError(
            expected=f"a folder of CRM data, or a file of them (CSV, Excel, JSON, Parquet, ZIP), at {place}",
            found=f"a file that ends in {place.suffix!r}" if place.exists() else "nothing there",
            do="Check the path.",
        )
    folder = staging / "packed"
    folder.mkdir(parents=True)
    for part in parts_of(place):
        _place(part, folder / part.name)
    return folder


def data_files(folder: Path, staging: Path, notes: list[str]) -> list[Path]:
    """The folder's data files by name; those in other forms, however called, are laid down in `staging`.

    Args:
        folder: the exports.
        staging: where CSV and Parquet files go that others are laid down as.
        notes: gets what was made of workbooks, packed folders and files that can't be read.

    Raises:
        RenewalError: a workbook, JSON file or packed folder is broken, or a table's file holds no table.
    """
    files: list[Path] = []
    for path in sorted(folder.iterdir()):
        ending = "" if path.name.lower() in TABLES and path.is_file() else ending_of(path, ENDINGS)
        if ending is None:
            continue
        if not path.is_file() or not path.stat().st_size:
            files += [path] if ending in PLAIN else []
            notes += [f"{path.name} is empty and is ignored"] if ending not in PLAIN else []
        elif _is_as_named(path, ending):
            files.append(path)
        else:
            target = staging / "unpacked" / path.name
            target.mkdir(parents=True)
            files += _unpacked(path, path.name[: len(path.name) - len(ending)], ending, target, notes)
    notes += [f"{name} is not there: what it holds is missing" for name in missing_parts(folder)]
    return sorted(with_parts_below(files, notes), key=lambda path: path.name)


def _is_as_named(path: Path, ending: str) -> bool:
    form = form_of(path)
    if form is PACKED and ending in PLAIN and ending.endswith(".gz"):
        try:
            with _decompressed(path) as file:
                form, ending = form_in(file.read(HEAD)), ending.removesuffix(".gz")
        except (OSError, EOFError, zlib.error):
            return True  # refused where it is read
    return (form, ending) in _AS_NAMED


def _unpacked(path: Path, stem: str, ending: str, target: Path, notes: list[str]) -> list[Path]:
    form, bare = form_of(path), ending
    for packed in _COMPRESSED:
        bare = bare.removesuffix(packed)
    if form is PACKED or bare != ending:
        inner = target / "inner" / f"{stem}{bare}"
        inner.parent.mkdir(exist_ok=True)
        _decompress(path, inner) if form is PACKED else _place(path, inner)
        return _unpacked(inner, stem, bare, target, notes)
    if form is ZIP:
        return _from_zip(path, stem, target, notes)
    if form is WORKBOOK:
        tables = sheets(path, stem, notes)
        return [_write(target / f"{name}.csv", None, rows) for name, rows in tables.items()]
    if form is PARQUET:
        return [_place(path, target / f"{stem}.parquet")]
    if form is JSON:
        return _from_json(path, stem, target, notes)
    if form is PAGE:
        return _from_page(path, stem, target, notes)
    if form is TEXT:
        if ending == ".parquet" and not _has_separators(path, ","):
            return [path]  # refused where it is read
        is_table = ending not in ("", *_TEXTS) or stem.lower() in TABLES or _has_separators(path)
        return [_place(path, target / f"{stem}.csv")] if is_table else []
    return _no_table(path, stem, form, "Export it as CSV.", notes)


def _place(path: Path, target: Path) -> Path:
    """The same file in another place."""
    try:
        os.link(path.resolve(), target)
    except OSError:  # another disk
        shutil.copyfile(path, target)
    return target


def _decompressed(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        start = file.read(2)
    if start == b"BZ":
        return cast("BinaryIO", bz2.open(path))
    return cast("BinaryIO", lzma.open(path) if start == b"\xfd7" else gzip.open(path))


def _decompress(path: Path, target: Path) -> None:
    try:
        with _decompressed(path) as source, target.open("wb") as out:
            shutil.copyfileobj(source, out)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise RenewalError(
            expected=f"{path.name} to be a whole packed file",
            found=" ".join(str(error).split())[:120],
            do="Download it again, or unpack it yourself.",
        ) from error


def _from_json(path: Path, stem: str, target: Path, notes: list[str]) -> list[Path]:
    text = as_utf8(path, target, notes).read_text("utf-8-sig")
    written = []
    for name, rows in json_tables(text, stem, path.name, notes).items():
        names = list(dict.fromkeys(column for row in rows for column in row))
        if names:
            values = ([row.get(column) for column in names] for row in rows)
            written.append(_write(target / f"{name.replace('/', '-')}.csv", names, values))
    if not written:
        notes.append(f"{path.name} holds no list of records and is ignored")
    return written


def _from_page(path: Path, stem: str, target: Path, notes: list[str]) -> list[Path]:
    text = as_utf8(path, target, notes).read_text("utf-8-sig")
    rows = rows_of_page(text)
    if sum(any(row) for row in rows) >= 2:
        return [_write(target / f"{stem}.csv", None, rows)]
    return _no_table(
        path, stem, "a web page without one", "Log in where it was exported, and export it again.", notes
    )


def _no_table(path: Path, stem: str, holds: str, do: str, notes: list[str]) -> list[Path]:
    if stem.lower() in TABLES:
        raise RenewalError(expected=f"{path.name} to hold a table", found=holds, do=do)
    notes.append(f"{path.name} holds no table ({holds}) and is ignored")
    return []


def _has_separators(path: Path, signs: str = "\t;|") -> bool:
    """Whether a text file looks like a table by its first line."""
    with path.open("rb") as file:
        first = file.read(HEAD).replace(b"\0", b"").split(b"\n")[0]
    return any(sign.encode() in first for sign in signs)


def _from_zip(path: Path, stem: str, target: Path, notes: list[str]) -> list[Path]:
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
                name, (stem_inside, dot, ending) = inside.name, inside.name.partition(".")
                if (target / name).exists():  # parts of one table, as where each year has a folder
                    name = f"{stem_inside}-{inside.parent.name}{dot}{ending}"
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
    if len(files) == 1 and stem.lower() in TABLES and _stem(files[0]) not in TABLES:
        ending = ending_of(files[0]) or ""
        files = [files[0].rename(target / f"{stem}{ending}")]
    notes.append(
        f"{path.name} was unpacked: {', '.join(file.name for file in files) or 'no data file in it'}"
    )
    return files


def _is_data(member: zipfile.ZipInfo) -> bool:
    """Whether a file in a ZIP file may hold rows: attachments stay packed."""
    name = PurePosixPath(member.filename).name
    is_file = bool(member.file_size) and not member.is_dir()
    return is_file and (name.lower() in TABLES or ending_of(Path(name), ENDINGS) is not None)


def _stem(path: Path) -> str:
    return path.name[: -len(ending_of(path) or "")].lower()


def _write(path: Path, names: list[str] | None, rows: Iterable[Iterable[Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        if names is not None:
            out.writerow(names)
        out.writerows([cell_text(value) for value in row] for row in rows)
    return path
