"""What is asked to plan by: what a change would do to a renewal, when to make contact, and whom to go for."""

from typing import Annotated, Any, Literal

import pandas as pd
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool

from features.arriving import Reader
from features.errors import RenewalError
from serving.advice import contract_facts, for_contracts, untold, window_curve
from serving.api import ERRORS, Seller, allow, answer
from serving.auth import Principal
from serving.batch import HELD_OUT
from serving.problems import ProblemError
from serving.schema import FitAsked, Fitted, Profiles, Targets, WhatIf, WhatIfAsked
from serving.segments import list_for, profiles_for
from serving.what_if import score_said, unsaid
from training.causal.what_if import effect_of
from training.icp import fit_rows
from training.profiles.fit import Fit
from training.profiles.samples import checked_weights
from training.profiles.weighing import DEFAULT_WORDS, read_weights, reordered, reweighted

MARKETERS = ("marketing", "admin")
COLUMNS = (
    "id", "name", "kind", "fit", "profile", "win", "expected_value", "expected_effort_hours",
    "value_per_hour", "listed", "reason_1", "reason_2", "reason_3",
)  # fmt: skip
ENDING = Path(description="csv, xlsx or parquet.", pattern="^(csv|xlsx|parquet)$", examples=["csv"])
WEIGHTS = Query(
    description="What counts how much, as `win=1,effort=0.5`; default: " + DEFAULT_WORDS + ".",
    max_length=200,
    examples=["win=1,effort=0.5"],
)
Candidate = Literal["account", "prospect", "lead"]
OF_KIND = Query(description="Only these of the list.", examples=["prospect"])

router = APIRouter(responses=ERRORS, dependencies=[Depends(HTTPBearer(auto_error=False))])
Marketer = Annotated[Principal, allow(*MARKETERS)]


@router.post("/v1/what_if", response_model=WhatIf, tags=["plan"])
async def what_if(body: WhatIfAsked, request: Request, principal: Seller) -> Response:
    """What the model's score would say of a change, and, apart from it, what its estimated effect is."""
    return answer(await run_in_threadpool(what_if_told, request.app.state.running, body, principal))


def what_if_told(running: Any, body: WhatIfAsked, principal: Principal) -> dict[str, Any]:
    """The answer of `POST /v1/what_if`, for programs and for the page of one customer.

    Raises:
        ProblemError: 404 where the contract is not among those the visitor may see.
    """
    loaded = running.models.need("renewal")
    found = running.store.scores("renewal", ids=[body.contract_id]).rows
    if not found or not principal.sees(found[0]):
        raise ProblemError(404, f"There is no contract {body.contract_id!r} among those that run.")
    changes = body.changes.given()
    if found[0].get("held_out"):
        score = unsaid(HELD_OUT)
    else:
        score = score_said(running.live.arrivals, Reader(), loaded, found[0], changes)
    effects = running.worked_out.ask("effects")
    return {
        "contract_id": body.contract_id,
        "changes": changes,
        "score": score,
        "effect": None if effects.value is None else _effect(running, effects.value, found[0], changes),
        "why": effects.why or None,
    }


def _effect(
    running: Any, effects: dict[str, Any], row: dict[str, Any], changes: dict[str, float]
) -> dict[str, dict[str, Any]]:
    """The estimated effect of each change, from what was worked out for the ingested CRM."""
    told = for_contracts(effects)
    contract = contract_facts(effects, row, _arrived(running, row))
    return {name: effect_of(told, contract, name, at) for name, at in changes.items()}


def _arrived(running: Any, row: dict[str, Any]) -> list[dict[str, Any]]:
    """What has arrived of a contract's account since the CRM was ingested."""
    live: list[dict[str, Any]] = running.store.events("activities", account_id=row["account_id"])
    return live


def contact_window(running: Any, row: dict[str, Any]) -> dict[str, Any]:
    """When to make first contact with one contract before it ends; looked up, never estimated at a request.

    Args:
        running: what the handlers share (`request.app.state.running`).
        row: the contract's current score row, `contract_id`, `account_id` and `end_date` among it. Whether
            the visitor may see it is the caller's to check.

    Returns:
        `window` (such as `61-90` days before the end, `none`: leave alone; None: nothing is advised),
        `act_from` and `act_by` (ISO days, both included), `present` (the plan compared with, in words),
        `estimate` and `usual` (probability of renewal under the window and under the present plan), `gain`,
        `low`, `high` (their difference, 95 %), `worth` (gain × amount), `alike` (windows not told from the
        best), `leaning` (what looks best where nothing is advised), `why` (a sentence to show, "can't tell:
        …" with the reason where nothing is advised), `curve`: for each window, the earliest first, `bucket`,
        `estimate`, `low`, `high`, `raw`, `n`, `why`, `is_open` (can still be chosen), `is_best`; `group`
        (whose curve it is, `all`: everybody's), `notes`, and `comes`: True while it is being worked out.
    """
    effects = running.worked_out.ask("effects")
    if effects.value is None:
        return untold(effects.why, comes=effects.comes)
    if "why" in effects.value["timing"]:
        return untold(f"can't tell: {effects.value['timing']['why']}")
    facts = contract_facts(effects.value, row, _arrived(running, row))
    return {**untold(facts["why"]), **facts, **window_curve(for_contracts(effects.value)["timing"], facts)}


@router.post("/v1/icp/fit", response_model=Fitted, tags=["plan"])
async def icp_fit(body: FitAsked, request: Request, principal: Marketer) -> Response:
    """Rate prospects: money won and renewed for each hour of effort, as a share of accounts they exceed."""
    running = request.app.state.running
    told = await run_in_threadpool(worked_out, running, "icp")
    rows = await run_in_threadpool(fit_rows, Fit.from_dict(told["fit"]), body.accounts)
    _audit(running, principal, "icp fit", {"rows": len(rows)})
    return answer({"rows": rows})


@router.get("/v1/icp/profiles", response_model=Profiles, tags=["plan"])
async def icp_profiles(
    request: Request, principal: Marketer, weights: Annotated[str | None, WEIGHTS] = None
) -> Response:
    """Kinds of customers that win with little effort and discount and renew by themselves, best first."""
    running = request.app.state.running
    asked = weights_of(weights)
    told = await run_in_threadpool(worked_out, running, "icp")
    found = profiles_for(principal, told["profiles"])
    if asked is not None:
        found["profiles"] = reordered(found["profiles"], asked)
    return answer({**found, "personas": told["personas"]})


@router.get("/v1/icp/list", response_model=Targets, tags=["plan"])
async def icp_list(
    request: Request,
    principal: Marketer,
    weights: Annotated[str | None, WEIGHTS] = None,
    kind: Annotated[Candidate | None, OF_KIND] = None,
) -> Response:
    """Leads, prospects and accounts, those worth most for each hour of effort, as weighted, first."""
    told = await run_in_threadpool(target_list, request.app.state.running, principal, weights, kind)
    _audit(request.app.state.running, principal, "icp list", {"rows": len(told["rows"])})
    return answer(told)


@router.get("/v1/icp/list.{ending}", tags=["plan"], response_class=Response)
async def icp_list_file(
    request: Request,
    principal: Marketer,
    ending: Annotated[str, ENDING],
    weights: Annotated[str | None, WEIGHTS] = None,
    kind: Annotated[Candidate | None, OF_KIND] = None,
) -> Response:
    """The targeting list as a file."""
    return await run_in_threadpool(save_list, request.app.state.running, principal, ending, weights, kind)


def save_list(
    running: Any, principal: Principal, ending: str, weights: str | None = None, kind: str | None = None
) -> Response:
    """The targeting list as a file to save; that it was taken is noted in the audit."""
    from serving.pages.spreadsheet import attachment, plain_sheet

    rows = target_list(running, principal, weights, kind)["rows"]
    told = [
        {**row, **{f"reason_{at}": reason["words"] for at, reason in enumerate(row["reasons"][:3], start=1)}}
        for row in rows
    ]
    _audit(running, principal, "export", {"rows": len(rows), "as": ending})
    return attachment(plain_sheet(pd.DataFrame(told), COLUMNS), "targets", ending)


def target_list(
    running: Any, principal: Principal, weights: str | None = None, kind: str | None = None
) -> dict[str, Any]:
    """The targeting list, put in another order where weights are given; of one kind where that is.

    Raises:
        ProblemError: 403 for a key with a scope: prospects have no owner yet; 422 for weights that make no
            sense; 409 or 503 as `worked_out`.
    """
    if principal.is_scoped:
        raise ProblemError(403, "The targeting list spans all owners and regions; this key sees one only.")
    asked = weights_of(weights)
    told = worked_out(running, "icp")
    listed = list_for(principal, told["list"])
    if asked is not None:
        listed = reweighted(listed, Fit.from_dict(told["fit"]), asked)
    return {**listed, "rows": of_kind(listed["rows"], kind)}


def of_kind(rows: list[dict[str, Any]], kind: str | None) -> list[dict[str, Any]]:
    """The rows that are accounts, prospects or leads; all where no kind is named."""
    return [row for row in rows if row["kind"] == kind] if kind else rows


def weights_of(text: str | None) -> dict[str, float] | None:
    """Weights as asked for, summing to 1; None where none are. Raises 422 where they make no sense."""
    try:
        return checked_weights(read_weights(text)) if text else None
    except RenewalError as error:
        raise ProblemError(422, str(error)) from error


def worked_out(running: Any, name: str) -> dict[str, Any]:
    """A long answer.

    Raises:
        ProblemError: 503 while it is being worked out, 409 where the data don't give it.
    """
    told = running.worked_out.ask(name)
    if told.value is not None:
        return dict(told.value)
    if told.comes:
        raise ProblemError(503, told.why, headers={"Retry-After": "10"})
    raise ProblemError(409, told.why)


def _audit(running: Any, principal: Principal, what: str, details: dict[str, Any]) -> None:
    running.store.audit(principal.label or principal.key_id, what, "icp", details)
