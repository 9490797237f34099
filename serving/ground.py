"""What live answers stand on: the ingested CRM, its open subjects, and accounts' events kept ready."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from features.answers import live_rows
from features.arrays import ArrowColumns, Coded, Columns, columns_of
from features.crm import Crm
from features.engine import SNAPSHOT_COLUMNS, Work, account_ledger, snapshot_table, work_for
from features.ledger import Ledger
from features.snapshots import to_score
from features.tables import TABLES
from serving.batch import about

Restate = Mapping[str, Callable[[pa.Table], pa.Table]]
MOST_ACCOUNTS = 2_000
OWNERS = {"contract_id": "contracts", "opportunity_id": "opportunities", "lead_id": "leads"}


class Ground:
    """One ingested CRM, for one kind of model.

    Args:
        crm: the CRM.
        kind: `renewal` or `win`.
    """

    def __init__(self, crm: Crm, kind: str) -> None:
        self.crm, self.kind = crm, kind
        self.work: Work = work_for(crm, kind)
        self._ledgers: OrderedDict[str, Ledger] = OrderedDict()
        self._across: tuple[Any, pa.Table] | None = None

    @cached_property
    def open_subjects(self) -> pd.DataFrame:
        """Snapshots of what runs at the end of the data, with names people know; sorted by account."""
        found = to_score(self.crm, self.kind, self.crm.until)
        found = found.join(about(self.crm, self.kind, found))
        return found.sort_values("account_id", kind="stable", ignore_index=True)

    @cached_property
    def created(self) -> pd.Series:
        """When each opportunity was created."""
        frame = self.crm.frame("opportunities", ["opportunity_id", "created_at"])
        return frame.drop_duplicates("opportunity_id").set_index("opportunity_id")["created_at"]

    def snapshots(self, account_id: str, as_of: pd.Timestamp) -> pd.DataFrame:
        """An account's open subjects seen at `as_of`, which is not before the end of the data."""
        every = self.open_subjects
        low, high = np.searchsorted(every["account_id"].to_numpy(object), [account_id, account_id + "\0"])
        mine = every.iloc[low:high].copy()
        mine["as_of"] = as_of
        if self.kind == "renewal":
            mine = mine[mine["ends_at"].isna() | (mine["ends_at"] >= as_of)]
            mine["lead_days"] = np.floor((mine["ends_at"] - as_of) / pd.Timedelta(days=1))
        else:
            since = self.created.reindex(mine["opportunity_id"]).to_numpy()
            age = pd.to_timedelta(as_of - pd.Series(since, mine.index))
            mine["lead_days"] = np.floor(age / pd.Timedelta(days=1))
        return mine

    def features(
        self, snapshots: pd.DataFrame, arrived: dict[str, pa.Table], restate: Restate | None = None
    ) -> pd.DataFrame:
        """Feature rows of one account's snapshots, with what arrived since the load.

        Args:
            snapshots: of one account, as `snapshots` makes them.
            arrived: table → clean rows of that account.
            restate: table → what makes of its rows those of an imagined past (arrived ones among them).
        """
        restate = restate or {}
        account_id = str(snapshots["account_id"].iloc[0])
        ledger = self._ledger(account_id)
        changed = {}
        for table in {*arrived, *restate} & set(ledger.tables):
            rows = _with_arrivals(ledger.tables[table], arrived.get(table), TABLES[table].key)
            changed[table] = columns_of(restate[table](rows) if table in restate else rows)
        asked = columns_of(self._asked(snapshots))
        rows = live_rows(
            self.work.plan, self.work.columns, ledger.changed(changed) if changed else ledger, asked
        )
        return pd.DataFrame({name: _plain(values) for name, values in rows.items()}, index=snapshots.index)

    def _ledger(self, account_id: str) -> Ledger:
        kept = self._ledgers.pop(account_id, None)
        self._ledgers[account_id] = kept or account_ledger(self.crm, self.work, [account_id])
        while len(self._ledgers) > MOST_ACCOUNTS:
            self._ledgers.popitem(last=False)
        return self._ledgers[account_id]

    def _asked(self, snapshots: pd.DataFrame) -> pa.Table:
        """The snapshots as the kernel takes them; what spans accounts is worked out once a day for all."""
        plain = list(SNAPSHOT_COLUMNS)
        midnight = snapshots["as_of"].iloc[0].floor("D")
        if self._across is None or self._across[0] != midnight:
            every = self.open_subjects.assign(as_of=midnight)
            self._across = midnight, snapshot_table(self.crm, self.work, every)
        across = self._across[1].take(pa.array(snapshots.index))
        asked = pa.Table.from_pandas(snapshots[plain], preserve_index=False)
        for name in across.column_names:
            if name not in asked.column_names:
                asked = asked.append_column(name, across.column(name))
        return asked


def _with_arrivals(columns: Columns, arrived: pa.Table | None, key: str | None) -> pa.Table:
    """Stored rows and those that arrived since, in the stored columns; a row that was loaded counts once."""
    assert isinstance(columns, ArrowColumns)
    stored = columns.table
    if arrived is None:
        return stored
    if key and key in arrived.column_names and key in stored.column_names:
        loaded = set(stored[key].to_pylist())
        arrived = arrived.filter(pa.array([one not in loaded for one in arrived[key].to_pylist()]))
    return with_rows(stored, arrived)


def with_rows(stored: pa.Table, more: pa.Table) -> pa.Table:
    """`stored` and more rows in its columns, which are null where the new rows have none."""
    added = [
        more[field.name].cast(field.type)
        if field.name in more.column_names
        else pa.nulls(more.num_rows, field.type)
        for field in stored.schema
    ]
    return pa.concat_tables([stored, pa.table(added, schema=stored.schema)])


def _plain(values: Any) -> Any:
    """A column of answers as pandas takes it."""
    if not isinstance(values, Coded):
        return values
    return pd.Categorical.from_codes(values.codes, pd.Index(values.levels.astype(str), dtype="str"))


def account_of(crm: Crm) -> dict[str, dict[str, str]]:
    """For contracts, opportunities and leads: id → account."""
    found = {}
    for column, table in OWNERS.items():
        if crm.has(table, column, "account_id"):
            rows = crm.arrow(table, [column, "account_id"])
            found[column] = dict(zip(rows[column].to_pylist(), rows["account_id"].to_pylist(), strict=True))
    return found
