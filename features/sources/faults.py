"""What is wrong with a CSV file that DuckDB gives up on, in one line that a person can act on."""

import csv
import io
import re
from pathlib import Path

import duckdb

from features.sources.encoding import opened

_LINE = re.compile(r"CSV Error on Line: (\d+)")
_LOOKED_AT = 10_000_000
"""Bytes that are read in search of a broken quote."""


def fault_of(path: Path, delimiter: str, error: duckdb.Error) -> str:
    """The reason, with its line where DuckDB or the file's quotes tell it."""
    told = [line.strip() for line in str(error).splitlines() if line.strip()]
    if line := _LINE.search(told[0]):
        reason = next((text for text in told[1:] if not text.startswith("Original Line")), told[0])
        return f"in line {line.group(1)}: {reason[:200]}"
    if "sniffing" not in told[0]:
        return told[0][:300]
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
