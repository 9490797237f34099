"""The renewals page: what ends soon by money at risk, why, and the team's own judgement beside it."""

from datetime import date
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from serving.api import narrow
from serving.batch import hide_held_out
from serving.lists import band_totals, choices, found_by_name, freshness
from serving.pages.signing import checked_form
from serving.pages.spreadsheet import download
from serving.pages.view import Seller, render, url
from serving.problems import ProblemError

PAGE_ROWS = 25
BANDS = ("at risk", "watch", "safe")
ORDERS = {
    "at_risk": "Money at risk",
    "probability": "Lowest odds",
    "end_date": "Ends soonest",
    "amount": "Annual value",
}

router = APIRouter()


def filters_of(request: Request, names: tuple[str, ...]) -> dict[str, Any]:
    """The filters in the address, empty ones left out; a date that is none counts as not given."""
    given = {name: request.query_params.get(name, "").strip() for name in names}
    wanted: dict[str, Any] = {name: value for name, value in given.items() if value}
    if "before" in wanted:
        try:
            wanted["before"] = date.fromisoformat(wanted["before"])
        except ValueError:
            del wanted["before"]
    return wanted


@router.get("/renewals")
async def renewals(request: Request, principal: Seller) -> Response:
    """The list, filtered and paged."""
    return await run_in_threadpool(_page, request, principal)


def _page(request: Request, principal: Any) -> Response:
    store = request.app.state.running.store
    asked = filters_of(request, ("owner", "region", "band", "before"))
    wanted = narrow(principal, asked)
    order = request.query_params.get("order", "at_risk")
    order = order if order in ORDERS else "at_risk"
    text = request.query_params.get("q", "").strip()
    cursor = request.query_params.get("cursor") or None
    scope = narrow(principal, {})
    if text:
        ids = found_by_name(store, "renewal", text, wanted)
        page, next_cursor = store.scores("renewal", ids=ids, **wanted).rows, None
    else:
        found = store.scores("renewal", **wanted, order=order, limit=PAGE_ROWS, cursor=cursor)
        page, next_cursor = found.rows, found.cursor
    without_band = {name: value for name, value in wanted.items() if name != "band"}
    params = {**asked, "order": order, "q": text}
    return render(
        request,
        "renewals.html",
        rows=[hide_held_out(row) for row in page],
        own=_judgements(store, [row["subject_id"] for row in page]),
        totals=band_totals(store, "renewal", without_band),
        bands=BANDS,
        wanted=asked,
        order=order,
        orders=ORDERS,
        text=text,
        choices=choices(store, "renewal", scope),
        scope=scope,
        fresh=freshness(store, "renewal"),
        next_page=url("/renewals", params, cursor=next_cursor) if next_cursor else None,
        first_page=url("/renewals", params) if cursor else None,
        export=lambda ending: url(f"/renewals/export.{ending}", asked),
        back=url("/renewals", params, cursor=cursor),
        noted=request.query_params.get("noted"),
    )


def _judgements(store: Any, ids: list[str]) -> dict[str, dict[str, Any]]:
    """The newest override of each of these contracts."""
    made = store.overrides("renewal")
    made = made[made["subject_id"].isin(ids)].drop_duplicates("subject_id", keep="last")
    return {row["subject_id"]: row for row in made.to_dict("records")}


@router.get("/renewals/export.{ending}")
async def export(ending: str, request: Request, principal: Seller) -> Response:
    """The filtered list as a file."""
    wanted = narrow(principal, filters_of(request, ("owner", "region", "band", "before")))
    store = request.app.state.running.store
    return await run_in_threadpool(download, store, "renewal", wanted, ending, principal)


@router.post("/renewals/{contract_id}/override")
async def override(contract_id: str, request: Request, principal: Seller) -> Response:
    """Note the team's own odds beside the score, which stays."""
    fields = await checked_form(request)
    store = request.app.state.running.store
    found = store.scores("renewal", ids=[contract_id]).rows
    if not found or not principal.sees(found[0]):
        raise ProblemError(404, f"There is no contract {contract_id!r} among those that run.")
    odds = _odds(fields.get("odds", ""))
    who = principal.label or principal.key_id
    store.override(
        "renewal",
        contract_id,
        account_id=found[0]["account_id"],
        probability=odds,
        reason=fields.get("reason", "").strip()[:2_000] or None,
        made_by=who,
    )
    store.audit(who, "override", contract_id, {"probability": odds})
    back = fields.get("back", "")
    return RedirectResponse(url(back if back.startswith("/renewals?") else "/renewals?noted=1"), 303)


def _odds(text: str) -> float:
    """Per cent as typed by people.

    Raises:
        ProblemError: 422 where it is no number from 0 to 100.
    """
    try:
        odds = float(text.replace("%", "").replace(",", ".").strip()) / 100
    except ValueError as error:
        raise ProblemError(422, f"Your odds should be a number from 0 to 100, not {text!r}.") from error
    if not 0 <= odds <= 1:
        raise ProblemError(422, f"Your odds should be from 0 to 100 per cent, not {text}.")
    return odds
