"""A CSV file that is not a table from its first line to its last: what is no row is left out, and named.

DuckDB reads a file at once or not at all. Where it gives up, or where the last lines look like totals, the
file is gone through line by line, and its rows are rewritten for DuckDB to read.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from features.sources.csv_layout import Layout
from features.sources.csv_rows import Row, as_line, rows_of
from features.sources.csv_text import opened

_TAIL = 1 << 15
_EXAMPLES = 3
_TOTAL = re.compile(
    r"\W*(?:(?:grand|sub|overall|report)[\s-]*)?"
    r"(?:totals?|subtotals?|sums?|summe|gesamt(?:summe)?|zwischensumme|totale|totaux|total général|suma|soma|"
    r"totaal|summa|average|count|records?)\b(?:\s*\(.*\))?\W*\d*(?:\s*records?)?\W*",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[^\W\d_]{0,3}\W*\d[\d.,'’\s\u00a0\u202f]*\W*[^\W\d_]{0,3}\W*")


@dataclass
class Repair:
    """What a file held beside its rows; line numbers from 1."""

    rejected: list[tuple[int, str, str]] = field(default_factory=list)
    beside: list[int] = field(default_factory=list)
    empty: list[int] = field(default_factory=list)

    def notes(self, called: str) -> list[str]:
        """In words."""
        parts = [
            (self.beside, "totals, titles or footers, no rows"),
            (self.empty, "empty"),
        ]
        return [f"{called}: {_lines(numbers)} {what}; left out" for numbers, what in parts if numbers]

    def examples(self) -> list[str]:
        """The first rejected lines, with why."""
        return [f"line {line}: {why} ({text[:80]})" for line, why, text in self.rejected[:_EXAMPLES]]


def _lines(numbers: list[int]) -> str:
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    named = ", ".join(f"{a}–{b}" if b > a else str(a) for a, b in spans[:5])
    named += " …" if len(spans) > 5 else ""
    return f"line {named} is" if len(numbers) == 1 else f"lines {named} are"


def needs_repair(path: Path, layout: Layout) -> bool:
    """Whether the last lines hold a total or a footer that DuckDB would take for rows."""
    size = path.stat().st_size
    with opened(path) as file:
        if not path.name.lower().endswith(".gz") and size > _TAIL:
            file.seek(size - _TAIL)
            file.readline()
            text = file.read().decode("utf-8", "replace")
        elif size <= _TAIL:
            text = file.read().decode("utf-8-sig", "replace")
        else:
            return False
    rows = [row for row in rows_of(io.StringIO(text, newline=""), layout.delimiter) if row.values]
    return any(_is_beside(row.values or [], layout, at_end=True) for row in rows[-20:])


def repaired(path: Path, layout: Layout, target: Path) -> Repair:
    """Write the file's rows, and nothing else, to `target`: UTF-8, one end of line, every value in quotes.

    Args:
        path: a UTF-8 file.
        layout: of it.
        target: gets a header line and the rows.
    """
    repair = Repair()
    with opened(path) as binary, target.open("w", encoding="utf-8", newline="") as out:
        text = io.TextIOWrapper(binary, "utf-8-sig", errors="replace", newline="")
        out.write(as_line(layout.names, layout.delimiter) + "\n")
        for row in _held_back(_rows(text, layout, repair), layout, repair):
            out.write(_padded(row, layout) + "\n")
    return repair


def _rows(text: io.TextIOWrapper, layout: Layout, repair: Repair) -> Iterator[Row]:
    """The rows that have the header's width."""
    width, short = len(layout.names), len(layout.names) - _unnamed_at_end(layout)
    for row in rows_of(text, layout.delimiter):
        if row.line < layout.data_line:
            continue
        values = row.values
        if values is not None and len(values) > width and not any(map(str.strip, values[width:])):
            values = values[:width]
            row = Row(row.line, as_line(values, layout.delimiter), values, row.ended)
        if values is None:
            repair.rejected.append((row.line, _broken(row.text), row.text))
        elif not any(map(str.strip, values)):
            repair.empty.append(row.line)
        elif len(values) == 1 and width > 2:
            repair.beside.append(row.line)
        elif not short <= len(values) <= width:
            why = f"{len(values)} values where the header has {width}"
            repair.rejected.append((row.line, why, row.text))
        elif _is_beside(values, layout, at_end=False):
            repair.beside.append(row.line)
        else:
            yield row


def _broken(text: str) -> str:
    return "a quote that is never closed" if text.count('"') % 2 else "text after a closing quote"


def _held_back(rows: Iterator[Row], layout: Layout, repair: Repair) -> Iterator[Row]:
    """Rows of one value in prose are footers where nothing but their like comes after them."""
    held: list[Row] = []
    for row in rows:
        if _is_beside(row.values or [], layout, at_end=True):
            held.append(row)
            continue
        yield from held
        held.clear()
        yield row
    repair.beside.extend(row.line for row in held)
    repair.beside.sort()


def _is_beside(values: list[str], layout: Layout, at_end: bool) -> bool:
    """A total (a word for it, then numbers alone), or at the end of the file a single value in prose."""
    filled = [value.strip() for value in values if value.strip()]
    if len(layout.names) < 3 or not filled:
        return False
    if _TOTAL.fullmatch(filled[0]):
        return all(_NUMBER.fullmatch(value) for value in filled[1:])
    return at_end and len(filled) == 1 and " " in filled[0] and values[0].strip() == filled[0]


def _unnamed_at_end(layout: Layout) -> int:
    n = 0
    while n < len(layout.header) and not layout.header[-1 - n]:
        n += 1
    return n


def _padded(row: Row, layout: Layout) -> str:
    values = row.values or []
    missing = len(layout.names) - len(values)
    if '"' in row.text:
        return as_line(values + [""] * missing, layout.delimiter).replace("\x00", "")
    return row.text.replace("\x00", "") + layout.delimiter * missing
