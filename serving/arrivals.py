"""The live path: an event is stored once, and its account's scores and alerts are new when it returns."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pyarrow as pa

from features.arriving import Reader
from features.crm import Crm
from features.load import opened
from features.settings import Settings
from features.tables import SUBJECTS, TABLES
from monitoring.alerts import risk_alerts, survey_alerts
from monitoring.store import Store
from serving.auth import Principal
from serving.batch import scored
from serving.ground import Ground, account_of
from serving.held import HeldModels
from serving.kept import KeptScores

KEYLESS = "_row"
"""The column that names a row of a table without ids: a digest of what it says."""


class Arrivals:
    """Takes events in, one request at a time; the CRM they are added to is the one that was ingested last."""

    def __init__(self, settings: Settings, store: Store, models: HeldModels, kept: KeptScores) -> None:
        self.settings, self.store, self.models, self.kept = settings, store, models, kept
        self._reader = Reader()
        self._fingerprint = ""
        self._grounds: dict[str, Ground] = {}
        self._owners: dict[str, dict[str, str]] = {}
        self._accounts: dict[str, dict[str, Any]] = {}
        self._turn = threading.Lock()

    def take(self, table: str, rows: Sequence[Mapping[str, Any]], principal: Principal) -> dict[str, Any]:
        """Store rows, and score the accounts concerned anew.

        Args:
            table: of the CRM data contract.
            rows: as JSON gives them. The same row again changes nothing.
            principal: rows of accounts outside its scope are refused as unknown.

        Returns:
            `stored`, `repeated`, `refused` (each with `row` and `why`), `rows` (new scores), `alerts`.

        Raises:
            RenewalError: no CRM was ingested.
        """
        with self._turn, opened(self.settings) as crm:
            self._stand_on(crm)
            read, faults = self._reader.read(table, rows)
            fine, refused = [], []
            for at, row in enumerate(rows):
                account = self._account(row)
                why = faults[at] or self._unwelcome(account, principal)
                if why:
                    refused.append({"row": at, "why": why})
                else:
                    fine.append((at, {**row, "account_id": account}))
            counts, conflicts = self._store(table, [row for _, row in fine], [at for at, _ in fine])
            accounts = list(dict.fromkeys(row["account_id"] for _, row in fine))
            fresh = [row for account in accounts for row in self._score(account)]
            alerts = self._alerts(table, read, [at for at, _ in fine], fresh)
        return {**counts, "refused": refused + conflicts, "rows": fresh, "alerts": alerts}

    @contextmanager
    def standing(
        self, kind: str, account_id: str
    ) -> Iterator[tuple[Ground, pd.DataFrame, dict[str, pa.Table]] | None]:
        """An account's ground, open subjects and live events, held still meanwhile; None without dates.

        Raises:
            RenewalError: no CRM was ingested.
        """
        with self._turn, opened(self.settings) as crm:
            self._stand_on(crm)
            ground = self._grounds.get(kind)
            if ground is None:
                yield None
                return
            arrived = self._arrived(account_id)
            yield ground, ground.snapshots(account_id, self._as_of(crm, arrived)), arrived

    def _stand_on(self, crm: Crm) -> None:
        """Take the CRM that was ingested last."""
        if crm.fingerprint == self._fingerprint:
            return
        self._grounds = {
            kind: Ground(crm, kind) for kind in SUBJECTS if crm.has(SUBJECTS[kind]) and crm.dated(kind)
        }
        self._owners = account_of(crm)
        columns = [name for name in ("account_id", "owner_id", "region") if crm.has("accounts", name)]
        self._accounts = {row["account_id"]: row for row in crm.arrow("accounts", columns).to_pylist()}
        self._fingerprint = crm.fingerprint

    def _account(self, row: Mapping[str, Any]) -> str | None:
        """The account of a row: its own, or that of the contract, deal or lead it belongs to."""
        if row.get("account_id") not in (None, ""):
            return str(row["account_id"])
        for column, owners in self._owners.items():
            if row.get(column) is not None and str(row[column]) in owners:
                return owners[str(row[column])]
        return None

    def _unwelcome(self, account: str | None, principal: Principal) -> str | None:
        known = self._accounts.get(account or "")
        if known is None or not principal.sees(known):
            return (
                f"account_id: there is no account {account!r} in the CRM"
                if account
                else "account_id: is missing"
            )
        return None

    def _store(
        self, table: str, rows: list[dict[str, Any]], places: list[int]
    ) -> tuple[dict[str, int], list[dict[str, Any]]]:
        key = TABLES[table].key or KEYLESS
        counts, conflicts = {"stored": 0, "repeated": 0}, []
        for at, row in zip(places, rows, strict=True):
            named = row if key != KEYLESS else {**row, KEYLESS: _digest(row)}
            told = self.store.record_events(table, [json.loads(json.dumps(named, default=str))], key)
            counts["stored"] += told["new"]
            counts["repeated"] += told["repeated"]
            if told["conflicting"]:
                conflicts.append(
                    {"row": at, "why": f"{key}: {row[key]!r} is stored with other content, and stays"}
                )
        return counts, conflicts

    def _score(self, account_id: str) -> list[dict[str, Any]]:
        arrived = self._arrived(account_id)
        fresh = []
        for kind, ground in self._grounds.items():
            loaded = self.models.get(kind)
            snapshots = ground.snapshots(account_id, self._as_of(ground.crm, arrived))
            if loaded is None or snapshots.empty:
                continue
            features = ground.features(snapshots, arrived)
            known = snapshots[["end_date", *(n for n in NAMES if n in snapshots)]]
            frame = scored(loaded, snapshots.drop(columns=known.columns), features, known, self.settings)
            run = f"live-{kind}-{account_id}"
            features = features.reindex(columns=list(loaded.model.features))
            self.store.write_scores(kind, frame, features, run_id=run, model_version=str(loaded.version))
            self.kept.forget_subjects(kind, frame["subject_id"])
            rows = self.store.scores(kind, ids=frame["subject_id"].tolist()).rows
            fresh += rows
        return fresh

    def _arrived(self, account_id: str) -> dict[str, pa.Table]:
        """Table → clean rows of an account that arrived live."""
        by_table: dict[str, list[dict[str, Any]]] = {}
        for event in self.store.events(account_id=account_id):
            by_table.setdefault(event["crm_table"], []).append(event["payload"])
        return {table: self._reader.read(table, rows)[0] for table, rows in by_table.items()}

    def _as_of(self, crm: Crm, arrived: Mapping[str, pa.Table]) -> pd.Timestamp:
        """Just after the newest thing known: the end of the data, or a live event that has happened."""
        now = pd.Timestamp(datetime.now(UTC).replace(tzinfo=None)).as_unit("us")
        newest = crm.until
        for table, rows in arrived.items():
            for column in (TABLES[table].time, "recorded_at", *TABLES[table].seconds):
                if column and column in rows.column_names:
                    moments = rows[column].to_pandas().dropna()
                    moments = moments[moments <= now]
                    if len(moments):
                        newest = max(newest, moments.max() + pd.Timedelta(1, "us"))
        return pd.Timestamp(newest).as_unit("us")

    def _alerts(
        self, table: str, read: pa.Table, places: list[int], fresh: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        opened_now = []
        if table == "surveys" and places:
            rows = read.take(pa.array(places)).to_pylist()
            owners = [{"owner_id": self._accounts[row["account_id"]].get("owner_id")} for row in rows]
            answers = [{**owner, **row} for owner, row in zip(owners, rows, strict=True)]
            opened_now += survey_alerts(self.store, self.settings, answers)
        for kind in SUBJECTS:
            own = [row for row in fresh if row["kind"] == kind]
            opened_now += risk_alerts(self.store, self.settings, kind, own)
        return opened_now


NAMES = ("region", "account_name", "owner_name", "product", "deal_kind", "created_at", "forecast")


def _digest(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(row), sort_keys=True, default=str).encode()).hexdigest()[:24]
