"""What programs call: the routes under /v1, health, metrics and the documentation's source."""

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import PlainTextResponse, Response
from fastapi.security import HTTPBearer
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool

from monitoring.gauges import exposition
from serving.api.list_filters import narrow
from serving.api.problems import ProblemError
from serving.api.shapes import (
    Answer,
    EventsSent,
    Listed,
    OpportunitiesAsked,
    RecordsAsked,
    RenewalsAsked,
    Taken,
)
from serving.api.shapes import Problem as ProblemShape
from serving.scoring.scored_rows import hide_held_out
from serving.security.auth import ALL_ROLES, Principal
from serving.state import Running, running_of

SELLERS = ("sales", "admin")
SCORERS = ("sales", "mlops", "admin")
KEEPERS = ("mlops", "admin")
_INLINE_ROWS = 16

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemShape, "content": {"application/problem+json": {}}}
    for status in (400, 401, 403, 404, 409, 413, 415, 422, 429, 503, 504)
}
Owner = Annotated[str | None, Query(description="Only this owner's.")]
Region = Annotated[str | None, Query(description="Only this region's.")]
Team = Annotated[
    str | None, Query(description="Only the customers of this manager's team, by `owners.manager_id`.")
]
Search = Annotated[str | None, Query(description="Part of the customer's name or of an id.", max_length=200)]
Needs = Annotated[
    Literal["alert", "task", "late", "nobody"] | None,
    Query(description="Only with a standing alert, an open task, a late task, or without any task."),
]
Falling = Annotated[
    bool | None, Query(description="Largest first or not; default: as fits the order.", examples=[True])
]
Limit = Annotated[int, Query(ge=1, le=1_000, description="Rows at once.", examples=[50])]
Cursor = Annotated[str | None, Query(description="The `next_cursor` or `previous_cursor` of another page.")]

router = APIRouter(responses=ERRORS, dependencies=[Depends(HTTPBearer(auto_error=False))])


def allow(*roles: str) -> Any:
    """A dependency that lets these roles in and gives the handler its principal."""

    async def principal(request: Request) -> Principal:
        admitted_before = request.scope.get("perennial.principal")  # those with a body were
        admitted = admitted_before or running_of(request).door.admit(request)
        if admitted.role not in roles:
            raise ProblemError(403, f"A {admitted.role} key may not do this; it takes {' or '.join(roles)}.")
        return admitted

    principal.roles = roles  # type: ignore[attr-defined]  # the documentation says who may
    return Depends(principal)


Seller = Annotated[Principal, allow(*SELLERS)]
Scorer = Annotated[Principal, allow(*SCORERS)]
Anybody = Annotated[Principal, allow(*ALL_ROLES)]
Keeper = Annotated[Principal, allow(*KEEPERS)]


def answer(value: Any, status: int = 200) -> Response:
    """`value` as JSON; what is missing or not a number is null."""
    return Response(to_json(value, inf_nan_mode="null"), status_code=status, media_type="application/json")


@router.get("/livez", tags=["health"])
async def livez() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "alive"}


@router.get("/readyz", tags=["health"])
async def readyz(request: Request) -> Response:
    """Whether models and store are open; which model versions are held."""
    running = running_of(request)
    return answer({"status": "ready", "models": running.models.versions()})


@router.get("/openapi.json", tags=["health"], include_in_schema=False)
async def description(request: Request, principal: Anybody) -> Response:
    """The description of this interface, for programs that write clients."""
    return answer(request.app.openapi())


@router.get("/metrics", tags=["health"], response_class=PlainTextResponse)
async def metrics(request: Request, principal: Keeper) -> Response:
    """Counts and times, and what monitoring found last, in Prometheus' text format."""
    running = running_of(request)
    store_metrics = await run_in_threadpool(exposition, running.store)
    return Response(running.metrics.text() + store_metrics, media_type="text/plain; version=0.0.4")


@router.post("/v1/renewals/score", response_model=Answer, tags=["score"])
async def score_renewals(body: RenewalsAsked, request: Request, principal: Seller) -> Response:
    """Score contracts of the stored CRM data, with reasons."""
    return await _score(request, principal, "renewal", body.contract_ids, body.as_of)


@router.post("/v1/opportunities/score", response_model=Answer, tags=["score"])
async def score_opportunities(body: OpportunitiesAsked, request: Request, principal: Seller) -> Response:
    """Score opportunities of the stored CRM data, with reasons."""
    return await _score(request, principal, "win", body.opportunity_ids, body.as_of)


async def _score(request: Request, principal: Principal, kind: str, ids: list[str], as_of: Any) -> Response:
    running = running_of(request)
    if len(ids) <= _INLINE_ROWS and as_of is None:
        rows = running.live.stored(kind, ids, principal)
    else:
        rows = await run_in_threadpool(running.live.stored, kind, ids, principal, as_of)
    held = running.models.need(kind)
    running.metrics.scored.labels(kind, held.version).inc(len(rows))
    body = b'{"model_version":' + to_json(str(held.version)) + b',"rows":[' + b",".join(rows) + b"]}"
    return Response(body, media_type="application/json")


@router.post("/v1/score/records", response_model=Answer, tags=["score"])
async def score_records(body: RecordsAsked, request: Request, principal: Scorer) -> Response:
    """Score the caller's own rows; nothing is stored."""
    running = running_of(request)
    rows = await run_in_threadpool(running.live.records, body.model, body.crm, body.as_of)
    held = running.models.need(body.model)
    running.metrics.scored.labels(body.model, held.version).inc(len(rows))
    return answer({"model_version": held.version, "rows": rows})


@router.post("/v1/events", response_model=Taken, tags=["events"])
async def take_events(body: EventsSent, request: Request, principal: Seller) -> Response:
    """Store what just happened, once, and rescore the accounts concerned before answering."""
    running = running_of(request)
    result = await run_in_threadpool(running.live.arrivals.take, body.table, body.rows, principal)
    if result["alerts"]:
        running.deliveries.wake()
    return answer(result)


@router.get("/v1/renewals", response_model=Listed, tags=["lists"])
async def renewals(
    request: Request,
    principal: Seller,
    owner: Owner = None,
    region: Region = None,
    band: Literal["at risk", "watch", "safe"] | None = None,
    before: Annotated[
        date | None, Query(description="Ends before this day.", examples=["2026-06-30"])
    ] = None,
    team: Team = None,
    q: Search = None,
    needs: Needs = None,
    status: Annotated[
        Literal["not started", "in contact", "negotiating", "agreed", "not renewing"] | None,
        Query(description="Only where the team has noted this status."),
    ] = None,
    order: Literal["at_risk", "amount", "probability", "end_date", "account", "owner"] = "at_risk",
    falling: Falling = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Running contracts by money at risk."""
    wanted = {"owner": owner, "region": region, "band": band, "before": before, "team": team}
    wanted |= {"text": q, "needs": needs, "status": status}
    return await _listed(request, principal, "renewal", wanted, (order, falling, limit, cursor))


@router.get("/v1/opportunities", response_model=Listed, tags=["lists"])
async def opportunities(
    request: Request,
    principal: Seller,
    owner: Owner = None,
    region: Region = None,
    band: Literal["cold", "warm", "hot"] | None = None,
    deal_kind: Annotated[
        str | None, Query(description="Only deals of this kind, as the CRM calls it.", examples=["new"])
    ] = None,
    team: Team = None,
    q: Search = None,
    needs: Needs = None,
    order: Literal["expected", "amount", "probability", "account", "owner"] = "expected",
    falling: Falling = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Open opportunities by expected money."""
    wanted = {"owner": owner, "region": region, "band": band, "deal_kind": deal_kind, "team": team}
    wanted |= {"text": q, "needs": needs}
    return await _listed(request, principal, "win", wanted, (order, falling, limit, cursor))


async def _listed(
    request: Request,
    principal: Principal,
    kind: str,
    wanted: dict[str, Any],
    part: tuple[str, bool | None, int, str | None],
) -> Response:
    running = running_of(request)
    return answer(await run_in_threadpool(_list_part, running, principal, kind, wanted, part))


def _list_part(
    running: Running,
    principal: Principal,
    kind: str,
    wanted: dict[str, Any],
    part: tuple[str, bool | None, int, str | None],
) -> dict[str, Any]:
    """Rows of a list, and what the whole of it adds up to; `part`: order, whether it falls, rows, cursor."""
    order, falling, limit, cursor = part
    narrowed, scores = narrow(principal, wanted, running.settings), running.store.scores
    page = scores.page(kind, order=order, falling=falling, limit=limit, cursor=cursor, **narrowed)
    totals = scores.totals(kind, **narrowed)
    return {
        "rows": [hide_held_out(row) for row in page.rows],
        "next_cursor": page.cursor,
        "previous_cursor": page.previous,
        "total": totals["rows"],
        "totals": totals,
    }
