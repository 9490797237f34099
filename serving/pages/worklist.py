"""A list that somebody works through, one kind a page: filters, order, paging, totals, trends and export."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from serving.api.list_filters import band_totals, choices, found_by_name, freshness, histories
from serving.api.routes import narrow
from serving.pages.spreadsheet import download
from serving.pages.view import render, url
from serving.scoring.batch import hide_held_out
from serving.security.auth import Principal
from serving.state import running_of

PAGE_ROWS = 25


@dataclass(frozen=True)
class WorkList:
    """What makes one list: its model, address and template, and what it can be filtered and ordered by.

    Args:
        kind: `renewal` or `win`.
        path: address of the page; the template is named like it.
        money: the column of money it is ranked by.
        bands: from what needs attention most to what needs it least.
        orders: column → what people call it; the first is the default.
        filters: names in the address.
    """

    kind: str
    path: str
    money: str
    bands: tuple[str, ...]
    orders: dict[str, str]
    filters: tuple[str, ...]

    async def page(
        self,
        request: Request,
        principal: Principal,
        further: Callable[[Any, list[dict[str, Any]]], dict[str, Any]],
    ) -> Response:
        """The list, filtered and paged; `further` (running service, rows) gives the page's own values."""
        return await run_in_threadpool(self._page, request, principal, further)

    def _page(self, request: Request, principal: Principal, further: Callable[..., Any]) -> Response:
        running = running_of(request)
        store, filters = running.store, filters_of(request, self.filters)
        wanted, scope = narrow(principal, filters), narrow(principal, {})
        order = request.query_params.get("order", "")
        order = order if order in self.orders else next(iter(self.orders))
        text, cursor = request.query_params.get("q", "").strip(), request.query_params.get("cursor") or None
        if text:
            ids = found_by_name(store, self.kind, text, wanted)
            rows, next_cursor = store.scores.page(self.kind, ids=ids, **wanted).rows, None
        else:
            result = store.scores.page(self.kind, **wanted, order=order, limit=PAGE_ROWS, cursor=cursor)
            rows, next_cursor = result.rows, result.cursor
        totals = band_totals(store, self.kind, {**wanted, "band": None})
        params = {**filters, "order": order, "q": text}
        rows = [hide_held_out(row) for row in rows]
        return render(
            request,
            f"{self.path.strip('/')}.html",
            **self._figures(totals, filters),
            worklist=self,
            rows=rows,
            trends=histories(store, self.kind, [row["subject_id"] for row in rows]),
            wanted=filters,
            order=order,
            text=text,
            choices=choices(store, self.kind, scope),
            scope=scope,
            fresh=freshness(store, self.kind),
            next_page=url(self.path, params, cursor=next_cursor) if next_cursor else None,
            first_page=url(self.path, params) if cursor else None,
            export=lambda ending: url(f"{self.path}/export.{ending}", filters),
            back=url(self.path, params, cursor=cursor),
            **further(running, rows),
        )

    def _figures(self, totals: dict[str, dict[str, Any]], filters: dict[str, Any]) -> dict[str, Any]:
        """Sums over the whole list, bands by band, and how many of them the chosen band leaves."""
        names = ("rows", "amount", self.money)
        sums = {name: sum(total[name] for total in totals.values()) for name in names}
        band = filters.get("band")
        listed = totals.get(band, {}).get("rows", 0) if band else sums["rows"]
        return {"totals": totals, "sums": sums, "listed": listed}

    async def export(self, request: Request, principal: Principal, ending: str) -> Response:
        """The filtered list as a file."""
        wanted = narrow(principal, filters_of(request, self.filters))
        store = running_of(request).store
        return await run_in_threadpool(download, store, self.kind, wanted, ending, principal)


def filters_of(request: Request, names: tuple[str, ...]) -> dict[str, Any]:
    """The filters in the address, empty ones left out; a date that is none counts as not given."""
    given = {name: request.query_params.get(name, "").strip() for name in names}
    wanted: dict[str, Any] = {name: value for name, value in given.items() if value}
    if "before" in wanted:
        try:
            wanted["before"] = date.fromisoformat(wanted["before"])
        except ValueError:
            del wanted["before"]
    return wanted
