"""The losses page: what was lost in the last year and what told against it, by industry, region and owner."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from serving.pages.view import Anybody, render
from serving.precompute import losses_of
from serving.security.auth import Principal
from training.loss_drivers import FEWEST

KINDS = {"renewal": "Renewals", "win": "Deals"}
BY = {"all": "Everybody", "industry": "Industry", "region": "Region", "owner": "Owner"}

router = APIRouter()


@router.get("/losses")
async def losses(request: Request, principal: Anybody) -> Response:
    """Drivers and stated reasons, by money."""
    return await run_in_threadpool(_page, request, principal)


def _page(request: Request, principal: Principal) -> Response:
    running = request.app.state.running
    kind = request.query_params.get("kind", "renewal")
    kind = kind if kind in KINDS else "renewal"
    told = running.worked_out.ask(losses_of(running.models.versions()))
    found = None if told.value is None else told.value[kind]
    groups = {} if found is None or "why" in found else seen(found["by"], principal)
    by = request.query_params.get("by", "")
    by = by if by in groups else next(iter(groups), "")
    return render(
        request,
        "losses.html",
        found=found,
        why=told.why if found is None else found.get("why", ""),
        comes=told.comes,
        kind=kind,
        kinds=KINDS,
        by=by,
        names=BY,
        groups=groups,
        rows=groups.get(by, []),
        fewest=FEWEST,
    )


def seen(by: dict[str, list[dict[str, Any]]], principal: Principal) -> dict[str, list[dict[str, Any]]]:
    """The groups within the visitor's scope: an owner's or a region's own; for both at once there is none."""
    if not principal.is_scoped:
        return {name: rows for name, rows in by.items() if rows}
    if principal.owner_id is not None and principal.region is not None:
        return {}
    name, own = (
        ("owner", principal.owner_id) if principal.owner_id is not None else ("region", principal.region)
    )
    rows = [row for row in by.get(name, []) if row["group"] == own]
    return {name: rows} if rows else {}
