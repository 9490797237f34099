"""Churn drivers: what was lost in the last year, what lowered its scores, by industry, region and owner."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from serving.pages.view import Anybody, chosen, render
from serving.precompute import churn_drivers_of
from serving.security.auth import Principal
from serving.state import running_of
from training.churn_drivers import FEWEST

KINDS = {"renewal": "Renewals", "win": "Deals"}
BY = {"all": "Everybody", "industry": "Industry", "region": "Region", "owner": "Owner"}

router = APIRouter()


@router.get("/churn-drivers")
async def churn_drivers(request: Request, principal: Anybody) -> Response:
    """Drivers and stated reasons, by money."""
    return await run_in_threadpool(_page, request, principal)


def _page(request: Request, principal: Principal) -> Response:
    running = running_of(request)
    kind = chosen(request, "kind", KINDS, "renewal")
    result = running.worked_out.ask(churn_drivers_of(running.models.versions()))
    kind_drivers = None if result.value is None else result.value[kind]
    groups = (
        {} if kind_drivers is None or "why" in kind_drivers else visible_groups(kind_drivers["by"], principal)
    )
    by = chosen(request, "by", groups, next(iter(groups), ""))
    return render(
        request,
        "churn_drivers.html",
        found=kind_drivers,
        why=result.why if kind_drivers is None else kind_drivers.get("why", ""),
        comes=result.comes,
        kind=kind,
        kinds=KINDS,
        by=by,
        names=BY,
        groups=groups,
        rows=groups.get(by, []),
        fewest=FEWEST,
    )


def visible_groups(
    by: dict[str, list[dict[str, Any]]], principal: Principal
) -> dict[str, list[dict[str, Any]]]:
    """The groups within the visitor's scope: owners' or a region's own; for both at once there is none."""
    if not principal.is_scoped:
        return {name: rows for name, rows in by.items() if rows}
    by_owner = principal.owner_id is not None or principal.team is not None
    if by_owner and principal.region is not None:
        return {}
    name, column = ("owner", "owner_id") if by_owner else ("region", "region")
    rows = [row for row in by.get(name, []) if principal.sees({column: row["group"]})]
    return {name: rows} if rows else {}
