"""One customer: probability over time, reasons, what would change them, customers like it, and what happened.

What if we acted otherwise: a form of actions on a customer's page, and the answer as a piece of it.

Without a script the form asks for the whole page; with one, the piece alone is fetched while a slider moves.

Customers like the one on a page: where its contract lies among the decided ones a visitor may see.
"""

from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from features.crm.load import opened
from features.errors import RenewalError
from monitoring.store import Store
from monitoring.store.database import records
from serving.api.list_filters import histories, of_account
from serving.api.planning import account_now, contact_window, what_if_answer
from serving.api.problems import ProblemError
from serving.api.shapes import Changes, WhatIfAsked
from serving.pages.bulk_actions import ACTIONS
from serving.pages.sign_in_page import checked_form
from serving.pages.timeline import customer, happened
from serving.pages.view import Seller, render, url
from serving.precompute import similar_of
from serving.scoring.scored_rows import hide_held_out
from serving.scoring.similar_contracts import Past, how_they_went, nearest, place_of
from serving.scoring.subject_details import ID_COLUMNS
from serving.security.auth import Principal
from serving.state import Running, running_of

LEVERS: tuple[dict[str, Any], ...] = (
    {"name": "contact_days_before", "words": "First contact, days before the end", "unit": " days",
     "most": 180},
    {"name": "calls_30d", "words": "Calls in the last 30 days", "unit": "", "most": 12},
    {"name": "discount_pct", "words": "Discount quoted", "unit": " %", "most": 40},
)  # fmt: skip
"""Only what a team can do; features that merely go with the outcome are not offered."""

WORDS: dict[str, str] = {lever["name"]: lever["words"] for lever in LEVERS}

router = APIRouter()


def levers(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The actions offered for a contract: contact can't be planned for a day that is past."""
    left = row.get("lead_days")
    days = 180 if left is None else max(int(left), 1)
    limits = {"contact_days_before": days}
    return [{**lever, "most": min(lever["most"], limits.get(lever["name"], 180))} for lever in LEVERS]


def requested_what_if(
    running: Running, row: dict[str, Any], request: Request, principal: Principal
) -> dict[str, Any] | None:
    """The answer to the form in the address, where it is about this contract; else None."""
    if request.query_params.get("what_if") != row["subject_id"]:
        return None
    return what_if_result(running, row["subject_id"], request, principal)


def what_if_result(
    running: Running, contract_id: str, request: Request, principal: Principal
) -> dict[str, Any] | None:
    """What the score would say and what the estimated effects are; None where nothing was changed.

    Raises:
        ProblemError: 422 for a figure out of range.
    """
    given = {name: request.query_params.get(name, "").strip() for name in WORDS}
    given = {name: value for name, value in given.items() if value}
    if not given:
        return None
    try:
        body = WhatIfAsked(contract_id=contract_id, changes=Changes.model_validate(given))
    except ValidationError as error:
        first = error.errors()[0]
        words = WORDS.get(str(first["loc"][0]) if first["loc"] else "", "The change")
        raise ProblemError(422, f"{words}: {first['msg']}.") from error
    return {**what_if_answer(running, body, principal), "words": WORDS}


@router.get("/what-if/{contract_id:path}")
async def piece(contract_id: str, request: Request, principal: Seller) -> Response:
    """The answer alone, for the script that moves the sliders."""
    running = running_of(request)
    answer = await run_in_threadpool(what_if_result, running, contract_id, request, principal)
    return render(request, "what_if.html", supposed=answer)


_WHOSE = ("owner_id", "region")


def alike(running: Running, rows: list[dict[str, Any]], principal: Principal) -> dict[str, dict[str, Any]]:
    """The decided contracts most like each of a customer's running ones, and how they went.

    Args:
        running: the running service.
        rows: the contracts' current scores, all of one customer.
        principal: who looks: others' customers are neither shown nor counted.

    Returns:
        Contract → `rows` (nearest first), and `n`, `renewed`, `rate`, `low`, `high` of
        `similar.how_they_went`; or `why` there are none, and whether they are on their way (`comes`).
    """
    loaded = running.models.get("renewal")
    unscored = {"why": "This contract is left unscored.", "comes": False}
    if loaded is None or not rows:
        return {row["subject_id"]: unscored for row in rows}
    result = running.worked_out.ask(similar_of(str(loaded.version)))
    past: Past | None = result.value
    if past is None:
        return {row["subject_id"]: {"why": result.why, "comes": result.comes} for row in rows}
    if past.version != str(loaded.version):
        changed = {"why": "The model has just changed; ask again in a minute.", "comes": True}
        return {row["subject_id"]: changed for row in rows}
    places, may_see = _places(running, str(rows[0]["account_id"])), _visible(past, principal)
    return {
        row["subject_id"]: unscored
        if row.get("held_out")
        else _alike(past, places.get(row["subject_id"]), row, may_see)
        for row in rows
    }


def _alike(past: Past, at: np.ndarray | None, row: dict[str, Any], may_see: np.ndarray) -> dict[str, Any]:
    if at is None:
        return {"why": "The contract has no end date, or does not run any more.", "comes": False}
    rows = nearest(past, at, float(row.get("lead_days") or np.nan), may_see, str(row["account_id"]))
    return {"rows": rows.to_dict("records"), **how_they_went(rows)}


def _visible(past: Past, principal: Principal) -> np.ndarray:
    """(n,) which decided contracts somebody may see."""
    if not principal.is_scoped:
        return np.ones(len(past.contracts), bool)
    owners = past.contracts[list(_WHOSE)].to_dict("records")
    return np.array([principal.sees({str(name): row[name] for name in _WHOSE}) for row in owners], bool)


def _places(running: Running, account_id: str) -> dict[str, np.ndarray]:
    """Contract → (k,) where it lies as it stands now, live events included."""
    try:
        with running.live.arrivals.standing("renewal", account_id) as context:
            if context is None:
                return {}
            ground, account_subjects, arrived = context
            ids = [ground.subjects[place]["contract_id"] for place in account_subjects.places.tolist()]
            if not ids:
                return {}
            X = ground.features(account_subjects, arrived)
    except RenewalError:  # scored straight from a folder: nothing was ingested to stand on
        return {}
    return dict(zip(ids, place_of(running.models.need("renewal").model, X), strict=True))


@router.get("/accounts/{account_id:path}")
async def account(account_id: str, request: Request, principal: Seller) -> Response:
    """The page of one customer."""
    return await run_in_threadpool(_page, account_id, request, principal)


def _page(account_id: str, request: Request, principal: Principal) -> Response:
    running = running_of(request)
    rows = [hide_held_out(row) for row in of_account(running.store, account_id) if principal.sees(row)]
    customer_row, events = _from_crm(running, account_id, principal)
    if not rows and (customer_row is None or not principal.sees(customer_row)):
        raise ProblemError(404, f"There is no customer {account_id!r}.")
    subjects = {row["subject_id"] for row in rows}
    name = next((row["account_name"] for row in rows if row.get("account_name")), None)
    as_of = max((row["as_of"] for row in rows if row["as_of"]), default=None)
    store = running.store
    return render(
        request,
        "account.html",
        account_id=account_id,
        name=name or (customer_row or {}).get("name") or account_id,
        known=customer_row or {},
        subjects=_subjects(running, rows, request, principal),
        events=events,
        as_of=as_of,
        actions=ACTIONS,
        done=_done(store, subjects),
        alerts=[
            each
            for each in store.alerts.read(state="standing")
            if each["account_id"] == account_id and each["subject_id"] in {None, *subjects}
        ],
        noted=request.query_params.get("noted"),
    )


def _subjects(
    running: Running, rows: list[dict[str, Any]], request: Request, principal: Principal
) -> list[dict[str, Any]]:
    """Contracts and deals with all that is shown of them; what-if and similar customers for contracts only.

    What the customer's contracts share is looked up once, however many there are.
    """
    shown = []
    for kind in ID_COLUMNS:
        mine = [row for row in rows if row["kind"] == kind]
        ids = [row["subject_id"] for row in mine]
        history, overrides = histories(running.store, kind, ids), _overrides(running.store, kind, ids)
        for row in mine:
            past = [] if row.get("held_out") else history.get(row["subject_id"], [])
            shown.append({**row, "history": past, "overrides": overrides.get(row["subject_id"], [])})
    scored = [row for row in shown if row["kind"] == "renewal" and not row.get("problem")]
    similar = alike(running, scored, principal)
    account = account_now(running, scored[0]) if scored else None
    for row in scored:
        row["window"] = contact_window(running, row, account)
        row["levers"] = levers(row)
        row["supposed"] = requested_what_if(running, row, request, principal)
        row["alike"] = similar[row["subject_id"]]
    return shown


def _overrides(store: Store, kind: str, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Subject → the team's overrides, newest first."""
    noted = store.judgements.overrides(kind)
    noted = noted[noted["subject_id"].isin(ids)].iloc[::-1]
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in records(noted):
        rows.setdefault(row["subject_id"], []).append(row)
    return rows


def _from_crm(
    running: Running, account_id: str, principal: Principal
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The customer as the ingested CRM has it, and what happened; nothing where none was ingested."""
    live = running.store.events.read(account_id=account_id)
    try:
        with opened(running.settings) as crm:
            return customer(crm, account_id), happened(crm, account_id, live, principal.sees)
    except RenewalError:  # scored straight from a folder: there are scores to show, but no timeline
        return None, [] if principal.is_scoped else happened(None, account_id, live)


def _done(store: Store, subjects: set[str]) -> list[dict[str, Any]]:
    taken = store.judgements.actions("renewal"), store.judgements.actions("win")
    rows = [row for frame in taken for row in records(frame) if row["subject_id"] in subjects]
    return sorted(rows, key=lambda row: row["taken_at"], reverse=True)


@router.post("/actions/{kind}/{subject_id:path}")
async def act(kind: str, subject_id: str, request: Request, principal: Seller) -> Response:
    """Note what the team did: scores change what people do, and monitoring has to know."""
    fields = await checked_form(request)
    store = running_of(request).store
    rows = store.scores.page(kind, ids=[subject_id]).rows if kind in ID_COLUMNS else []
    if not rows or not principal.sees(rows[0]):
        raise ProblemError(404, f"There is no {subject_id!r} among what runs.")
    if fields.get("action") not in ACTIONS:
        raise ProblemError(422, f"The action should be one of {', '.join(ACTIONS)}.")
    who, account_id = principal.label or principal.key_id, rows[0]["account_id"]
    details = {"note": fields.get("note", "").strip()[:2_000]} if fields.get("note", "").strip() else None
    store.judgements.record_action(
        kind, subject_id, fields["action"], account_id=account_id, taken_by=who, details=details
    )
    return RedirectResponse(url(f"/accounts/{account_id}", noted=1), 303)
