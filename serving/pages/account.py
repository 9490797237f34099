"""One customer: odds over time, reasons, what happened, and what the team did about it."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from features.errors import RenewalError
from features.load import opened
from serving.batch import ID_COLUMNS, hide_held_out
from serving.lists import of_account
from serving.pages.signing import checked_form
from serving.pages.timeline import customer, happened
from serving.pages.view import Seller, render, url
from serving.problems import ProblemError

ACTIONS = ("Called", "Met", "Wrote", "Offered a discount", "Escalated", "Decided to wait")
KIND_OF = {"contract": "renewal", "opportunity": "win"}

router = APIRouter()


@router.get("/accounts/{account_id:path}")
async def account(account_id: str, request: Request, principal: Seller) -> Response:
    """The page of one customer."""
    return await run_in_threadpool(_page, account_id, request, principal)


def _page(account_id: str, request: Request, principal: Any) -> Response:
    running = request.app.state.running
    rows = [hide_held_out(row) for row in of_account(running.store, account_id) if principal.sees(row)]
    known, events = _from_crm(running, account_id)
    if not rows and (known is None or not principal.sees(known)):
        raise ProblemError(404, f"There is no customer {account_id!r}.")
    subjects = [{**row, "history": _history(running.store, row)} for row in rows]
    name = next((row["account_name"] for row in rows if row.get("account_name")), None)
    return render(
        request,
        "account.html",
        account_id=account_id,
        name=name or (known or {}).get("name") or account_id,
        known=known or {},
        subjects=subjects,
        events=events,
        as_of=max((row["as_of"] for row in rows if row["as_of"]), default=None),
        actions=ACTIONS,
        done=_done(running.store, {row["subject_id"] for row in rows}),
        noted=request.query_params.get("noted"),
    )


def _from_crm(running: Any, account_id: str) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The customer as the ingested CRM has it, and what happened; nothing where none was ingested."""
    live = running.store.events(account_id=account_id)
    try:
        with opened(running.settings) as crm:
            return customer(crm, account_id), happened(crm, account_id, live)
    except RenewalError:  # scored straight from a folder: there are scores to show, but no timeline
        return None, happened(None, account_id, live)


def _history(store: Any, row: dict[str, Any]) -> list[dict[str, Any]]:
    """One point for each moment scored, by the model that scored it last."""
    if row.get("held_out"):
        return []
    logged = store.score_history(row["kind"], row["subject_id"])
    points = {
        point["as_of"]: point for point in logged if point["as_of"] and point["probability"] is not None
    }
    return [points[as_of] for as_of in sorted(points)]


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
