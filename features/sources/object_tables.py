"""Objects of a system → SELECTs of the contract's tables, with only those fields that may be read.

A `Rows` says how one object becomes rows of one table. In its expressions `{Field}` is a field of the object,
`{@Other}` another object as a relation and `{Other.Field}` a field of it; where one of them is not there, the
column is left out. So one declaration serves every organisation, whatever its users may see.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from features.crm.contract import TABLES
from features.crm.values import literal, quoted

_PLACE = re.compile(r"\{(@?)(\w+)(?:\.(\w+))?\}")
Fields = Mapping[str, Iterable[str]]
"""Object → its fields."""


@dataclass(frozen=True)
class Rows:
    """How one object becomes rows of one contract table.

    Args:
        table: of the contract.
        object: of the system.
        columns: contract column → SQL, or several ways to say it, of which the first possible one counts.
        where: conditions, in one or several ways too; each left out where it names a field that is not there.
        carries: whether further fields of the object are carried under their own names.
        needs: SQL that must be expressible, else there are no such rows.
    """

    table: str
    object: str
    columns: Mapping[str, str | tuple[str, ...]]
    where: tuple[str | tuple[str, ...], ...] = ()
    carries: bool = False
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drafted:
    """The SELECTs, and what they lack.

    Args:
        selects: contract table → SELECT over relations named as the objects.
        columns: contract table → columns it gets.
        missing: contract table → columns it does not get, or `*` for the whole table, → fields that lack.
    """

    selects: dict[str, str] = field(default_factory=dict)
    columns: dict[str, set[str]] = field(default_factory=dict)
    missing: dict[str, dict[str, list[str]]] = field(default_factory=dict)


def fields_of(rows: Rows, column: str) -> tuple[str, ...]:
    """The fields (`Object.Field`) that a column is read from; the object alone where it is from none."""
    if column not in rows.columns:
        return ()
    places = [place for way in _ways(rows.columns[column]) for place in _PLACE.findall(way)]
    fields = [f"{rows.object}.{first}" for mark, first, second in places if not mark and not second]
    return tuple(dict.fromkeys(fields)) or (rows.object,)


def needed(declared: Iterable[Rows]) -> dict[str, list[str]]:
    """Object → the fields that the declared rows use, in order."""
    fields: dict[str, dict[str, None]] = {}
    for rows in declared:
        fields.setdefault(rows.object, {})
        every = [sql for each in (*rows.columns.values(), *rows.where) for sql in _ways(each)]
        for sql in (*every, *rows.needs):
            for mark, first, second in _PLACE.findall(sql):
                if mark or second:
                    fields.setdefault(first, {}).update({second: None} if second else {})
                else:
                    fields[rows.object][first] = None
    return {name: list(each) for name, each in fields.items()}


def draft_tables(declared: Iterable[Rows], fields: Fields, carried: Fields) -> Drafted:
    """The SELECT of each table that can be had.

    Args:
        declared: all rows the system knows.
        fields: object → fields that were read.
        carried: object → fields to carry along.
    """
    readable = {name: set(each) for name, each in fields.items()}
    parts: dict[str, list[str]] = {}
    drafted = Drafted()
    for rows in declared:
        lacking = _lacking_columns(rows, readable)
        required = [name for name in (*TABLES[rows.table].required, "*") if name in lacking]
        if required:
            drafted.missing.setdefault(rows.table, {}).setdefault("*", []).extend(
                each for name in required for each in lacking[name]
            )
            continue
        parts.setdefault(rows.table, []).append(_select(rows, readable, lacking, carried))
        drafted.columns.setdefault(rows.table, set()).update(set(rows.columns) - set(lacking))
        for column, names in lacking.items():
            drafted.missing.setdefault(rows.table, {}).setdefault(column, []).extend(names)
    drafted.selects.update({table: "\nUNION ALL BY NAME\n".join(each) for table, each in parts.items()})
    return drafted


def _lacking_columns(rows: Rows, readable: Mapping[str, set[str]]) -> dict[str, list[str]]:
    """Column → the fields it lacks; `*` for what all rows need."""
    lacking = {name: _lacking(_way(each, rows, readable), rows.object, readable)
               for name, each in rows.columns.items()}  # fmt: skip
    whole = [each for sql in rows.needs for each in _lacking(sql, rows.object, readable)]
    if rows.object not in readable:
        whole = [rows.object]
    return {name: each for name, each in {**lacking, "*": whole}.items() if each}


def _lacking(sql: str, object: str, readable: Mapping[str, set[str]]) -> list[str]:
    names = []
    for mark, first, second in _PLACE.findall(sql):
        of, name = (first, second) if mark or second else (object, first)
        if of not in readable:
            names.append(of)
        elif name and name not in readable[of]:
            names.append(f"{of}.{name}")
    return list(dict.fromkeys(names))


def _ways(each: str | tuple[str, ...]) -> tuple[str, ...]:
    return (each,) if isinstance(each, str) else each


def _way(each: str | tuple[str, ...], rows: Rows, readable: Mapping[str, set[str]]) -> str:
    """The first way to say a column for which all fields are there; else the first."""
    ways = _ways(each)
    return next((sql for sql in ways if not _lacking(sql, rows.object, readable)), ways[0])


def _written(sql: str) -> str:
    def place(match: re.Match[str]) -> str:
        mark, first, second = match.groups()
        if mark:
            return quoted(first)
        return f"{quoted(first)}.{quoted(second)}" if second else f"o.{quoted(first)}"

    return _PLACE.sub(place, sql)


def _select(rows: Rows, readable: Mapping[str, set[str]], lacking: Iterable[str], carried: Fields) -> str:
    columns = {
        name: _written(_way(each, rows, readable))
        for name, each in rows.columns.items()
        if name not in lacking
    }
    if rows.carries:
        taken = {name.lower() for name in columns}
        columns |= {
            name: f"o.{quoted(name)}" for name in carried.get(rows.object, ()) if name.lower() not in taken
        }
    listed = ", ".join(f"{sql} AS {quoted(name)}" for name, sql in columns.items())
    conditions = [_way(each, rows, readable) for each in rows.where]
    where = [_written(sql) for sql in conditions if not _lacking(sql, rows.object, readable)]
    condition = f"\nWHERE {' AND '.join(where)}" if where else ""
    return f"SELECT {listed}\nFROM {quoted(rows.object)} AS o{condition}"


def history_rows(object: str, history: str, id_field: str, table: str, names: Mapping[str, str]) -> str:
    """SQL of `history` rows out of an object's field history (old and new value of each change).

    The first change's old value is what held from the record's creation on. A change of owner is written
    twice there, once with names: the one with ids (`005…`) counts.

    Args:
        object: whose fields changed; it needs `Id` and `CreatedDate`.
        history: the object of the changes: `Field`, `OldValue`, `NewValue`, `CreatedDate`.
        id_field: the history's field that names the record.
        table: of the contract.
        names: the system's field → contract column; besides these, custom fields (`…__c`) count.
    """
    of, changes = quoted(id_field), quoted(history)
    called = " ".join(f"WHEN {literal(name)} THEN {literal(column)}" for name, column in names.items())
    counts = (
        f"(h.\"Field\" IN ({', '.join(map(literal, names))}) OR h.\"Field\" LIKE '%\\_\\_c' ESCAPE '\\')"
        ' AND (h."Field" <> \'Owner\' OR starts_with(coalesce(h."NewValue", h."OldValue"), \'005\'))'
    )
    since = (
        f'SELECT h.{of} AS id, h."CreatedDate" AS changed_at, h."Field", h."NewValue" AS value'
        f" FROM {changes} AS h WHERE {counts}"
    )
    before = (
        f'SELECT h.{of} AS id, o."CreatedDate" AS changed_at, h."Field", h."OldValue" AS value'
        f' FROM {changes} AS h JOIN {quoted(object)} AS o ON o."Id" = h.{of} WHERE {counts}'
        f' QUALIFY row_number() OVER (PARTITION BY h.{of}, h."Field" ORDER BY h."CreatedDate", h."Id") = 1'
    )
    return (
        f'SELECT {literal(table)} AS "table", id, changed_at,'
        f' CASE "Field" {called} ELSE "Field" END AS "column", value FROM ({since} UNION ALL {before})'
    )
