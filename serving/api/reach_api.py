"""Over HTTP: who in the market is not reached, and what changing a rule would change."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from features.crm.load import opened
from features.errors import RenewalError
from monitoring.qualification import rule_change
from serving.api.planning import worked_out
from serving.api.problems import ProblemError
from serving.api.routes import ERRORS, allow, answer
from serving.security.auth import Principal, reach_for, refuse_scoped, sees_segments
from serving.state import Running, running_of

WATCHERS = ("marketing", "mlops", "admin")
RULE = Query(
    description="Who qualifies: thresholds on columns of accounts, as `employees>=100, country=DE|AT`.",
    max_length=500,
    examples=["employees>=100"],
)
INSTEAD = Query(
    description="The rule it would be changed to; empty: everybody.",
    max_length=500,
    examples=["employees>=50"],
)

router = APIRouter(responses=ERRORS, dependencies=[Depends(HTTPBearer(auto_error=False))])


class ReachRow(BaseModel):
    """A segment in a channel beside the market; null where it is not known, or under 30 accounts."""

    attribute: str = Field(examples=["region"])
    value: str = Field(examples=["east"])
    channel: str = Field(description="`campaigns`, `list` or `surveys`.", examples=["campaigns"])
    people: float | None = Field(description="As `population` counts them.")
    market: float | None = Field(description="Their share of the market.")
    against: str = Field(description="What the share is compared with.", examples=["the market"])
    accounts: float | None
    reached: float | None
    rate: float | None = Field(description="Reached of its accounts.")
    low: float | None
    high: float | None
    share: float | None = Field(description="Its share of all reached.")
    share_low: float | None
    share_high: float | None
    ratio: float | None = Field(description="The share to the market's.")
    verdict: str = Field(examples=["ok"])
    why: str
    unreached: float | None = Field(description="Its accounts in the CRM that are not reached.")
    missing: float | None = Field(description="Accounts more until its share is the market's, at least.")
    cost_each: float | None = Field(description="Of reaching an account once by a campaign.")
    cost_unreached: float | None
    cost_missing: float | None


class Reached(BaseModel):
    """The same as `perennial icp reach --json`, less what the role may not see."""

    rows: list[ReachRow]
    channels: dict[str, int | None] = Field(description="Accounts reached; null where not recorded.")
    contact_cost: dict[str, Any] | None
    guarded: list[str]
    audited: dict[str, int] = Field(description="Hidden groups by verdict.")
    columns: list[dict[str, Any]] = Field(description="What a rule may use.")
    taken_out: dict[str, str] = Field(description="What it may not, and why.")
    standing: list[str]
    currency: str | None
    notes: list[str]
    change: dict[str, Any] | None = Field(description="What changing the rule changes; null without one.")


@router.get("/v1/icp/reach", response_model=Reached, tags=["plan"])
async def icp_reach(
    request: Request,
    principal: Annotated[Principal, allow(*WATCHERS)],
    rule: Annotated[str, RULE] = "",
    instead: Annotated[str, INSTEAD] = "",
) -> Response:
    """Who in the market campaigns, list and surveys miss; what changing a rule would change."""
    running = running_of(request)
    refuse_scoped(principal, "Reach spans")
    study = await run_in_threadpool(worked_out, running, "icp")
    change = await run_in_threadpool(changed, running, principal, study["reach"], rule, instead)
    return answer({**reach_for(principal, study["reach"]), "change": change})


def changed(
    running: Running, principal: Principal, reach: Mapping[str, Any], rule: str, instead: str
) -> dict[str, Any] | None:
    """What changing the rule changes; None where none is given. `reach`: as it was worked out for this CRM.

    Raises:
        ProblemError: 422 for a rule that can't be read.
    """
    if not rule.strip() and not instead.strip():
        return None
    standing = {name: reach["taken_out"][name] for name in reach["standing"]}
    names = sees_segments(principal)
    try:
        with opened(running.settings) as crm:
            return rule_change(crm, rule, instead, names_segments=names, standing=standing)
    except RenewalError as error:
        raise ProblemError(422, str(error)) from error
