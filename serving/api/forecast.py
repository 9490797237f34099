"""The forecast: renewal money by month, gross and net, with intervals, beside what the owners expect."""

from typing import Any

import numpy as np
import pandas as pd
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
from sqlalchemy import func
from starlette.concurrency import run_in_threadpool

from monitoring.store import Store
from monitoring.store.list_filter import Wanted
from monitoring.store.tables import scores
from serving.api.list_filters import amounts, freshness, narrow
from serving.api.routes import ERRORS, Owner, Region, Seller, Team, answer
from serving.scoring.retention import outlook
from serving.state import Running, running_of

MONTHS_SHOWN = 12
FEWEST_BEFORE = 20
DEFAULT_HORIZON = 90

router = APIRouter(responses=ERRORS, dependencies=[Depends(HTTPBearer(auto_error=False))])


class Sum(BaseModel):
    """Renewal money that is up, what of it is expected, and what the owners expect; amounts in units."""

    contracts: int = Field(examples=[37])
    up: float = Field(description="Annual value that is due for renewal.", examples=[1_410_000.0])
    decided: float = Field(description="Of it, renewed already.", examples=[216_714.0])
    expected: float = Field(
        description="`decided`, and value × probability of the rest.", examples=[1_260_000.0]
    )
    low: float = Field(description="Lower end of the 90 % interval.", examples=[1_070_000.0])
    high: float = Field(examples=[1_380_000.0])
    gross: float | None = Field(description="expected ÷ up: gross retention.", examples=[0.89])
    gross_low: float | None = Field(examples=[0.76])
    gross_high: float | None = Field(examples=[0.98])
    expansion: float | None = Field(
        None, description="Expected of open expansion deals; null: the data have none.", examples=[9_200.0]
    )
    net: float | None = Field(None, description="Net retention.", examples=[0.9])
    net_low: float | None = Field(None, examples=[0.77])
    net_high: float | None = Field(None, examples=[0.99])
    own: float = Field(description="What the owners expect of those they forecast.", examples=[1.08e6])
    own_of: float = Field(description="The value of those contracts.", examples=[1_180_000.0])
    model_same: float = Field(description="What the model expects of the same.", examples=[1_040_000.0])
    committed: float = Field(
        0.0,
        description="`expected` with the team's overrides in place of the model's figures.",
        examples=[1_230_000.0],
    )


class Month(Sum):
    """A month to come; `all` is their sum."""

    month: str = Field(examples=["2026-01"])


class OwnersSum(Sum):
    """The open contracts of an owner, all months together."""

    owner: str = Field(examples=["O-7"])
    name: str = Field(examples=["Ada"])


class PastMonth(BaseModel):
    """A month that is over, from the CRM."""

    month: str = Field(examples=["2025-12"])
    contracts: int = Field(examples=[41])
    undecided: int = Field(0, examples=[0])
    up: float = Field(examples=[890_000.0])
    kept: float = Field(examples=[790_000.0])
    expansion: float | None = Field(None, examples=[12_000.0])
    gross: float | None = Field(examples=[0.89])
    net: float | None = Field(examples=[0.9])


class Trailing(BaseModel):
    """Retention of the last months that are over, beside what is to come."""

    months: int = Field(examples=[12])
    up: float = Field(examples=[9_800_000.0])
    gross: float = Field(examples=[0.88])
    net: float | None = Field(examples=[0.93])


class Category(BaseModel):
    """A forecast category: the contracts whose likelihood, overrides counted, lies in its range."""

    name: str = Field(examples=["commit"])
    contracts: int = Field(examples=[61])
    amount: float = Field(description="Annual value.", examples=[2_010_000.0])
    expected: float = Field(description="Value × likelihood, overrides counted.", examples=[1_830_000.0])
    model: float = Field(description="Value × the model's likelihood.", examples=[1_790_000.0])


class Before(BaseModel):
    """What earlier scores expected of contracts that ended since, and what was kept of their money."""

    contracts: int = Field(examples=[212])
    gross: float = Field(description="Expected share of the money.", examples=[0.83])
    gross_low: float = Field(examples=[0.78])
    gross_high: float = Field(examples=[0.88])
    kept: float | None = Field(description="The share that was kept.", examples=[0.81])
    is_off: bool = Field(description="Whether that lies outside the interval.", examples=[False])


class Forecast(BaseModel):
    """What the forecast page shows."""

    as_of: str | None = Field(examples=["2026-01-01T00:00:00"])
    model_version: str | None = Field(examples=["3"])
    months: list[Month]
    owners: list[OwnersSum] = Field(description="Furthest from their own figure first; empty for one owner.")
    past: list[PastMonth] = Field(description="The last twelve months, oldest first.")
    trailing: Trailing | None = Field(None, description="Null where no month is over.")
    categories: list[Category] = Field(
        [], description="Renewed, commit, best case, pipeline, and lost where any is."
    )
    overridden: int = Field(0, description="Contracts whose likelihood somebody overrode.", examples=[3])
    before: Before | None = Field(description="Null where fewer than 20 are known.")
    undated: int = Field(description="Contracts without an end date, left out.", examples=[0])
    unvalued: int = Field(description="Contracts without a value.", examples=[0])
    why: str | None = Field(description="Why there is no figure of the past yet.", examples=[None])


@router.get("/v1/forecast", response_model=Forecast, tags=["plan"])
async def forecast(
    request: Request,
    principal: Seller,
    owner: Owner = None,
    region: Region = None,
    team: Team = None,
) -> Response:
    """Renewal money by month, gross and net retention with 90 % intervals, beside what the owners expect."""
    running = running_of(request)
    wanted = narrow(principal, {"owner": owner, "region": region, "team": team}, running.settings)
    result = await run_in_threadpool(worked, running, wanted)
    fresh = await run_in_threadpool(freshness, running.store, "renewal") or {}
    model_facts = {"as_of": _iso(fresh.get("as_of")), "model_version": fresh.get("model_version")}
    return answer(
        Forecast.model_validate({**result, **model_facts, "why": result["why"] or None}).model_dump()
    )


def _iso(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat()


def worked(running: Running, wanted: Wanted) -> dict[str, Any]:
    """The forecast within these filters.

    Returns:
        `months` and `owners` (rows of `retention.outlook`, `all` last, months with `committed`), `past`
        (months before, from the CRM) and `trailing` (their sum), `categories`, `overridden` (contracts),
        `before` (earlier scores against what happened), `why` there is no past yet, whether it `comes`,
        counts of contracts `undated` and `unvalued`, `has_expansion`.
    """
    retention = running.worked_out.ask("retention")
    nothing = dict.fromkeys(("past", "decided", "closes", "before", "has_expansion"), ())
    before = {**nothing, **(retention.value or {})}
    renewals = _open_renewals(running.store, wanted)
    dated = renewals[renewals["end_date"].notna()]
    decided = _decided(before["decided"], wanted, dated)
    expansions = _expansions(running, wanted, before["closes"]) if before["has_expansion"] else None
    dated = dated.assign(month=dated["end_date"].dt.to_period("M"))
    seed = running.settings.seed
    months = outlook(dated, decided, expansions, "month", seed) if len(dated) else []
    past = _past(before["past"], wanted)
    return {
        "months": _labelled(_committed(months, dated)),
        "trailing": _trailing(past),
        "categories": _categories(dated, decided) if len(dated) else [],
        "overridden": int(dated["override"].notna().sum()),
        "owners": _by_owner(dated, seed),
        "past": past,
        "before": _before(before["before"], wanted, seed),
        "why": retention.why,
        "comes": retention.comes,
        "undated": len(renewals) - len(dated),
        "unvalued": int(dated["unvalued"].sum()),
        "has_expansion": expansions is not None,
    }


def _open_renewals(store: Store, wanted: Wanted) -> pd.DataFrame:
    """Running contracts with the probability to reckon with and the owner's own.

    Customers held out count with the others' mean probability, so that nobody reads theirs from a sum. The
    newest override stands for the owner's own estimate, else the CRM's forecast.
    """
    rows = amounts(store, "renewal", wanted)
    hidden = rows["held_out"].fillna(False).astype(bool) | rows["probability"].isna()
    visible = rows[~hidden]
    for name in ("probability", "low", "high"):
        rows.loc[hidden, name] = visible[name].mean() if len(visible) else 0.5
    overrides = (
        store.judgements.overrides("renewal")
        .drop_duplicates("subject_id", keep="last")
        .set_index("subject_id")
    )
    noted = rows["subject_id"].map(overrides["probability"].astype(float)) if len(overrides) else np.nan
    override = pd.Series(noted, rows.index, dtype=float)
    own_probability = override.fillna(rows["forecast"])
    rows = rows.assign(override=override, team=override.fillna(rows["probability"]))
    return rows.assign(own=own_probability, unvalued=rows["amount"].isna(), amount=rows["amount"].fillna(0.0))


def _committed(months: list[dict[str, Any]], dated: pd.DataFrame) -> list[dict[str, Any]]:
    """The months with what is expected of each with overrides in place of the model's figures."""
    change = dated["amount"] * (dated["team"] - dated["probability"])
    changes = {"all": change.sum(), **change.groupby(dated["month"]).sum()}
    return [{**row, "committed": float(row["expected"] + changes.get(row["month"], 0.0))} for row in months]


def _trailing(past: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Retention over the months that are over; None where nothing was due in them."""
    up = sum(row["up"] for row in past)
    if not up:
        return None
    renewed_money = sum(row["kept"] for row in past)
    has_expansion = all("expansion" in row for row in past)
    net = (renewed_money + sum(row["expansion"] for row in past)) / up if has_expansion else None
    return {"months": len(past), "up": up, "gross": renewed_money / up, "net": net}


CATEGORIES = (("commit", 0.8), ("best case", 0.5), ("pipeline", 0.0))
"""Open contracts by the likelihood from which they count there, overrides counted."""


def _categories(dated: pd.DataFrame, decided: pd.DataFrame) -> list[dict[str, Any]]:
    """Contracts renewed, open ones by forecast category, and lost ones: value and what is expected."""
    renewed, lost = decided[decided["renewed"] == 1], decided[decided["renewed"] != 1]
    sure = float(renewed["amount"].sum())
    rows = [{"name": "renewed", "contracts": len(renewed), "amount": sure, "expected": sure, "model": sure}]
    below = np.inf
    for name, least in CATEGORIES:
        inside = dated[(dated["team"] >= least) & (dated["team"] < below)]
        below = least
        sums = {
            "amount": inside["amount"],
            "expected": inside["amount"] * inside["team"],
            "model": inside["amount"] * inside["probability"],
        }
        figures = {figure: float(money.sum()) for figure, money in sums.items()}
        rows.append({"name": name, "contracts": len(inside), **figures})
    if len(lost):
        gone = float(lost["amount"].sum())
        rows.append({"name": "lost", "contracts": len(lost), "amount": gone, "expected": 0.0, "model": 0.0})
    return rows


def _decided(rows: list[dict[str, Any]], wanted: Wanted, still_open: pd.DataFrame) -> pd.DataFrame:
    """Contracts decided already that end in a month the list reaches, but for those it still holds open."""
    listed = set(still_open["subject_id"])
    over = [row for row in _within(rows, wanted) if row["contract_id"] not in listed]
    frame = pd.DataFrame(over, columns=["contract_id", "month", "amount", "renewed"])
    month = pd.Series(pd.PeriodIndex(frame["month"], freq="M"), frame.index)
    last = still_open["end_date"].max().to_period("M") if len(still_open) else None
    return frame.assign(month=month)[(month <= last).to_numpy(bool) if last is not None else slice(0)]


def _expansions(running: Running, wanted: Wanted, closes: dict[str, str]) -> pd.DataFrame:
    """Open expansion deals in the month they are expected to close: as the CRM says, else mid-horizon."""
    of_kind = func.lower(scores.c.details["deal_kind"].as_string()) == "expansion"
    deals = amounts(running.store, "win", wanted, of_kind)
    deals = deals[deals["probability"].notna()]
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


def _before(rows: list[dict[str, Any]], wanted: Wanted, seed: int) -> dict[str, Any] | None:
    """What earlier scores expected of contracts ended since, and what was kept; None for too few."""
    inside = pd.DataFrame(_within(rows, wanted))
    if len(inside) < FEWEST_BEFORE:
        return None
    nobody = pd.DataFrame(columns=["whole", "amount", "renewed"])
    total = outlook(inside.assign(whole="before", own=np.nan), nobody, None, "whole", seed)[-1]
    kept_share = float((inside["amount"] * inside["renewed"]).sum() / total["up"]) if total["up"] else None
    first, last = (_label(pd.Period(month, "M")) for month in (min(inside["month"]), max(inside["month"])))
    is_off = kept_share is not None and not total["gross_low"] <= kept_share <= total["gross_high"]
    return {**total, "kept": kept_share, "from": first, "to": last, "is_off": is_off}


def _past(rows: list[dict[str, Any]], wanted: Wanted) -> list[dict[str, Any]]:
    """The last months before the present one: what was up and kept, and the expansion won."""
    inside = pd.DataFrame(_within(rows, wanted))
    if inside.empty:
        return []
    names = [name for name in ("contracts", "up", "kept", "undecided", "expansion") if name in inside]
    months = inside.groupby("month")[names].sum().tail(MONTHS_SHOWN).reset_index().to_dict("records")
    for row in months:
        row["label"] = _label(pd.Period(row["month"], "M"))
        row["gross"] = row["kept"] / row["up"] if row["up"] else None
        row["net"] = (
            (row["kept"] + row["expansion"]) / row["up"] if row["up"] and "expansion" in row else None
        )
    return [{str(name): value for name, value in row.items()} for row in months]


def _within(rows: list[dict[str, Any]], wanted: Wanted) -> list[dict[str, Any]]:
    fits = {"owner_id": wanted.get("owner"), "region": wanted.get("region")}
    inside = [row for row in rows if all(row[at] == value for at, value in fits.items() if value)]
    owners = wanted.get("owners")
    return inside if owners is None else [row for row in inside if row["owner_id"] in owners]


def _labelled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**row, "month": str(row["month"]), "label": "All" if row["month"] == "all" else _label(row["month"])}
        for row in rows
    ]


def _label(month: pd.Period) -> str:
    return month.strftime("%b %y")
