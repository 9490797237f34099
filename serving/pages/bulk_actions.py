"""What is done to several rows of a list at once (status, task, note, alerts acknowledged); saved views."""

from datetime import UTC, datetime, time
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from monitoring.store import Store
from monitoring.store.list_filter import STATUSES
from serving.api.problems import ProblemError
from serving.pages.sign_in_page import checked_form
from serving.pages.view import Seller
from serving.security.auth import Principal
from serving.state import Running, running_of

LISTS = {"/renewals": "renewal", "/pipeline": "win"}
ACTIONS = ("Called", "Met", "Wrote", "Offered a discount", "Escalated", "Decided to wait")
MOST_NAME = 60
router = APIRouter()


@router.post("/bulk/{kind}")
async def bulk(kind: str, request: Request, principal: Seller) -> Response:
    """Do one thing to the rows that were chosen."""
    fields = await checked_form(request)
    ids = parse_qs((await request.body()).decode("utf-8", "replace")).get("id", [])
    done = await run_in_threadpool(_do, running_of(request), principal, kind, ids, fields)
    return RedirectResponse(_back(fields.get("back", ""), kind, done), 303)


def _do(running: Running, principal: Principal, kind: str, ids: list[str], fields: dict[str, str]) -> str:
    """Do what the form says; returns what was done to how many, for `done_words`.

    Raises:
        ProblemError: 404 for another list, 422 where nothing was chosen or the form lacks something.
    """
    if kind not in LISTS.values():
        raise ProblemError(404, f"There is no list of {kind!r}.")
    rows = running.store.scores.page(kind, ids=ids).rows if ids else []
    rows = [row for row in rows if principal.sees(row)]
    if not rows:
        raise ProblemError(422, "Choose at least one row of the list first.")
    subjects = {row["subject_id"]: row["account_id"] for row in rows}
    who = principal.label or principal.key_id
    what = fields.get("do", "")
    count = _DO.get(what, _nothing)(running.store, kind, subjects, fields, who)
    running.store.audit.record(who, f"bulk {what}", None, {"subjects": list(subjects)})
    return f"{what}-{count}"


Subjects = dict[str, str | None]


def _nothing(store: Store, kind: str, subjects: Subjects, fields: dict[str, str], who: str) -> int:
    raise ProblemError(422, f"What to do should be one of {', '.join(_DO)}.")


def _status(store: Store, kind: str, subjects: Subjects, fields: dict[str, str], who: str) -> int:
    status = fields.get("status", "")
    if status not in STATUSES:
        raise ProblemError(422, f"The status should be one of {', '.join(STATUSES)}.")
    store.work.set_status(kind, subjects, status, who)
    return len(subjects)


def _task(store: Store, kind: str, subjects: Subjects, fields: dict[str, str], who: str) -> int:
    title = fields.get("title", "").strip()[:200]
    if not title:
        raise ProblemError(422, "A task needs words: what is to be done?")
    try:
        due = datetime.combine(datetime.fromisoformat(fields.get("due", "")).date(), time.max, UTC)
    except ValueError as error:
        raise ProblemError(422, "A task needs a day by which it is due, such as 2026-03-31.") from error
    owner = fields.get("owner", "").strip() or None
    due_at = due.replace(tzinfo=None, microsecond=0)
    given = store.tasks.give(kind, subjects, title=title, owner=owner or who, due_at=due_at)
    return len(given)


def _note(store: Store, kind: str, subjects: Subjects, fields: dict[str, str], who: str) -> int:
    action = fields.get("action", "")
    if action not in ACTIONS:
        raise ProblemError(422, f"The action should be one of {', '.join(ACTIONS)}.")
    for subject, account in subjects.items():
        store.judgements.record_action(kind, subject, action, account_id=account, taken_by=who)
    return len(subjects)


def _acknowledge(store: Store, kind: str, subjects: Subjects, fields: dict[str, str], who: str) -> int:
    standing = store.alerts.about(kind, list(subjects), list(subjects.values()))
    fresh = [alert for alert in standing if alert["state"] == "open"]
    for alert in fresh:
        store.alerts.acknowledge(alert["alert_id"], who)
    return len(fresh)


_DO = {"status": _status, "task": _task, "note": _note, "acknowledge": _acknowledge}


_DONE = {
    "status": ("Status noted", "row"),
    "task": ("Given", "task"),
    "note": ("Noted for", "row"),
    "acknowledge": ("Acknowledged", "alert"),
}
_OVERRIDE = "Noted. The score stays as it is; both will be compared with what happens."


def done_words(noted: str | None) -> str | None:
    """What was just done, in words for the page that shows it; None: nothing was."""
    what, _, number = (noted or "").partition("-")
    if noted == "1":
        return _OVERRIDE
    if what not in _DONE or not number.isdecimal():
        return None
    done, thing = _DONE[what]
    return f"{done}: {int(number):,} {thing}{'' if int(number) == 1 else 's'}."


def _back(path: str, kind: str, done: str) -> str:
    """The list as it was filtered, with what was done."""
    home = next(page for page, of in LISTS.items() if of == kind)
    path = path if path.partition("?")[0] == home else home
    before, _, query = path.partition("?")
    params = [(name, value) for name, value in parse_qsl(query) if name != "noted"]
    return f"{before}?{urlencode([*params, ('noted', done)])}"


@router.post("/views")
async def save_view(request: Request, principal: Seller) -> Response:
    """Keep a list as it is filtered and ordered, under a name."""
    fields = await checked_form(request)
    page, name = fields.get("page", ""), fields.get("name", "").strip()[:MOST_NAME]
    if page not in LISTS:
        raise ProblemError(404, f"There is no list {page!r}.")
    if not name:
        raise ProblemError(422, "A view needs a name.")
    query = urlencode(parse_qs(fields.get("query", "")[:2_000]), doseq=True)
    store = running_of(request).store
    is_shared = fields.get("shared") == "yes"
    await run_in_threadpool(store.work.save_view, page, name, query, principal.key_id, is_shared)
    return RedirectResponse(f"{page}?{query}" if query else page, 303)


@router.post("/views/{view_id}/drop")
async def drop_view(view_id: str, request: Request, principal: Seller) -> Response:
    """Remove a view of one's own."""
    fields = await checked_form(request)
    store = running_of(request).store
    if not await run_in_threadpool(store.work.drop_view, view_id, principal.key_id):
        raise ProblemError(404, "There is no such view of yours.")
    page: Any = fields.get("page", "")
    return RedirectResponse(page if page in LISTS else "/", 303)
