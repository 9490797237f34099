"""Values that could not be read, counted: they cost themselves, not their row."""

import duckdb
import pyarrow.parquet as pq

from features.crm.contract import Kind
from features.crm.quality import Quality
from features.crm.validate import Draft
from features.crm.values import WORDY, Reading, read_in_layers

_EXAMPLES = 3


def count_unread(
    connection: duckdb.DuckDBPyConnection, drafted: Draft, draft_file: str, quality: Quality
) -> None:
    """Count each column's values that are given and yet missing in the draft, and say which they are.

    Days that stand for nothing or for an open end (0001, 1900, 9999) are no faults, and are said apart.

    Args:
        connection: with the macros, and the table of bad rows.
        drafted: the table, its draft written.
        draft_file: the draft's Parquet file.
        quality: gets the counts.
    """
    raw, draft = pq.read_metadata(drafted.raw), pq.read_metadata(draft_file)
    raw_names = pq.read_schema(drafted.raw).names
    draft_names = pq.read_schema(draft_file).names
    for reading in drafted.readings:
        if reading.column.kind in WORDY or reading.can_fail:
            continue
        given = _given(reading, raw, raw_names)
        read = _filled(draft, draft_names.index(f"__{reading.column.stored}"))
        if given is not None and read is not None and given <= read:
            continue
        _look_closer(connection, drafted, reading, quality)


def _given(reading: Reading, raw: pq.FileMetaData, names: list[str]) -> int | None:
    if reading.form is not None and reading.form.rows is not None:
        return reading.form.rows
    if not raw.num_row_groups or raw.num_columns != len(names):
        return None
    return _filled(raw, names.index(reading.raw))


def _filled(file: pq.FileMetaData, column: int) -> int | None:
    """A column's values that are not missing, by the file's statistics; None where it has none."""
    filled = 0
    for i in range(file.num_row_groups):
        statistics = file.row_group(i).column(column).statistics
        if statistics is None or not statistics.has_null_count:
            return None
        filled += statistics.num_values
    return filled


def _look_closer(
    connection: duckdb.DuckDBPyConnection, drafted: Draft, reading: Reading, quality: Quality
) -> None:
    name, column = drafted.table.name, reading.column
    before = f"__s0_{len(reading.steps) - 2}" if column.kind in (Kind.TIME, Kind.DATE) else "NULL"
    layered = read_in_layers([reading], drafted.source)
    rows = connection.execute(
        f"SELECT {before} IS NOT NULL AS is_sentinel, CAST(__g0 AS VARCHAR) AS text, count(*), min(__row) + 1"
        f" FROM ({layered}) ANTI JOIN bad_{name} USING (__row)"
        " WHERE __v0 IS NULL AND __g0 IS NOT NULL GROUP BY ALL ORDER BY 4"
    ).fetchall()
    sentinels = {text: count for is_sentinel, text, count, _ in rows if is_sentinel}
    unread = [(text, count, row) for is_sentinel, text, count, row in rows if not is_sentinel]
    if sentinels:
        listed = ", ".join(list(sentinels)[:_EXAMPLES])
        total = sum(sentinels.values())
        quality.decided(
            [f"{name}.{column.name}: {total:,} values stand for no day or an open end ({listed})"]
        )
    if unread:
        total = sum(count for _, count, _ in unread)
        examples = [f"'{text[:60]}' in row {row}" for text, _, row in unread[:_EXAMPLES]]
        quality.of(name).unread[column.name] = {"count": total, "examples": examples}
        quality.warn(
            f"{name}.{column.name}: {total:,} values are no {column.kind} and count as missing"
            f" ({', '.join(examples)})"
        )
