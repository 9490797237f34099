"""A list that somebody works through, one kind a page: filters, order, paging, totals, work and export."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from features.errors import RenewalError
from monitoring.store.list_filter import NEEDS, STATUSES, Wanted, has_alert, has_task, is_renewal
from monitoring.store.scores import Page
from serving.api.list_filters import choices, counted, freshness, histories, managers, narrow
from serving.crm_facts import facts_of
from serving.pages.bulk_actions import ACTIONS, done_words
from serving.pages.row_work import work_of
from serving.pages.spreadsheet import download
from serving.pages.view import render, url
from serving.scoring.scored_rows import hide_held_out
from serving.security.auth import Principal
from serving.state import Running, running_of

PAGE_ROWS = 25
COMMON = ("owner", "team", "region", "band", "needs", "q")
"""What every list can be filtered by; names in the address."""


@dataclass(frozen=True)
class WorkList:
    """What makes one list: its model, address and template, and what it can be filtered and ordered by.

    Args:
        kind: `renewal` or `win`.
        path: address of the page; the template is named like it.
        money: the column of money it is ranked by.
        bands: from what needs attention most to what needs it least.
        orders: column → what people call it; the first is the default.
        filters: names in the address, beside `COMMON`.
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
        filters, (order, falling) = self.filters_from(request), self.order_from(request)
        wanted = self.wanted(running, principal, filters)
        params = {**filters, **order_params(order, falling)}
        cursor = request.query_params.get("cursor") or None
        part = self._part(running, wanted, (order, falling), cursor)
        needed = {} if wanted.get("needs") else {"alert": has_alert(), "late": has_task(is_late=True)}
        counts = needed | ({"renewals": is_renewal()} if self.kind == "win" else {})
        totals = running.store.scores.totals(self.kind, *counted(**counts), **wanted)
        rows = [hide_held_out(row) for row in part.rows]
        return render(
            request,
            f"{self.path.strip('/')}.html",
            worklist=self,
            sums=totals,
            totals=totals["bands"],
            needed={name: totals[name] for name in needed},
            rows=rows,
            first_row=part.before + 1,
            trends=histories(running.store, self.kind, [row["subject_id"] for row in rows]),
            work=work_of(running, self.kind, rows),
            wanted=filters,
            order=order,
            head=lambda column, words: self._head(params, order, falling, column, words),
            pages=[(name, url(self.path, params, cursor=at)) for name, at in _neighbours(part, cursor)],
            views=running.store.work.views(self.path, principal.key_id),
            export=lambda ending: url(f"{self.path}/export.{ending}", params),
            narrowed=lambda **changes: url(self.path, params, **changes),
            query=url("", params).removeprefix("?"),
            back=url(self.path, params, cursor=cursor),
            noted=done_words(request.query_params.get("noted")),
            actions=ACTIONS,
            fresh=freshness(running.store, self.kind),
            **self.offered(running, principal),
            **further(running, rows),
        )

    def offered(self, running: Running, principal: Principal) -> dict[str, Any]:
        """What the filters offer this visitor."""
        scope = narrow(principal, {}, running.settings)
        return {
            "choices": choices(running.store, self.kind, scope),
            "scope": scope,
            "managers": managers(running.settings, principal),
            "names": facts_of(running.settings).names,
            "needs": list(NEEDS.items()),
            "statuses": STATUSES if self.kind == "renewal" else (),
        }

    def filters_from(self, request: Request) -> dict[str, Any]:
        """The filters in the address; one of a name or value that is none counts as not given."""
        filters = filters_of(request, (*COMMON, *self.filters))
        for name, values in (("band", self.bands), ("needs", NEEDS), ("status", STATUSES)):
            if filters.get(name) not in values:
                filters.pop(name, None)
        return filters

    def order_from(self, request: Request) -> tuple[str, bool | None]:
        """The order in the address and whether it falls (None: as fits it)."""
        order = request.query_params.get("order", "")
        way = request.query_params.get("way", "")
        order = order if order in self.orders else next(iter(self.orders))
        return order, {"down": True, "up": False}.get(way)

    def wanted(self, running: Running, principal: Principal, filters: dict[str, Any]) -> Wanted:
        """What the list holds for this visitor: the one filter of rows, totals and files."""
        given = {"text" if name == "q" else name: value for name, value in filters.items()}
        return narrow(principal, given, running.settings)

    def _part(
        self, running: Running, wanted: Wanted, sort: tuple[str, bool | None], cursor: str | None
    ) -> Page:
        order, falling = sort
        scores = running.store.scores
        how = {"order": order, "falling": falling, "limit": PAGE_ROWS, "with_place": True}
        try:
            return scores.page(self.kind, **how, cursor=cursor, **wanted)  # type: ignore[arg-type]
        except RenewalError:  # a cursor of another order, or an old bookmark: begin at the top
            return scores.page(self.kind, **how, **wanted)  # type: ignore[arg-type]

    def _head(
        self, params: dict[str, Any], order: str, falling: bool | None, column: str, words: str
    ) -> dict[str, Any]:
        """A column's heading: its words, the address that sorts by it, and how it is sorted now."""
        falls = DEFAULT_FALLS[order] if falling is None else falling
        is_here = column == order
        way = ("up" if falls else "down") if is_here else None
        address = url(self.path, {**params, "order": column, "way": way})
        return {"words": words, "to": address, "sort": ("descending" if falls else "ascending") * is_here}

    async def export(self, request: Request, principal: Principal, ending: str) -> Response:
        """The filtered list as a file, in the page's order."""
        return await run_in_threadpool(self._export, request, principal, ending)

    def _export(self, request: Request, principal: Principal, ending: str) -> Response:
        running = running_of(request)
        wanted = self.wanted(running, principal, self.filters_from(request))
        order, falling = self.order_from(request)
        how = {"order": order, "falling": falling}
        return download(running.store, self.kind, wanted, ending, principal, how)


DEFAULT_FALLS = {"at_risk": True, "expected": True, "amount": True} | dict.fromkeys(
    ("probability", "end_date", "account", "owner"), False
)


def order_params(order: str, falling: bool | None) -> dict[str, str | None]:
    """An order as it stands in an address."""
    return {"order": order, "way": None if falling is None else ("down" if falling else "up")}


def _neighbours(part: Page, cursor: str | None) -> list[tuple[str, str | None]]:
    """The pages that can be gone to from here: name and cursor."""
    steps = [("Previous page", part.previous), ("Next page", part.cursor)]
    return [("First page", None)] * (part.previous is not None) + [
        (name, at) for name, at in steps if at is not None
    ]


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
