"""The page of reach: who in the market we miss, by segment, and what another rule would change."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from serving.api.problems import ProblemError
from serving.api.reach_api import changed
from serving.pages.view import Watcher, render
from serving.security.auth import Principal, reach_for, refuse_scoped
from serving.state import running_of

CHANNELS = {"campaigns": "Campaigns", "list": "Target account list", "surveys": "Surveys"}
SETS = {"before": "Qualify now", "after": "Would qualify", "gained": "Come in", "lost": "Fall out"}
LONGEST = 500

router = APIRouter()


@router.get("/reach")
async def reach(request: Request, principal: Watcher) -> Response:
    """Each segment by channel, and a form to compare two rules."""
    return await run_in_threadpool(_page, request, principal)


def _page(request: Request, principal: Principal) -> Response:
    refuse_scoped(principal, "Reach spans")
    running, query = running_of(request), request.query_params
    rule, instead = (query.get(name, "")[:LONGEST] for name in ("rule", "instead"))
    result = running.worked_out.ask("icp")
    if result.value is None:
        return render(request, "reach.html", found=None, why=result.why, comes=result.comes)
    problem, change, status = "", None, 200
    try:
        change = changed(running, principal, result.value["reach"], rule, instead)
    except ProblemError as error:
        problem, status = error.detail, error.status
    visible = reach_for(principal, result.value["reach"])
    segments: dict[str, list[dict[str, Any]]] = {}
    for row in visible["rows"]:
        segments.setdefault(row["channel"], []).append(row)
    return render(
        request,
        "reach.html",
        status=status,
        found=visible,
        segments=segments,
        missed=[row for row in visible["rows"] if row["verdict"] == "alert"],
        channels=CHANNELS,
        sets=SETS,
        rule=rule,
        instead=instead,
        change=change,
        problem=problem,
    )
