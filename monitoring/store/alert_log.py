"""Alerts in the store: opened once for each cause, and a ledger of what was sent where."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, and_, or_, select, update

from features.errors import RenewalError
from monitoring.store.database import insert, now, put, writing
from monitoring.store.tables import alert_sends, alerts

STATES = ("open", "acknowledged", "closed")


class Opened(NamedTuple):
    """What became of an alert that was to be opened: whether it is new, or else what joined it."""

    alert_id: str
    is_new: bool
    joined: tuple[str, ...] = ()


@dataclass(frozen=True)
class AlertLog:
    """The part of the store that keeps alerts.

    Sending is a transactional outbox. `open_alert` writes the alert and one pending send for each channel in
    one transaction; a sender claims a send, delivers, and marks it. Killed before the delivery or after the
    mark, nothing is lost or doubled. Killed between delivery and mark, the send is offered again once its
    claim has run out: at least once, with the alert's id in the message so that a receiver can drop repeats.
    """

    engine: Engine

    def open(
        self,
        dedupe_key: str,
        *,
        rule: str,
        title: str,
        severity: str = "warning",
        reasons: Sequence[str] = (),
        kind: str | None = None,
        subject_id: str | None = None,
        account_id: str | None = None,
        segment: str | None = None,
        value: float | None = None,
        threshold: float | None = None,
        owner: str | None = None,
        channels: Sequence[str] = (),
        topics: Sequence[str] = (),
    ) -> Opened:
        """Open an alert, or note that one with this `dedupe_key` that isn't closed was seen again.

        Args:
            dedupe_key: names the cause; the further words are what is kept of it.
            channels: where it is to be sent.
            topics: what it is about, such as the columns that moved. One that joins an open alert is sent
                to every channel again; one that comes and goes is not.
        """
        moment = now()
        fresh = {
            "alert_id": uuid.uuid4().hex,
            "dedupe_key": dedupe_key,
            "rule": rule,
            "title": title,
            "severity": severity,
            "reasons": list(reasons),
            "kind": kind,
            "subject_id": subject_id,
            "account_id": account_id,
            "segment": segment,
            "value": value,
            "threshold": threshold,
            "owner": owner,
            "topics": dict.fromkeys(topics, 0),
            "state": "open",
            "opened_at": moment,
            "last_seen_at": moment,
        }
        with writing(self.engine) as connection:
            statement = insert(connection, alerts).on_conflict_do_update(
                index_elements=["dedupe_key"],
                index_where=alerts.c.state != "closed",
                set_={"last_seen_at": moment, "value": value, "reasons": list(reasons)},
            )
            alert_id = connection.execute(statement.returning(alerts.c.alert_id), fresh).scalar_one()
            is_new = alert_id == fresh["alert_id"]
            joined = () if is_new else _join(connection, alert_id, topics)
            if is_new or joined:
                _offer(connection, alert_id, channels, is_again=bool(joined))
        return Opened(alert_id, is_new, joined)

    def was_sent(self, dedupe_key: str, topics: Sequence[str]) -> bool:
        """Whether alerts of this cause, closed ones included, were about each of these already."""
        query = select(alerts.c.topics).where(alerts.c.dedupe_key == dedupe_key)
        with self.engine.connect() as connection:
            known_topics = {topic for noted in connection.execute(query).scalars() for topic in noted or ()}
        return known_topics.issuperset(topics)

    def acknowledge(self, alert_id: str, by: str, *, owner: str | None = None) -> None:
        """Somebody has seen it and takes it (or hands it to `owner`)."""
        with writing(self.engine) as connection:
            _require(connection, alert_id)
            values = {
                "state": "acknowledged",
                "acknowledged_at": now(),
                "acknowledged_by": by,
                "owner": owner or by,
            }
            is_open = and_(alerts.c.alert_id == alert_id, alerts.c.state == "open")
            connection.execute(update(alerts).where(is_open).values(**values))

    def close(self, alert_id: str, by: str, because: str = "") -> None:
        """Somebody closes it; a closed one stays as it was closed first."""
        with writing(self.engine) as connection:
            _require(connection, alert_id)
            _close(connection, alerts.c.alert_id == alert_id, by, because)

    def close_gone(self, rule: str, kind: str | None, standing: Sequence[str], because: str) -> int:
        """Close the alerts of a rule and kind whose cause is gone: their key is not among `standing`."""
        gone = [alerts.c.rule == rule, alerts.c.dedupe_key.not_in(list(standing))]
        if kind is not None:
            gone.append(alerts.c.kind == kind)
        with writing(self.engine) as connection:
            return _close(connection, and_(*gone), "perennial", because)

    def read(
        self, *, state: str | None = None, kind: str | None = None, limit: int = 1_000
    ) -> list[dict[str, Any]]:
        """Alerts, newest first; `hours_to_close` is set on closed ones.

        Args:
            state: `open`, `acknowledged`, `closed`, or `standing` for what is not closed.
            kind: `renewal` or `win`.
            limit: at most so many.
        """
        query = select(alerts).order_by(alerts.c.opened_at.desc(), alerts.c.alert_id).limit(limit)
        if state is not None:
            query = query.where(
                alerts.c.state != "closed" if state == "standing" else alerts.c.state == state
            )
        if kind is not None:
            query = query.where(alerts.c.kind == kind)
        with self.engine.connect() as connection:
            return [_shown(dict(row)) for row in connection.execute(query).mappings()]

    def about(
        self, kind: str, subjects: Sequence[str], accounts: Sequence[str | None]
    ) -> list[dict[str, Any]]:
        """Standing alerts about these contracts or deals, or their customers as a whole, newest first."""
        here = alerts.c
        names_subject = and_(here.kind == kind, here.subject_id.in_(list(subjects)))
        names_account = and_(
            here.subject_id.is_(None), here.account_id.in_([each for each in accounts if each])
        )
        query = select(alerts).where(here.state != "closed", or_(names_subject, names_account))
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(here.opened_at.desc(), here.alert_id)).mappings()
            return [_shown(dict(row)) for row in rows]

    def id_of(self, beginning: str) -> str:
        """The id that begins so.

        Raises:
            RenewalError: none does, or several do.
        """
        like = alerts.c.alert_id.startswith(beginning.strip(), autoescape=True)
        with self.engine.connect() as connection:
            matches = list(connection.execute(select(alerts.c.alert_id).where(like).limit(2)).scalars())
        if len(matches) != 1 or not beginning.strip():
            raise RenewalError(
                expected="the id of an alert, or how one and no other begins",
                found=f"{beginning!r}, which fits {'several' if matches else 'none'}",
                do="Take it from `perennial alerts list --state all`.",
            )
        return matches[0]

    def claim_send(
        self, *, lease: timedelta = timedelta(minutes=10), attempts: int = 5
    ) -> dict[str, Any] | None:
        """The next send that is due, claimed for this sender: pending, failed, or left by one that died.

        Returns:
            `channel`, `attempts` (this one included), `round` (0, or the number of the repeat) and the
            alert's columns; None: nothing to send.
        """
        moment = now()
        send = alert_sends.c
        waiting = or_(
            send.state == "pending",
            and_(send.state.in_(["sending", "failed"]), send.claimed_at < moment - lease),
        )
        due = select(send.alert_id, send.channel).where(waiting, send.attempts < attempts)
        with writing(self.engine) as connection:
            row = connection.execute(
                due.order_by(send.attempts, send.alert_id).limit(1).with_for_update(skip_locked=True)
            ).first()
            if row is None:
                return None
            here = and_(send.alert_id == row.alert_id, send.channel == row.channel)
            claim = {"state": "sending", "claimed_at": moment, "attempts": send.attempts + 1}
            connection.execute(update(alert_sends).where(here).values(**claim))
            joined = select(alerts, send.channel, send.attempts, send.round).join(alert_sends).where(here)
            return dict(connection.execute(joined).mappings().one())

    def mark_send(self, alert_id: str, channel: str, error: str | None = None, *, round: int = 0) -> None:
        """Note how a claimed send went: sent, or failed with the error (tried again after the lease).

        A repeat that became due meanwhile (another `round`) stays due.
        """
        state = "failed" if error else "sent"
        values = {"state": state, "error": error, "sent_at": None if error else now()}
        send = alert_sends.c
        here = and_(send.alert_id == alert_id, send.channel == channel, send.round == round)
        with writing(self.engine) as connection:
            connection.execute(update(alert_sends).where(here).values(**values))

    def figures(self, kind: str | None = None) -> dict[str, Any]:
        """How many alerts are `open`, `acknowledged`, `closed`; median hours to acknowledge and to close.

        `oldest_hours`: how long the oldest standing one has stood. None where there is none of a sort.
        """
        of_kind = [] if kind is None else [alerts.c.kind == kind]
        moments = ("opened_at", "acknowledged_at", "closed_at")
        query = select(alerts.c.state, *[alerts.c[name] for name in moments]).where(*of_kind)
        with self.engine.connect() as connection:
            rows = connection.execute(query).fetchall()
        counts = {state: sum(row.state == state for row in rows) for state in STATES}
        taken = [_hours(row.opened_at, row.acknowledged_at) for row in rows if row.acknowledged_at]
        closed = [_hours(row.opened_at, row.closed_at) for row in rows if row.closed_at]
        standing = [_hours(row.opened_at, now()) for row in rows if row.state != "closed"]
        return {
            **counts,
            "median_hours_to_acknowledge": median(taken) if taken else None,
            "median_hours_to_close": median(closed) if closed else None,
            "oldest_hours": max(standing, default=None),
        }

    def sends(self, alert_id: str) -> list[dict[str, Any]]:
        """The ledger of one alert: where it went or waits to go."""
        query = select(alert_sends).where(alert_sends.c.alert_id == alert_id).order_by(alert_sends.c.channel)
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]


def _require(connection: Connection, alert_id: str) -> None:
    if connection.execute(select(alerts.c.alert_id).where(alerts.c.alert_id == alert_id)).first() is None:
        raise RenewalError(
            expected="the id of an alert", found=repr(alert_id), do="Take it from the listing."
        )


def _join(connection: Connection, alert_id: str, topics: Sequence[str]) -> tuple[str, ...]:
    """The topics that are new to an open alert, noted with it under the number of their repeat."""
    query = select(alerts.c.topics).where(alerts.c.alert_id == alert_id)
    known_topics = connection.execute(query).scalar_one()
    if known_topics is None:  # opened before topics were kept: what it was about is not known
        known_topics = dict.fromkeys(topics, 0)
    joined = tuple(topic for topic in dict.fromkeys(topics) if topic not in known_topics)
    if topics:
        latest = max(known_topics.values(), default=0)
        values = {"topics": known_topics | dict.fromkeys(joined, latest + 1)}
        connection.execute(update(alerts).where(alerts.c.alert_id == alert_id).values(**values))
    return joined


def _offer(connection: Connection, alert_id: str, channels: Sequence[str], *, is_again: bool) -> None:
    """Make an alert due on each channel; once more, where it was already sent."""
    pending = [
        {"alert_id": alert_id, "channel": channel, "state": "pending", "attempts": 0, "round": 0}
        for channel in dict.fromkeys(channels)
    ]
    statement = insert(connection, alert_sends)
    if is_again:
        again = {"state": "pending", "attempts": 0, "round": alert_sends.c.round + 1, "error": None}
        statement = statement.on_conflict_do_update(index_elements=["alert_id", "channel"], set_=again)
    put(connection, statement, pending)


def _close(connection: Connection, which: Any, by: str, because: str) -> int:
    values = {"state": "closed", "closed_at": now(), "closed_by": by, "closed_because": because}
    return connection.execute(
        update(alerts).where(which, alerts.c.state != "closed").values(**values)
    ).rowcount


def _shown(alert: dict[str, Any]) -> dict[str, Any]:
    closed = alert["closed_at"]
    hours = _hours(alert["opened_at"], closed) if closed else None
    return {**alert, "topics": sorted(alert["topics"] or ()), "hours_to_close": hours}


def _hours(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() / 3600
