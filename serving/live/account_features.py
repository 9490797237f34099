"""What live answers stand on: the ingested CRM, its open subjects, and each account's events by look-up."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from features.account_store import ByAccount
from features.arrays import Coded, Column, Columns, columns_of
from features.crm.contract import SUBJECTS, TABLES
from features.crm.crm import Crm
from features.engine import SNAPSHOT_COLUMNS, ledger_of, peers, work_for
from features.evaluate import Peers, live_rows
from features.feature_plan import Work
from features.kernel import DAY
from features.renewal_opportunities import renewed_by
from features.snapshots import to_score
from monitoring.store.database import records
from serving.scoring.scored_rows import subject_rows
from serving.scoring.subject_details import about
from training.encode import texts

Restate = Mapping[str, Callable[[pa.Table], pa.Table]]


class Seen(NamedTuple):
    """Some open subjects of one account at a moment.

    Attributes:
        account_id: whose.
        places: (m,) where they stand among the ground's subjects.
        as_of: the moment.
        lead_days: (m,) whole days to the end (renewal) or since the creation (win), NaN where not known.
    """

    account_id: str
    places: np.ndarray
    as_of: pd.Timestamp
    lead_days: np.ndarray


class Ground:
    """One ingested CRM, for one kind of model; everything slow is worked out once, by `warm`.

    Args:
        crm: the CRM.
        kind: `renewal` or `win`.
        work: what is read and answered.
        stored: the accounts' rows.
    """

    def __init__(self, crm: Crm, kind: str, work: Work, stored: ByAccount) -> None:
        self.crm, self.kind, self.work, self.stored = crm, kind, work, stored

    def warm(self) -> None:
        """Work out what the first answer would wait for."""
        if len(self.subjects):
            first = self.subjects[0]["account_id"]
            self.features(self.subjects_at(first, self.crm.until), {})

    @cached_property
    def open_subjects(self) -> pd.DataFrame:
        """Snapshots of what runs at the end of the data, sorted by account; renewals as contracts alone."""
        snapshots = to_score(self.crm, self.kind, self.crm.until)
        if self.kind == "win":
            snapshots = snapshots[renewed_by(self.crm, snapshots).isna()]
        return snapshots.sort_values("account_id", kind="stable", ignore_index=True)

    @cached_property
    def subjects(self) -> list[dict[str, Any]]:
        """The same as rows that lack but their scores, with names people know."""
        details = about(self.crm, self.kind, self.open_subjects)
        return records(subject_rows(self.open_subjects, details, self.kind))

    @cached_property
    def renewals(self) -> dict[str, dict[str, Any]]:
        """Of deals: open opportunity that renews a listed contract → its row, which lacks but the score."""
        snapshots = to_score(self.crm, "win", self.crm.until)
        contract = renewed_by(self.crm, snapshots)
        linked = snapshots[contract.notna()]
        rows = records(subject_rows(linked, about(self.crm, "win", linked), "win"))
        named = contract.dropna().tolist()
        return {row["opportunity_id"]: {**row, "renewal_of": c} for row, c in zip(rows, named, strict=True)}

    @cached_property
    def _accounts(self) -> np.ndarray:
        return self.open_subjects["account_id"].to_numpy(object)

    @cached_property
    def _moments(self) -> np.ndarray:
        """(n,) what lead days count to or from: ends of contracts, creation of opportunities."""
        if self.kind == "renewal":
            return self.open_subjects["ends_at"].to_numpy("datetime64[us]")
        frame = self.crm.frame("opportunities", ["opportunity_id", "created_at"])
        created = frame.drop_duplicates("opportunity_id").set_index("opportunity_id")["created_at"]
        return created.reindex(self.open_subjects["opportunity_id"]).to_numpy("datetime64[us]")

    def subjects_at(self, account_id: str, as_of: pd.Timestamp) -> Seen:
        """An account's open subjects at `as_of`, which is not before the end of the data."""
        low, high = np.searchsorted(self._accounts, [account_id, account_id + "\0"])
        places = np.arange(low, high)
        now = as_of.to_datetime64().astype("datetime64[us]")
        if self.kind == "renewal":
            places = places[~(self._moments[places] < now)]
        span = self._moments[places] - now if self.kind == "renewal" else now - self._moments[places]
        days = np.where(np.isnat(span), np.nan, np.floor(span.astype(np.int64) / DAY))
        return Seen(account_id, places, as_of, days)

    def features(
        self, account_subjects: Seen, arrived: Mapping[str, pa.Table], restate: Restate | None = None
    ) -> Columns:
        """Feature rows of one account's subjects, with what arrived since the load.

        Args:
            account_subjects: the subjects, m.
            arrived: table → clean rows of that account.
            restate: table → what makes of its rows those of an imagined past (arrived ones among them).
        """
        restate = restate or {}
        tables = self.stored.rows(account_subjects.account_id)
        for table in {*arrived, *restate} & set(tables):
            rows = _with_arrivals(tables[table], arrived.get(table), TABLES[table].key)
            tables[table] = restate[table](rows) if table in restate else rows
        ledger = ledger_of(tables, self.work, [account_subjects.account_id])
        return live_rows(self.work.plan, self.work.columns, ledger, self._asked(account_subjects))

    @cached_property
    def _snapshots(self) -> pa.Table:
        return pa.Table.from_pandas(self.open_subjects[list(SNAPSHOT_COLUMNS)], preserve_index=False)

    @cached_property
    def _peers(self) -> Peers | None:
        if not self.work.plan.across:
            return None
        return peers(self.crm, self.work, columns_of(self._snapshots))

    @cached_property
    def _industries(self) -> pa.Table:
        """The subjects' industries, if the CRM has them: a table of one column, or of none."""
        columns = {} if self._peers is None else self._peers.industries(columns_of(self._snapshots))
        named = columns.get("industry")
        return pa.table({"industry": pa.array(texts(named), pa.string())} if isinstance(named, Coded) else {})

    def _asked(self, account_subjects: Seen) -> Columns:
        """The subjects as the kernel takes them, with what spans accounts."""
        places = pa.array(account_subjects.places)
        snapshots: dict[str, Column] = dict(columns_of(self._snapshots.take(places)))
        if self._industries.num_columns:
            snapshots |= columns_of(self._industries.take(places))
        snapshots["as_of"] = np.full(
            len(places), account_subjects.as_of.as_unit("us").value // 1_000, np.int64
        )
        snapshots["lead_days"] = account_subjects.lead_days
        return snapshots if self._peers is None else {**snapshots, **self._peers.rows(snapshots)}


def grounds(crm: Crm) -> dict[str, Ground]:
    """The grounds of each kind of model a CRM has dated subjects for."""
    kinds = [kind for kind, table in SUBJECTS.items() if crm.has(table) and crm.dated(kind)]
    works = {kind: work_for(crm, kind) for kind in kinds}
    stored = ByAccount(crm, works) if works else None
    return {kind: Ground(crm, kind, work, stored) for kind, work in works.items() if stored is not None}


def _with_arrivals(stored: pa.Table, arrived: pa.Table | None, key: str | None) -> pa.Table:
    """Stored rows and those that arrived since, in the stored columns; a row that was loaded counts once."""
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
