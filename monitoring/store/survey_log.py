"""Survey requests in the store: one for each event, not too often, sent from a ledger, answered once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, and_, func, or_, select, update

from monitoring.store.database import in_turn, insert, now, writing
from monitoring.store.survey_tables import survey_requests

LEASE = timedelta(minutes=10)
MOST_ATTEMPTS = 5


@dataclass(frozen=True)
class SurveyLog:
    """The part of the store that keeps survey requests.

    A request is written in the transaction of the event that led to it. Sending is the ledger of alerts over
    again: claimed, delivered, marked; killed in between it is sent again after ten minutes.
    """

    engine: Engine

    def ask(
        self,
        connection: Connection,
        request: Mapping[str, Any],
        *,
        contact_days: int,
        account_days: int,
        account_most: int,
    ) -> str | None:
        """Write a request unless it was written before, or the contact or account was asked too often lately.

        Args:
            connection: the transaction of the event.
            request: request_id, account_id, contact_id, email, kind, touchpoint, trigger.
            contact_days: nobody is asked twice within so many days.
            account_days: the span in which an account is asked at most `account_most` times.
            account_most: see there.

        Returns:
            Why nothing is asked; None where it is, or was.
        """
        table = survey_requests.c
        in_turn(connection, [request["account_id"]])
        if connection.execute(
            select(table.request_id).where(table.request_id == request["request_id"])
        ).first():
            return None
        moment = now()
        count = select(func.count()).select_from(survey_requests)
        lately = count.where(
            table.account_id == request["account_id"], table.asked_at > moment - timedelta(days=account_days)
        )
        if connection.execute(lately).scalar_one() >= account_most:
            return f"the account was asked {account_most} times within {account_days} days"
        if request["contact_id"] is not None:
            theirs = count.where(
                table.contact_id == request["contact_id"],
                table.asked_at > moment - timedelta(days=contact_days),
            )
            if connection.execute(theirs).scalar_one():
                return f"the contact was asked within {contact_days} days"
        row = {**request, "state": "pending", "attempts": 0, "asked_at": moment}
        connection.execute(insert(connection, survey_requests).values(**row))
        return None

    def claim(self) -> dict[str, Any] | None:
        """The next request that is due to be sent, claimed for this sender; None: nothing to send."""
        table, moment = survey_requests.c, now()
        waiting = or_(
            table.state == "pending",
            and_(table.state.in_(["sending", "failed"]), table.claimed_at < moment - LEASE),
        )
        due = select(table.request_id).where(waiting, table.attempts < MOST_ATTEMPTS)
        with writing(self.engine) as connection:
            selected = connection.execute(
                due.order_by(table.attempts, table.asked_at).limit(1).with_for_update(skip_locked=True)
            ).scalar()
            if selected is None:
                return None
            here = table.request_id == selected
            claim = {"state": "sending", "claimed_at": moment, "attempts": table.attempts + 1}
            connection.execute(update(survey_requests).where(here).values(**claim))
            return dict(connection.execute(select(survey_requests).where(here)).mappings().one())

    def mark(self, request_id: str, error: str | None = None) -> None:
        """Note how a claimed request went; once it is sent the address is forgotten."""
        table = survey_requests.c
        values: dict[str, Any] = {"state": "failed" if error else "sent", "error": error}
        if not error:
            values |= {"sent_at": now(), "email": None}
        here = and_(table.request_id == request_id, table.state == "sending")
        with writing(self.engine) as connection:
            connection.execute(update(survey_requests).where(here).values(**values))

    def answer(self, request_id: str, score: float) -> dict[str, Any] | None:
        """Note the first answer to a request; the request after that, None where there is none."""
        table = survey_requests.c
        first = and_(table.request_id == request_id, table.answered_at.is_(None))
        values = {"answered_at": now(), "score": score, "state": "answered", "email": None}
        with writing(self.engine) as connection:
            connection.execute(update(survey_requests).where(first).values(**values))
            selected = connection.execute(select(survey_requests).where(table.request_id == request_id))
            row = selected.mappings().first()
        return None if row is None else dict(row)

    def request(self, request_id: str) -> dict[str, Any] | None:
        """One request; None where there is none."""
        query = select(survey_requests).where(survey_requests.c.request_id == request_id)
        with self.engine.connect() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else dict(row)

    def requests(self, limit: int = 1_000) -> list[dict[str, Any]]:
        """Requests, the newest first."""
        table = survey_requests.c
        query = select(survey_requests).order_by(table.asked_at.desc(), table.request_id).limit(limit)
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]
