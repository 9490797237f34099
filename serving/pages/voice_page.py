"""The page of the customers' voice: what who answers says, and what everybody asked would say."""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from features.crm.load import current_crm
from monitoring.closing_the_loop import judged
from serving.pages.view import Anybody, chosen, render
from serving.security.auth import Principal, refuse_scoped
from serving.state import running_of

BY = {
    "all": "Everybody",
    "stage": "By stage",
    "industry": "By industry",
    "region": "By region",
    "owner": "By owner",
    "touchpoint": "By touchpoint",
}

router = APIRouter()


@router.get("/voice")
async def voice(request: Request, principal: Anybody) -> Response:
    """NPS, CSAT and CES by one dimension."""
    return await run_in_threadpool(_page, request, principal)


def _page(request: Request, principal: Principal) -> Response:
    refuse_scoped(principal)
    running = running_of(request)
    answer = running.worked_out.ask("voice")
    rows = answer.value["rows"] if answer.value else []
    choices = [name for name in BY if any(row["dimension"] == name for row in rows)]
    by = chosen(request, "by", choices, "all")
    return render(
        request,
        "voice.html",
        rows=[row for row in rows if row["dimension"] == by],
        by=by,
        choices={name: BY[name] for name in choices},
        notes=answer.value["notes"] if answer.value else [],
        why=answer.why,
        comes=answer.comes,
        loop_closed=judged(running.store, current_crm(running.settings)),
    )
