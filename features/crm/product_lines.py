"""Several rows of one contract or deal that are its product lines: one row, with what adds up added up."""

import re
from collections.abc import Mapping

import duckdb

from features.crm.contract import SUBJECTS, Kind
from features.crm.known_until import value_of
from features.crm.quality import Quality
from features.crm.redraft import rewrite
from features.crm.validate import Draft
from features.crm.values import quoted

_LINE = re.compile(
    r"product.*|(line|order)?_?items?([ _]?(id|name|number))?|line([ _]?(id|no|number))?|sku|plan",
    re.IGNORECASE,
)
_COUNTED = re.compile(r"(.*[ _])?(quantity|qty|seats?|licen[cs]es?|units|users)(__c)?", re.IGNORECASE)


def add_lines_up(
    connection: duckdb.DuckDBPyConnection, drafts: Mapping[str, Draft], folder: str, quality: Quality
) -> None:
    """Make one row of the lines of each contract and deal.

    Rows of one key are lines of it where account, dates and outcome agree and what names a product or a line
    differs. Amounts and quantities are added up; a column that holds the same on all lines of every contract
    repeats its total, and is taken once.

    Args:
        connection: with the drafted views.
        drafts: by table.
        folder: for the drafts that are rewritten.
        quality: records what was added up.
    """
    for name in SUBJECTS.values():
        if name in drafts:
            _add_up(connection, drafts[name], folder, quality)


def _add_up(connection: duckdb.DuckDBPyConnection, drafted: Draft, folder: str, quality: Quality) -> None:
    name, columns = drafted.table.name, drafted.columns
    if drafted.table.key not in {column.name for column in columns}:
        return
    lines = [column.stored for column in columns if _LINE.fullmatch(column.name)]
    if not lines:
        return
    amounts = [column.stored for column in columns if column.kind is Kind.MONEY]
    counted = [c.stored for c in columns if c.stored in drafted.carried and _COUNTED.fullmatch(c.stored)]
    counted = [each for each in counted if drafted.carried[each] in (Kind.WHOLE, Kind.NUMBER)]
    key = value_of(str(drafted.table.key))
    contracts, rows = _several(connection, drafted, key, lines, {*lines, *amounts, *drafted.carried})
    if not contracts:
        return
    repeated = _repeated(connection, name, key, [*amounts, *counted])
    values = {
        each: f"any_value({value_of(each)})" if each in repeated else _sum(drafted, each)
        for each in (*amounts, *counted)
    }
    worded = [c.stored for c in columns if c.stored in lines and _is_word(drafted, c.stored)]
    values |= {
        each: f"string_agg(DISTINCT {value_of(each)}, ';' ORDER BY {value_of(each)})" for each in worded
    }
    totals = "".join(f", {value} AS {quoted('__t_' + each)}" for each, value in values.items())
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE lines_{name} AS SELECT {key} AS id, min(__row) AS first{totals}"
        f" FROM draft_{name} ANTI JOIN bad_{name} USING (__row) SEMI JOIN several_{name} ON {key} = id"
        f" GROUP BY {key}"
    )
    # A row that is bad for itself is no line and goes to quarantine as it is.
    is_line = f"l.id IS NOT NULL AND d.__row NOT IN (SELECT __row FROM bad_{name})"
    quality.of(name).merged += rewrite(
        connection,
        drafted,
        {
            each: f"CASE WHEN {is_line} THEN {quoted('__t_' + each)} ELSE {value_of(each)} END"
            for each in values
        },
        folder,
        [f"LEFT JOIN lines_{name} l ON l.id = {key}"],
        f"NOT ({is_line}) OR d.__row = l.first",
    )
    added = [each for each in (*amounts, *counted) if each not in repeated]
    quality.warn(
        f"{name}: {rows:,} rows are the lines of {contracts:,} {name} ({', '.join(lines)} differs): one"
        " row each"
        + (f"; {', '.join(added)} added up" if added else "")
        + (f"; {', '.join(sorted(repeated))} the same on every line, taken once" if repeated else "")
    )


def _several(
    connection: duckdb.DuckDBPyConnection, drafted: Draft, key: str, lines: list[str], free: set[str]
) -> tuple[int, int]:
    """Note ids whose rows are lines of one contract in `several_TABLE`: how many, and of how many rows.

    Args:
        connection: with the drafted views.
        drafted: the table.
        key: its id, in SQL.
        lines: columns of which one must differ on every row.
        free: columns that may differ; all others must agree.
    """
    name = drafted.table.name
    same = [
        column.stored
        for column in drafted.columns
        if column.stored not in free and column.name != drafted.table.key
    ]
    agree = " AND ".join(["true", *(f"count(DISTINCT hash({value_of(each)})) = 1" for each in same)])
    differ = " OR ".join(f"count(DISTINCT hash({value_of(each)})) = count(*)" for each in lines)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE several_{name} AS SELECT {key} AS id FROM draft_{name}"
        f" ANTI JOIN bad_{name} USING (__row) WHERE {key} IS NOT NULL"
        f" GROUP BY {key} HAVING count(*) > 1 AND {agree} AND ({differ})"
    )
    ((contracts, rows),) = connection.execute(
        f"SELECT count(DISTINCT id), count(*) FROM draft_{name} ANTI JOIN bad_{name} USING (__row)"
        f" JOIN several_{name} ON {key} = id"
    ).fetchall()
    return contracts, rows


def _repeated(connection: duckdb.DuckDBPyConnection, name: str, key: str, columns: list[str]) -> set[str]:
    """Columns that hold the total on every line: one value a contract, and for some contract not zero."""
    if not columns:
        return set()
    one = ", ".join(f"count(DISTINCT {value_of(each)}) <= 1 AS {quoted(each)}" for each in columns)
    every = ", ".join(f"bool_and({quoted(each)})" for each in columns)
    (row,) = connection.execute(
        f"SELECT {every} FROM (SELECT {one} FROM draft_{name} ANTI JOIN bad_{name} USING (__row)"
        f" SEMI JOIN several_{name} ON {key} = id GROUP BY {key})"
    ).fetchall()
    return {each for each, repeated in zip(columns, row, strict=True) if repeated}


def _sum(drafted: Draft, column: str) -> str:
    is_whole = drafted.carried.get(column, Kind.MONEY) is not Kind.NUMBER
    return f"CAST(sum({value_of(column)}) AS {'BIGINT' if is_whole else 'DOUBLE'})"


def _is_word(drafted: Draft, column: str) -> bool:
    kind = drafted.carried.get(column) or drafted.table.by_name[column].kind
    return kind in (Kind.CATEGORY, Kind.TEXT)
