"""Runs the kernel over a CRM: cuts it into account partitions and puts the answers together."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.answers import known_ids, partition_rows
from features.arrays import Coded, Columns, columns_of, plain, sortable
from features.catalog import OWN_LEVELS, SUBJECT_INFOS, Plan, known_levels, plan
from features.columns import BEGINS, KEYS, CrmColumn, crm_columns
from features.crm import Crm
from features.declaration import Info
from features.ledger import Ledger
from features.peers import peer_rows
from features.settings import Settings
from features.tables import TABLES

ACCOUNTS_A_PARTITION, ROWS_A_PARTITION = 8_192, 400_000
"""Most accounts, and rows of the largest table on average, that are in memory for one worker."""
SNAPSHOT_COLUMNS = (
    "account_id",
    "contract_id",
    "opportunity_id",
    "owner_id",
    "as_of",
    "lead_days",
    "ends_at",
)


@dataclass(frozen=True)
class Features:
    """Feature rows: `frame` has one row for each snapshot (same index), `infos` says what each column is."""

    frame: pd.DataFrame
    infos: dict[str, Info]


@dataclass(frozen=True)
class Work:
    """What has to be read and answered for one model on one CRM."""

    plan: Plan
    columns: tuple[CrmColumn, ...]
    reads: dict[str, tuple[str, ...]]

    def infos(self) -> dict[str, Info]:
        """What each column is, by name."""
        found = {info.name: info for info in SUBJECT_INFOS[self.plan.kind]}
        found |= {declared.name: declared.info for declared in self.plan.shown}
        return found | {column.name: column.info for column in self.columns}


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
    found = {}
    for name, most in OWN_LEVELS.items():
        table, column = name.split(".")
        if crm.has(table, column):
            counts = crm.sql(
                f'SELECT "{column}" AS level, count(*) AS n FROM "{table}" GROUP BY ALL'
            ).to_pylist()
            found[name] = _commonest([(row["level"], row["n"]) for row in counts], known_levels(name), most)
    return found


def _commonest(counts: list[tuple[str | None, int]], known: frozenset[str], most: int) -> tuple[str, ...]:
    total: dict[str, int] = {}
    for level, n in counts:
        name = plain(level) if level is not None else ""
        if name and name not in known:
            total[name] = total.get(name, 0) + n
    return tuple(sorted(sorted(total), key=lambda name: -total[name])[:most])


def _in_history(crm: Crm) -> dict[str, Literal["states", "changes"]]:
    """How history speaks of each column: as states, if at least half of its cells were written when the
    row was made."""
    if not crm.has("history", "table", "column", "id", "changed_at", "value"):
        return {}
    found: dict[str, Literal["states", "changes"]] = {}
    for row in crm.sql('SELECT DISTINCT "table", "column" FROM history').to_pylist():
        table, column = row["table"], row["column"]
        if table in BEGINS and crm.has(table, column):
            begin = BEGINS[table] if crm.has(table, BEGINS[table]) else "NULL"
            early = crm.sql(f"""
                SELECT count(*) FILTER (first <= {begin} + INTERVAL 1 DAY) * 2 >= count(*) AS states FROM (
                    SELECT id, min(changed_at) AS first FROM history
                    WHERE "table" = {_text(table)} AND "column" = {_text(column)} GROUP BY id
                ) JOIN "{table}" ON id = {KEYS[table]}""")
            found[f"{table}.{column}"] = "states" if early["states"][0].as_py() else "changes"
    return found


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


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
    tables = {_table_of(name) for name in needed}
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


def feature_rows(crm: Crm, snapshots: pd.DataFrame, kind: str, settings: Settings) -> Features:
    """Feature rows of snapshots.

    Args:
        crm: the CRM.
        snapshots: as `features.snapshots` makes them; rows without account or, in dated data, without
        `as_of` get NaN.
        kind: `renewal` or `win`.
        settings: `threads` partitions are worked on at a time.

    Returns:
        Features whose frame has float64 columns (NaN: missing) and unordered string categories.
    """
    work = work_for(crm, kind)
    usable = snapshots["account_id"].notna()
    if crm.dated(kind):
        usable &= snapshots["as_of"].notna()
    account = snapshots.loc[usable, "account_id"].to_numpy(object).astype(str)
    order = np.argsort(account, kind="stable")
    given = np.flatnonzero(usable)[order]
    asked = snapshot_table(crm, work, snapshots.iloc[given])
    with _opened(crm, work) as connection:
        answers = _answers(connection, work, asked, account[order], settings.threads, _size(crm, work))
        return _framed(answers, given, snapshots.index, work)


def _size(crm: Crm, work: Work) -> int:
    """Accounts a partition: fewer where accounts have many events."""
    accounts = pq.read_metadata(crm.path("accounts")).num_rows
    rows = max((pq.read_metadata(crm.path(table)).num_rows for table in work.reads), default=0)
    return max(1, min(ACCOUNTS_A_PARTITION, ROWS_A_PARTITION * accounts // max(rows, 1)))


def snapshot_table(crm: Crm, work: Work, snapshots: pd.DataFrame) -> pa.Table:
    """What the kernel needs of snapshots, with what spans accounts as of the midnight before each."""
    asked = pa.Table.from_pandas(snapshots[list(SNAPSHOT_COLUMNS)], preserve_index=False)
    for name, values in _across(crm, work, asked).items():
        asked = asked.append_column(name, pa.array(values))
    return asked


def account_ledger(crm: Crm, work: Work, accounts: list[str]) -> Ledger:
    """The stored events of some accounts, kept ready for live answers.

    `features.answers.live_rows` puts snapshots to it (`columns_of(snapshot_table(…))`), and `Ledger.changed`
    takes in tables to which rows have been added.
    """
    wanted = ", ".join(_text(account) for account in sorted(accounts))
    with _opened(crm, work) as connection:
        tables = {
            table: columns_of(
                connection.sql(
                    f"SELECT {_list(columns)} FROM {_view(table)} WHERE account_id IN ({wanted})"
                ).to_arrow_table()
            )
            for table, columns in work.reads.items()
        }
    own = {
        KEYS[table]: tables[table][KEYS[table]] for table in ("contracts", "opportunities") if table in tables
    }
    known = known_ids(own)
    return Ledger(tables, {**known, "account": {account: n for n, account in enumerate(sorted(accounts))}})


def _across(crm: Crm, work: Work, asked: pa.Table) -> Columns:
    """Columns of what spans accounts, for the snapshots asked for."""
    if not work.plan.across:
        return {}
    names = sorted(work.plan.across_columns)
    tables = {table: [name.split(".")[1] for name in group] for table, group in groupby(names, _table_of)}
    return peer_rows(
        work.plan,
        {table: columns_of(crm.arrow(table, columns)) for table, columns in tables.items()},
        columns_of(asked),
    )


def _table_of(name: str) -> str:
    return name.split(".")[0]


def _opened(crm: Crm, work: Work) -> duckdb.DuckDBPyConnection:
    """A connection in which each table to be read is a view that has the account of each row."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET threads = 1")
    for table in crm.tables:
        source = str(crm.path(table)).replace("'", "''")
        connection.execute(f"CREATE VIEW \"{table}\" AS SELECT * FROM read_parquet('{source}')")
    for table in work.reads:
        join = _JOINS[table] if _joined(table, crm) else ""
        unions = {other: union if crm.has(other) else "" for other, union in _UNIONS.items()}
        connection.execute(f'CREATE VIEW {_view(table)} AS SELECT * FROM "{table}" {join.format(**unions)}')
    return connection


def _view(table: str) -> str:
    return f'"rows of {table}"'


def _list(columns: tuple[str, ...]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _answers(
    connection: duckdb.DuckDBPyConnection,
    work: Work,
    asked: pa.Table,
    account: np.ndarray,
    threads: int,
    size: int,
) -> Iterator[pa.Table]:
    """Each partition's rows, in the order of the accounts; one without rows if nothing is asked."""
    first = np.flatnonzero(np.append(True, account[1:] != account[:-1])[: len(account)])
    cuts = [*first[::size].tolist(), len(account)] if len(account) else [0, 0]

    def answer(cut: int) -> pa.Table:
        low, high = cuts[cut], cuts[cut + 1]
        bounds = [str(account[low]), str(account[high - 1])] if high else ["", ""]
        with connection.cursor() as cursor:
            tables = {table: _read(cursor, table, columns, bounds) for table, columns in work.reads.items()}
        return partition_rows(work.plan, work.columns, tables, asked.slice(low, high - low))

    parts = range(len(cuts) - 1)
    if threads == 1 or len(parts) < 2:
        yield from map(answer, parts)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(answer, parts)


def _read(
    cursor: duckdb.DuckDBPyConnection, table: str, columns: tuple[str, ...], bounds: list[str]
) -> pa.Table:
    query = f"SELECT {_list(columns)} FROM {_view(table)} WHERE account_id BETWEEN ? AND ?"
    return cursor.sql(query, params=bounds).to_arrow_table()


def _framed(answers: Iterator[pa.Table], given: np.ndarray, index: pd.Index, work: Work) -> Features:
    """Partitions' rows put where the snapshots stand (`given`); columns in the order of the infos."""
    infos, done = work.infos(), 0
    numbers: dict[str, np.ndarray] = {}
    texts: dict[str, list[pa.ChunkedArray]] = {}
    for table in answers:
        rows = given[done : done + table.num_rows]
        done += table.num_rows
        for name in table.column_names:
            values = table.column(name)
            if pa.types.is_dictionary(values.type):
                texts.setdefault(name, []).append(values)
                continue
            if name not in numbers:
                numbers[name] = np.full(len(index), np.nan)
            numbers[name][rows] = values.to_numpy()
    made = {name: numbers[name] if name in numbers else _category(texts[name], given, len(index))
            for name in infos if name in numbers or name in texts}  # fmt: skip
    frame = pd.DataFrame(made, index=index, copy=False)
    return Features(frame, {name: infos[name] for name in made})


def _category(parts: list[pa.ChunkedArray], given: np.ndarray, rows: int) -> pd.Categorical:
    """(rows,) the texts of all partitions as one unordered category, levels sorted."""
    texts = pa.chunked_array(
        [chunk.cast(pa.string()) for part in parts for chunk in part.chunks], pa.string()
    )
    column = columns_of(pa.table({"text": texts}))["text"]
    assert isinstance(column, Coded)
    codes = np.full(rows, -1, np.int64)
    codes[given] = sortable(column)
    return pd.Categorical.from_codes(codes, pd.Index(np.sort(column.levels.astype(str)), dtype="str"))
