"""What if we acted otherwise: a form of actions on a customer's page, and the answer as a piece of it.

Without a script the form asks for the whole page; with one, the piece alone is fetched while a slider moves.
"""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from serving.auth import Principal
from serving.pages.view import Seller, render
from serving.planning import what_if_told
from serving.problems import ProblemError
from serving.schema import Changes, WhatIfAsked

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


def asked(running: Any, row: dict[str, Any], request: Request, principal: Principal) -> dict[str, Any] | None:
    """The answer to the form in the address, where it is about this contract; else None."""
    if request.query_params.get("what_if") != row["subject_id"]:
        return None
    return told(running, row["subject_id"], request, principal)


def told(running: Any, contract_id: str, request: Request, principal: Principal) -> dict[str, Any] | None:
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
    return {**what_if_told(running, body, principal), "words": WORDS}


@router.get("/what-if/{contract_id:path}")
async def piece(contract_id: str, request: Request, principal: Seller) -> Response:
    """The answer alone, for the script that moves the sliders."""
    running = request.app.state.running
    answer = await run_in_threadpool(told, running, contract_id, request, principal)
    return render(request, "what_if.html", supposed=answer)
