"""What has to be read and answered for one model on one CRM."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from features.arrays import plain
from features.catalog import OWN_LEVELS, SUBJECT_INFOS, Plan, known_levels, of_columns, plan
from features.catalog.declare import Info
from features.columns import BEGINS, KEYS, CrmColumn, crm_columns
from features.crm.contract import TABLES
from features.crm.crm import Crm
from features.crm.values import literal, quoted


@dataclass(frozen=True)
class Work:
    """What has to be read and answered for one model on one CRM."""

    plan: Plan
    columns: tuple[CrmColumn, ...]
    reads: dict[str, tuple[str, ...]]

    def infos(self) -> dict[str, Info]:
        """What each column is, by name."""
        info_by_name = {info.name: info for info in SUBJECT_INFOS[self.plan.kind]}
        info_by_name |= {declared.name: declared.info for declared in self.plan.shown}
        info_by_name |= {column.name: column.info for column in self.columns}
        return info_by_name | {each.name: each.info for each in of_columns(self.plan.kind, info_by_name)}


def work_for(crm: Crm, kind: str) -> Work:
    """The features a CRM can answer, and the columns to read for them."""
    schema = {table: (*columns, *_joined(table, crm)) for table, columns in crm.tables.items()}
    planned = plan(schema, kind, _own_levels(crm)) if crm.dated(kind) else EMPTY[kind]
    columns = crm_columns(schema, crm.carried, kind, in_history=_in_history(crm))
    return Work(planned, columns, _reads(planned, columns, schema))


EMPTY = {kind: plan({}, kind) for kind in SUBJECT_INFOS}
"""What undated data can answer: no event feature."""


def _own_levels(crm: Crm) -> dict[str, tuple[str, ...]]:
    """The commonest values of the columns that have features of their own, ties by name."""
    levels_by_column = {}
    for name, most in OWN_LEVELS.items():
        table, column = name.split(".")
        if crm.has(table, column):
            counts = crm.sql(
                f'SELECT "{column}" AS level, count(*) AS n FROM "{table}" GROUP BY ALL'
            ).to_pylist()
            levels_by_column[name] = _commonest(
                [(row["level"], row["n"]) for row in counts], known_levels(name), most
            )
    return levels_by_column


def _commonest(
    counts: list[tuple[str | None, int]], known_names: frozenset[str], most: int
) -> tuple[str, ...]:
    total: dict[str, int] = {}
    for level, n in counts:
        name = plain(level) if level is not None else ""
        if name and name not in known_names:
            total[name] = total.get(name, 0) + n
    return tuple(sorted(sorted(total), key=lambda name: -total[name])[:most])


def _in_history(crm: Crm) -> dict[str, Literal["states", "changes"]]:
    """How history covers each column: as states, if at least half of its cells were written when the
    row was made."""
    if not crm.has("history", "table", "column", "id", "changed_at", "value"):
        return {}
    form_by_column: dict[str, Literal["states", "changes"]] = {}
    for row in crm.sql('SELECT DISTINCT "table", "column" FROM history').to_pylist():
        table, column = row["table"], row["column"]
        if table in BEGINS and crm.has(table, column):
            begin = BEGINS[table] if crm.has(table, BEGINS[table]) else "NULL"
            early = crm.sql(f"""
                SELECT count(*) FILTER (first <= {begin} + INTERVAL 1 DAY) * 2 >= count(*) AS states FROM (
                    SELECT id, min(changed_at) AS first FROM history
                    WHERE "table" = {literal(table)} AND "column" = {literal(column)} GROUP BY id
                ) JOIN "{table}" ON id = {KEYS[table]}""")
            form_by_column[f"{table}.{column}"] = "states" if early["states"][0].as_py() else "changes"
    return form_by_column


def _joined(table: str, crm: Crm) -> tuple[str, ...]:
    """`account_id`, where a table has none of its own but gets it from what its rows refer to."""
    return ("account_id",) if table in _JOINS and not crm.has(table, "account_id") else ()


_JOINS = {
    "stage_history": """LEFT JOIN (
        SELECT opportunity_id, account_id FROM opportunities
    ) USING (opportunity_id)""",
    "history": """LEFT JOIN (
        SELECT 'accounts' AS "table", account_id AS id, account_id FROM accounts {contracts} {opportunities}
    ) USING ("table", id)""",
}
_UNIONS = {
    "contracts": "UNION ALL SELECT 'contracts', contract_id, account_id FROM contracts",
    "opportunities": "UNION ALL SELECT 'opportunities', opportunity_id, account_id FROM opportunities",
}


def _reads(
    planned: Plan, columns: tuple[CrmColumn, ...], schema: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Table → columns to read: what features need, ids, what orders ties, and the moments that place a
    subject."""
    needed = set(planned.columns) | {column.name for column in columns}
    if any(column.history for column in columns):
        needed |= {f"history.{column}" for column in ("table", "id", "column", "changed_at", "value")}
    tables = {table_of(name) for name in needed}
    for table in tables:
        always = {"account_id", "opportunity_id", KEYS.get(table), TABLES[table].key, BEGINS.get(table)}
        needed |= {f"{table}.{column}" for column in always if column in schema[table]}
    if "contracts" in tables and "end_date" in schema["contracts"]:
        needed.add("contracts.end_date")
    if "leads" in tables and "opportunity_id" in schema["leads"]:
        needed.add("leads.created_at")
    return {
        table: tuple(column for column in schema[table] if f"{table}.{column}" in needed)
        for table in sorted(tables)
    }


def table_of(name: str) -> str:
    """The table of `table.column`."""
    return name.split(".")[0]


def rows_query(crm: Crm, work: Work, table: str) -> str:
    """SELECT of the columns to read of a table, each row with its account; in SQL that every engine reads."""
    join = _JOINS[table] if _joined(table, crm) else ""
    unions = {other: union if crm.has(other) else "" for other, union in _UNIONS.items()}
    columns = ", ".join(quoted(column) for column in work.reads[table])
    return f"SELECT {columns} FROM {quoted(table)} {join.format(**unions)}"
