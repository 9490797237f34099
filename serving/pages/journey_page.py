"""The journey page: from reach to recommendation, by segment, and where a segment is lost."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from serving.pages.kpi_charts import figure_words
from serving.pages.view import Watcher, chosen, render
from serving.security.auth import Principal, sees_segments
from serving.state import running_of

router = APIRouter()


@router.get("/journey")
async def journey(request: Request, principal: Watcher) -> Response:
    """Rates by stage and segment, the gaps named first."""
    return await run_in_threadpool(_page, request, principal)


def _page(request: Request, principal: Principal) -> Response:
    running = running_of(request)
    result = running.worked_out.ask("journey")
    if result.value is None:
        return render(request, "journey.html", found=None, why=result.why, comes=result.comes)
    visible = visible_journey(result.value, principal)
    attributes: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in visible["rows"]:
        attributes.setdefault(row["attribute"], {}).setdefault(row["stage"], []).append(row)
    targets = running.worked_out.ask("icp") if sees_segments(principal) else None
    kpis = running.worked_out.ask("kpis")
    places = kpis.value["map"] if kpis.value else []
    personas = list(dict.fromkeys(row["persona"] for row in places))
    persona = chosen(request, "persona", personas, next(iter(personas), ""))
    return render(
        request,
        "journey.html",
        found=visible,
        attributes=attributes,
        top=_top,
        targets=targets,
        places=[row for row in places if row["persona"] == persona],
        personas=personas,
        persona=persona,
        map_why=kpis.why,
        map_comes=kpis.comes,
        words=figure_words,
    )


def visible_journey(full_journey: dict[str, Any], principal: Principal) -> dict[str, Any]:
    """The journey without the table `segments` for roles that may not see it."""
    if sees_segments(principal):
        return full_journey
    hidden = set(full_journey["from_segments"])
    shown_rows = {
        name: [row for row in full_journey[name] if row["attribute"] not in hidden]
        for name in ("rows", "gaps", "costs")
    }
    for name in ("compared", "not_compared"):
        shown_rows[name] = [attribute for attribute in full_journey.get(name, []) if attribute not in hidden]
    return {**full_journey, **shown_rows}


def _top(rows: list[dict[str, Any]]) -> float:
    """The highest upper limit at a stage: the scale of its bars; rates of reach are tiny."""
    return max((row["high"] for row in rows if row["high"] is not None), default=1.0)
