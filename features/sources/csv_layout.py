"""Where the table is in a CSV file: its delimiter, its header below titles, the names of its columns."""

import io
import itertools
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from features.crm.columns_match import matched
from features.crm.contract import Table
from features.errors import RenewalError
from features.sources.csv_rows import Row, rows_of
from features.sources.csv_text import opened

_DELIMITERS = ",;\t|^~\x1f\x01"
_HEAD = 1 << 18
"""Bytes at the beginning of a file that its layout is judged by."""
_ROWS = 200
_TITLES = 50
"""Lines above a table in which its header is looked for."""
_SEPARATOR = re.compile(r'^"?sep=(.)"?\s*$', re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


@dataclass(frozen=True)
class Layout:
    """How a CSV file lies before us.

    Args:
        delimiter: between values.
        header: the values of the header line as written.
        names: of the columns, each its own; unnamed ones are called `unnamed_<n>`.
        header_line: from 1.
        data_line: number of the first row's line, from 1.
    """

    delimiter: str
    header: list[str]
    names: list[str]
    header_line: int
    data_line: int

    @property
    def unnamed(self) -> list[str]:
        """Columns without a name."""
        return [name for name, head in zip(self.names, self.header, strict=True) if not head.strip()]


def layout_of(path: Path, table: Table | None = None, *, called: str = "", twice: bool = False) -> Layout:
    """The layout of a UTF-8 CSV file.

    Args:
        path: the file, packed or not.
        table: the contract table it is to be, whose columns' names show the header.
        called: its name for people.
        twice: let columns of one name be, numbered, as where a SELECT picks among them.

    Raises:
        RenewalError: two columns have the same name, or there is no line at all.
    """
    called = called or path.name
    with opened(path) as file:
        head = file.read(_HEAD).decode("utf-8-sig", "replace")
    lines = io.StringIO(head, newline="").readlines()
    if len(head.encode()) >= _HEAD and len(lines) > 1:
        lines.pop()
    delimiter, first = _delimiter(lines)
    rows = [row for row in itertools.islice(rows_of(lines[first:], delimiter), _ROWS) if row.values]
    if not rows:
        raise RenewalError(
            expected=f"{called} to have a header line",
            found="empty lines alone",
            do="Export it again or remove it.",
        )
    header = _header(rows, table)
    values = [value.strip() for value in header.values or []]
    above = next((row.values for row in rows if row.line == header.line - 1), None)
    values = _with_groups(values, above or [])
    following = header.line + header.text.count("\n") + 1
    data = [row.values for row in rows if row.line > header.line and row.values][:3]
    return Layout(
        delimiter, values, _names(values, data, called, twice), first + header.line, first + following
    )


def _delimiter(lines: list[str]) -> tuple[str, int]:
    """The delimiter, and how many lines at the top do nothing but name it.

    The one that cuts most lines into the same number of values; of equals, the one that cuts into more.
    """
    if lines and (named := _SEPARATOR.match(lines[0].strip("\ufeff\r\n"))):
        return named.group(1), 1
    bare = [_QUOTED.sub("", line) for line in lines[:_ROWS] if line.strip()]

    def fit(delimiter: str) -> tuple[int, int]:
        counts = Counter(cuts for line in bare if (cuts := line.count(delimiter)))
        return max(((n, cuts) for cuts, n in counts.items()), default=(0, 0))

    best = max(_DELIMITERS, key=lambda each: (fit(each)[0] * min(fit(each)[1], 1), fit(each)[1]))
    return (best if fit(best)[0] else ","), 0


def _header(rows: list[Row], table: Table | None) -> Row:
    """The line that names most columns of the contract, else the first that is as full as rows are."""
    top = rows[:_TITLES]
    if table is not None:
        matches = [len(matched(table, row.values or [])) for row in top]
        if max(matches) >= 2:
            return top[matches.index(max(matches))]
    filled = [sum(bool(value.strip()) for value in row.values or []) for row in rows]
    usual = Counter(len(row.values or []) for row in rows).most_common(1)[0][0]
    full = (
        row
        for row, n in zip(top, filled, strict=False)
        if n > usual / 2 and len(row.values or []) >= usual - 1
    )
    return next(full, top[0])


def _with_groups(names: list[str], above: list[str]) -> list[str]:
    """Names that occur twice behind that of their group in the line above, if that tells them apart.

    A group stands over its first column, with nothing over the next: `Contract,,Account` over `ID,Start,ID`.
    """
    counts = Counter(name.lower() for name in names if name)
    if len(counts) == sum(counts.values()) or len(above) > len(names):
        return names
    full, group = [], ""
    for name, cell in itertools.zip_longest(names, above, fillvalue=""):
        group = cell.strip() or group
        full.append(f"{group} {name}".strip() if counts[name.lower()] > 1 else name)
    named = [name.lower() for name in full if name]
    return full if len(set(named)) == len(named) else names


def _names(header: list[str], rows: list[list[str]], called: str, twice: bool) -> list[str]:
    """Names of their own for the columns.

    Raises:
        RenewalError: two have the same one.
    """
    names: list[str] = []
    places: dict[str, int] = {}
    for i, name in enumerate(header):
        name = name or f"unnamed_{i + 1}"
        if name.lower() in places and not twice:
            first = places[name.lower()]
            raise RenewalError(
                expected=f"each column of {called} to have a name of its own",
                found=f"{header[first]} twice: {_beginning(rows, first)}, and {_beginning(rows, i)}",
                do="Rename or remove one of them and export again.",
            )
        number = 1
        while name.lower() in places:
            name, number = f"{header[i]}_{number}", number + 1
        places[name.lower()] = i
        names.append(name)
    return names


def _beginning(rows: list[list[str]], i: int) -> str:
    values = ", ".join(row[i] for row in rows if i < len(row))
    return f"column {i + 1} begins with {values or 'nothing'}"
