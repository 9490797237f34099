"""Files that are parts of one table: `contracts_2023.csv` and `contracts_2024.csv`, as large exports come.

Files whose names differ in a number, date or page at their end alone, and that have the same columns, are one
table. An id in several, as where each is a later export of everything, counts as the last file
has it; a row that several hold word for word counts once, where two equal rows of one file are two.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from features.crm.values import literal, quoted
from features.errors import RenewalError
from features.sources.csv_file import csv_to_parquet
from features.sources.csv_layout import layout_of
from features.sources.csv_text import as_utf8
from features.sources.packed_files import ending_of

PARTS = "parts"
"""The folder of joined files."""
_NUMBER = re.compile(
    r"(?:[ _.-]*(?:(?<![A-Za-z])(?:part|page|chunk|batch|file|teil|q|h|fy|of))?[ _.-]*\(?\d[\d_.T:-]*\)?)+$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Joined:
    """A table's parts and the Parquet file that holds their rows."""

    path: Path
    parts: tuple[Path, ...]


def joined_parts(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[Path],
    staging: Path,
    notes: list[str],
    sql: str = "",
) -> list[Joined]:
    """Lay the parts of each table down as one file.

    Args:
        connection: any DuckDB.
        files: a folder's data files.
        staging: where the joined files go, in a folder `parts`.
        notes: gets a line for what is one table, and for what is odd in its parts.
        sql: parts named here are left alone.

    Raises:
        RenewalError: a part cannot be read.
    """
    groups: dict[str, list[Path]] = {}
    for path in filter(Path.is_file, files):
        if path.stat().st_size:
            groups.setdefault(_base(path).lower(), []).append(path)
    joined = []
    for base, group in groups.items():
        parts = sorted(group, key=_place)
        names = {_stem(path).lower() for path in parts}
        if any(re.search(rf"\b{re.escape(name)}\b", sql, re.IGNORECASE) for name in names - {base}):
            continue
        if not base or len(parts) < 2 or len(names) < len(parts):
            continue
        if len({_columns(path, staging) for path in parts}) > 1:
            continue
        joined.append(Joined(_laid(connection, _base(parts[-1]), parts, staging, notes), tuple(parts)))
    return joined


def _base(path: Path) -> str:
    """The name without its ending and the number behind it."""
    return _NUMBER.sub("", _stem(path)).strip(" _.-")


def _stem(path: Path) -> str:
    return path.name[: -len(ending_of(path) or "")]


def _place(path: Path) -> tuple[list[int], str]:
    """Parts in the order of their numbers: 2 before 10, 2023-12 before 2024-01."""
    return [int(number) for number in re.findall(r"\d+", path.name)], path.name


def _columns(path: Path, staging: Path) -> frozenset[str] | Path:
    """The names in a file's header; the file itself, which no other equals, where they cannot be read."""
    try:
        if path.name.lower().endswith(".parquet"):
            return frozenset(pq.read_schema(path).names)
        layout = layout_of(as_utf8(path, staging, []), None, called=path.name, twice=True)
    except (RenewalError, OSError, ValueError):
        return path
    return frozenset(layout.names)


def _laid(
    connection: duckdb.DuckDBPyConnection, base: str, parts: list[Path], staging: Path, notes: list[str]
) -> Path:
    folder = staging / PARTS / base
    folder.mkdir(parents=True)
    relations: list[str] = []
    for number, path in enumerate(reversed(parts)):
        rows = path
        if not path.name.lower().endswith(".parquet"):
            rows = folder / f"{number}.parquet"
            read = csv_to_parquet(connection, path, rows, folder, twice=True)
            notes += read.notes
            if read.rejected:
                notes.append(f"{path.name}: {read.rejected} lines are no rows: {read.examples[0]}")
        relations.append(f"read_parquet({literal(rows)})")
    names = connection.execute(f"DESCRIBE FROM {relations[0]}").fetchall()
    columns = [quoted(name) for name, *_ in names]
    equal = " AND ".join(f"a.{column} IS NOT DISTINCT FROM b.{column}" for column in columns)
    texts = ", ".join(f"CAST({column} AS VARCHAR) AS {column}" for column in columns)
    selects: list[str] = []
    for relation in relations:
        later = f" ANTI JOIN ({' UNION ALL '.join(selects)}) b ON {equal}" if selects else ""
        selects.append(f"SELECT * FROM (SELECT {texts} FROM {relation}) a{later}")
    target = staging / PARTS / f"{base}.parquet"
    connection.execute(f"COPY ({' UNION ALL '.join(f'({each})' for each in selects)}) TO {literal(target)}")
    listed = ", ".join(path.name for path in parts[:6]) + (" …" if len(parts) > 6 else "")
    notes.append(
        f"{listed} have the same columns and are read as one table, {base}; an id in several counts as the"
        " last of them has it"
    )
    return target
