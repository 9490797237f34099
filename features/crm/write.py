"""Clean tables written: sorted, as known before `until`, each row with its account; and the quarantine."""

import hashlib
import json
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq

from features.crm.contract import SUBJECTS, TABLES, Kind
from features.crm.known_until import as_known, first_known, value_of
from features.crm.quality import Quality
from features.crm.validate import DERIVED, LINKS, Draft, account_of
from features.crm.values import literal, quoted

_EXAMPLES = 3
_FORMAT = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880"


def write_table(
    connection: duckdb.DuckDBPyConnection,
    drafts: dict[str, Draft],
    name: str,
    until: pd.Timestamp,
    in_the_past: bool,
    folder: Path,
    quality: Quality,
) -> tuple[str, ...]:
    """Write `<name>.parquet` and return its columns; links it leaves out are counted.

    Args:
        connection: with drafted views, bad rows and ids.
        drafts: by table.
        name: the table.
        until: what became known at or after it stays out.
        in_the_past: whether outcomes without a moment of their own may be later than `until`.
        folder: where to.
        quality: counts links to rows of another account.
    """
    drafted, limit = drafts[name], f"TIMESTAMP {literal(until)}"
    joins, account = account_of(drafts, name)
    values = {
        column.stored: as_known(name, column, drafted.stored, until, in_the_past)
        for column in drafted.columns
    }
    if drafted.table.key and drafted.table.key not in values:
        values = {drafted.table.key: value_of(drafted.table.key), **values}
    foreign: dict[str, str] = {}
    if account is not None:
        foreign = _foreign_links(drafts, name, values, account)
        for column, is_foreign in foreign.items():
            values[column] = f"CASE WHEN NOT {is_foreign} THEN {values[column]} END"
        values["account_id"] = account
    where = (
        [f"({known_at} < {limit} OR {known_at} IS NULL)"]
        if (known_at := first_known(name, drafted.stored))
        else []
    )
    if name == "stage_history":
        where.append(f"(to_opportunities.known_at < {limit} OR to_opportunities.known_at IS NULL)")
    if name == "leads" and "opportunity_id" in values and "opportunities" in drafts:
        later = f"to_opportunities.known_at >= {limit}"
        values["opportunity_id"] = f"CASE WHEN {later} THEN NULL ELSE {values['opportunity_id']} END"
    selected = ", ".join(f"{value} AS {quoted(column)}" for column, value in values.items())
    rows = f"(FROM draft_{name} ANTI JOIN bad_{name} USING (__row)) d {' '.join(joins)}" + (
        f" WHERE {' AND '.join(where)}" if where else ""
    )
    _count_foreign(connection, name, foreign, rows, quality)
    ordered = ", ".join(f"{quoted(column)} NULLS LAST" for column in _order(drafted, list(values)))
    query = f"SELECT {selected} FROM {rows} ORDER BY {ordered}"
    connection.execute(f"COPY ({query}) TO {literal(folder / f'{name}.parquet')} ({_FORMAT})")
    return tuple(values)


def _foreign_links(
    drafts: dict[str, Draft], name: str, values: dict[str, str], account: str
) -> dict[str, str]:
    """Column → whether its link is to a contract, opportunity or lead of another account, as SQL.

    Such a link says nothing and is left out: features of an account must not depend on whose rows happen to
    be read beside its own.
    """
    links = {column: table for column, table in LINKS.items() if column in values and table in drafts}
    links.pop(drafts[name].table.key or "", None)
    return {
        column: f"({value_of(column)} IS NOT NULL AND to_{table}.account_id IS DISTINCT FROM {account})"
        for column, table in links.items()
    }


def _count_foreign(
    connection: duckdb.DuckDBPyConnection, name: str, foreign: dict[str, str], rows: str, quality: Quality
) -> None:
    if not foreign:
        return
    counts = ", ".join(f"count(*) FILTER ({is_foreign})" for is_foreign in foreign.values())
    foreign_counts = connection.execute(f"SELECT {counts} FROM {rows}").fetchone() or ()
    for column, count in zip(foreign, foreign_counts, strict=True):
        quality.of(name).foreign_links += count
        if count:
            quality.warn(
                f"{name}: {count:,} rows name in {column} one that belongs to another account;"
                " they are kept without it"
            )


def _order(drafted: Draft, columns: list[str]) -> list[str]:
    """account_id, time and key; rows without a key by all they hold: their order in the source is nothing."""
    table = drafted.table
    first = [name for name in ("account_id", table.time, table.key) if name in columns]
    return [name for name in first if name] + (
        [] if table.key else [name for name in columns if name not in first]
    )


def write_derived(
    connection: duckdb.DuckDBPyConnection, tables: dict[str, tuple[str, ...]], folder: Path, quality: Quality
) -> None:
    """Add accounts and owners that are only referred to; accounts are made even if the table is missing."""
    for name in DERIVED:
        key = str(TABLES[name].key)
        if name == "owners" and name not in tables:
            continue
        referring = [table for table, columns in tables.items() if key in columns and table != name]
        parts = [
            f"SELECT {key} FROM read_parquet({literal(folder / f'{table}.parquet')})" for table in referring
        ]
        path = folder / f"{name}.parquet"
        there = name in tables
        exclusion = f" AND {key} NOT IN (SELECT {key} FROM read_parquet({literal(path)}))" if there else ""
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE derived AS SELECT DISTINCT {key} FROM"
            f" ({' UNION ALL '.join(parts) or f'SELECT CAST(NULL AS VARCHAR) AS {key}'})"
            f" WHERE {key} IS NOT NULL{exclusion}"
        )
        new = _count(connection, "derived")
        if there and not new:
            continue
        rows = (
            f"SELECT * FROM read_parquet({literal(path)}) UNION ALL BY NAME FROM derived"
            if there
            else "FROM derived"
        )
        fresh = folder / f"{name}.parquet.new"
        order = ", ".join(f"{quoted(c)} NULLS LAST" for c in _derived_order(name, tables.get(name, (key,))))
        connection.execute(f"COPY ({rows} ORDER BY {order}) TO {literal(fresh)} ({_FORMAT})")
        fresh.replace(path)
        tables.setdefault(name, (key,))
        quality.of(name).derived = new
        alone = _nameless(connection, tables, folder) if name == "accounts" else {}
        for table, count in alone.items():
            if there:
                quality.warn(f"{table}: {count:,} rows name no account; each counts as a customer of its own")
        if there and new > sum(alone.values()):
            quality.warn(
                f"{name}: {new - sum(alone.values()):,} that other tables refer to are not in it, and were"
                " added with their id alone"
            )


def _nameless(
    connection: duckdb.DuckDBPyConnection, tables: dict[str, tuple[str, ...]], folder: Path
) -> dict[str, int]:
    """Deals and contracts that name no account and so got one of their own id."""
    counts = {}
    for table in SUBJECTS.values():
        columns, key = tables.get(table, ()), TABLES[table].key
        if "account_id" in columns and key in columns:
            ((alone,),) = connection.execute(
                f"SELECT count(*) FILTER (account_id = {key}"
                " AND account_id IN (SELECT account_id FROM derived))"
                f" FROM read_parquet({literal(folder / f'{table}.parquet')})"
            ).fetchall()
            counts[table] = alone
    return {table: alone for table, alone in counts.items() if alone}


def _derived_order(name: str, columns: tuple[str, ...]) -> list[str]:
    table = TABLES[name]
    return [column for column in (table.key, table.time) if column and column in columns]


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {relation}").fetchone()
    return int(row[0]) if row else 0


def write_quarantine(
    connection: duckdb.DuckDBPyConnection, drafted: Draft, folder: Path, quality: Quality
) -> None:
    """Write the rows put aside as they were read, with the reason, and count them."""
    name = drafted.table.name
    table_quality = quality.of(name)
    table_quality.rows = (
        pq.read_metadata(drafted.raw).num_rows + table_quality.older_versions + table_quality.deleted
    )
    table_quality.quarantined = _count(connection, f"(SELECT DISTINCT __row FROM bad_{name})")
    if not table_quality.quarantined:
        return
    reasons = connection.execute(
        "SELECT regexp_replace(reason, '''.*''', '…') AS what, count(*),"
        f" list(reason ORDER BY __row)[1:{_EXAMPLES}] FROM bad_{name} GROUP BY ALL ORDER BY 2 DESC, 1"
    ).fetchall()
    table_quality.reasons = {
        what: {"count": count, "examples": examples} for what, count, examples in reasons
    }
    (folder / "quarantine").mkdir(exist_ok=True)
    taken = [column for column in drafted.names if column.lower() == "reason"]
    renamed = "".join(f" RENAME ({quoted(column)} AS reason_given)" for column in taken)
    connection.execute(
        f"COPY (SELECT raw.* EXCLUDE (__row){renamed}, bad.reason FROM {drafted.source} raw JOIN"
        f" (SELECT __row, string_agg(reason, '; ') AS reason FROM bad_{name} GROUP BY ALL) bad"
        " USING (__row) ORDER BY __row)"
        f" TO {literal(folder / 'quarantine' / f'{name}.parquet')} ({_FORMAT})"
    )


def describe(folder: Path, tables: dict[str, tuple[str, ...]], quality: Quality) -> None:
    """Rows kept, shares of nulls, the first and last moment: from the Parquet files' own statistics."""
    for name, columns in tables.items():
        table_quality, file = quality.of(name), pq.ParquetFile(folder / f"{name}.parquet")
        table_quality.kept = file.metadata.num_rows
        table_quality.rows = table_quality.rows or 0
        gone = (
            table_quality.quarantined
            + table_quality.merged
            + table_quality.older_versions
            + table_quality.deleted
        )
        table_quality.left_out = max(
            table_quality.rows + table_quality.derived - gone - table_quality.kept, 0
        )
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        time = TABLES[name].time
        for i, column in enumerate(columns):
            group_statistics = [group.column(i).statistics for group in groups]
            nulls = sum(statistics.null_count for statistics in group_statistics if statistics)
            table_quality.null_share[column] = (
                round(nulls / table_quality.kept, 6) if table_quality.kept else 0.0
            )
            if column == time:
                ranged = [
                    statistics for statistics in group_statistics if statistics and statistics.has_min_max
                ]
                table_quality.first = str(min(statistics.min for statistics in ranged)) if ranged else None
                table_quality.last = str(max(statistics.max for statistics in ranged)) if ranged else None


def fingerprint(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    tables: dict[str, tuple[str, ...]],
    carried: dict[str, dict[str, Kind]],
    until: pd.Timestamp | None,
) -> str:
    """A name for the content: equal rows, wherever they lie and however they were ordered, give the same."""
    parts = [
        f"SELECT {literal(name)} AS name, count(*) AS n,"
        f" sum(hash({', '.join(map(quoted, columns))})::HUGEINT)::VARCHAR AS content"
        f" FROM read_parquet({literal(folder / f'{name}.parquet')})"
        for name, columns in sorted(tables.items())
    ]
    rows = connection.execute(" UNION ALL ".join(parts) + " ORDER BY name").fetchall()
    content = {"rows": rows, "columns": tables, "carried": carried, "until": str(until)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
