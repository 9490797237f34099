"""The page of the touchpoint catalogue: what is known from where, who uses it, what the data lack of it."""

from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from features.crm.crm import read_crm
from features.crm.load import current_folder
from serving.pages.view import Watcher, render
from serving.state import running_of
from serving.touchpoint_catalog import touchpoints

MISSING = "not on record"

router = APIRouter()


@router.get("/touchpoints")
async def catalogue(request: Request, principal: Watcher) -> Response:
    """Each touchpoint's data points."""
    return await run_in_threadpool(_page, request)


def _page(request: Request) -> Response:
    rows = _rows(current_folder(running_of(request).settings))
    missing = [row for row in rows if row.get("missing")]
    tabs = {MISSING: len(missing)} if missing else {}
    tabs |= Counter(row["touchpoint"] for row in rows)
    tab = request.query_params.get("touchpoint", "")
    tab = tab if tab in tabs else next(iter(tabs))
    return render(
        request,
        "touchpoints.html",
        rows=missing if tab == MISSING else [row for row in rows if row["touchpoint"] == tab],
        total=len(rows),
        missing=len(missing),
        is_ingested=any("filled" in row for row in rows),
        tabs=tabs,
        tab=tab,
    )


@lru_cache(maxsize=2)
def _rows(folder: Path | None) -> list[dict[str, Any]]:
    """The catalogue of a CRM; a folder is named by what it holds, so what was counted of it stays true."""
    return touchpoints(None if folder is None else read_crm(folder))
