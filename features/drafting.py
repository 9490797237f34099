"""From a raw table to its draft: columns matched to the contract, each value read, each fault named.

Each raw table is a Parquet file, and so is its draft. Nothing is held in memory but the numbers of bad rows.
"""

from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from features.carried import kinds_of
from features.casting import Reading, fault, literal, quoted, read_in_layers
from features.errors import RenewalError
from features.known import value_of
from features.quality import Quality
from features.spelling import matched, nearest, run_together
from features.tables import TABLES, Column, Kind, Table

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
        made = {"account_id", self.table.key} if self.table.name in _MADE_IDS else set()
        return {column.stored for column in self.columns} | {name for name in made if name}

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
) -> Draft:
    """Match a raw table's columns to the contract's.

    Args:
        connection: with the macros of `features.casting`.
        name: a table of the contract.
        raw: its Parquet file.
        quality: gets the columns that are ignored.
        known_kinds: kinds of carried columns known beforehand; others are judged by their values.

    Raises:
        RenewalError: a required column is missing.
    """
    # Two underscores begin what we add ourselves, and what pandas adds (`__index_level_0__`).
    types = {column.name: column.type for column in pq.read_schema(raw) if not column.name.startswith("__")}
    table = TABLES[name]
    found = matched(table, types)
    further = {column: type for column, type in types.items() if column not in found.values()}
    _require(table, found, types, further)
    for column in run_together(found):
        meant = next(name for name, raw_name in found.items() if raw_name == column)
        quality.warn(f"{name}.{column} was read as {meant}")
    readings = [
        Reading(table.by_name[column], raw_name, types[raw_name]) for column, raw_name in found.items()
    ]
    drafted = Draft(table, raw, list(types), readings)
    if further and table.carries:
        _carry(connection, drafted, further, quality, known_kinds or {})
    elif further:
        quality.warn(f"{name}: {_listed(further)} ignored: only {_carriers()} carry further columns")
    return drafted


def _require(
    table: Table, found: dict[str, str], types: dict[str, pa.DataType], further: dict[str, pa.DataType]
) -> None:
    """Raise `RenewalError` if a required column is missing, naming the one that is probably meant."""
    missing = [column for column in table.required if column not in found]
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
    connection: duckdb.DuckDBPyConnection,
    drafted: Draft,
    further: dict[str, pa.DataType],
    quality: Quality,
    known_kinds: dict[str, Kind],
) -> None:
    name = drafted.table.name
    kinds = {column: (known_kinds[column], 0) for column in further if column in known_kinds}
    judged = {column: type for column, type in further.items() if column not in kinds}
    if judged:
        kinds |= kinds_of(connection, drafted.source, judged)
    for column in further:
        kind, unread = kinds[column]
        drafted.readings.append(Reading(Column(column, kind), column, further[column], lenient=True))
        drafted.carried[column] = kind
        if unread:
            quality.warn(f"{name}.{column}: {unread} values are no {kind} and count as missing")
        if kind is Kind.TEXT:
            quality.warn(f"{name}.{column}: free text or all but unique, carried but not used as a feature")


def begin(connection: duckdb.DuckDBPyConnection, drafted: Draft, folder: Path) -> None:
    """Read every value once: makes `draft_<table>` (`__row`, `__<column>` for each value) and `bad_<table>`.

    Args:
        connection: with the macros of `features.casting`.
        drafted: the table.
        folder: for the draft's Parquet file.
    """
    name, path = drafted.table.name, folder / f"{drafted.table.name}.parquet"
    values = {reading.column.stored: f"__v{i}" for i, reading in enumerate(drafted.readings)}
    values |= _lifted(drafted, values)
    values |= _made_ids(drafted, values)
    faults = [told for i, reading in enumerate(drafted.readings) if (told := fault(reading, i))]
    faults += _span_fault(drafted, values) + _table_fault(drafted, values)
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
    """A later moment on the day of the first is not before it: one of them was given without its time."""
    table = drafted.table
    if table.time not in values or table.by_name[table.time].kind is not Kind.TIME:
        return {}
    first = values[table.time]
    return {
        name: f"CASE WHEN {at}::DATE = {first}::DATE THEN greatest({at}, {first}) ELSE {at} END"
        for name, at in values.items()
        if name in table.seconds
    }


def _made_ids(drafted: Draft, values: dict[str, str]) -> dict[str, str]:
    """Ids from the row's number where the source has none; a row without an account is its own."""
    table = drafted.table
    if table.name not in _MADE_IDS or table.key is None:
        return {}
    made = f"format('{_MADE_IDS[table.name]}-{{:06d}}', __row + 1)"
    key = f"coalesce({values[table.key]}, {made})" if table.key in values else made
    account = values.get("account_id", "CAST(NULL AS VARCHAR)")
    if table.name == "contracts" or "contract_id" not in values:
        account = f"coalesce({account}, {key})"
    return {table.key: key, "account_id": account}


def _span_fault(drafted: Draft, values: dict[str, str]) -> list[str]:
    span = drafted.table.span
    if span is None or not set(span) <= set(values):
        return []
    start, end = (f"CAST({values[name]} AS DATE)" for name in span)
    told = f"{literal(span[1] + ': ')} || chr(39) || {end} || chr(39) || {literal(f' is before {span[0]}')}"
    return [f"CASE WHEN {end} < {start} THEN {told} END"]


def _table_fault(drafted: Draft, values: dict[str, str]) -> list[str]:
    if drafted.table.name != "history":
        return []
    named, known = values["table"], ", ".join(literal(name) for name in TABLES)
    told = f"'table: ' || chr(39) || {named} || chr(39) || ' is no table of the contract'"
    return [f"CASE WHEN {named} NOT IN ({known}) THEN {told} END"]
