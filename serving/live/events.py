"""The live path: an event is stored once, and its account's scores and alerts are new when it returns.

Who is in the ingested CRM: who an arriving row is about, and who may write about them.
"""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from sqlalchemy import Connection

from features.arrays import Coded, Columns
from features.columns import KEYS
from features.crm.arriving import Reader, values_lost
from features.crm.contract import SUBJECTS, TABLES
from features.crm.crm import Crm
from features.crm.load import current_folder, opened
from features.holdout import held_out
from features.moments import utc_now
from features.owners import owners_of
from features.settings import Settings
from monitoring.alerts import risk_alerts, survey_alerts
from monitoring.closing_the_loop import begin_tasks
from monitoring.store import Store
from monitoring.store.database import EVERYBODY, in_turn, writing
from monitoring.survey_rules import rules_of
from serving.live.account_features import Ground, Seen, grounds
from serving.live.asking import requests_for
from serving.live.model_cache import HeldModels
from serving.live.score_cache import KeptScores
from serving.scoring.scored_rows import scored_rows
from serving.security.auth import Principal
from training.encode import texts

OWNERS = {"contract_id": "contracts", "opportunity_id": "opportunities", "lead_id": "leads"}


@dataclass(frozen=True)
class People:
    """Who is in the CRM.

    Attributes:
        folder: of the CRM.
        owners: id column → id → account.
        accounts: account → its id, owner and region.
        held_out: the accounts that are held out.
        whose: `contract_id` and `opportunity_id` → id → owner.
        contacts: account → its contacts: contact_id, email, opted_out; for who may be asked.
    """

    folder: Path | None
    owners: dict[str, dict[str, str]]
    accounts: dict[str, dict[str, Any]]
    held_out: frozenset[str]
    whose: dict[str, dict[str, Any]]
    contacts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def account(self, row: Mapping[str, Any]) -> str | None:
        """The account of a row: its own, or that of the contract, deal or lead it belongs to."""
        if row.get("account_id") not in (None, ""):
            return str(row["account_id"])
        for column, owners in self.owners.items():
            if row.get(column) is not None and str(row[column]) in owners:
                return owners[str(row[column])]
        return None

    def unwelcome(self, row: Mapping[str, Any], principal: Principal) -> str | None:
        """Why a row about an account is refused, None where it is not.

        Whoever may see the contract or deal it belongs to may write it; where it names none, whoever may see
        the account.
        """
        account = row.get("account_id")
        account_row = self.accounts.get(account or "")
        owners = [self.whose[key].get(str(row[key])) for key in self.whose if row.get(key) not in (None, "")]
        if account_row is not None:
            subjects = [{**account_row, "owner_id": owner} for owner in owners]
            if all(principal.sees(one) for one in subjects or [account_row]):
                return None
        reason = f"there is no account {account!r} in the CRM" if account else "is missing"
        return f"account_id: {reason}"


def people_of(crm: Crm, settings: Settings) -> People:
    """The people of a CRM."""
    columns = [name for name in ("account_id", "owner_id", "region") if crm.has("accounts", name)]
    accounts = {row["account_id"]: row for row in crm.arrow("accounts", columns).to_pylist()}
    ids = pd.Series(list(accounts), dtype=object)
    held = frozenset(ids[held_out(ids, settings)])
    return People(crm.folder, account_of(crm), accounts, held, subject_owners(crm), contacts_of(crm))


def subject_owners(crm: Crm) -> dict[str, dict[str, Any]]:
    """For contracts and opportunities: id → owner."""
    owner_by_id = {}
    for kind, table in SUBJECTS.items():
        if crm.has(table, KEYS[table]):
            ids = crm.frame(table, [KEYS[table]])[KEYS[table]]
            owners = owners_of(crm, kind, ids).astype(object)
            owner_by_id[KEYS[table]] = dict(zip(ids, owners.where(owners.notna(), None), strict=True))
    return owner_by_id


def contacts_of(crm: Crm) -> dict[str, list[dict[str, Any]]]:
    """Account → its contacts, as far as is needed to ask them."""
    contacts_by_account: dict[str, list[dict[str, Any]]] = {}
    if crm.has("contacts", "contact_id", "account_id"):
        columns = [name for name in ("email", "opted_out") if crm.has("contacts", name)]
        for row in crm.arrow("contacts", ["contact_id", "account_id", *columns]).to_pylist():
            contacts_by_account.setdefault(row["account_id"], []).append(row)
    return contacts_by_account


def account_of(crm: Crm) -> dict[str, dict[str, str]]:
    """For contracts, opportunities and leads: id → account."""
    accounts_by_column = {}
    for column, table in OWNERS.items():
        if crm.has(table, column, "account_id"):
            rows = crm.arrow(table, [column, "account_id"])
            accounts_by_column[column] = dict(
                zip(rows[column].to_pylist(), rows["account_id"].to_pylist(), strict=True)
            )
    return accounts_by_column


KEYLESS = "_row"
"""The column that names a row of a table without ids: a digest of what it says."""

MOST_ACCOUNTS = 1_000
"""Accounts whose live events stay read."""


class Standing(NamedTuple):
    """What scores stand on: one ingested CRM (`folder`, up to `until`), made ready for each kind of model."""

    folder: Path | None
    until: pd.Timestamp
    grounds: dict[str, Ground]


class Arrived(NamedTuple):
    """An account's live events: the numbers of those that were read, and their clean rows by table."""

    numbers: frozenset[int]
    tables: dict[str, pa.Table]


NOTHING = Arrived(frozenset(), {})


class Arrivals:
    """Takes events in, one request at a time; the CRM they are added to is the one that was ingested last."""

    def __init__(self, settings: Settings, store: Store, models: HeldModels, score_cache: KeptScores) -> None:
        self.settings, self.store, self.models, self.score_cache = settings, store, models, score_cache
        self._reader = Reader()
        self._stands = Standing(None, pd.Timestamp(0), {})
        self._rules = rules_of(settings)
        self._people = People(None, {}, {}, frozenset(), {})
        self._arrived: OrderedDict[str, Arrived] = OrderedDict()
        self._turn, self._preparing, self._reading = (threading.Lock() for _ in range(3))

    def renewals(self) -> dict[str, dict[str, Any]]:
        """Open opportunity that renews a listed contract → its row, which lacks but the score."""
        ground = self._stands.grounds.get("win")
        return {} if ground is None else ground.renewals

    def take(self, table: str, rows: Sequence[Mapping[str, Any]], principal: Principal) -> dict[str, Any]:
        """Store rows, and rescore the accounts concerned.

        Args:
            table: of the CRM data contract.
            rows: as JSON gives them. The same row again changes nothing.
            principal: rows of accounts outside its scope are refused as unknown.

        Returns:
            `stored`, `repeated`, `refused` (each with `row`, `why`), `lost` (values of stored rows that can't
            be read, or that the table has no column for), `rows` (new scores), `alerts`.

        Raises:
            RenewalError: no CRM was ingested.
        """
        while (taken := self._taken(table, rows, principal)) is None:
            pass  # another CRM was ingested, or somebody erased, meanwhile
        return taken

    def _taken(
        self, table: str, rows: Sequence[Mapping[str, Any]], principal: Principal
    ) -> dict[str, Any] | None:
        """`take`; None, with nothing done, where the people it began with are not those of now."""
        people = self._people_now()
        self._grounds_now()
        with self._turn:
            event_rows = [{**row, "account_id": people.account(row)} for row in rows]
            read, faults = self._reader.read(table, event_rows)
            refused = [
                {"row": at, "why": why}
                for at, row in enumerate(event_rows)
                if (why := faults[at] or people.unwelcome(row, principal))
            ]
            no = {one["row"] for one in refused}
            places = [at for at in range(len(event_rows)) if at not in no]
            written = self._written(people, table, event_rows, places)
            if written is None:
                return None
            counts, conflicts, fresh = written
            self.score_cache.forget_rows(fresh)
            alerts = self._alerts(people, table, read, places, fresh)
            if alerts or (table == "surveys" and counts["repeated"]):  # killed before, the tasks may lack
                begin_tasks(self.store, self.settings)
        scores = [row for row in fresh if principal.sees(row)]
        theirs = {None, *(row["subject_id"] for row in scores)}
        alerts = [alert for alert in alerts if alert.get("subject_id") in theirs]
        out = {one["row"] for one in refused + conflicts}
        lost = [one for one in values_lost(table, rows, read, faults) if one["row"] not in out]
        return {**counts, "refused": refused + conflicts, "lost": lost, "rows": scores, "alerts": alerts}

    def _written(
        self, people: People, table: str, event_rows: list[dict[str, Any]], places: list[int]
    ) -> tuple[dict[str, int], list[dict[str, Any]], list[dict[str, Any]]] | None:
        """Store the rows at `places`, and the scores and requests that follow, in one transaction.

        Returns:
            Counts, conflicts, new scores; None where the people changed before the accounts' turn came.
        """
        accounts = list(dict.fromkeys(event_rows[at]["account_id"] for at in places))
        try:
            with writing(self.store.engine) as connection:
                in_turn(connection, [EVERYBODY], shared=True)
                in_turn(connection, accounts)
                if current_folder(self.settings) != people.folder:
                    return None
                rows = [event_rows[at] for at in places]
                counts, conflicts = self._store(connection, table, rows, places)
                fresh = [row for account in accounts for row in self._score(connection, account)]
                stays = {one["row"] for one in conflicts}
                happened = [event_rows[at] for at in places if at not in stays]
                requests_for(self.store, connection, self._rules, table, happened, people.contacts)
        except BaseException:
            self._arrived.clear()  # it may hold events that are not stored after all
            raise
        return counts, conflicts, fresh

    def sees(self, about: Mapping[str, Any], principal: Principal) -> bool:
        """Whether an account, and the contract or deal that is named with it, is within a visitor's scope.

        Raises:
            RenewalError: no CRM was ingested.
        """
        people = self._people_now()
        return people.unwelcome({**about, "account_id": people.account(about)}, principal) is None

    @contextmanager
    def standing(
        self, kind: str, account_id: str
    ) -> Iterator[tuple[Ground, Seen, dict[str, pa.Table]] | None]:
        """An account's ground, open subjects and live events, held still meanwhile; None without dates.

        Raises:
            RenewalError: no CRM was ingested.
        """
        self._people_now()
        self._grounds_now()
        with self._turn, self.store.engine.connect() as connection:
            ground = self._stands.grounds.get(kind)
            if ground is None:
                yield None
                return
            arrived = self._live_events(connection, account_id)
            yield ground, ground.subjects_at(account_id, self._as_of(arrived)), arrived.tables

    def look(self) -> None:
        """Make the CRM that was ingested last ready, if it is another; the one before answers meanwhile.

        Done as the service starts, so that no event waits for it, and whenever it looks around.
        """
        self._rules = rules_of(self.settings)
        folder = current_folder(self.settings)
        if folder is None or folder == self._stands.folder:
            return
        with self._preparing, opened(self.settings) as crm:
            if crm.folder != self._stands.folder:
                new_grounds = grounds(crm)
                for ground in new_grounds.values():
                    ground.warm()
                with self._turn:
                    self._stands = Standing(crm.folder, crm.until, new_grounds)
                    self._arrived.clear()

    def _grounds_now(self) -> None:
        if self._stands.folder is None:
            self.look()

    def _people_now(self) -> People:
        """The accounts of the CRM ingested last, read at once: what was erased is not known any more.

        Raises:
            RenewalError: no CRM was ingested.
        """
        folder = current_folder(self.settings)
        if folder is None or folder != self._people.folder:
            with self._reading, opened(self.settings) as crm:
                if crm.folder != self._people.folder:
                    self._people = people_of(crm, self.settings)
        return self._people

    def _store(
        self, connection: Connection, table: str, rows: list[dict[str, Any]], places: list[int]
    ) -> tuple[dict[str, int], list[dict[str, Any]]]:
        key = TABLES[table].key or KEYLESS
        counts, conflicts = {"stored": 0, "repeated": 0}, []
        for at, row in zip(places, rows, strict=True):
            named = row if key != KEYLESS else {**row, KEYLESS: _digest(row)}
            result = self.store.events.record(
                table, [json.loads(json.dumps(named, default=str))], key, connection
            )
            counts["stored"] += result["new"]
            counts["repeated"] += result["repeated"]
            if result["conflicting"]:
                conflicts.append(
                    {"row": at, "why": f"{key}: {row[key]!r} is stored with other content, and stays"}
                )
        return counts, conflicts

    def _score(self, connection: Connection, account_id: str) -> list[dict[str, Any]]:
        arrived = self._live_events(connection, account_id)
        as_of = self._as_of(arrived)
        shared = {"as_of": as_of.to_pydatetime(), "held_out": account_id in self._people.held_out}
        fresh: list[dict[str, Any]] = []
        for kind, ground in self._stands.grounds.items():
            loaded = self.models.get(kind)
            account_subjects = ground.subjects_at(account_id, as_of)
            if loaded is None or not len(account_subjects.places):
                continue
            X = ground.features(account_subjects, arrived.tables)
            subjects = [
                {**ground.subjects[place], **shared, "lead_days": None if np.isnan(days) else days}
                for place, days in zip(
                    account_subjects.places.tolist(), account_subjects.lead_days.tolist(), strict=True
                )
            ]
            rows = scored_rows(loaded, subjects, X)
            self.store.scores.write_rows(
                kind,
                rows,
                feature_table(X, loaded.model.features, len(rows)),
                run_id=f"live-{kind}-{account_id}",
                model_version=str(loaded.version),
                connection=connection,
            )
            ids = [row["subject_id"] for row in rows]
            fresh += self.store.scores.page(kind, ids=ids, connection=connection).rows
        return fresh

    def _live_events(self, connection: Connection, account_id: str) -> Arrived:
        """What arrived live about an account; what was read before is not read again."""
        arrived = self._arrived.pop(account_id, NOTHING)
        by_table: dict[str, list[dict[str, Any]]] = {}
        events = self.store.events.read(account_id=account_id, connection=connection)
        for event in events:
            if event["event_id"] not in arrived.numbers:
                by_table.setdefault(event["crm_table"], []).append(event["payload"])
        tables = dict(arrived.tables)
        for table, rows in by_table.items():
            read = self._reader.read(table, rows)[0]
            both = [tables[table], read] if table in tables else [read]
            tables[table] = pa.concat_tables(both, promote_options="default")
        arrived = Arrived(frozenset(event["event_id"] for event in events), tables)
        self._arrived[account_id] = arrived
        while len(self._arrived) > MOST_ACCOUNTS:
            self._arrived.popitem(last=False)
        return arrived

    def _as_of(self, arrived: Arrived) -> pd.Timestamp:
        """Just after the newest thing known: the end of the data, or a live event that has happened."""
        now = utc_now()
        newest = self._stands.until
        for table, rows in arrived.tables.items():
            for column in (TABLES[table].time, "recorded_at", *TABLES[table].seconds):
                if column and column in rows.column_names:
                    past = [moment for moment in rows[column].to_pylist() if moment and moment <= now]
                    if past:
                        newest = max(newest, pd.Timestamp(max(past)) + pd.Timedelta(1, "us"))
        return pd.Timestamp(newest).as_unit("us")

    def _alerts(
        self, people: People, table: str, read: pa.Table, places: list[int], fresh: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        opened_now = []
        if table == "surveys" and places:
            rows = read.take(pa.array(places)).to_pylist()
            owners = [{"owner_id": people.accounts[row["account_id"]].get("owner_id")} for row in rows]
            answers = [{**owner, **row} for owner, row in zip(owners, rows, strict=True)]
            opened_now += survey_alerts(self.store, self.settings, answers)
        for kind in SUBJECTS:
            kind_rows = [row for row in fresh if row["kind"] == kind]
            opened_now += risk_alerts(self.store, self.settings, kind, kind_rows)
        return opened_now


def feature_table(X: Columns, names: Sequence[str], rows: int) -> pa.Table:
    """(rows, k) the features of a model as the log keeps them; what is all missing has no type."""
    columns: dict[str, pa.Array] = {}
    for name in names:
        values = X.get(name)
        given = [None] * rows if values is None else texts(values) if isinstance(values, Coded) else values
        array = pa.array(given, from_pandas=True)
        columns[name] = pa.nulls(rows) if array.null_count == rows else array
    return pa.table(columns)


def _digest(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(row), sort_keys=True, default=str).encode()).hexdigest()[:24]
