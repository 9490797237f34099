"""Tasks in the store: the steps of a playbook that an alert led to, one after the other, each done once."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from sqlalchemy import Connection, Engine, select, update

from features.errors import RenewalError
from monitoring.store.database import insert, now, writing
from monitoring.store.tables import actions, alerts
from monitoring.store.task_tables import tasks

STATES = ("open", "started", "done", "dropped")


@dataclass(frozen=True)
class TaskLog:
    """The part of the store that keeps tasks.

    A step's id follows from its alert and number, so that a step begun twice is one. Closing a step logs what
    was done, opens the next and, after the last, closes the alert: all in one transaction.
    """

    engine: Engine

    def open(
        self,
        alert_id: str,
        *,
        account_id: str | None,
        playbook: str,
        title: str,
        owner: str | None,
        within_hours: float,
    ) -> str:
        """Open the first step of an alert's playbook; where it was opened before, nothing changes."""
        with writing(self.engine) as connection:
            return _open(connection, alert_id, account_id, playbook, 0, title, owner, within_hours)

    def start(self, task_id: str, by: str) -> None:
        """Somebody begins; the first time counts. They own it from now on."""
        here = (tasks.c.task_id == task_id) & (tasks.c.state == "open")
        with writing(self.engine) as connection:
            _require(connection, task_id)
            values = {"state": "started", "started_at": now(), "owner": by}
            connection.execute(update(tasks).where(here).values(**values))

    def close(
        self,
        task_id: str,
        by: str,
        result: str,
        *,
        is_dropped: bool = False,
        following: tuple[str, str | None, float] | None = None,
    ) -> str | None:
        """Close a step; closed before, it stays as it was, and nothing follows twice.

        Args:
            task_id: the step.
            by: who did it.
            result: what came of it.
            is_dropped: it was not done, and need not be; nothing follows.
            following: title, owner (None: whoever owned this one) and hours of the next step.

        Returns:
            The id of the next step, where there is one.
        """
        with writing(self.engine) as connection:
            row = _require(connection, task_id)
            moment = now()
            here = (tasks.c.task_id == task_id) & tasks.c.closed_at.is_(None)
            values = {
                "state": "dropped" if is_dropped else "done",
                "closed_at": moment,
                "closed_by": by,
                "result": result,
                "started_at": row["started_at"] or moment,
            }
            if not connection.execute(update(tasks).where(here).values(**values)).rowcount:
                return None
            _log_action(connection, row, by, result, is_dropped)
            if following is not None and not is_dropped:
                title, owner, hours = following
                whose = owner or row["owner"]
                place = (row["alert_id"], row["account_id"], row["playbook"], row["step"] + 1)
                return _open(connection, *place, title, whose, hours)
            standing = (alerts.c.alert_id == row["alert_id"]) & (alerts.c.state != "closed")
            ended = {"state": "closed", "closed_at": moment, "closed_by": by, "closed_because": result}
            connection.execute(update(alerts).where(standing).values(**ended))
        return None

    def escalate_due(self, hours: dict[str, float]) -> list[dict[str, Any]]:
        """Mark the steps that are overdue by as many hours as their playbook allows, each time anew.

        Args:
            hours: playbook → hours between escalations.

        Returns:
            The tasks that were escalated now; a task is in it for one caller only.
        """
        escalated = []
        with writing(self.engine) as connection:
            query = select(tasks).where(tasks.c.closed_at.is_(None), tasks.c.due_at < now())
            for row in connection.execute(query.with_for_update(skip_locked=True)).mappings().fetchall():
                wait = timedelta(hours=hours.get(row["playbook"], 24.0))
                if (row["escalated_at"] or row["due_at"]) + wait > now():
                    continue
                values = {"escalations": row["escalations"] + 1, "escalated_at": now()}
                here = tasks.c.task_id == row["task_id"]
                connection.execute(update(tasks).where(here).values(**values))
                escalated.append({**row, **values})
        return escalated

    def read(self, *, is_open: bool | None = None, limit: int = 1_000) -> list[dict[str, Any]]:
        """Tasks, those due first at the top; `is_late` where one is, or was, closed after it was due."""
        query = select(tasks).order_by(tasks.c.due_at, tasks.c.task_id).limit(limit)
        if is_open is not None:
            closed = tasks.c.closed_at
            query = query.where(closed.is_(None) if is_open else closed.is_not(None))
        with self.engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        return [{**row, "is_late": (row["closed_at"] or now()) > row["due_at"]} for row in rows]

    def figures(self, rows: Sequence[dict[str, Any]] | None = None) -> dict[str, Any]:
        """How many tasks are open, late and done; median hours to the first answer and to the close."""
        rows = self.read() if rows is None else rows
        first = [row for row in rows if row["step"] == 0]
        begun = [_hours(row["opened_at"], row["started_at"]) for row in first if row["started_at"]]
        closed = [_hours(row["opened_at"], row["closed_at"]) for row in rows if row["closed_at"]]
        standing = [row for row in rows if row["closed_at"] is None]
        return {
            "open": len(standing),
            "late": sum(row["is_late"] for row in standing),
            "done": sum(row["state"] == "done" for row in rows),
            "median_hours_to_first_answer": median(begun) if begun else None,
            "median_hours_to_close": median(closed) if closed else None,
        }


def _open(
    connection: Connection,
    alert_id: str,
    account_id: str | None,
    playbook: str,
    step: int,
    title: str,
    owner: str | None,
    within_hours: float,
) -> str:
    moment = now()
    task_id = hashlib.sha256(f"{alert_id}:{step}".encode()).hexdigest()[:32]
    row = {
        "task_id": task_id,
        "alert_id": alert_id,
        "account_id": account_id,
        "playbook": playbook,
        "step": step,
        "title": title,
        "owner": owner,
        "state": "open",
        "opened_at": moment,
        "due_at": moment + timedelta(hours=within_hours),
        "escalations": 0,
    }
    connection.execute(insert(connection, tasks).values(**row).on_conflict_do_nothing())
    return task_id


def _log_action(connection: Connection, row: Any, by: str, result: str, is_dropped: bool) -> None:
    """What people did is an action like any other: monitoring and experiments count it."""
    if is_dropped:
        return
    about = connection.execute(
        select(alerts.c.kind, alerts.c.subject_id).where(alerts.c.alert_id == row["alert_id"])
    ).first()
    kind = about.kind if about is not None and about.kind else "renewal"
    subject = about.subject_id if about is not None and about.subject_id else row["account_id"]
    connection.execute(
        insert(connection, actions).values(
            kind=kind,
            subject_id=subject or row["alert_id"],
            account_id=row["account_id"],
            action=row["title"],
            taken_by=by,
            taken_at=now(),
            details={"playbook": row["playbook"], "step": row["step"], "result": result},
        )
    )


def _require(connection: Connection, task_id: str) -> Any:
    row = connection.execute(select(tasks).where(tasks.c.task_id == task_id)).mappings().first()
    if row is None:
        raise RenewalError(expected="the id of a task", found=repr(task_id), do="See `perennial tasks list`.")
    return row


def _hours(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() / 3600
