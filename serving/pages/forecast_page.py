"""The forecast page: months past and to come, and the owners' own figures, as charts, tables and a file."""

from typing import Any

import pandas as pd
from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from serving.api.forecast import worked
from serving.api.list_filters import choices, freshness, managers, narrow
from serving.api.problems import ProblemError
from serving.pages.spreadsheet import TYPES, attachment, plain_sheet
from serving.pages.view import Seller, render, url
from serving.pages.worklist import filters_of
from serving.security.auth import Principal
from serving.state import running_of

FILTERS = ("owner", "region", "team")
COLUMNS = (
    "month", "contracts", "up", "decided", "expected", "low", "high", "gross", "gross_low", "gross_high",
    "expansion", "net", "net_low", "net_high", "own", "own_of", "model_same",
    "committed",
)  # fmt: skip

router = APIRouter()


@router.get("/forecast")
async def forecast(request: Request, principal: Seller) -> Response:
    """Months past and to come, and the owners' own figures."""
    return await run_in_threadpool(_page, request, principal)


def _page(request: Request, principal: Principal) -> Response:
    running = running_of(request)
    filters = filters_of(request, FILTERS)
    scope = narrow(principal, {}, running.settings)
    result = worked(running, narrow(principal, filters, running.settings))
    return render(
        request,
        "forecast.html",
        forecast=result,
        bars=_bars(result),
        rates=_rates(result),
        wanted=filters,
        scope=scope,
        choices=choices(running.store, "renewal", scope),
        managers=managers(running.settings, principal),
        fresh=freshness(running.store, "renewal"),
        export=lambda ending: url(f"/forecast/export.{ending}", filters),
    )


@router.get("/forecast/export.{ending}")
async def export(ending: str, request: Request, principal: Seller) -> Response:
    """The months as a file."""
    if ending not in TYPES:
        raise ProblemError(404, f"Lists come as {', '.join(TYPES)}, not {ending!r}.")
    return await run_in_threadpool(_file, ending, request, principal)


def _file(ending: str, request: Request, principal: Principal) -> Response:
    running = running_of(request)
    filters = filters_of(request, FILTERS)
    rows = worked(running, narrow(principal, filters, running.settings))["months"]
    who = principal.label or principal.key_id
    running.store.audit.record(who, "export", "forecast", {**filters, "rows": len(rows), "as": ending})
    sheet = plain_sheet(pd.DataFrame(rows), COLUMNS)
    digits = {name: 4 if name.startswith(("gross", "net")) else 2 for name in COLUMNS}
    return attachment(sheet.round(digits), "forecast", ending)


def _bars(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The months as the chart of money takes them: half a year of the past, then what is to come."""
    past = [
        {"label": row["label"], "up": row["up"], "decided": row["kept"], "expected": row["kept"]}
        | dict.fromkeys(("low", "high", "own"))
        for row in result["past"][-6:]
    ]
    coming = [
        {name: row[name] for name in ("label", "up", "decided", "expected", "low", "high")}
        | {
            "own": row["own"] + row["decided"]
            if row["own_of"] > 0.95 * (row["up"] - row["decided"]) > 0
            else None
        }
        for row in result["months"][:-1]
    ]
    return past + coming


def _rates(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Gross and net retention by month as the chart of rates takes them."""
    past = [{**row, "gross_low": None, "gross_high": None} for row in result["past"]]
    return [*past, *result["months"][:-1]]
