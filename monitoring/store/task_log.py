"""Tasks in the store: the steps of a playbook that an alert led to, one after the other, each done once."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, or_, select, update

from features.errors import RenewalError
from monitoring.store.database import insert, now, writing
from monitoring.store.tables import actions, alerts
from monitoring.store.task_tables import tasks

STATES = ("open", "started", "done", "dropped")
BY_HAND = "by hand"
"""What stands for the playbook of a task that somebody gave."""


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
        kind: str | None = None,
        subject_id: str | None = None,
    ) -> str:
        """Open the first step of an alert's playbook; where it was opened before, nothing changes.

        `kind` and `subject_id` say which contract or deal it is about; none: the customer as a whole.
        """
        about = _About(alert_id, account_id, kind, subject_id, playbook)
        with writing(self.engine) as connection:
            return _open(connection, about, 0, title, owner, timedelta(hours=within_hours))

    def give(
        self,
        kind: str,
        subjects: Mapping[str, str | None],
        *,
        title: str,
        owner: str | None,
        due_at: datetime,
    ) -> list[str]:
        """Open a task by hand about each of these subjects (id → account); the same one again is no second.

        Args:
            kind: `renewal` or `win`.
            subjects: contracts or deals.
            title: what is to be done.
            owner: who is to do it.
            due_at: by when.

        Returns:
            The ids of the tasks.
        """
        with writing(self.engine) as connection:
            ids = []
            for subject, account in subjects.items():
                named = hashlib.sha256(f"{kind}:{subject}:{title}:{owner}:{due_at}".encode()).hexdigest()[:32]
                about = _About(f"{BY_HAND}:{named}", account, kind, subject, BY_HAND)
                ids.append(_open(connection, about, 0, title, owner, due_at))
            return ids

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
                about = _About(*(row[name] for name in _About._fields))
                return _open(connection, about, row["step"] + 1, title, whose, timedelta(hours=hours))
            standing = (alerts.c.alert_id == row["alert_id"]) & (alerts.c.state != "closed")
            ended = {"state": "closed", "closed_at": moment, "closed_by": by, "closed_because": result}
            connection.execute(update(alerts).where(standing).values(**ended))
        return None

    def escalation_due(self, hours: Mapping[str, float]) -> list[dict[str, Any]]:
        """Open steps that are overdue, or were escalated last, by as many hours as their playbook allows.

        Args:
            hours: playbook → hours between escalations.
        """
        moment = now()
        query = select(tasks).where(tasks.c.closed_at.is_(None), tasks.c.due_at < moment)
        with self.engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(query.order_by(tasks.c.task_id)).mappings()]
        return [
            row
            for row in rows
            if (row["escalated_at"] or row["due_at"]) + timedelta(hours=hours.get(row["playbook"], 24.0))
            <= moment
        ]

    def mark_escalated(self, task_id: str, times: int) -> bool:
        """Note that an open step was escalated for the so-manieth time; False where that was noted before."""
        here = (tasks.c.task_id == task_id) & tasks.c.closed_at.is_(None)
        values = {"escalations": times, "escalated_at": now()}
        with writing(self.engine) as connection:
            statement = update(tasks).where(here & (tasks.c.escalations == times - 1)).values(**values)
            return bool(connection.execute(statement).rowcount)

    def read(self, *, is_open: bool | None = None, limit: int = 1_000) -> list[dict[str, Any]]:
        """Tasks, those due first at the top; `is_late` where one is, or was, closed after it was due.

        Closed ones alone: those closed last come first.
        """
        closed = tasks.c.closed_at
        first = closed.desc() if is_open is False else tasks.c.due_at
        query = select(tasks).order_by(first, tasks.c.task_id).limit(limit)
        if is_open is not None:
            query = query.where(closed.is_(None) if is_open else closed.is_not(None))
        with self.engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        return [{**row, "is_late": (row["closed_at"] or now()) > row["due_at"]} for row in rows]

    def find(self, task_id: str) -> dict[str, Any] | None:
        """One task; None: there is none of that id."""
        with self.engine.connect() as connection:
            row = connection.execute(select(tasks).where(tasks.c.task_id == task_id)).mappings().first()
        return None if row is None else dict(row)

    def begun(self) -> set[str]:
        """The open alerts whose playbook was begun."""
        standing = select(alerts.c.alert_id).where(alerts.c.state != "closed")
        query = select(tasks.c.alert_id).where(tasks.c.step == 0, tasks.c.alert_id.in_(standing))
        with self.engine.connect() as connection:
            return set(connection.execute(query).scalars())

    def about(
        self, kind: str, subjects: Sequence[str], accounts: Sequence[str | None]
    ) -> list[dict[str, Any]]:
        """Open tasks about these contracts or deals, or their customers as a whole, due first on top."""
        here = tasks.c
        names_subject = (here.kind == kind) & here.subject_id.in_(list(subjects))
        names_account = here.subject_id.is_(None) & here.account_id.in_([each for each in accounts if each])
        query = select(tasks).where(here.closed_at.is_(None), or_(names_subject, names_account))
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(here.due_at, here.task_id)).mappings().fetchall()
        return [{**row, "is_late": now() > row["due_at"]} for row in rows]

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


class _About(NamedTuple):
    """What a task is about, the same for all steps of its playbook."""

    alert_id: str
    account_id: str | None
    kind: str | None
    subject_id: str | None
    playbook: str


def _open(
    connection: Connection, about: _About, step: int, title: str, owner: str | None, due: datetime | timedelta
) -> str:
    moment = now()
    task_id = hashlib.sha256(f"{about.alert_id}:{step}".encode()).hexdigest()[:32]
    row = {
        **about._asdict(),
        "task_id": task_id,
        "step": step,
        "title": title,
        "owner": owner,
        "state": "open",
        "opened_at": moment,
        "due_at": moment + due if isinstance(due, timedelta) else due,
        "escalations": 0,
    }
    connection.execute(insert(connection, tasks).values(**row).on_conflict_do_nothing())
    return task_id


def _log_action(connection: Connection, row: Any, by: str, result: str, is_dropped: bool) -> None:
    """What people did is an action like any other: monitoring and experiments count it."""
    if is_dropped:
        return
    connection.execute(
        insert(connection, actions).values(
            kind=row["kind"] or "renewal",
            subject_id=row["subject_id"] or row["account_id"] or row["alert_id"],
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
