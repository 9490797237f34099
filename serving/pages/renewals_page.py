"""The renewals page: what ends soon by money at risk, why, and the team's own judgement beside it."""

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from serving.api.problems import ProblemError
from serving.pages.sign_in_page import checked_form
from serving.pages.view import Seller, url
from serving.pages.worklist import WorkList

RENEWALS = WorkList(
    kind="renewal",
    path="/renewals",
    money="at_risk",
    bands=("at risk", "watch", "safe"),
    orders={
        "at_risk": "Money at risk",
        "probability": "Lowest odds",
        "end_date": "Ends soonest",
        "amount": "Annual value",
    },
    filters=("owner", "region", "band", "before"),
)

router = APIRouter()


@router.get("/renewals")
async def renewals(request: Request, principal: Seller) -> Response:
    """The list, filtered and paged."""
    noted = request.query_params.get("noted")
    return await RENEWALS.page(
        request, principal, lambda running, rows: {"own": _judgements(running.store, rows), "noted": noted}
    )


def _judgements(store: Any, rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The newest override of each of these contracts."""
    ids = [row["subject_id"] for row in rows]
    made = store.overrides("renewal")
    made = made[made["subject_id"].isin(ids)].drop_duplicates("subject_id", keep="last")
    return {row["subject_id"]: row for row in made.to_dict("records")}


@router.get("/renewals/export.{ending}")
async def export(ending: str, request: Request, principal: Seller) -> Response:
    """The filtered list as a file."""
    return await RENEWALS.export(request, principal, ending)


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
    return RedirectResponse(_back(fields.get("back", ""), found[0]["account_id"]), 303)


def _back(asked: str, account_id: str) -> str:
    """Where the note was made: the list as it was filtered, or the customer's page."""
    if asked.startswith("/accounts/"):
        return url(f"/accounts/{quote(account_id, safe='')}", noted=1)
    if asked.startswith("/renewals?"):
        return asked if "noted=1" in asked else f"{asked}&noted=1"
    return "/renewals?noted=1"


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
