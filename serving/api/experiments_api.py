"""Experiments over HTTP: the state of each at the last look."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from monitoring.experiment_steps import every
from serving.api.routes import ERRORS, allow, answer
from serving.security.auth import ALL_ROLES, Principal, refuse_scoped
from serving.state import Running, running_of

router = APIRouter(responses=ERRORS, dependencies=[Depends(HTTPBearer(auto_error=False))])


class ExperimentShown(BaseModel):
    """One experiment: what is tried, and what came out so far."""

    experiment: str = Field(examples=["timing-2026-01-01"])
    state: str = Field(description="`open` or `ended`.", examples=["open"])
    question: str = Field(examples=["timing"])
    advice: str = Field(examples=["first contact 61 to 90 days before the end"])
    outcomes_known: int | None = Field(None, description="Outcomes known so far.", examples=[812])
    needed: int = Field(description="Outcomes planned for.", examples=[2706])
    drawn: dict[str, float | None] | None = Field(
        None,
        description="Effect of being drawn for the advice: estimate, low, high, p; they hold at every look.",
    )
    treated: dict[str, float | None] | None = Field(
        None, description="Effect of being treated, on those who follow the draw: estimate, low, high."
    )
    verdict: str | None = Field(None, examples=["too early to tell"])
    why: str | None = Field(None, examples=["drawn for the advice: +4.1 points (−1.0 to +9.2 …"])


class ExperimentsShown(BaseModel):
    """All experiments, the newest first; further figures: `perennial experiment status --json`."""

    experiments: list[ExperimentShown]


@router.get("/v1/experiments", response_model=ExperimentsShown, tags=["plan"])
async def experiments(request: Request, principal: Annotated[Principal, allow(*ALL_ROLES)]) -> Response:
    """Experiments of advice against usual practice, as of the last look at each; for whole teams."""
    return answer(await run_in_threadpool(seen_by, running_of(request), principal))


def seen_by(running: Running, principal: Principal) -> dict[str, Any]:
    """All experiments.

    Raises:
        ProblemError: 403 for a key with a scope: arms span owners and regions, and who sells should not know
            who goes without advice.
    """
    refuse_scoped(principal, "Experiments span")
    return {"experiments": every(running.store)}
