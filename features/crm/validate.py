"""From a raw table to its draft: columns matched to the contract, each value read, each fault named.

Each raw table is a Parquet file, and so is its draft. Nothing is held in memory but the numbers of bad rows.

What only a look across rows and tables shows: duplicate keys, and references to what is not there.
"""

from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from features.crm.columns_match import kinds_of, matched, nearest, run_together
from features.crm.contract import SUBJECTS, TABLES, Column, Kind, Table
from features.crm.known_until import value_of
from features.crm.quality import Quality
from features.crm.reading.column_form import with_forms
from features.crm.reading.value_shapes import Look
from features.crm.values import Reading, fault, is_text, literal, quoted, read_in_layers
from features.errors import RenewalError

DERIVED = ("accounts", "owners")
"""Tables whose rows are made where they are only referred to."""
_MADE_IDS = {"contracts": "contract", "opportunities": "opportunity"}


@dataclass
class Draft:
    """One table on its way: its raw columns' names, how each is read, and which are carried."""

    table: Table
    raw: Path
    names: list[str]
    readings: list[Reading]
    carried: dict[str, Kind] = field(default_factory=dict)

    @property
    def columns(self) -> list[Column]:
        """The columns the source has, in the order of the contract, carried ones last."""
        return [reading.column for reading in self.readings]

    @property
    def stored(self) -> set[str]:
        """Their names in the clean table, made ids included."""
        id_columns = {"account_id", self.table.key} if self.table.name in _MADE_IDS else set()
        return {column.stored for column in self.columns} | {name for name in id_columns if name}

    @property
    def source(self) -> str:
        """The raw rows as an SQL relation, numbered from 0 in `__row`."""
        numbered = f"read_parquet({literal(self.raw)}, file_row_number = true)"
        return f"(SELECT {', '.join(map(quoted, self.names))}, file_row_number AS __row FROM {numbered})"


def draft(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    raw: Path,
    quality: Quality,
    known_kinds: dict[str, Kind] | None = None,
    *,
    strict: bool = False,
) -> Draft:
    """Match a raw table's columns to the contract's, and decide how each is read.

    Args:
        connection: with the macros of `features.crm.reading.column_form`.
        name: a table of the contract.
        raw: its Parquet file.
        quality: gets what was decided, and the columns that are ignored.
        known_kinds: kinds of carried columns known beforehand; others are judged by their values.
        strict: each value is read by itself, as rows that come one by one are.

    Raises:
        RenewalError: a required column is missing.
    """
    # Two underscores begin what we add ourselves, and what pandas adds (`__index_level_0__`).
    types = {column.name: column.type for column in pq.read_schema(raw) if not column.name.startswith("__")}
    table = TABLES[name]
    source_names = matched(table, types)
    further = {column: type for column, type in types.items() if column not in source_names.values()}
    _require(table, source_names, types, further)
    for column in run_together(source_names):
        meant = next(name for name, raw_name in source_names.items() if raw_name == column)
        quality.warn(f"{name}.{column} was read as {meant}")
    readings = [
        Reading(table.understood[column], raw_name, types[raw_name])
        for column, raw_name in source_names.items()
    ]
    drafted = Draft(table, raw, list(types), readings)
    look = Look(connection, f"read_parquet({literal(raw)})")
    if further and table.carries:
        _carry(look, drafted, further, quality, known_kinds or {})
    elif further:
        quality.warn(f"{name}: {_listed(further)} ignored: only {_carriers()} carry further columns")
    drafted.readings = with_forms(look, name, drafted.readings, strict=strict)
    for reading in drafted.readings:
        if reading.form is not None:
            quality.decided(reading.form.says, reading.form.doubts)
    return drafted


def _require(
    table: Table, source_names: dict[str, str], types: dict[str, pa.DataType], further: dict[str, pa.DataType]
) -> None:
    """Raise `RenewalError` if a required column is missing, naming the one that is probably meant."""
    if types and not source_names:
        raise RenewalError(
            expected=f"{table.name} to have columns of the contract (such as {next(iter(table.by_name))})",
            found=f"{_listed(types)} alone"[:200],
            do=f"Run `perennial map` on the folder, rename the columns, or map {table.name} in mapping.yaml.",
        )
    missing = [column for column in table.required if column not in source_names]
    if not missing:
        return
    near = {column: name for column in missing if (name := nearest(column, further))}
    rename = " and ".join(f"{name} to {column}" for column, name in near.items())
    add = f"Add {'it' if len(missing) == 1 else 'them'}"
    raise RenewalError(
        expected=f"{table.name} to have {', '.join(table.required)}",
        found=f"no {', '.join(missing)} (its columns: {_listed(types)})",
        do=f"{f'Rename {rename}' if near else add}, or map {table.name} in mapping.yaml.",
    )


def _listed(names: dict[str, pa.DataType]) -> str:
    listed = list(names)
    return ", ".join(listed[:12]) + (f" and {len(listed) - 12} more" if len(listed) > 12 else "")


def _carriers() -> str:
    return ", ".join(table.name for table in TABLES.values() if table.carries)


def _carry(
    look: Look,
    drafted: Draft,
    further: dict[str, pa.DataType],
    quality: Quality,
    known_kinds: dict[str, Kind],
) -> None:
    name = drafted.table.name
    kinds = {column: known_kinds[column] for column in further if column in known_kinds}
    kinds |= kinds_of(look, {column: type for column, type in further.items() if column not in kinds})
    for column in further:
        kind = kinds[column]
        drafted.readings.append(Reading(Column(column, kind), column, further[column], carried=True))
        drafted.carried[column] = kind
        if kind is Kind.TEXT:
            quality.warn(f"{name}.{column}: free text or all but unique, carried but not used as a feature")


def begin(connection: duckdb.DuckDBPyConnection, drafted: Draft, folder: Path) -> None:
    """Read every value once: makes `draft_<table>` (`__row`, `__<column>` for each value) and `bad_<table>`.

    Args:
        connection: with the macros of `features.crm.reading.column_form`.
        drafted: the table.
        folder: for the draft's Parquet file.
    """
    name, path = drafted.table.name, folder / f"{drafted.table.name}.parquet"
    values = {reading.column.stored: f"__v{i}" for i, reading in enumerate(drafted.readings)}
    values |= _lifted(drafted, values)
    values |= _made_ids(drafted, values)
    faults = [expression for i, reading in enumerate(drafted.readings) if (expression := fault(reading, i))]
    faults += _span_fault(drafted, values) + _table_fault(drafted, values) + _header_fault(drafted)
    faults += _nameless_fault(drafted)
    reason = f"nullif(concat_ws('; ', {', '.join(faults)}), '')" if faults else "CAST(NULL AS VARCHAR)"
    selected = ", ".join(f"{value} AS {value_of(column)}" for column, value in values.items())
    connection.execute(
        f"COPY (SELECT __row, {reason} AS __reason, {selected}"
        f" FROM ({read_in_layers(drafted.readings, drafted.source)})) TO {literal(path)} (FORMAT parquet)"
    )
    connection.execute(f"CREATE TEMP VIEW draft_{name} AS FROM read_parquet({literal(path)})")
    connection.execute(
        f"CREATE TEMP TABLE bad_{name} AS SELECT __row, __reason AS reason FROM draft_{name}"
        " WHERE __reason IS NOT NULL"
    )


def _lifted(drafted: Draft, values: dict[str, str]) -> dict[str, str]:
    """A later moment on the day of the first is not before it: one of them was given without its time.

    A day is the same one where only a time zone lies between: it ends at most twelve hours before in UTC.
    """
    table = drafted.table
    if table.time not in values or table.by_name[table.time].kind is not Kind.TIME:
        return {}
    first = values[table.time]
    return {
        name: f"CASE WHEN {at}::DATE = {first}::DATE OR ({at} < {first} AND"
        f" {at}::TIME = TIME '23:59:59.999999' AND {first} <= {at} + INTERVAL 12 HOURS)"
        f" THEN greatest({at}, {first}) ELSE {at} END"
        for name, at in values.items()
        if name in table.seconds
    }


def _made_ids(drafted: Draft, values: dict[str, str]) -> dict[str, str]:
    """Ids from the row's number where the source has none; a row without an account is its own."""
    table = drafted.table
    if table.name not in _MADE_IDS or table.key is None:
        return {}
    row_id = f"format('{_MADE_IDS[table.name]}-{{:06d}}', __row + 1)"
    key = f"coalesce({values[table.key]}, {row_id})" if table.key in values else row_id
    account = values.get("account_id", "CAST(NULL AS VARCHAR)")
    if table.name == "contracts" or "contract_id" not in values:
        account = f"coalesce({account}, {key})"
    return {table.key: key, "account_id": account}


def _span_fault(drafted: Draft, values: dict[str, str]) -> list[str]:
    span = drafted.table.span
    if span is None or not set(span) <= set(values):
        return []
    start, end = (f"CAST({values[name]} AS DATE)" for name in span)
    message = (
        f"{literal(span[1] + ': ')} || chr(39) || {end} || chr(39) || {literal(f' is before {span[0]}')}"
    )
    return [f"CASE WHEN {end} < {start} THEN {message} END"]


def _table_fault(drafted: Draft, values: dict[str, str]) -> list[str]:
    if drafted.table.name != "history":
        return []
    named, table_names = values["table"], ", ".join(literal(name) for name in TABLES)
    message = f"'table: ' || chr(39) || {named} || chr(39) || ' is the name of no table'"
    return [f"CASE WHEN {named} NOT IN ({table_names}) THEN {message} END"]


def _header_fault(drafted: Draft) -> list[str]:
    """A line that says again what the columns are called: joined exports, labels below names."""
    text = [reading.raw for reading in drafted.readings if is_text(reading.type)][:2]
    if len(text) < 2:
        return []
    again = " AND ".join(
        f"replace(replace(lower(CAST({quoted(name)} AS VARCHAR)), ' ', ''), '_', '')"
        f" = {literal(name.lower().replace(' ', '').replace('_', ''))}"
        for name in text
    )
    return [f"CASE WHEN {again} THEN 'the header again' END"]


def _nameless_fault(drafted: Draft) -> list[str]:
    """A row without id, account and date, where the source has them all: a sum, a unit or a rule below."""
    table = drafted.table
    names = {table.key, "account_id", table.time}
    places = [i for i, reading in enumerate(drafted.readings) if reading.column.name in names]
    if table.name not in _MADE_IDS or len(places) < len(names):
        return []
    empty = " AND ".join(f"__v{i} IS NULL" for i in places)
    message = f"neither {table.key}, account_id nor {table.time}: a total or a note, not one of {table.name}"
    return [f"CASE WHEN {empty} THEN {literal(message)} END"]


NAMES_ACCOUNTS = ("contracts", "opportunities", "leads")
"""Tables that an account is derived from; events of an account that nobody else knows are orphans."""
LINKS = {"contract_id": "contracts", "opportunity_id": "opportunities", "lead_id": "leads"}
"""Columns that tie a row to another table's, and with it to an account."""


def put_duplicates_aside(connection: duckdb.DuckDBPyConnection, drafted: Draft, quality: Quality) -> None:
    """Keep the first row of each key; the others go to quarantine, saying whether they are the same."""
    table = drafted.table
    if table.key is None:
        return
    name, key = table.name, value_of(table.key)
    content = ", ".join(value_of(reading.column.stored) for reading in drafted.readings) or "1"
    query = f"""
        INSERT INTO bad_{name}
        SELECT __row, {literal(table.key + ": ")} || chr(39) || key || chr(39) || ' occurs again, '
            || CASE WHEN content = first THEN 'the same' ELSE 'differing' END || '; the first is kept'
        FROM (
            SELECT __row, {key} AS key, hash({content}) AS content,
                first_value(hash({content})) OVER same AS first, row_number() OVER same AS n
            FROM draft_{name} ANTI JOIN bad_{name} USING (__row)
            SEMI JOIN (SELECT {key} AS twice FROM draft_{name} GROUP BY ALL HAVING count(*) > 1)
                ON {key} = twice
            WINDOW same AS (PARTITION BY {key} ORDER BY __row)
        ) WHERE n > 1"""
    row = connection.execute(query).fetchone()
    quality.of(name).duplicates = int(row[0]) if row else 0


def gather_ids(
    connection: duckdb.DuckDBPyConnection, drafts: dict[str, Draft], first: dict[str, str | None]
) -> None:
    """Make `ids_<table>` (id, kept, known_at) of each table that others refer to.

    Args:
        connection: with the drafted views.
        drafts: by table.
        first: the expression for the moment from which a row was known, by table.
    """
    wanted = {column.refers for drafted in drafts.values() for column in drafted.columns if column.refers}
    wanted |= set(SUBJECTS.values()) | {"leads", "accounts"}
    linked = [table for table in LINKS.values() if table in drafts]
    for name in [*linked, *sorted(wanted & set(drafts) - {"owners", *linked})]:
        key = value_of(TABLES[name].key or "")
        joins, account = account_of(drafts, name)
        connection.execute(
            f"CREATE TEMP TABLE ids_{name} AS SELECT {key} AS id, bool_or(reason IS NULL) AS kept,"
            f" min({first[name] or 'CAST(NULL AS TIMESTAMP)'}) AS known_at,"
            f" any_value({account or 'CAST(NULL AS VARCHAR)'}) FILTER (reason IS NULL) AS account_id"
            f" FROM draft_{name} LEFT JOIN bad_{name} USING (__row) {' '.join(joins)}"
            f" WHERE {key} IS NOT NULL GROUP BY ALL"
        )
    if "accounts" in drafts:
        named = [
            f"SELECT __account_id FROM draft_{name} ANTI JOIN bad_{name} USING (__row)"
            for name in NAMES_ACCOUNTS
            if name in drafts and "account_id" in drafts[name].stored
        ]
        if named:
            connection.execute(
                "INSERT INTO ids_accounts SELECT DISTINCT __account_id, true, CAST(NULL AS TIMESTAMP), NULL"
                f" FROM ({' UNION ALL '.join(named)}) WHERE __account_id IS NOT NULL"
                " AND __account_id NOT IN (SELECT id FROM ids_accounts)"
            )


def account_of(drafts: dict[str, Draft], name: str) -> tuple[list[str], str | None]:
    """Joins, and the row's account: its own, else that of what it belongs to."""
    drafted = drafts[name]
    stored = {column.stored for column in drafted.columns}
    links = {column: table for column, table in LINKS.items() if column in stored and table in drafts}
    links.pop(drafted.table.key or "", None)
    joins = [
        f"LEFT JOIN ids_{table} to_{table} ON to_{table}.id = {value_of(c)}" for c, table in links.items()
    ]
    ways = [value_of("account_id")] if "account_id" in drafted.stored else []
    ways += [f"to_{table}.account_id" for table in links.values()]
    if name == "opportunities":
        ways.append(value_of("opportunity_id"))
    if name == "history":
        owned = [table for table in (*LINKS.values(), "accounts") if table in drafts]
        joins = [
            f"LEFT JOIN ids_{table} to_{table} ON to_{table}.id = __id AND __table = {literal(table)}"
            for table in owned
        ]
        ways = [f"to_{table}.account_id" for table in owned if table != "accounts"]
        ways.append("CASE WHEN __table = 'accounts' THEN __id END")
    return joins, f"coalesce({', '.join(ways)})" if ways else None


def put_orphans_aside(
    connection: duckdb.DuckDBPyConnection, drafts: dict[str, Draft], name: str, quality: Quality
) -> None:
    """Put rows aside that refer to what is in no row of a table the source has."""
    joins, faults = _history_orphans(drafts) if name == "history" else _orphans(drafts, name)
    if not faults:
        return
    reason = f"nullif(concat_ws('; ', {', '.join(faults)}), '')"
    row = connection.execute(
        f"INSERT INTO bad_{name} SELECT __row, reason FROM (SELECT __row, {reason} AS reason"
        f" FROM (FROM draft_{name} ANTI JOIN bad_{name} USING (__row)) d {' '.join(joins)})"
        " WHERE reason IS NOT NULL"
    ).fetchone()
    quality.of(name).orphans = int(row[0]) if row else 0


def _orphans(drafts: dict[str, Draft], name: str) -> tuple[list[str], list[str]]:
    joins, faults = [], []
    for i, column in enumerate(drafts[name].columns):
        if column.refers not in drafts or column.refers in ("owners", name):
            continue
        if column.refers == "accounts" and name in NAMES_ACCOUNTS:
            continue
        value = value_of(column.stored)
        joins.append(f"LEFT JOIN ids_{column.refers} r{i} ON r{i}.id = {value}")
        message = f"{literal(column.name + ': ')} || chr(39) || {value} || chr(39) || "
        absent = literal(f" is in no row of {column.refers}")
        cases = f"WHEN {value} IS NOT NULL AND r{i}.id IS NULL THEN {message} {absent}"
        if _hangs_on(column):
            cases += f" WHEN NOT r{i}.kept THEN {message} ' is in quarantine itself'"
        faults.append(f"CASE {cases} END")
    return joins, faults


def _hangs_on(column: Column) -> bool:
    """Whether a row is nothing without the one it refers to; accounts are derived, so they don't count."""
    return column.required and column.refers not in DERIVED


def _history_orphans(drafts: dict[str, Draft]) -> tuple[list[str], list[str]]:
    joins, faults = [], []
    for i, table in enumerate(name for name in (*SUBJECTS.values(), "leads", "accounts") if name in drafts):
        joins.append(f"LEFT JOIN ids_{table} r{i} ON r{i}.id = __id AND __table = {literal(table)}")
        message = f"'id: ' || chr(39) || __id || chr(39) || ' is in no row of {table}'"
        faults.append(f"CASE WHEN __table = {literal(table)} AND r{i}.id IS NULL THEN {message} END")
    return joins, faults


def check_subjects(drafts: dict[str, Draft]) -> None:
    """Raise `RenewalError` unless there is something to predict."""
    if not set(SUBJECTS.values()) & set(drafts):
        raise RenewalError(
            expected="a table contracts or opportunities (or both)",
            found=", ".join(sorted(drafts)) or "no table that is known",
            do="Add contracts.csv or opportunities.csv, or map one of them in mapping.yaml.",
        )
