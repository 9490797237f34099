"""What people plan by: what a change would do to a renewal, when to make contact, the target account list.

What if we acted otherwise: what the score would say; the estimated effect is another figure.

The score repeats what went together in the past: where worried customers are called, calls look bad to it.
What the action changes is told by `training.effects.what_if`; the two are never mixed into one figure.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool

from features.arrays import Coded, Column
from features.crm.arriving import Reader
from features.errors import RenewalError
from serving.api.problems import ProblemError
from serving.api.routes import ERRORS, Seller, allow, answer
from serving.api.shapes import FitAsked, Fitted, Profiles, Targets, WhatIf, WhatIfAsked
from serving.arms_shown import arm_of, arms_of, effects_shown, is_usual, plan_row, withheld
from serving.live.account_features import Ground, Restate, Seen, with_rows
from serving.live.events import Arrivals
from serving.scoring.batch import HELD_OUT
from serving.security.auth import Principal, list_for, profiles_for
from serving.state import Running, running_of
from serving.studies import contract_facts, for_contracts, untold, window_curve
from training.effects.advice import personalised
from training.effects.enrolment import TIMING
from training.effects.timing_curve import curves
from training.effects.what_if import effect_of
from training.encode import texts
from training.icp import fit_rows
from training.icp.fit_score import Fit
from training.icp.prospect_outcomes import checked_weights
from training.icp.weights import DEFAULT_WORDS, read_weights, reordered, reweighted
from training.registry import Loaded

BEFORE = pd.Timedelta(hours=1)
RECENT = pd.Timedelta(days=30)
SAYS = "what the score would say had this just been recorded; no effect"
NOT_SEEN = "the model does not look at what this changes"


def score_said(
    arrivals: Arrivals, reader: Reader, loaded: Loaded, row: Mapping[str, Any], changes: Mapping[str, float]
) -> dict[str, Any]:
    """The score now and as if the actions had been recorded by now.

    Args:
        arrivals: what the live path stands on.
        reader: reads rows as events are read.
        loaded: the model.
        row: the contract's current score, with `contract_id` and `account_id`.
        changes: of `contact_days_before`, `calls_30d`, `discount_pct`.

    Returns:
        `now`, `changed`, `difference` (None where it can't be told), `moved` features, version, `why`.
    """
    with arrivals.standing("renewal", row["account_id"]) as context:
        subject, account_subjects = (
            (None, None) if context is None else _only(context[0], context[1], row["contract_id"])
        )
        if context is None or subject is None or account_subjects is None or subject["end_date"] is None:
            return unsaid("the contract has no end date, or does not run any more")
        ground, _, arrived = context
        X = ground.features(account_subjects, arrived)
        otherwise = ground.features(
            account_subjects, arrived, _restated(subject, account_subjects.as_of, changes, reader)
        )
    moved = [name for name in loaded.model.features if name in X and not _same(X[name], otherwise[name])]
    now, changed = (float(loaded.model.probability(rows)[0]) for rows in (X, otherwise))
    return {
        "now": now,
        "changed": changed,
        "difference": changed - now,
        "moved": moved,
        "model_version": str(loaded.version),
        "why": SAYS if moved else NOT_SEEN,
    }


def unsaid(why: str) -> dict[str, Any]:
    """No score, and why."""
    return {**dict.fromkeys(("now", "changed", "difference")), "moved": [], "model_version": None, "why": why}


def _only(
    ground: Ground, account_subjects: Seen, contract_id: str
) -> tuple[dict[str, Any] | None, Seen | None]:
    """One contract among those seen."""
    for at, place in enumerate(account_subjects.places.tolist()):
        if ground.subjects[place]["contract_id"] == contract_id:
            alone = account_subjects._replace(
                places=account_subjects.places[[at]], lead_days=account_subjects.lead_days[[at]]
            )
            return ground.subjects[place], alone
    return None, None


def _same(one: Column, other: Column) -> bool:
    if isinstance(one, Coded) and isinstance(other, Coded):
        return bool((texts(one) == texts(other)).all())
    return np.array_equal(np.asarray(one), np.asarray(other), equal_nan=True)


def _restated(
    subject: Mapping[str, Any], now: pd.Timestamp, changes: Mapping[str, float], reader: Reader
) -> Restate:
    """How the account's activities and quotes would read had the actions been taken by now."""
    restate: dict[str, Callable[[pa.Table], pa.Table]] = {}
    if {"contact_days_before", "calls_30d"} & set(changes):
        restate["activities"] = lambda rows: _activities(rows, subject, now, changes, reader)
    if "discount_pct" in changes and subject["amount"] is not None:
        restate["quotes"] = lambda rows: _quotes(rows, subject, now, changes["discount_pct"], reader)
    return restate


def _activities(
    rows: pa.Table,
    subject: Mapping[str, Any],
    now: pd.Timestamp,
    changes: Mapping[str, float],
    reader: Reader,
) -> pa.Table:
    """The account's activities with the contact made, and just so many calls in the last 30 days."""
    moments: list[pd.Timestamp] = []
    if "contact_days_before" in changes:
        day = subject["end_date"] - pd.Timedelta(days=changes["contact_days_before"])
        moments.append(min(day, now - BEFORE))
    if "calls_30d" in changes:
        at = rows["occurred_at"].to_pandas()
        is_call = rows["kind"].cast(pa.string()).to_pandas().str.lower() == "call"
        recent = np.flatnonzero((is_call & (at >= now - RECENT) & (at < now)).to_numpy(bool))
        wanted = max(int(changes["calls_30d"]) - len(moments) * _is_recent(moments, now), 0)
        rows = rows.take(pa.array(np.setdiff1d(np.arange(len(rows)), recent[wanted:])))
        more = max(wanted - len(recent), 0)
        moments += [now - BEFORE - (RECENT - pd.Timedelta(days=1)) * i / max(more, 1) for i in range(more)]
    if not moments:
        return rows
    calls = [
        {**_links(subject), "kind": "call", "direction": "outbound", "occurred_at": at} for at in moments
    ]
    return with_rows(rows, _read("activities", "activity_id", calls, reader))


def _is_recent(moments: list[pd.Timestamp], now: pd.Timestamp) -> bool:
    return bool(moments) and moments[0] >= now - RECENT


def _quotes(
    rows: pa.Table, subject: Mapping[str, Any], now: pd.Timestamp, discount_pct: float, reader: Reader
) -> pa.Table:
    """The account's quotes with one more, at this discount on the annual value."""
    full = subject["amount"]
    quote = {
        **_links(subject),
        "quoted_at": now - BEFORE,
        "list_amount": full,
        "net_amount": round(full * (1 - discount_pct / 100), 2),
    }
    return with_rows(rows, _read("quotes", "quote_id", [quote], reader))


def _links(subject: Mapping[str, Any]) -> dict[str, str]:
    return {name: subject[name] for name in ("account_id", "contract_id")}


def _read(table: str, key: str, rows: list[dict[str, Any]], reader: Reader) -> pa.Table:
    prepared = [
        {
            key: f"what-if-{i}",
            **{k: v.isoformat() if isinstance(v, pd.Timestamp) else v for k, v in row.items()},
        }
        for i, row in enumerate(rows)
    ]
    return reader.read(table, prepared)[0]


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
    return answer(await run_in_threadpool(what_if_told, running_of(request), body, principal))


def what_if_told(running: Running, body: WhatIfAsked, principal: Principal) -> dict[str, Any]:
    """The answer of `POST /v1/what_if`, for programs and for the page of one customer.

    Raises:
        ProblemError: 404 where the contract is not among those the visitor may see.
    """
    loaded = running.models.need("renewal")
    matches = running.store.scores.page("renewal", ids=[body.contract_id]).rows
    if not matches or not principal.sees(matches[0]):
        raise ProblemError(404, f"There is no contract {body.contract_id!r} among those that run.")
    changes = body.changes.given()
    if matches[0].get("held_out"):
        score = unsaid(HELD_OUT)
    else:
        score = score_said(running.live.arrivals, Reader(), loaded, matches[0], changes)
    effects = running.worked_out.ask("effects")
    return {
        "contract_id": body.contract_id,
        "changes": changes,
        "score": score,
        "effect": None if effects.value is None else _effect(running, effects.value, matches[0], changes),
        "why": effects.why or None,
    }


def _effect(
    running: Running, effects: dict[str, Any], row: dict[str, Any], changes: dict[str, float]
) -> dict[str, dict[str, Any]]:
    """The estimated effect of each change, from what was worked out for the ingested CRM."""
    contract_effects = for_contracts(effects)
    contract = contract_facts(effects, row, _arrived(running, row))
    if row.get("probability") is not None and not row.get("held_out"):
        contract["likelihood"] = (row["probability"], row["low"], row["high"])
    effect_by_change = {name: effect_of(contract_effects, contract, name, at) for name, at in changes.items()}
    return effects_shown(running.store, row["account_id"], effect_by_change)


def _arrived(running: Running, row: dict[str, Any]) -> list[dict[str, Any]]:
    """What has arrived of a contract's account since the CRM was ingested."""
    live: list[dict[str, Any]] = running.store.events.read("activities", account_id=row["account_id"])
    return live


def contact_window(running: Running, row: dict[str, Any]) -> dict[str, Any]:
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
    arm = arm_of(running.store, row["account_id"], TIMING)
    if arm is not None and is_usual(arm):
        return untold(withheld(arm))
    timing = for_contracts(effects.value)["timing"]
    facts = _own_gain(contract_facts(effects.value, row, _arrived(running, row)), row, timing)
    facts = plan_row(facts, arm)
    return {**untold(facts["why"]), **facts, **window_curve(timing, facts)}


def _own_gain(facts: dict[str, Any], row: dict[str, Any], timing: Mapping[str, Any]) -> dict[str, Any]:
    """The contract's row of the plan with what it gains by its current likelihood."""
    if row.get("probability") is None or row.get("held_out"):
        return facts
    likelihood = {str(row["contract_id"]): (row["probability"], row["low"], row["high"])}
    return personalised([facts], curves(dict(timing)), likelihood)[0]


def contact_windows(running: Running, rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """`contact_window` of each of some contracts, by id, without its curve: for lists."""
    effects = running.worked_out.ask("effects")
    if effects.value is None or "why" in effects.value["timing"]:
        why = effects.why if effects.value is None else f"can't tell: {effects.value['timing']['why']}"
        return {row["contract_id"]: untold(why, comes=effects.comes) for row in rows}
    ids, arms = {row["contract_id"] for row in rows}, arms_of(running.store, TIMING)
    plan = [row for row in effects.value["plan"].get("rows", ()) if row["contract_id"] in ids]
    few = {**effects.value, "plan": {**effects.value["plan"], "rows": plan}}
    live: dict[str | None, list[dict[str, Any]]] = {}
    for event in running.store.events.read("activities", accounts=[row["account_id"] for row in rows]):
        live.setdefault(event["account_id"], []).append(event)
    windows = {}
    for row in rows:
        arm = arms.get(str(row["account_id"]))
        facts = plan_row(contract_facts(few, row, live.get(row["account_id"], ())), arm)
        windows[row["contract_id"]] = untold(withheld(arm)) if arm and is_usual(arm) else facts
    return windows


@router.post("/v1/icp/fit", response_model=Fitted, tags=["plan"])
async def icp_fit(body: FitAsked, request: Request, principal: Marketer) -> Response:
    """Rate prospects: money won and renewed for each hour of effort, as a share of accounts they exceed."""
    running = running_of(request)
    study = await run_in_threadpool(worked_out, running, "icp")
    rows = await run_in_threadpool(fit_rows, Fit.from_dict(study["fit"]), body.accounts)
    _audit(running, principal, "icp fit", {"rows": len(rows)})
    return answer({"rows": rows})


@router.get("/v1/icp/profiles", response_model=Profiles, tags=["plan"])
async def icp_profiles(
    request: Request, principal: Marketer, weights: Annotated[str | None, WEIGHTS] = None
) -> Response:
    """Kinds of customers that win with little effort and discount and renew without contact, best first."""
    running = running_of(request)
    chosen_weights = weights_of(weights)
    study = await run_in_threadpool(worked_out, running, "icp")
    visible = profiles_for(principal, study["profiles"])
    if chosen_weights is not None:
        visible["profiles"] = reordered(visible["profiles"], chosen_weights)
    return answer({**visible, "personas": study["personas"]})


@router.get("/v1/icp/list", response_model=Targets, tags=["plan"])
async def icp_list(
    request: Request,
    principal: Marketer,
    weights: Annotated[str | None, WEIGHTS] = None,
    kind: Annotated[Candidate | None, OF_KIND] = None,
) -> Response:
    """Leads, prospects and accounts, those worth most for each hour of effort, as weighted, first."""
    targets = await run_in_threadpool(target_list, running_of(request), principal, weights, kind)
    _audit(running_of(request), principal, "icp list", {"rows": len(targets["rows"])})
    return answer(targets)


@router.get("/v1/icp/list.{ending}", tags=["plan"], response_class=Response)
async def icp_list_file(
    request: Request,
    principal: Marketer,
    ending: Annotated[str, ENDING],
    weights: Annotated[str | None, WEIGHTS] = None,
    kind: Annotated[Candidate | None, OF_KIND] = None,
) -> Response:
    """The targeting list as a file."""
    return await run_in_threadpool(save_list, running_of(request), principal, ending, weights, kind)


def save_list(
    running: Running, principal: Principal, ending: str, weights: str | None = None, kind: str | None = None
) -> Response:
    """The targeting list as a file to save; that it was taken is noted in the audit."""
    from serving.pages.spreadsheet import attachment, plain_sheet

    rows = target_list(running, principal, weights, kind)["rows"]
    export_rows = [
        {**row, **{f"reason_{at}": reason["words"] for at, reason in enumerate(row["reasons"][:3], start=1)}}
        for row in rows
    ]
    _audit(running, principal, "export", {"rows": len(rows), "as": ending})
    return attachment(plain_sheet(pd.DataFrame(export_rows), COLUMNS), "targets", ending)


def target_list(
    running: Running, principal: Principal, weights: str | None = None, kind: str | None = None
) -> dict[str, Any]:
    """The targeting list, put in another order where weights are given; of one kind where that is.

    Raises:
        ProblemError: 403 for a key with a scope: prospects have no owner yet; 422 for weights that make no
            sense; 409 or 503 as `worked_out`.
    """
    if principal.is_scoped:
        raise ProblemError(403, "The targeting list spans all owners and regions; this key sees one only.")
    chosen_weights = weights_of(weights)
    study = worked_out(running, "icp")
    listed = list_for(principal, study["list"])
    if chosen_weights is not None:
        listed = reweighted(listed, Fit.from_dict(study["fit"]), chosen_weights)
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


def worked_out(running: Running, name: str) -> dict[str, Any]:
    """A long answer.

    Raises:
        ProblemError: 503 while it is being worked out, 409 where the data don't give it.
    """
    result = running.worked_out.ask(name)
    if result.value is not None:
        return dict(result.value)
    if result.comes:
        raise ProblemError(503, result.why, headers={"Retry-After": "10"})
    raise ProblemError(409, result.why)


def _audit(running: Running, principal: Principal, what: str, details: dict[str, Any]) -> None:
    running.store.audit.record(principal.label or principal.key_id, what, "icp", details)
