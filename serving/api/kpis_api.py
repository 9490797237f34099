"""Customer KPIs over HTTP: over time, by persona and segment, and which touchpoints move them."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from serving.api.planning import worked_out
from serving.api.routes import ERRORS, allow, answer
from serving.security.auth import ALL_ROLES, Principal, refuse_scoped
from serving.state import Running, running_of

router = APIRouter(responses=ERRORS, dependencies=[Depends(HTTPBearer(auto_error=False))])


class KpiShown(BaseModel):
    """One KPI."""

    kpi: str = Field(examples=["NPS"])
    team: str = Field(description="`service`, `marketing`, `sales` or `all`.", examples=["all"])
    unit: str = Field(examples=["points"])
    better: int = Field(description="1: more is better; −1: less is.", examples=[1])
    meaning: str
    why: str | None = Field(description="What is missing; null where it is measured.")


class KpiFigure(BaseModel):
    """A KPI of some rows, with its 90 % interval; null with fewer than ten."""

    kpi: str = Field(examples=["NPS"])
    n: int
    value: float | None
    low: float | None
    high: float | None
    raw: float | None = Field(description="The mean of the answers alone.")


class KpiQuarter(KpiFigure):
    """Of one quarter."""

    quarter: str = Field(examples=["2025Q4"])


class KpiGroup(KpiFigure):
    """Of a group, over the last 365 days."""

    dimension: str = Field(description="`all`, `persona`, `industry`, `region` or `country`.")
    group: str


class Mover(BaseModel):
    """By how much a KPI differs with and without a touchpoint in the 30 days before."""

    kpi: str = Field(examples=["CSAT"])
    unit: str
    touchpoint: str = Field(examples=["meeting"])
    dimension: str = Field(examples=["all"])
    group: str = Field(examples=["all"])
    n: int = Field(description="Rows with it.")
    of: int = Field(description="Rows.")
    estimate: float | None = Field(description="In the KPI's unit; null: can't tell.")
    low: float | None
    high: float | None
    raw: float | None = Field(description="The plain difference.")
    margin: float | None = Field(description="How far off if nothing recorded were three times as strong.")
    verdict: str = Field(description="`raises`, `lowers` or `can't tell`.", examples=["can't tell"])
    why: str = Field(examples=["may be chance"])


class MapFigure(BaseModel):
    """A KPI measured at a touchpoint; nulls where it is not."""

    kpi: str = Field(examples=["CSAT"])
    unit: str
    value: float | None
    low: float | None
    high: float | None
    n: int | None


class MapPlace(BaseModel):
    """A touchpoint on a persona's journey, in the last 365 days."""

    persona: str = Field(examples=["everybody"])
    stage: str = Field(examples=["support"])
    touchpoint: str = Field(examples=["case closed"])
    events: int | None
    accounts: int | None
    share: float | None = Field(description="Of the persona's accounts.")
    measured: list[MapFigure]
    missing: str | None = Field(description="What is not on record or not measured; null: nothing.")


class KpisShown(BaseModel):
    """The same as `perennial kpis --json`."""

    kpis: list[KpiShown]
    series: list[KpiQuarter]
    groups: list[KpiGroup]
    movers: list[Mover]
    map: list[MapPlace]
    notes: list[str]


@router.get("/v1/kpis", response_model=KpisShown, tags=["plan"])
async def kpis(request: Request, principal: Annotated[Principal, allow(*ALL_ROLES)]) -> Response:
    """Customer KPIs over time beside retention and effort, and which touchpoints move them; whole teams."""
    return answer(await run_in_threadpool(_visible, running_of(request), principal))


def _visible(running: Running, principal: Principal) -> dict[str, Any]:
    refuse_scoped(principal)
    return worked_out(running, "kpis")
