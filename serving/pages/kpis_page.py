"""The page of customer KPIs: over time beside retention and effort, by group, and what moves them."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from serving.pages.kpi_charts import figure_words, over_time
from serving.pages.view import Anybody, chosen, render
from serving.security.auth import Principal, refuse_scoped
from serving.state import running_of

TEAMS = {"all": "All teams", "marketing": "Marketing", "sales": "Sales", "service": "Service"}
BESIDE = ("retention", "effort")
"""What every team sees beside its KPIs."""

EVERYBODY = "all"

router = APIRouter()


@router.get("/kpis")
async def kpis(request: Request, principal: Anybody) -> Response:
    """KPIs of one team, for everybody or one persona or segment."""
    return await run_in_threadpool(_page, request, principal)


def _page(request: Request, principal: Principal) -> Response:
    refuse_scoped(principal)
    result = running_of(request).worked_out.ask("kpis")
    if result.value is None:
        return render(request, "kpis.html", found=None, why=result.why, comes=result.comes)
    view = result.value
    team = chosen(request, "team", TEAMS, "all")
    shown = [
        row for row in view["kpis"] if team == "all" or row["team"] in (team, "all") or row["kpi"] in BESIDE
    ]
    names = [row["kpi"] for row in shown if row["why"] is None]
    choices = _choices(view["groups"])
    wanted = chosen(request, "of", choices, EVERYBODY)
    dimension, _, group = wanted.partition(":") if wanted != EVERYBODY else (EVERYBODY, "", EVERYBODY)
    moved = [
        row
        for row in view["movers"]
        if row["kpi"] in names and (row["dimension"], row["group"]) == (dimension, group)
    ]
    return render(
        request,
        "kpis.html",
        found=view,
        teams=TEAMS,
        team=team,
        kpis=[_card(row, view["series"]) for row in shown],
        groups=_table(view["groups"], names, {row["kpi"]: row["unit"] for row in shown}),
        names=names,
        choices=choices,
        wanted=wanted,
        estimated=[row for row in moved if row["verdict"] != "can't tell"],
        without_estimate=sorted(
            (row for row in moved if row["verdict"] == "can't tell"),
            key=lambda row: row["estimate"] is None,
        ),
        words=figure_words,
    )


def _card(kpi: Mapping[str, Any], series: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A KPI with its quarters, the last one in words, and its chart."""
    rows = [row for row in series if row["kpi"] == kpi["kpi"]]
    figures = [row for row in rows if row["value"] is not None]
    return {
        **kpi,
        "rows": rows,
        "last": figures[-1] if figures else None,
        "chart": over_time(figures, kpi) if len(figures) > 1 else None,
    }


def _choices(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """`dimension:group` → how it is called in the list of groups."""
    pairs = dict.fromkeys((row["dimension"], row["group"]) for row in rows)
    return {
        EVERYBODY if dimension == EVERYBODY else f"{dimension}:{group}": (
            "Everybody" if dimension == EVERYBODY else f"{dimension}: {group}"
        )
        for dimension, group in pairs
    }


def _table(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], units: Mapping[str, str]
) -> dict[str, list[dict[str, Any]]]:
    """Dimension → a line a group, everybody first: each KPI's figure of the last 365 days."""
    by_group: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        if row["kpi"] in names:
            line = by_group.setdefault((row["dimension"], row["group"]), {})
            line[row["kpi"]] = {**row, "unit": units[row["kpi"]]}
    tables: dict[str, list[dict[str, Any]]] = {}
    for (dimension, group), line in by_group.items():
        shown = {"group": group, "figures": [line.get(name) for name in names]}
        if dimension == EVERYBODY:
            whole = {**shown, "group": "Everybody"}
        else:
            tables.setdefault(dimension, [whole]).append(shown)
    return tables
