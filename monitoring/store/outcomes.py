"""Outcomes and live arrivals in the store: each kept once, however often it is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Engine, select

from features.errors import RenewalError
from features.moments import moment_of
from monitoring.store.database import in_turn, insert, now, put, reading, records, within, writing
from monitoring.store.tables import events, outcomes, prediction_log

_YES = {"1", "1.0", "true", "yes", "renewed", "won"}
_NO = {"0", "0.0", "false", "no", "churned", "lost", "not renewed"}
_IDS_AT_ONCE = 5_000


@dataclass(frozen=True)
class OutcomeLog:
    """The part of the store that keeps what became of predictions."""

    engine: Engine

    def record(self, frame: pd.DataFrame) -> dict[str, Any]:
        """Keep outcomes; sending them again changes nothing.

        Args:
            frame: `contract_id` or `opportunity_id` (or both, one filled in a row), `outcome` (1/0,
                true/false, renewed/churned, won/lost), optional `decided_at`.

        Returns:
            `new`, `repeated`, `conflicting` (another outcome or day is already kept, and stays) and
            `unknown` (of those kept, ids never scored; they count once a prediction has that id): how many.
            `conflicts`: each that conflicts, in words, by its id.

        Raises:
            RenewalError: a column is missing or a value cannot be read; then nothing is kept.
        """
        sent = _sent(frame)
        counts = dict.fromkeys(("new", "repeated", "conflicting", "unknown"), 0)
        fresh: list[dict[str, Any]] = []
        conflicts: list[str] = []
        with writing(self.engine) as connection:
            in_turn(connection, [outcomes.name])
            stored = _kept(connection, [(row["kind"], row["subject_id"]) for row in sent])
            accounts = _accounts(connection, [row["subject_id"] for row in sent])
            for row in sent:
                key = row["kind"], row["subject_id"]
                verdict = _compare(stored.get(key), row)
                counts[verdict] += 1
                if verdict == "conflicting":
                    conflicts.append(f"{key[1]}: {_as_text(stored[key])} is kept, {_as_text(row)} was sent")
                if verdict == "new":
                    stored[key] = row
                    counts["unknown"] += key not in accounts
                    fresh.append({**row, "account_id": accounts.get(key), "recorded_at": now()})
            put(connection, insert(connection, outcomes), fresh)
        return {**counts, "conflicts": conflicts}

    def read(self, kind: str) -> pd.DataFrame:
        """The outcomes kept: `subject_id`, `account_id`, `outcome` (1 renewed or won), `decided_at`."""
        query = select(outcomes).where(outcomes.c.kind == kind).order_by(outcomes.c.subject_id)
        with self.engine.connect() as connection:
            result = connection.execute(query)
            frame = pd.DataFrame(result.fetchall(), columns=list(result.keys()))
        for name in ("decided_at", "recorded_at"):
            frame[name] = pd.to_datetime(frame[name]).astype("datetime64[us]")
        return frame


@dataclass(frozen=True)
class EventLog:
    """The part of the store that keeps CRM rows that arrived live."""

    engine: Engine

    def record(
        self, table: str, rows: Sequence[dict[str, Any]], key: str, connection: Connection | None = None
    ) -> dict[str, int]:
        """Keep CRM rows that arrived live; (table, id) is kept once.

        Args:
            table: a table of the CRM data contract.
            rows: its rows, JSON values.
            key: the column that holds the id.
            connection: a transaction to be part of.

        Returns:
            `new`, `repeated`, and `conflicting`: the id is kept with other content, which stays.

        Raises:
            RenewalError: a row has no id.
        """
        counts = dict.fromkeys(("new", "repeated", "conflicting"), 0)
        with within(self.engine, connection) as open_one:
            for row in rows:
                if row.get(key) in (None, ""):
                    raise RenewalError(
                        expected=f"{key} in each row of {table}",
                        found="a row without",
                        do="Give each row its id.",
                    )
                counts[_arrive(open_one, table, str(row[key]), row)] += 1
        return counts

    def read(
        self,
        table: str | None = None,
        *,
        account_id: str | None = None,
        accounts: Sequence[str] | None = None,
        after: int = 0,
        connection: Connection | None = None,
    ) -> list[dict[str, Any]]:
        """Live arrivals in order, those numbered above `after`; `payload` is the row as sent."""
        query = select(events).where(events.c.event_id > after).order_by(events.c.event_id)
        if table is not None:
            query = query.where(events.c.crm_table == table)
        if account_id is not None:
            query = query.where(events.c.account_id == account_id)
        if accounts is not None:
            query = query.where(events.c.account_id.in_(list(accounts)))
        with reading(self.engine, connection) as open_one:
            return [dict(row) for row in open_one.execute(query).mappings()]


def read_outcomes(file: Path) -> pd.DataFrame:
    """The rows of an outcome file (CSV), as text.

    Raises:
        RenewalError: it is not there, or not a CSV file with rows.
    """
    try:
        frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise RenewalError(
            expected=f"a CSV file of outcomes at {file}",
            found=getattr(error, "strerror", None) or str(error).splitlines()[0],
            do="Check the path and the file.",
        ) from error
    return frame.rename(columns=lambda name: str(name).strip().lower())


def _arrive(connection: Connection, table: str, row_id: str, row: dict[str, Any]) -> str:
    fresh = {
        "crm_table": table,
        "row_id": row_id,
        "account_id": row.get("account_id"),
        "payload": row,
        "received_at": now(),
    }
    statement = insert(connection, events).on_conflict_do_nothing(index_elements=["crm_table", "row_id"])
    if connection.execute(statement.returning(events.c.event_id), fresh).first():
        return "new"
    query = select(events.c.payload).where(events.c.crm_table == table, events.c.row_id == row_id)
    return "repeated" if connection.execute(query).scalar_one() == row else "conflicting"


def _sent(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of an outcome file as (kind, subject_id, outcome, decided_at)."""
    if "outcome" not in frame or not {"contract_id", "opportunity_id"} & set(frame):
        raise RenewalError(
            expected="columns outcome and contract_id or opportunity_id",
            found=", ".join(map(str, frame.columns)) or "no columns",
            do="Rename the columns of the outcome file.",
        )
    sent = []
    for number, row in enumerate(records(frame), start=1):
        contract, opportunity = row.get("contract_id"), row.get("opportunity_id")
        if (contract in (None, "")) == (opportunity in (None, "")):
            raise RenewalError(
                expected="either contract_id or opportunity_id in each row",
                found=f"row {number} with {'neither' if contract in (None, '') else 'both'}",
                do="Correct that row.",
            )
        is_renewal = contract not in (None, "")
        sent.append(
            {
                "kind": "renewal" if is_renewal else "win",
                "subject_id": str(contract if is_renewal else opportunity),
                "outcome": _outcome(row["outcome"], number),
                "decided_at": _decided_at(row.get("decided_at"), number),
            }
        )
    return sent


def _outcome(value: Any, number: int) -> int:
    text = str(value).strip().lower()
    if text in _YES | _NO:
        return int(text in _YES)
    raise RenewalError(
        expected="outcome as 1/0, true/false, renewed/churned or won/lost",
        found=f"{value!r} in row {number}",
        do="Correct that row; leave undecided ones out.",
    )


def _decided_at(value: Any, number: int) -> Any:
    if value in (None, ""):
        return None
    return moment_of(value, f"decided_at in row {number}", "Correct that row.").to_pydatetime()


def _compare(stored: dict[str, Any] | None, row: dict[str, Any]) -> str:
    if stored is None:
        return "new"
    days = stored["decided_at"], row["decided_at"]
    moved = None not in days and days[0] != days[1]
    return "conflicting" if moved or stored["outcome"] != row["outcome"] else "repeated"


_WORDS = {"renewal": ("not renewed", "renewed"), "win": ("lost", "won")}


def _as_text(row: dict[str, Any]) -> str:
    day = f" on {row['decided_at']:%Y-%m-%d}" if row["decided_at"] is not None else ""
    return _WORDS[row["kind"]][int(row["outcome"])] + day


def _kept(connection: Connection, keys: list[tuple[str, str]]) -> dict[tuple[str, str], dict[str, Any]]:
    ids = sorted({subject for _, subject in keys})
    stored: dict[tuple[str, str], dict[str, Any]] = {}
    for start in range(0, len(ids), _IDS_AT_ONCE):
        query = select(outcomes).where(outcomes.c.subject_id.in_(ids[start : start + _IDS_AT_ONCE]))
        stored |= {
            (row["kind"], row["subject_id"]): dict(row) for row in connection.execute(query).mappings()
        }
    return stored


def _accounts(connection: Connection, subjects: list[str]) -> dict[tuple[str, str], str | None]:
    """Of the subjects ever scored, the account."""
    ids = sorted(set(subjects))
    log = prediction_log.c
    accounts: dict[tuple[str, str], str | None] = {}
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = log.subject_id.in_(ids[start : start + _IDS_AT_ONCE])
        query = select(log.kind, log.subject_id, log.account_id).where(some).distinct()
        accounts |= {(kind, subject): account for kind, subject, account in connection.execute(query)}
    return accounts
