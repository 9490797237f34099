"""Several versions of one record in one table (history mode, snapshots, repeated exports): the current one
counts.

Older versions become rows of `history`. Rows that the source marks as deleted are left out, deals that it
marks as not closed are open. Connectors' own columns are never carried.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from features.crm.columns_match import bare_name, matched
from features.crm.contract import TABLES, Column, Kind, Table
from features.crm.quality import Quality
from features.crm.reading.column_form import with_forms
from features.crm.reading.value_shapes import Look
from features.crm.values import Reading, literal, quoted, read_in_layers
from features.sources.readers import Raw

_ACTIVE = ("fivetranactive", "iscurrent", "currentflag", "islatest", "iscurrentversion", "isactiveversion")
_START = ("fivetranstart", "dbtvalidfrom", "validfrom", "effectivefrom", "effectivestartdate", "versionstart")
_END = ("fivetranend", "dbtvalidto", "validto", "effectiveto", "effectiveenddate", "versionend")
_CHANGED = (
    "systemmodstamp", "lastmodifieddate", "lastmodifiedat", "lastmodified", "hslastmodifieddate",
    "modifiedon",
    "propertyhslastmodifieddate", "modifiedtime", "updatetime", "updatedat",
    "sdcbatchedat", "airbyteextractedat",
)  # fmt: skip
_SNAPSHOT = (
    "snapshotdate", "snapshotat", "snapshotmonth", "snapshotday", "snapshot", "reportdate", "reportingdate",
    "reportmonth", "reportingmonth", "reportingperiod", "asof", "asofdate", "exportdate", "exportedat",
    "exportedon", "extractdate", "extractedat", "extractiondate", "dateextraction", "loaddate", "loadedat",
    "rundate", "stichtag", "datenstand", "stand", "berichtsmonat", "berichtsdatum", "datesituation",
    "datearrete", "fechacorte", "fechadecorte", "datadiriferimento", "peildatum",
)  # fmt: skip
"""Days on which all records were written down, as monthly exports have them: no part of the record."""
_PERIOD = ("month", "monat", "mois", "mes", "mese", "maand", "period", "periode", "date", "datum")
"""Names that such days may have where no other column tells versions apart."""
DELETED = (
    "isdeleted",
    "fivetrandeleted",
    "deleted",
    "deletedat",
    "deletedon",
    "deleteddate",
    "sdcdeletedat",
    "airbytecdcdeletedat",
)
_DATED = ("deletedat", "deletedon", "deleteddate")
_NEVER = r"^(0|9999|1970-01-01|1900-01-0)"
"""How days that never come are begun."""
CONNECTOR = re.compile(
    r"_(fivetran|sdc|airbyte|ab_cdc|dlt)_\w+|dbt_(scd_id|updated_at|valid_from|valid_to)", re.IGNORECASE
)
MARKS = frozenset((*DELETED, *_ACTIVE, *_START, *_END))
"""Names, without case and signs, of the columns that mark versions and deleted rows."""
_CLOSED = ("isclosed", "closed")
_TRUE = "('true', 't', '1', 'yes', 'y')"
_FALSE = "('false', 'f', '0', 'no', 'n')"
_IN_HISTORY = ("accounts", "contracts", "opportunities", "leads")


@dataclass
class _Marks:
    """The columns of a raw table that distinguish its versions."""

    key: str
    active: str | None
    start: str | None
    end: str | None
    changed: str | None


def settle_versions(connection: duckdb.DuckDBPyConnection, raw: Raw, folder: Path, quality: Quality) -> None:
    """Leave deleted rows and older versions out of the raw tables; the older versions go to `history`.

    Args:
        connection: with the macros of `features.crm.reading.column_form`.
        raw: gets new files for the tables that this changes.
        folder: for those files.
        quality: records what was left out.
    """
    history: list[str] = []
    for name in list(raw.tables):
        names = [each for each in pq.read_schema(raw.tables[name]).names if not each.startswith("__")]
        _leave_deleted_out(connection, raw, name, names, folder, quality)
        if name == "opportunities":
            _open_deals(connection, raw, names, folder, quality)
        marks = _marks(TABLES[name], names)
        if marks is not None and (
            marks.active or marks.start or _repeats(connection, raw.tables[name], marks.key)
        ):
            _settle_moments(connection, raw, name, names, str(marks.start or marks.changed), folder)
            history += _current_only(connection, raw, name, names, marks, folder, quality)
        _leave_connector_columns_out(connection, raw, name, folder)
    if history:
        _add_history(connection, raw, history, folder)


def _text(column: str) -> str:
    return f"CAST({quoted(column)} AS VARCHAR)"


def _is_true(column: str) -> str:
    return f"coalesce(lower(trim({_text(column)})) IN {_TRUE}, false)"


def _moment(column: str) -> str:
    return f"TRY_CAST({_text(column)} AS TIMESTAMPTZ)"


def _first(names: list[str], wanted: tuple[str, ...]) -> str | None:
    by_bare = {bare_name(name): name for name in reversed(names)}
    return next((by_bare[bare] for bare in wanted if bare in by_bare), None)


def _marks(table: Table, names: list[str]) -> _Marks | None:
    key = matched(table, names).get(table.key or "")
    if key is None:
        return None
    contract_columns = set(matched(table, names).values())
    changes = (*_SNAPSHOT, *_CHANGED, *_PERIOD) if table.name in _IN_HISTORY else _CHANGED
    active, start, end, changed = (
        column if column not in contract_columns else None
        for column in (_first(names, wanted) for wanted in (_ACTIVE, _START, _END, changes))
    )
    if not (active or (start and end) or (start and CONNECTOR.fullmatch(start)) or changed):
        return None
    return _Marks(key, active, start, end, changed)


def _write(connection: duckdb.DuckDBPyConnection, raw: Raw, name: str, query: str, folder: Path) -> int:
    """Replace the raw table by the query's answer; returns how many rows it has fewer."""
    n = 1
    while (path := folder / f"{name}.current{n}.parquet").exists():
        n += 1
    before = pq.read_metadata(raw.tables[name]).num_rows
    connection.execute(f"COPY ({query}) TO {literal(path)} (FORMAT parquet)")
    raw.tables[name] = path
    return before - pq.read_metadata(path).num_rows


def _leave_deleted_out(
    connection: duckdb.DuckDBPyConnection,
    raw: Raw,
    name: str,
    names: list[str],
    folder: Path,
    quality: Quality,
) -> None:
    column = _first(names, DELETED)
    if column is None:
        return
    is_deleted = _is_true(column)
    if bare_name(column).endswith(_DATED):
        moment = f"coalesce(trim({_text(column)}), '')"
        is_deleted = f"regexp_matches({moment}, '[1-9]') AND NOT regexp_matches({moment}, {literal(_NEVER)})"
    merged = matched(TABLES[name], names).get("merged_into")
    if merged:
        is_deleted += f" AND nullif(trim({_text(merged)}), '') IS NULL"
    source = f"read_parquet({literal(raw.tables[name])})"
    others = [each for each in names if each != column]
    query = f"SELECT {', '.join(map(quoted, others))} FROM {source} WHERE NOT ({is_deleted})"
    removed = _write(connection, raw, name, query, folder)
    names.remove(column)
    quality.of(name).deleted += removed
    if removed:
        quality.warn(f"{name}: {removed:,} rows that {column} marks as deleted are left out")


def _open_deals(
    connection: duckdb.DuckDBPyConnection, raw: Raw, names: list[str], folder: Path, quality: Quality
) -> None:
    """Empty outcome and day of closing of deals that are not closed, where a column of yes and no says which.

    Salesforce and its kind write `IsWon` false for open deals as for lost ones, and an expected `CloseDate`.
    The column says nothing else, and nothing of it was known before the outcome: it is not carried.
    """
    name, column = "opportunities", _first(names, _CLOSED)
    columns = matched(TABLES[name], names)
    given = [columns[each] for each in ("is_won", "closed_at") if each in columns]
    if column is None or "is_won" not in columns or column in given:
        return
    word = f"nullif(lower(trim({_text(column)})), '')"
    source = f"read_parquet({literal(raw.tables[name])})"
    is_open = f"(coalesce({word} IN {_FALSE}, false) AND NOT {_is_true(columns['is_won'])})"
    is_flag, opened = connection.execute(
        f"SELECT bool_and({word} IN {_TRUE} OR {word} IN {_FALSE}), count(*) FILTER ({is_open}) FROM {source}"
    ).fetchall()[0]
    if not is_flag or not opened:
        return
    emptied = ", ".join(
        f"CASE WHEN NOT {is_open} THEN {quoted(each)} END AS {quoted(each)}" for each in given
    )
    query = f"SELECT * EXCLUDE ({quoted(column)}) REPLACE ({emptied}) FROM {source}"
    _write(connection, raw, name, query, folder)
    names.remove(column)
    quality.warn(f"{name}: {opened:,} open by {column}, whatever {' and '.join(given)} say")


def _repeats(connection: duckdb.DuckDBPyConnection, table: Path, key: str) -> bool:
    row = connection.execute(
        f"SELECT count({quoted(key)}) > count(DISTINCT {quoted(key)}) FROM read_parquet({literal(table)})"
    ).fetchone()
    return bool(row and row[0])


def _settle_moments(
    connection: duckdb.DuckDBPyConnection, raw: Raw, name: str, names: list[str], column: str, folder: Path
) -> None:
    """Write the moments of versions anew where they are written in another way than ISO 8601's."""
    source = f"read_parquet({literal(raw.tables[name])})"
    odd = f"{_text(column)} IS NOT NULL AND {_moment(column)} IS NULL"
    type = pq.read_schema(raw.tables[name]).field(column).type if column in names else None
    if type is None or connection.execute(f"SELECT 1 FROM {source} WHERE {odd} LIMIT 1").fetchone() is None:
        return
    (reading,) = with_forms(
        Look(connection, source), name, [Reading(Column(column, Kind.TIME), column, type)]
    )
    moment = f"coalesce(CAST(__v0 AS VARCHAR), {_text(column)}) AS {quoted(column)}"
    selected = ", ".join(moment if each == column else quoted(each) for each in names)
    _write(connection, raw, name, f"SELECT {selected} FROM ({read_in_layers([reading], source)})", folder)


def _current_only(
    connection: duckdb.DuckDBPyConnection,
    raw: Raw,
    name: str,
    names: list[str],
    marks: _Marks,
    folder: Path,
    quality: Quality,
) -> list[str]:
    """Keep the current version of each record; returns the SELECT of what the versions say through time."""
    source = f"read_parquet({literal(raw.tables[name])}, file_row_number = true)"
    key, since = quoted(marks.key), marks.start or marks.changed
    is_version = "count(*) OVER record > 1"
    if not (marks.active or marks.start):
        # Repeated rows of which each has a moment of its own are versions; lines of one record share theirs.
        is_version += f" AND count(DISTINCT {_moment(str(since))}) OVER record = count(*) OVER record"
    order = [f"{_is_true(marks.active)} DESC"] if marks.active else []
    order += [f"{_text(marks.end)} IS NULL DESC"] if marks.end and not marks.active else []
    order += [f"{_moment(since)} DESC NULLS LAST"] if since else []
    order.append("file_row_number DESC")
    gone = f"NOT {_is_true(marks.active)}" if marks.active else "false"
    ranked = (
        f"SELECT *, {is_version} AS __is_version,"
        f" row_number() OVER (PARTITION BY {key} ORDER BY {', '.join(order)}) AS __age"
        f" FROM {source} WINDOW record AS (PARTITION BY {key})"
    )
    is_snapshot = marks.changed is not None and bare_name(marks.changed) in (*_SNAPSHOT, *_PERIOD)
    is_current = f"(NOT __is_version OR __age = 1 OR {key} IS NULL) AND NOT ({gone} AND {key} IS NOT NULL)"
    versions = folder / f"{name}.versions.parquet"
    connection.execute(f"COPY ({ranked}) TO {literal(versions)} (FORMAT parquet)")
    ((older, without, records),) = connection.execute(
        f"SELECT count(*) FILTER (__is_version AND __age > 1), count(*) FILTER (__age = 1 AND {gone}),"
        f" count(*) FILTER (__is_version AND __age = 1) FROM read_parquet({literal(versions)})"
    ).fetchall()
    left_out = (marks.active, marks.start, marks.end, marks.changed if is_snapshot and older else None)
    columns = [each for each in names if each not in left_out]
    listed = ", ".join(map(quoted, columns))
    query = (
        f"SELECT {listed} FROM read_parquet({literal(versions)}) WHERE {is_current} ORDER BY file_row_number"
    )
    removed = _write(connection, raw, name, query, folder)
    quality.of(name).older_versions += removed
    if without:
        quality.warn(f"{name}: {without:,} records have no current version ({marks.active}) and are left out")
    if not older:
        return []
    by = marks.active or marks.start or marks.changed
    quality.warn(f"{name}: {records:,} records stand in several versions; the current one ({by}) counts")
    if since is None or name not in _IN_HISTORY:
        return []
    quality.warn(f"{name}: {older:,} older versions give `history` earlier values (from {since})")
    return _through_time(name, columns, marks, since, versions)


def _through_time(name: str, columns: list[str], marks: _Marks, since: str, versions: Path) -> list[str]:
    """SELECTs of (table, id, changed_at, column, value), one for each column that may have changed."""
    table, key = TABLES[name], quoted(marks.key)
    of_contract = {column: each for each, column in matched(table, columns).items()}
    selects = []
    for column in columns:
        called = of_contract.get(column, column)
        contract_column = table.by_name.get(called)
        if column in (marks.key, marks.changed) or called in (table.time, "account_id", *table.seconds):
            continue
        if (contract_column and contract_column.known_with) or CONNECTOR.fullmatch(column):
            continue
        selects.append(
            f'SELECT {literal(name)} AS "table", CAST({key} AS VARCHAR) AS id, {_text(since)} AS changed_at,'
            f' {literal(called)} AS "column", {_text(column)} AS value FROM (SELECT *,'
            f" lag({_text(column)}) OVER record AS __before, row_number() OVER record AS __n"
            f" FROM read_parquet({literal(versions)}) WHERE __is_version"
            f" WINDOW record AS (PARTITION BY {key} ORDER BY {_moment(since)}, file_row_number))"
            f" WHERE __n = 1 OR {_text(column)} IS DISTINCT FROM __before"
        )
    return selects


def _add_history(connection: duckdb.DuckDBPyConnection, raw: Raw, selects: list[str], folder: Path) -> None:
    """Add the rows to the source's own history, if it has one."""
    query = " UNION ALL ".join(selects)
    if "history" in raw.tables:
        schema = pq.read_schema(raw.tables["history"]).names
        given = matched(TABLES["history"], schema)
        named = ", ".join(f"{_text(column)} AS {quoted(name)}" for name, column in given.items())
        given_rows = f"SELECT {named} FROM read_parquet({literal(raw.tables['history'])})"
        query = f"{given_rows} UNION ALL BY NAME {query}"
    path = folder / "history.versions.parquet"
    connection.execute(f"COPY ({query}) TO {literal(path)} (FORMAT parquet)")
    raw.tables["history"] = path


def _leave_connector_columns_out(
    connection: duckdb.DuckDBPyConnection, raw: Raw, name: str, folder: Path
) -> None:
    names = pq.read_schema(raw.tables[name]).names
    theirs = [each for each in names if CONNECTOR.fullmatch(each)]
    if theirs and len(theirs) < len(names):
        others = ", ".join(quoted(each) for each in names if each not in theirs)
        _write(
            connection, raw, name, f"SELECT {others} FROM read_parquet({literal(raw.tables[name])})", folder
        )
