"""Runs the kernel over a CRM: cuts it into account partitions and puts the answers together.

A table's Parquet file, sorted by account, read a range of accounts at a time.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.arrays import Coded, Columns, columns_of, sortable
from features.catalog.declare import Info
from features.columns import KEYS
from features.crm.contract import TABLES
from features.crm.crm import Crm
from features.duckdb_connection import connected
from features.evaluate import Peers, known_ids, partition_rows
from features.event_index import Ledger
from features.feature_plan import Work, rows_query, table_of, work_for
from features.progress import stoppable
from features.settings import Settings


class AccountFile:
    """Reads the row groups that hold some accounts, texts as codes the way the file keeps them.

    Memory is bounded by the rows asked for and the row groups at their ends, whatever the file's size.
    Threads may share it.

    Args:
        path: the file; it has `account_id`.
        table: whose it is.
        columns: those to read.
    """

    def __init__(self, path: Path, table: str, columns: tuple[str, ...]) -> None:
        self.path, self.columns = path, list(columns)
        self.metadata = pq.read_metadata(path)
        self.schema = self.metadata.schema.to_arrow_schema()
        key = TABLES[table].key if table != "accounts" else None  # as many codes as rows are no gain
        texts = [name for name in columns if pa.types.is_string(self.schema.field(name).type)]
        self.coded = [name for name in texts if name != key]
        self.bounds = self._bounds()

    def _bounds(self) -> list[tuple[str, str] | None]:
        """First and last account of each row group, None where the file does not say."""
        place = self.schema.names.index("account_id")
        groups = (self.metadata.row_group(number) for number in range(self.metadata.num_row_groups))
        statistics = [group.column(place).statistics for group in groups]
        return [(each.min, each.max) if each and each.has_min_max else None for each in statistics]

    def rows(self, low: str, high: str) -> pa.Table:
        """The rows of the accounts from `low` to `high`, both included."""
        wanted = [
            number
            for number, bound in enumerate(self.bounds)
            if bound is None or (bound[0] <= high and bound[1] >= low)
        ]
        file = pq.ParquetFile(self.path, metadata=self.metadata, read_dictionary=self.coded)
        return _between(file.read_row_groups(wanted, columns=self.columns, use_threads=False), low, high)


def _between(rows: pa.Table, low: str, high: str) -> pa.Table:
    """Rows of those accounts only; without a copy where they are contiguous."""
    parts = [np.zeros(0, bool)]
    for chunk in rows.column("account_id").chunks:
        levels = chunk.dictionary
        named = pc.and_(pc.greater_equal(levels, low), pc.less_equal(levels, high))
        hit = np.append(named.to_numpy(zero_copy_only=False).astype(bool), False)
        parts.append(hit[chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False)])
    inside = np.flatnonzero(np.concatenate(parts))
    if len(inside) and inside[-1] - inside[0] + 1 == len(inside):
        return rows.slice(inside[0], len(inside))
    return rows.take(pa.array(inside))


ACCOUNTS_A_PARTITION, ROWS_A_PARTITION = 4_096, 400_000
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


Answered = tuple[np.ndarray, pa.Table]
"""(k,) places of snapshots among those asked, and their k feature rows."""


@dataclass(frozen=True)
class Features:
    """Feature rows: `frame` has one row for each snapshot (same index), `infos` says what each column is."""

    frame: pd.DataFrame
    infos: dict[str, Info]


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
    return answered(crm, work_for(crm, kind), snapshots, settings)


def answered(crm: Crm, work: Work, snapshots: pd.DataFrame, settings: Settings) -> Features:
    """Feature rows of snapshots, for a choice of features."""
    usable = snapshots["account_id"].notna()
    if crm.dated(work.plan.kind):
        usable &= snapshots["as_of"].notna()
    account = snapshots.loc[usable, "account_id"].to_numpy(object).astype(str)
    order = np.argsort(account, kind="stable")
    given = np.flatnonzero(usable)[order]
    snapshot_rows = snapshot_table(crm, work, snapshots.iloc[given])
    size = _size(crm, work)
    if settings.engine == "spark" and len(given):
        from features.spark import spark_rows

        none = {table: _read(crm, work, table, "", "").slice(0, 0) for table in work.reads}
        answers = spark_rows(crm, work, snapshot_rows, none, size, settings)
    else:
        answers = _answers(_readers(crm, work), work, snapshot_rows, account[order], settings.threads, size)
    return _framed(answers, given, snapshots.index, work)


def _size(crm: Crm, work: Work) -> int:
    """Accounts a partition: fewer where accounts have many events."""
    accounts = pq.read_metadata(crm.path("accounts")).num_rows
    rows = max((pq.read_metadata(crm.path(table)).num_rows for table in work.reads), default=0)
    return max(1, min(ACCOUNTS_A_PARTITION, ROWS_A_PARTITION * accounts // max(rows, 1)))


def snapshot_table(crm: Crm, work: Work, snapshots: pd.DataFrame) -> pa.Table:
    """What the kernel needs of snapshots, with what spans accounts as of the midnight before each."""
    snapshot_rows = pa.Table.from_pandas(snapshots[list(SNAPSHOT_COLUMNS)], preserve_index=False)
    for name, values in _across(crm, work, snapshot_rows).items():
        snapshot_rows = snapshot_rows.append_column(name, pa.array(values))
    return snapshot_rows


def ledger_of(tables: Mapping[str, pa.Table], work: Work, accounts: list[str]) -> Ledger:
    """The events of some accounts, kept ready for live answers.

    `features.evaluate.live_rows` puts snapshots to it (`columns_of(snapshot_table(…))`).

    Args:
        tables: the accounts' rows of every table the work reads; further columns are left aside.
        work: what is read.
        accounts: whose they are.
    """
    read = {table: columns_of(tables[table].select(columns)) for table, columns in work.reads.items()}
    subject_ids = {
        KEYS[table]: read[table][KEYS[table]] for table in ("contracts", "opportunities") if table in read
    }
    id_numbers = known_ids(subject_ids)
    return Ledger(read, {**id_numbers, "account": {account: n for n, account in enumerate(sorted(accounts))}})


@contextmanager
def batches_by_account(
    crm: Crm, work: Work, reads: Mapping[str, tuple[str, ...]], table: str, rows: int
) -> Iterator[pa.RecordBatchReader]:
    """A table's rows that have an account, sorted by it, `rows` at a time.

    Args:
        crm: the CRM.
        work: of a model that reads it.
        reads: the columns to read by table, in place of the work's own.
        table: one of them.
        rows: in a batch.
    """
    with _opened(crm, replace(work, reads=dict(reads)), table) as connection:
        query = f"SELECT * FROM {_view(table)} WHERE account_id IS NOT NULL"
        order = "" if crm.has(table, "account_id") else " ORDER BY account_id"
        yield connection.sql(query + order).to_arrow_reader(rows)


def _across(crm: Crm, work: Work, snapshot_rows: pa.Table) -> Columns:
    """Columns of what spans accounts, for the snapshots asked for."""
    if not work.plan.across:
        return {}
    return peers(crm, work, columns_of(snapshot_rows)).rows(columns_of(snapshot_rows))


def peers(crm: Crm, work: Work, subjects: Columns) -> Peers:
    """What spans accounts, ready to be asked for some subjects or for all of them."""
    names = sorted(work.plan.across_columns)
    tables = {table: [name.split(".")[1] for name in group] for table, group in groupby(names, table_of)}
    return Peers(
        work.plan,
        {table: columns_of(crm.arrow(table, columns)) for table, columns in tables.items()},
        subjects,
    )


def _opened(crm: Crm, work: Work, table: str) -> duckdb.DuckDBPyConnection:
    """A connection with a view of what is read of a table that has the account of each row."""
    connection, query = connected(threads=1), rows_query(crm, work, table)
    for other in crm.tables:
        if other in query:
            connection.execute(crm.view(other))
    connection.execute(f"CREATE TEMP VIEW {_view(table)} AS {query}")
    return connection


def _view(table: str) -> str:
    return f'"rows of {table}"'


Reader = Callable[[str, str], pa.Table]
"""Gives a table's rows of the accounts from one to another."""


def _readers(crm: Crm, work: Work) -> dict[str, Reader]:
    """How each table is read: its file itself, or DuckDB where its accounts come by a join."""
    return {
        table: AccountFile(crm.path(table), table, columns).rows
        if crm.has(table, "account_id")
        else partial(_read, crm, work, table)
        for table, columns in work.reads.items()
    }


def _answers(
    readers: dict[str, Reader],
    work: Work,
    snapshot_rows: pa.Table,
    account: np.ndarray,
    threads: int,
    size: int,
) -> Iterator[Answered]:
    """Each partition's rows; one without rows if nothing is asked."""
    first = np.flatnonzero(np.append(True, account[1:] != account[:-1])[: len(account)])
    cuts = [*first[::size].tolist(), len(account)] if len(account) else [0, 0]

    def answer(cut: int) -> Answered:
        low, high = cuts[cut], cuts[cut + 1]
        bounds = (str(account[low]), str(account[high - 1])) if high else ("", "")
        tables = {table: read(*bounds) for table, read in readers.items()}
        rows = partition_rows(work.plan, work.columns, tables, snapshot_rows.slice(low, high - low))
        return np.arange(low, high), rows

    parts = range(len(cuts) - 1)
    if threads == 1 or len(parts) < 2:
        yield from map(answer, parts)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(stoppable(answer), parts)


def _read(crm: Crm, work: Work, table: str, low: str, high: str) -> pa.Table:
    with _opened(crm, work, table) as connection:
        query = f"SELECT * FROM {_view(table)} WHERE account_id BETWEEN ? AND ?"
        return connection.sql(query, params=[low, high]).to_arrow_table()


def _framed(answers: Iterator[Answered], given: np.ndarray, index: pd.Index, work: Work) -> Features:
    """Partitions' rows in the order of the snapshots (`given`); columns in the order of the infos."""
    infos, placed = work.infos(), [np.zeros(0, np.int64)]
    numbers: dict[str, np.ndarray] = {}
    texts: dict[str, list[pa.ChunkedArray]] = {}
    for places, table in answers:
        rows = given[places]
        placed.append(rows)
        for name in table.column_names:
            values = table.column(name)
            if not pa.types.is_floating(values.type):
                texts.setdefault(name, []).append(values)
                continue
            if name not in numbers:
                numbers[name] = np.full(len(index), np.nan)
            numbers[name][rows] = values.to_numpy()
    columns: dict[str, np.ndarray | pd.Categorical] = {}
    for name in infos:
        if name in numbers:
            columns[name] = numbers[name]
        elif name in texts:
            columns[name] = _category(texts[name], np.concatenate(placed), len(index))
    frame = pd.DataFrame(columns, index=index, copy=False)
    return Features(frame, {name: infos[name] for name in columns})


def _category(parts: list[pa.ChunkedArray], places: np.ndarray, rows: int) -> pd.Categorical:
    """(rows,) the texts of all partitions as one unordered category, levels sorted."""
    texts = pa.chunked_array(
        [chunk.cast(pa.string()) for part in parts for chunk in part.chunks], pa.string()
    )
    column = columns_of(pa.table({"text": texts}))["text"]
    assert isinstance(column, Coded)
    codes = np.full(rows, -1, np.int64)
    codes[places] = sortable(column)
    return pd.Categorical.from_codes(codes, pd.Index(np.sort(column.levels.astype(str)), dtype="str"))
