"""Outcomes over HTTP: how contracts and deals ended, as reported by the system that knows it first."""

from datetime import datetime
from typing import Any, Literal

import pandas as pd
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field, model_validator
from starlette.concurrency import run_in_threadpool

from serving.api.routes import ERRORS, Scorer, answer
from serving.api.shapes import Body, Id
from serving.security.auth import Principal
from serving.state import Running, running_of

router = APIRouter(responses=ERRORS, dependencies=[Depends(HTTPBearer(auto_error=False))])


class OutcomeRow(Body):
    """How one contract or deal ended."""

    contract_id: Id | None = Field(None, examples=["C-1042"])
    opportunity_id: Id | None = None
    outcome: Literal["renewed", "not renewed", "won", "lost"] = Field(examples=["renewed"])
    decided_at: datetime | None = Field(
        None, description="UTC where no zone is given.", examples=["2026-03-01T00:00:00"]
    )

    @model_validator(mode="after")
    def _fits(self) -> "OutcomeRow":
        if (self.contract_id is None) == (self.opportunity_id is None):
            raise ValueError("either contract_id or opportunity_id is expected")
        if (self.contract_id is None) != (self.outcome in ("won", "lost")):
            raise ValueError("a contract is renewed or not renewed, a deal won or lost")
        return self


class OutcomesSent(Body):
    """Outcomes as they become known; one sent twice changes nothing."""

    rows: list[OutcomeRow] = Field(min_length=1, max_length=1_000)


class OutcomesTaken(BaseModel):
    """What became of sent outcomes."""

    new: int = Field(examples=[1])
    repeated: int = Field(description="Rows that were stored before.", examples=[0])
    conflicting: int = Field(description="Another outcome or day is stored already, and stays.", examples=[0])
    unknown: int = Field(description="Of the new ones, ids that were never scored.", examples=[0])
    conflicts: list[str] = Field(description="Each that conflicts, in words.")
    refused: list[dict[str, Any]] = Field(description="Rows about what this key does not see.")


@router.post("/v1/outcomes", response_model=OutcomesTaken, tags=["events"])
async def take_outcomes(body: OutcomesSent, request: Request, principal: Scorer) -> Response:
    """Store how contracts and deals ended, once: what scores, overrides and tasks are judged by."""
    return answer(await run_in_threadpool(_taken, running_of(request), principal, body.rows))


def _taken(running: Running, principal: Principal, sent: list[OutcomeRow]) -> dict[str, Any]:
    rows, refused = [], []
    for at, row in enumerate(sent):
        about = row.model_dump(include={"contract_id", "opportunity_id"}, exclude_none=True)
        if principal.is_scoped and not running.live.arrivals.sees(about, principal):
            key, subject = next(iter(about.items()))
            refused.append({"row": at, "why": f"{key}: there is no {subject!r}"})
        else:
            rows.append(row.model_dump())
    counts: dict[str, Any] = {"new": 0, "repeated": 0, "conflicting": 0, "unknown": 0, "conflicts": []}
    if rows:
        counts = running.store.outcomes.record(pd.DataFrame(rows, dtype=object))
        running.store.audit.record(
            principal.label or principal.key_id, "outcomes", f"{len(rows)} rows", {"new": counts["new"]}
        )
    return {**counts, "refused": refused}
