"""The pipeline page: open deals by expected money, the model's odds beside the owner's own."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from serving.api import narrow
from serving.batch import hide_held_out
from serving.lists import band_totals, choices, found_by_name, freshness
from serving.pages.renewals import PAGE_ROWS, filters_of
from serving.pages.spreadsheet import download
from serving.pages.view import Seller, render, url

BANDS = ("hot", "warm", "cold")
ORDERS = {"expected": "Expected money", "amount": "Amount", "probability": "Lowest odds"}

router = APIRouter()


@router.get("/pipeline")
async def pipeline(request: Request, principal: Seller) -> Response:
    """The list, filtered and paged."""
    return await run_in_threadpool(_page, request, principal)


def _page(request: Request, principal: Any) -> Response:
    store = request.app.state.running.store
    asked = filters_of(request, ("owner", "region", "band"))
    wanted, scope = narrow(principal, asked), narrow(principal, {})
    order = request.query_params.get("order", "expected")
    order = order if order in ORDERS else "expected"
    text, cursor = request.query_params.get("q", "").strip(), request.query_params.get("cursor") or None
    if text:
        ids = found_by_name(store, "win", text, wanted)
        rows, next_cursor = store.scores("win", ids=ids, **wanted).rows, None
    else:
        found = store.scores("win", **wanted, order=order, limit=PAGE_ROWS, cursor=cursor)
        rows, next_cursor = found.rows, found.cursor
    params = {**asked, "order": order, "q": text}
    return render(
        request,
        "pipeline.html",
        rows=[hide_held_out(row) for row in rows],
        totals=band_totals(store, "win", {name: value for name, value in wanted.items() if name != "band"}),
        bands=BANDS,
        wanted=asked,
        order=order,
        orders=ORDERS,
        text=text,
        choices=choices(store, "win", scope),
        scope=scope,
        fresh=freshness(store, "win"),
        next_page=url("/pipeline", params, cursor=next_cursor) if next_cursor else None,
        first_page=url("/pipeline", params) if cursor else None,
        export=lambda ending: url(f"/pipeline/export.{ending}", asked),
    )


@router.get("/pipeline/export.{ending}")
async def export(ending: str, request: Request, principal: Seller) -> Response:
    """The filtered list as a file."""
    wanted = narrow(principal, filters_of(request, ("owner", "region", "band")))
    return await run_in_threadpool(
        download, request.app.state.running.store, "win", wanted, ending, principal
    )
