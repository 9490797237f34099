"""What only a look across rows and tables shows: duplicate keys, and references to what is not there."""

import duckdb

from features.casting import literal
from features.drafting import DERIVED, Draft
from features.errors import RenewalError
from features.known import value_of
from features.quality import Quality
from features.tables import SUBJECTS, TABLES, Column

NAMES_ACCOUNTS = ("contracts", "opportunities", "leads")
"""Tables that an account is derived from; events of an account that nobody else knows are orphans."""
LINKS = {"contract_id": "contracts", "opportunity_id": "opportunities", "lead_id": "leads"}
"""Columns that tie a row to another table's, and with it to an account."""


def put_duplicates_aside(connection: duckdb.DuckDBPyConnection, drafted: Draft, quality: Quality) -> None:
    """Keep the first row of each key; the others go to quarantine, saying whether they tell the same."""
    table = drafted.table
    if table.key is None:
        return
    name, key = table.name, value_of(table.key)
    told = ", ".join(value_of(reading.column.stored) for reading in drafted.readings) or "1"
    query = f"""
        INSERT INTO bad_{name}
        SELECT __row, {literal(table.key + ": ")} || chr(39) || key || chr(39) || ' occurs again, '
            || CASE WHEN told = first THEN 'the same' ELSE 'differing' END || '; the first is kept'
        FROM (
            SELECT __row, {key} AS key, hash({told}) AS told,
                first_value(hash({told})) OVER same AS first, row_number() OVER same AS n
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
        told = f"{literal(column.name + ': ')} || chr(39) || {value} || chr(39) || "
        absent = literal(f" is in no row of {column.refers}")
        told_faults = f"WHEN {value} IS NOT NULL AND r{i}.id IS NULL THEN {told} {absent}"
        if _hangs_on(column):
            told_faults += f" WHEN NOT r{i}.kept THEN {told} ' is in quarantine itself'"
        faults.append(f"CASE {told_faults} END")
    return joins, faults


def _hangs_on(column: Column) -> bool:
    """Whether a row is nothing without the one it refers to; accounts are derived, so they don't count."""
    return column.required and column.refers not in DERIVED


def _history_orphans(drafts: dict[str, Draft]) -> tuple[list[str], list[str]]:
    joins, faults = [], []
    for i, table in enumerate(name for name in (*SUBJECTS.values(), "leads", "accounts") if name in drafts):
        joins.append(f"LEFT JOIN ids_{table} r{i} ON r{i}.id = __id AND __table = {literal(table)}")
        told = f"'id: ' || chr(39) || __id || chr(39) || ' is in no row of {table}'"
        faults.append(f"CASE WHEN __table = {literal(table)} AND r{i}.id IS NULL THEN {told} END")
    return joins, faults


def check_subjects(drafts: dict[str, Draft]) -> None:
    """Raise `RenewalError` unless there is something to predict."""
    if not set(SUBJECTS.values()) & set(drafts):
        raise RenewalError(
            expected="a table contracts or opportunities (or both)",
            found=", ".join(sorted(drafts)) or "no table of the contract",
            do="Add contracts.csv or opportunities.csv, or map one of them in mapping.yaml.",
        )
