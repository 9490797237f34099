"""The forecast page: renewal money by month, gross and net, with intervals, beside what the owners expect."""

from typing import Any

import numpy as np
import pandas as pd
from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from serving.api import narrow
from serving.auth import Principal
from serving.lists import amounts, choices, freshness
from serving.pages.spreadsheet import TYPES, attachment, plain_sheet
from serving.pages.view import Seller, render, url
from serving.pages.worklist import filters_of
from serving.problems import ProblemError
from serving.retention import outlook

FILTERS = ("owner", "region")
MONTHS_SHOWN = 12
FEWEST_BEFORE = 20
DEFAULT_HORIZON = 90
COLUMNS = (
    "month", "contracts", "up", "decided", "expected", "low", "high", "gross", "gross_low", "gross_high",
    "expansion", "net", "net_low", "net_high", "own", "own_of", "model_same",
)  # fmt: skip

router = APIRouter()


@router.get("/forecast")
async def forecast(request: Request, principal: Seller) -> Response:
    """Months past and to come, and the owners' own figures."""
    return await run_in_threadpool(_page, request, principal)


def _page(request: Request, principal: Principal) -> Response:
    running = request.app.state.running
    asked = filters_of(request, FILTERS)
    scope = narrow(principal, {})
    told = worked(running, narrow(principal, asked))
    return render(
        request,
        "forecast.html",
        told=told,
        bars=_bars(told),
        rates=_rates(told),
        wanted=asked,
        scope=scope,
        choices=choices(running.store, "renewal", scope),
        fresh=freshness(running.store, "renewal"),
        export=lambda ending: url(f"/forecast/export.{ending}", asked),
    )


@router.get("/forecast/export.{ending}")
async def export(ending: str, request: Request, principal: Seller) -> Response:
    """The months as a file."""
    if ending not in TYPES:
        raise ProblemError(404, f"Lists come as {', '.join(TYPES)}, not {ending!r}.")
    return await run_in_threadpool(_file, ending, request, principal)


def _file(ending: str, request: Request, principal: Principal) -> Response:
    running = request.app.state.running
    wanted = narrow(principal, filters_of(request, FILTERS))
    rows = worked(running, wanted)["months"]
    who = principal.label or principal.key_id
    running.store.audit(who, "export", "forecast", {**wanted, "rows": len(rows), "as": ending})
    sheet = plain_sheet(pd.DataFrame(rows), COLUMNS)
    digits = {name: 4 if name.startswith(("gross", "net")) else 2 for name in COLUMNS}
    return attachment(sheet.round(digits), "forecast", ending)


def worked(running: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    """The forecast within these filters.

    Returns:
        `months` and `owners` (rows of `serving.retention.outlook`, `all` last), `past` (months before, from
        the CRM), `before` (earlier scores against what happened), `why` there is no past yet,
        counts of contracts `undated` and `unvalued`, `has_expansion`.
    """
    kept = running.worked_out.ask("retention")
    nothing = dict.fromkeys(("past", "decided", "closes", "before", "has_expansion"), ())
    before = {**nothing, **(kept.value or {})}
    renewals = _open_renewals(running.store, wanted)
    dated = renewals[renewals["end_date"].notna()]
    decided = _decided(before["decided"], wanted, dated)
    expansions = _expansions(running, wanted, before["closes"]) if before["has_expansion"] else None
    dated = dated.assign(month=dated["end_date"].dt.to_period("M"))
    seed = running.settings.seed
    return {
        "months": _labelled(outlook(dated, decided, expansions, "month", seed)) if len(dated) else [],
        "owners": _by_owner(dated, seed),
        "past": _past(before["past"], wanted),
        "before": _before(before["before"], wanted, seed),
        "why": kept.why,
        "undated": len(renewals) - len(dated),
        "unvalued": int(dated["unvalued"].sum()),
        "has_expansion": expansions is not None,
    }


def _open_renewals(store: Any, wanted: dict[str, Any]) -> pd.DataFrame:
    """Running contracts with the odds to reckon with and the owner's own.

    Customers held out count with the mean odds of the others, so that nobody reads theirs from a sum. The
    newest override stands for the owner's own odds, else the CRM's forecast.
    """
    rows = amounts(store, "renewal", wanted)
    hidden = rows["held_out"].fillna(False).astype(bool) | rows["probability"].isna()
    known = rows[~hidden]
    for name in ("probability", "low", "high"):
        rows.loc[hidden, name] = known[name].mean() if len(known) else 0.5
    made = store.overrides("renewal").drop_duplicates("subject_id", keep="last").set_index("subject_id")
    noted = rows["subject_id"].map(made["probability"].astype(float)) if len(made) else np.nan
    own = pd.Series(noted, rows.index, dtype=float).fillna(rows["forecast"])
    return rows.assign(own=own, unvalued=rows["amount"].isna(), amount=rows["amount"].fillna(0.0))


def _decided(rows: list[dict[str, Any]], wanted: dict[str, Any], still_open: pd.DataFrame) -> pd.DataFrame:
    """Contracts decided already that end in a month the list reaches, but for those it still holds open."""
    frame = pd.DataFrame(_within(rows, wanted), columns=["contract_id", "month", "amount", "renewed"])
    frame = frame[~frame["contract_id"].isin(still_open["subject_id"])]
    month = pd.Series(pd.PeriodIndex(frame["month"], freq="M"), frame.index)
    last = still_open["end_date"].max().to_period("M") if len(still_open) else None
    return frame.assign(month=month)[(month <= last).to_numpy(bool) if last is not None else slice(0)]


def _expansions(running: Any, wanted: dict[str, Any], closes: dict[str, str]) -> pd.DataFrame:
    """Open expansion deals in the month they are expected to close: as the CRM says, else mid-horizon."""
    deals = amounts(running.store, "win", wanted)
    deals = deals[deals["deal_kind"].str.lower().eq("expansion") & deals["probability"].notna()]
    deals = deals[deals["amount"].notna() & ~deals["held_out"].fillna(False).astype(bool)]
    held = running.models.get("win")
    horizon = (held.model.horizon_days if held else None) or DEFAULT_HORIZON
    usual = deals["as_of"] + pd.Timedelta(days=horizon / 2)
    stated = pd.to_datetime(deals["subject_id"].map(closes))
    closing = stated.where(stated >= deals["as_of"], usual)
    return deals.assign(month=closing.dt.to_period("M"), own=np.nan)


def _by_owner(dated: pd.DataFrame, seed: int) -> list[dict[str, Any]]:
    """All months together by owner, those furthest from their own figure first; empty for one owner."""
    named = dated.assign(owner=dated["owner_id"].fillna("(none)"))
    if named["owner"].nunique() < 2:
        return []
    nobody = pd.DataFrame(columns=["owner", "amount", "renewed"])
    names = named.drop_duplicates("owner").set_index("owner")["owner_name"].to_dict()
    rows = [row for row in outlook(named, nobody, None, "owner", seed) if row["owner"] != "all"]
    for row in rows:
        row["name"] = names.get(row["owner"]) or row["owner"]
    return sorted(rows, key=lambda row: -abs(row["own"] - row["model_same"]))


def _before(rows: list[dict[str, Any]], wanted: dict[str, Any], seed: int) -> dict[str, Any] | None:
    """What earlier scores expected of contracts ended since, and what was kept; None for too few."""
    inside = pd.DataFrame(_within(rows, wanted))
    if len(inside) < FEWEST_BEFORE:
        return None
    nobody = pd.DataFrame(columns=["whole", "amount", "renewed"])
    told = outlook(inside.assign(whole="before", own=np.nan), nobody, None, "whole", seed)[-1]
    kept = float((inside["amount"] * inside["renewed"]).sum() / told["up"]) if told["up"] else None
    first, last = (_label(pd.Period(month, "M")) for month in (min(inside["month"]), max(inside["month"])))
    is_off = kept is not None and not told["gross_low"] <= kept <= told["gross_high"]
    return {**told, "kept": kept, "from": first, "to": last, "is_off": is_off}


def _past(rows: list[dict[str, Any]], wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """The last months before the present one: what was up and kept, and the expansion won."""
    inside = pd.DataFrame(_within(rows, wanted))
    if inside.empty:
        return []
    names = [name for name in ("contracts", "up", "kept", "undecided", "expansion") if name in inside]
    told = inside.groupby("month")[names].sum().tail(MONTHS_SHOWN).reset_index().to_dict("records")
    for row in told:
        row["label"] = _label(pd.Period(row["month"], "M"))
        row["gross"] = row["kept"] / row["up"] if row["up"] else None
        row["net"] = (
            (row["kept"] + row["expansion"]) / row["up"] if row["up"] and "expansion" in row else None
        )
    return [{str(name): value for name, value in row.items()} for row in told]


def _within(rows: list[dict[str, Any]], wanted: dict[str, Any]) -> list[dict[str, Any]]:
    fits = (("owner", "owner_id"), ("region", "region"))
    return [row for row in rows if all(row[at] == wanted[name] for name, at in fits if wanted.get(name))]


def _labelled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**row, "month": str(row["month"]), "label": "All" if row["month"] == "all" else _label(row["month"])}
        for row in rows
    ]


def _label(month: pd.Period) -> str:
    return month.strftime("%b %y")


def _bars(told: dict[str, Any]) -> list[dict[str, Any]]:
    """The months as the chart of money takes them: half a year of the past, then what is to come."""
    past = [
        {"label": row["label"], "up": row["up"], "decided": row["kept"], "expected": row["kept"]}
        | dict.fromkeys(("low", "high", "own"))
        for row in told["past"][-6:]
    ]
    coming = [
        {name: row[name] for name in ("label", "up", "decided", "expected", "low", "high")}
        | {
            "own": row["own"] + row["decided"]
            if row["own_of"] > 0.95 * (row["up"] - row["decided"]) > 0
            else None
        }
        for row in told["months"][:-1]
    ]
    return past + coming


def _rates(told: dict[str, Any]) -> list[dict[str, Any]]:
    """Gross and net retention by month as the chart of rates takes them."""
    past = [{**row, "gross_low": None, "gross_high": None} for row in told["past"]]
    return [*past, *told["months"][:-1]]
