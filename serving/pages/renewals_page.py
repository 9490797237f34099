"""The renewals page: what ends soon by money at risk, why, and the team's own judgement beside it."""

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from monitoring.store import Store
from monitoring.store.database import records
from serving.api.list_filters import by_owner, freshness
from serving.api.problems import ProblemError
from serving.pages.sign_in_page import checked_form
from serving.pages.view import Seller, render, url
from serving.pages.worklist import WorkList
from serving.security.auth import Principal
from serving.state import running_of

RENEWALS = WorkList(
    kind="renewal",
    path="/renewals",
    money="at_risk",
    bands=("at risk", "watch", "safe"),
    orders={
        "at_risk": "Money at risk",
        "probability": "Lowest likelihood",
        "end_date": "Ends soonest",
        "amount": "ARR",
        "account": "Name",
        "owner": "Owner",
    },
    filters=("before", "status"),
)

router = APIRouter()


@router.get("/renewals")
async def renewals(request: Request, principal: Seller) -> Response:
    """The list, filtered and paged."""
    return await RENEWALS.page(
        request, principal, lambda running, rows: {"overrides": _judgements(running.store, rows)}
    )


def _judgements(store: Store, rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The newest override of each of these contracts."""
    ids = [row["subject_id"] for row in rows]
    overrides = store.judgements.overrides("renewal")
    overrides = overrides[overrides["subject_id"].isin(ids)].drop_duplicates("subject_id", keep="last")
    return {row["subject_id"]: row for row in records(overrides)}


@router.get("/renewals/by-rep")
async def by_rep(request: Request, principal: Seller) -> Response:
    """The same list added up by owner."""
    return await run_in_threadpool(_by_rep, request, principal)


def _by_rep(request: Request, principal: Principal) -> Response:
    running = running_of(request)
    filters = RENEWALS.filters_from(request)
    wanted = RENEWALS.wanted(running, principal, filters)
    return render(
        request,
        "by_rep.html",
        worklist=RENEWALS,
        rows=by_owner(running.store, "renewal", wanted),
        sums=running.store.scores.totals("renewal", **wanted),
        wanted=filters,
        narrowed=lambda **changes: url("/renewals", filters, **changes),
        fresh=freshness(running.store, "renewal"),
        **RENEWALS.offered(running, principal),
    )


@router.get("/renewals/export.{ending}")
async def export(ending: str, request: Request, principal: Seller) -> Response:
    """The filtered list as a file."""
    return await RENEWALS.export(request, principal, ending)


@router.post("/renewals/{contract_id}/override")
async def override(contract_id: str, request: Request, principal: Seller) -> Response:
    """Note the team's own estimates beside the score, which stays."""
    fields = await checked_form(request)
    store = running_of(request).store
    matches = store.scores.page("renewal", ids=[contract_id]).rows
    if not matches or not principal.sees(matches[0]):
        raise ProblemError(404, f"There is no contract {contract_id!r} among those that run.")
    probability = _probability(fields.get("probability", ""))
    who = principal.label or principal.key_id
    store.judgements.override(
        "renewal",
        contract_id,
        account_id=matches[0]["account_id"],
        probability=probability,
        reason=fields.get("reason", "").strip()[:2_000] or None,
        made_by=who,
    )
    store.audit.record(who, "override", contract_id, {"probability": probability})
    return RedirectResponse(_back(fields.get("back", ""), matches[0]["account_id"]), 303)


def _back(path: str, account_id: str) -> str:
    """Where the note was made: the list as it was filtered, or the customer's page."""
    if path.startswith("/accounts/"):
        return url(f"/accounts/{quote(account_id, safe='')}", noted=1)
    if path.startswith("/renewals?"):
        return path if "noted=1" in path else f"{path}&noted=1"
    return "/renewals?noted=1"


def _probability(text: str) -> float:
    """Per cent as typed by people.

    Raises:
        ProblemError: 422 where it is no number from 0 to 100.
    """
    try:
        probability = float(text.replace("%", "").replace(",", ".").strip()) / 100
    except ValueError as error:
        raise ProblemError(422, f"Your estimate should be a number from 0 to 100, not {text!r}.") from error
    if not 0 <= probability <= 1:
        raise ProblemError(422, f"Your estimate should be from 0 to 100 per cent, not {text}.")
    return probability
