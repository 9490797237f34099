"""Which scores a list holds: the one filter behind pages, routes, files, totals and roll-ups."""

from collections.abc import Collection
from typing import Any, TypedDict

from sqlalchemy import ColumnElement, and_, exists, func, or_

from features.moments import naive_utc
from features.renewal_opportunities import RENEW
from monitoring.store.database import now
from monitoring.store.tables import alerts, scores
from monitoring.store.task_tables import tasks
from monitoring.store.work_tables import work_status

NEEDS = {
    "alert": "With an alert",
    "task": "With an open task",
    "late": "With a late task",
    "nobody": "Without a task",
}
"""What a list can be narrowed to by the work that is open, and what people call it."""


NOT_STARTED = "not started"
STATUSES = (NOT_STARTED, "in contact", "negotiating", "agreed", "not renewing")
"""Where a team is with a renewal, as it notes it itself; the score takes no notice of it."""


class Wanted(TypedDict, total=False):
    """What a list is narrowed to; an empty value narrows nothing.

    Attributes:
        owner: only this owner's.
        owners: only these owners', such as a team's or what a key may see.
        region: only this region's.
        before: only what ends before this moment.
        band: only this band; customers held out have none that is shown.
        deal_kind: only deals of this kind (`new`, `expansion`, …).
        text: part of the customer's name or id, or of the contract's or deal's id.
        needs: of `NEEDS`.
        status: where the team is with it, as `work_status` notes it.
    """

    owner: str | None
    owners: Collection[str] | None
    region: str | None
    before: Any
    band: str | None
    deal_kind: str | None
    text: str | None
    needs: str | None
    status: str | None


def conditions(kind: str, wanted: Wanted) -> list[ColumnElement[bool]]:
    """The conditions on `scores`: open subjects of a kind that fit all of `wanted`."""
    details = scores.c.details
    here = [scores.c.kind == kind, scores.c.gone_at.is_(None)]
    if wanted.get("owner"):
        here.append(scores.c.owner_id == wanted["owner"])
    owners = wanted.get("owners")
    if owners is not None:
        here.append(scores.c.owner_id.in_(sorted(owners)))
    if wanted.get("region"):
        here.append(scores.c.region == wanted["region"])
    if wanted.get("before"):
        here.append(scores.c.end_date < naive_utc(wanted["before"]).to_pydatetime())
    if wanted.get("band"):
        here += [scores.c.band == wanted["band"], scores.c.held_out.is_not(True)]
    if wanted.get("deal_kind"):
        here.append(details["deal_kind"].as_string() == wanted["deal_kind"])
    text = (wanted.get("text") or "").strip()
    if text:
        here.append(_names(text))
    needs = wanted.get("needs")
    if needs:
        here.append(_NEEDED[needs]())
    status = wanted.get("status")
    if status:
        here.append(has_status(status))
    return here


def _names(text: str) -> ColumnElement[bool]:
    like = f"%{text.replace('!', '!!').replace('%', '!%').replace('_', '!_')}%"
    names = scores.c.details["account_name"].as_string(), scores.c.account_id, scores.c.subject_id
    return or_(*(name.ilike(like, escape="!") for name in names))


def _about(table: Any) -> ColumnElement[bool]:
    """A row of alerts or tasks is about a score's subject, or, naming none, about its account."""
    names_subject = and_(table.c.kind == scores.c.kind, table.c.subject_id == scores.c.subject_id)
    names_account = and_(table.c.subject_id.is_(None), table.c.account_id == scores.c.account_id)
    return or_(names_subject, names_account)


def has_alert() -> ColumnElement[bool]:
    """Whether an alert is open about a score's subject or customer."""
    return exists().where(alerts.c.state != "closed", _about(alerts)).correlate(scores)


def has_task(is_late: bool = False) -> ColumnElement[bool]:
    """Whether a task is open (`is_late`: and overdue) about a score's subject or customer."""
    open_ones = [tasks.c.closed_at.is_(None), _about(tasks)]
    overdue = [tasks.c.due_at < now()] if is_late else []
    return exists().where(*open_ones, *overdue).correlate(scores)


def is_renewal() -> ColumnElement[bool]:
    """Whether a deal calls itself a renewal (`features.renewal_opportunities` says which)."""
    return func.lower(scores.c.details["deal_kind"].as_string()).contains(RENEW)


def has_status(status: str) -> ColumnElement[bool]:
    """Whether the team has noted this status; what was never noted is not started."""
    here = and_(work_status.c.kind == scores.c.kind, work_status.c.subject_id == scores.c.subject_id)
    noted = exists().where(here).correlate(scores)
    if status == NOT_STARTED:
        return or_(~noted, exists().where(here, work_status.c.status == status).correlate(scores))
    return exists().where(here, work_status.c.status == status).correlate(scores)


_NEEDED = {
    "alert": has_alert,
    "task": has_task,
    "late": lambda: has_task(is_late=True),
    "nobody": lambda: ~has_task(),
}
