"""One customer: odds over time, reasons, what would change them, customers like it, and what happened."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from features.errors import RenewalError
from features.load import opened
from serving.alike import alike
from serving.auth import Principal
from serving.batch import ID_COLUMNS, hide_held_out
from serving.lists import histories, of_account
from serving.pages import what_if
from serving.pages.signing import checked_form
from serving.pages.timeline import customer, happened
from serving.pages.view import Seller, render, url
from serving.planning import contact_window
from serving.problems import ProblemError

ACTIONS = ("Called", "Met", "Wrote", "Offered a discount", "Escalated", "Decided to wait")

router = APIRouter()


@router.get("/accounts/{account_id:path}")
async def account(account_id: str, request: Request, principal: Seller) -> Response:
    """The page of one customer."""
    return await run_in_threadpool(_page, account_id, request, principal)


def _page(account_id: str, request: Request, principal: Principal) -> Response:
    running = request.app.state.running
    rows = [hide_held_out(row) for row in of_account(running.store, account_id) if principal.sees(row)]
    known, events = _from_crm(running, account_id)
    if not rows and (known is None or not principal.sees(known)):
        raise ProblemError(404, f"There is no customer {account_id!r}.")
    name = next((row["account_name"] for row in rows if row.get("account_name")), None)
    as_of = max((row["as_of"] for row in rows if row["as_of"]), default=None)
    store = running.store
    return render(
        request,
        "account.html",
        account_id=account_id,
        name=name or (known or {}).get("name") or account_id,
        known=known or {},
        subjects=[_subject(running, row, request, principal) for row in rows],
        events=events,
        as_of=as_of,
        actions=ACTIONS,
        done=_done(store, {row["subject_id"] for row in rows}),
        alerts=[each for each in store.alerts(state="standing") if each["account_id"] == account_id],
        noted=request.query_params.get("noted"),
    )


def _subject(running: Any, row: dict[str, Any], request: Request, principal: Principal) -> dict[str, Any]:
    """A contract or deal with all that is told of it; what-if and likeness are told of contracts."""
    kind, subject = row["kind"], row["subject_id"]
    history = histories(running.store, kind, [subject]).get(subject, [])
    told = {
        **row,
        "history": [] if row.get("held_out") else history,
        "own": _own(running.store, kind, subject),
    }
    if kind != "renewal" or row.get("problem"):
        return told
    return {
        **told,
        "window": contact_window(running, row),
        "levers": what_if.levers(row),
        "supposed": what_if.asked(running, row, request, principal),
        "alike": alike(running, row, principal),
    }


def _own(store: Any, kind: str, subject: str) -> list[dict[str, Any]]:
    """The team's own odds, newest first."""
    made = store.overrides(kind)
    return made[made["subject_id"] == subject].iloc[::-1].to_dict("records")


def _from_crm(running: Any, account_id: str) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The customer as the ingested CRM has it, and what happened; nothing where none was ingested."""
    live = running.store.events(account_id=account_id)
    try:
        with opened(running.settings) as crm:
            return customer(crm, account_id), happened(crm, account_id, live)
    except RenewalError:  # scored straight from a folder: there are scores to show, but no timeline
        return None, happened(None, account_id, live)


def _done(store: Any, subjects: set[str]) -> list[dict[str, Any]]:
    taken = store.actions("renewal"), store.actions("win")
    rows = [row for frame in taken for row in frame.to_dict("records") if row["subject_id"] in subjects]
    return sorted(rows, key=lambda row: row["taken_at"], reverse=True)


@router.post("/actions/{kind}/{subject_id:path}")
async def act(kind: str, subject_id: str, request: Request, principal: Seller) -> Response:
    """Note what the team did: scores change what people do, and monitoring has to know."""
    fields = await checked_form(request)
    store = request.app.state.running.store
    rows = store.scores(kind, ids=[subject_id]).rows if kind in ID_COLUMNS else []
    if not rows or not principal.sees(rows[0]):
        raise ProblemError(404, f"There is no {subject_id!r} among what runs.")
    if fields.get("action") not in ACTIONS:
        raise ProblemError(422, f"The action should be one of {', '.join(ACTIONS)}.")
    who, account_id = principal.label or principal.key_id, rows[0]["account_id"]
    details = {"note": fields.get("note", "").strip()[:2_000]} if fields.get("note", "").strip() else None
    store.record_action(
        kind, subject_id, fields["action"], account_id=account_id, taken_by=who, details=details
    )
    return RedirectResponse(url(f"/accounts/{account_id}", noted=1), 303)
