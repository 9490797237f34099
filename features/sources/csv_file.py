"""A CSV file laid down as Parquet, every value as text: read at once by DuckDB, or row by row."""

from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from features.crm.contract import Table
from features.crm.values import literal, quoted
from features.errors import RenewalError
from features.sources.csv_layout import Layout, layout_of
from features.sources.csv_repair import Repair, needs_repair, repaired
from features.sources.csv_text import as_utf8, unquoted_lines
from features.sources.html_entities import decode_entities

_FORMAT = "FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE 40960"


@dataclass
class CsvRead:
    """What was decided on the way: the text as UTF-8, notes for people, and lines that were no row."""

    text: Path
    notes: list[str] = field(default_factory=list)
    rejected: int = 0
    examples: list[str] = field(default_factory=list)


def csv_to_parquet(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    target: Path,
    staging: Path,
    table: Table | None = None,
    *,
    twice: bool = False,
) -> CsvRead:
    """Turn a CSV file into Parquet.

    Args:
        connection: any DuckDB.
        path: the file, in any encoding, packed or not.
        target: the Parquet file.
        staging: for what is written on the way.
        table: the contract table it is to be, if it is.
        twice: let columns of one name be, as where a SELECT picks among them.

    Raises:
        RenewalError: empty, no row can be read, or two columns have one name.
    """
    if path.stat().st_size == 0:
        raise RenewalError(
            expected=f"{path.name} to have a header line",
            found="an empty file",
            do="Export it again or remove it.",
        )
    notes: list[str] = []
    source = as_utf8(path, staging, notes)
    layout = layout_of(source, table, called=path.name, twice=twice)
    if len(layout.header) == 1 and any(sign in layout.header[0] for sign in ",;\t|"):
        source = unquoted_lines(source, staging)
        layout = layout_of(source, table, called=path.name, twice=twice)
        notes.append(f"{path.name}: each line was quoted as a whole, and is read as the values inside")
    read = CsvRead(source, notes)
    if layout.header_line > 2:
        shown = ", ".join(layout.header[:3])
        read.notes.append(
            f"{path.name}: the header was found in line {layout.header_line} ({shown}, …);"
            " what is above it is left out"
        )
    if layout.data_line != 2 or needs_repair(source, layout):
        _copy_repaired(connection, source, layout, target, staging, path.name, read)
    else:
        try:
            _copy(connection, source, layout, target)
        except duckdb.Error:
            _copy_repaired(connection, source, layout, target, staging, path.name, read)
    _drop_nothing(connection, layout, target, path.name, read)
    if example := decode_entities(source, target):
        read.notes.append(f"{path.name}: words were written as in web pages; {example}")
    return read


def copy_written(connection: duckdb.DuckDBPyConnection, source: Path, target: Path) -> None:
    """Turn a CSV file that a database has written into Parquet: nothing in it is doubted."""
    connection.execute(
        f"COPY (FROM read_csv({literal(source)}, all_varchar = true, delim = ',', quote = '\"',"
        f" escape = '\"', header = true, skip = 0, null_padding = false)) TO {literal(target)} ({_FORMAT})"
    )


def _copy(connection: duckdb.DuckDBPyConnection, source: Path, layout: Layout, target: Path) -> None:
    columns = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in layout.names)
    connection.execute(
        f"COPY (FROM read_csv({literal(source)}, columns = {{{columns}}}, auto_detect = false,"
        f" header = false, skip = 1, delim = {literal(layout.delimiter)}, quote = '\"', escape = '\"',"
        f" null_padding = false)) TO {literal(target)} ({_FORMAT})"
    )


def _copy_repaired(
    connection: duckdb.DuckDBPyConnection,
    source: Path,
    layout: Layout,
    target: Path,
    staging: Path,
    called: str,
    read: CsvRead,
) -> None:
    rows = staging / f"{target.stem}.rows.csv"
    repair = repaired(source, layout, rows)
    try:
        _copy(connection, rows, layout, target)
    except duckdb.Error as error:
        fault = str(error).strip().splitlines()[0][:300]
        raise RenewalError(
            expected=f"{called} to be a CSV file", found=fault, do="Correct the file, or export it again."
        ) from error
    rows.unlink()
    read.notes += repair.notes(called)
    read.rejected, read.examples = len(repair.rejected), repair.examples()
    if repair.rejected and not pq.read_metadata(target).num_rows:
        raise RenewalError(
            expected=f"{called} to hold rows as wide as its header",
            found=_none_left(repair),
            do="Correct the file, or export it again.",
        )


def _none_left(repair: Repair) -> str:
    line, why, _ = repair.rejected[0]
    count = len(repair.rejected)
    return f"{why} in line {line}" + (f", and {count - 1} more lines that are no rows" if count > 1 else "")


def _drop_nothing(
    connection: duckdb.DuckDBPyConnection, layout: Layout, target: Path, called: str, read: CsvRead
) -> None:
    """Leave out rows that are empty throughout, and unnamed columns that are."""
    nulls = _nulls(target, layout.names)
    rows = pq.read_metadata(target).num_rows
    if not rows:
        return
    hollow = [name for name in layout.unnamed if nulls[name] == rows]
    columns = [name for name in layout.names if name not in hollow]
    for name in layout.unnamed:
        if name not in hollow:
            read.notes.append(
                f"{called}: column {layout.names.index(name) + 1} has no name; it is called {name}"
            )
    anything = f"coalesce({', '.join(map(quoted, columns))})"
    empty = 0
    if min(nulls.values()) > 0:
        source = f"read_parquet({literal(target)})"
        row = connection.execute(f"SELECT count(*) FROM {source} WHERE {anything} IS NULL").fetchone()
        empty = int(row[0]) if row else 0
    if not empty and not hollow:
        return
    if empty:
        read.notes.append(f"{called}: {empty:,} empty row{'s' * (empty > 1)} left out")
    fuller = target.with_suffix(".new")
    connection.execute(
        f"COPY (SELECT {', '.join(map(quoted, columns))} FROM read_parquet({literal(target)})"
        f" WHERE {anything} IS NOT NULL) TO {literal(fuller)} ({_FORMAT})"
    )
    fuller.replace(target)


def _nulls(file: Path, names: list[str]) -> dict[str, int]:
    """Missing values by column, from the file's own statistics."""
    metadata = pq.read_metadata(file)
    counts = dict.fromkeys(names, 0)
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        for j, name in enumerate(names):
            statistics = group.column(j).statistics
            counts[name] += statistics.null_count if statistics and statistics.has_null_count else 0
    return counts
