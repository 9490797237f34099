"""CSV files in UTF-16 or UTF-32, as spreadsheets export "Unicode text": told by their byte-order mark.

What is wrong with a CSV file that DuckDB gives up on, in one line that a person can act on.
"""

import codecs
import csv
import gzip
import io
import re
import shutil
from pathlib import Path
from typing import BinaryIO, cast

import duckdb

from features.errors import RenewalError

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with the mark of UTF-16, so it is asked for first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK = 1 << 20


def opened(path: Path) -> BinaryIO:
    """A file's bytes, unpacked where it is packed."""
    return cast("BinaryIO", gzip.open(path, "rb")) if path.name.lower().endswith(".gz") else path.open("rb")


def as_utf8(path: Path, staging: Path) -> Path:
    """The file itself, or its text as UTF-8 in `staging` where a byte-order mark names another encoding.

    Raises:
        RenewalError: the bytes are not of the encoding that the mark names.
    """
    with opened(path) as file:
        head = file.read(4)
    encoding = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    if encoding is None:
        return path
    target = staging / f"{path.name.split('.')[0]}.utf-8.csv"
    try:
        with opened(path) as file, target.open("w", encoding="utf-8", newline="") as out:
            shutil.copyfileobj(io.TextIOWrapper(file, encoding, newline=""), out, _CHUNK)
    except UnicodeError as error:
        raise RenewalError(
            expected=f"{path.name} to be {encoding.upper()}, as its byte-order mark says",
            found=" ".join(str(error).split())[:200],
            do="Export it again as UTF-8.",
        ) from error
    return target


_LINE = re.compile(r"CSV Error on Line: (\d+)")
_LOOKED_AT = 10_000_000
"""Bytes that are read in search of a broken quote."""


def fault_of(path: Path, delimiter: str, error: duckdb.Error) -> str:
    """The reason, with its line where DuckDB or the file's quotes tell it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if line := _LINE.search(lines[0]):
        reason = next((text for text in lines[1:] if not text.startswith("Original Line")), lines[0])
        return f"in line {line.group(1)}: {reason[:200]}"
    if "sniffing" not in lines[0]:
        return lines[0][:300]
    return _broken_quote(path, delimiter) or "rows that do not have as many values as the header"


def _broken_quote(path: Path, delimiter: str) -> str | None:
    """The first quote that is never closed, or is followed by more than the delimiter, with its line."""
    with opened(path) as file:
        text = file.read(_LOOKED_AT).decode("utf-8", "replace")
    rows, begins = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), 1
    while True:
        try:
            next(rows)
        except StopIteration:
            return None
        except csv.Error as error:
            if "expected after" in str(error):
                return f"text after a closing quote in line {rows.line_num}"
            return f"a quote in line {begins} that is never closed"
        begins = rows.line_num + 1
