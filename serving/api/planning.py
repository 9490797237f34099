"""What people plan by: what a change would do to a renewal, and when to make contact.

What if we acted otherwise: what the score would say; the estimated effect is another figure.

The score repeats what went together in the past: where worried customers are called, calls look bad to it.
What the action changes is estimated by `training.effects.what_if`; the two are never mixed into one figure.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool

from features.arrays import Coded, Column
from features.crm.arriving import Reader
from serving.api.problems import ProblemError
from serving.api.routes import ERRORS, Seller, answer
from serving.api.shapes import WhatIf, WhatIfAsked
from serving.arms_shown import Arm, arm_of, arms_of, effects_shown, is_usual, plan_row, withheld
from serving.live.account_features import Ground, Restate, Seen, with_rows
from serving.live.events import Arrivals
from serving.scoring.scored_rows import HELD_OUT
from serving.security.auth import Principal
from serving.state import Running, running_of
from serving.studies import contract_facts, for_contracts, no_window, window_curve
from training.effects.advice import personalised
from training.effects.enrolment import TIMING
from training.effects.timing_curve import curves
from training.effects.what_if import effect_of
from training.encode import texts
from training.registry import Loaded

BEFORE = pd.Timedelta(hours=1)
RECENT = pd.Timedelta(days=30)
SAYS = "what the score would say had this just been recorded; no effect"
NOT_SEEN = "the model does not look at what this changes"


def score_if(
    arrivals: Arrivals, reader: Reader, loaded: Loaded, row: Mapping[str, Any], changes: Mapping[str, float]
) -> dict[str, Any]:
    """The score now and as if the actions had been recorded by now.

    Args:
        arrivals: the data of the live path.
        reader: reads rows as events are read.
        loaded: the model.
        row: the contract's current score, with `contract_id` and `account_id`.
        changes: of `contact_days_before`, `calls_30d`, `discount_pct`.

    Returns:
        `now`, `changed`, `difference` (None where it can't be estimated), `moved` features, version, `why`.
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


router = APIRouter(responses=ERRORS, dependencies=[Depends(HTTPBearer(auto_error=False))])


@router.post("/v1/what_if", response_model=WhatIf, tags=["plan"])
async def what_if(body: WhatIfAsked, request: Request, principal: Seller) -> Response:
    """What the model's score would say of a change, and, apart from it, what its estimated effect is."""
    return answer(await run_in_threadpool(what_if_answer, running_of(request), body, principal))


def what_if_answer(running: Running, body: WhatIfAsked, principal: Principal) -> dict[str, Any]:
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
        score = score_if(running.live.arrivals, Reader(), loaded, matches[0], changes)
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


class AccountNow(NamedTuple):
    """What an account's contracts share: its arm in an open experiment about timing, and live contacts."""

    arm: Arm | None
    live: list[dict[str, Any]]


def account_now(running: Running, row: dict[str, Any]) -> AccountNow:
    """The account of a score row as it is now."""
    return AccountNow(arm_of(running.store, row["account_id"], TIMING), _arrived(running, row))


def contact_window(
    running: Running, row: dict[str, Any], account: AccountNow | None = None
) -> dict[str, Any]:
    """When to make first contact with one contract before it ends; looked up, never estimated at a request.

    Args:
        running: what the handlers share (`request.app.state.running`).
        row: the contract's current score row, `contract_id`, `account_id` and `end_date` among it. Whether
            the visitor may see it is the caller's to check.
        account: of `account_now`, where it is at hand.

    Returns:
        `window` (such as `61-90` days before the end, `none`: leave alone; None: nothing is advised),
        `act_from` and `act_by` (ISO days, both included), `present` (the plan compared with, in words),
        `estimate` and `usual` (probability of renewal under the window and under the present plan), `gain`,
        `low`, `high` (their difference, 95 %), `worth` (gain × amount), `alike` (windows not distinguishable
        from the best), `leaning` (what looks best where nothing is advised), `why` (a sentence to show,
        "can't tell: …" with the reason where nothing is advised), `curve`: for each window, the earliest
        first, `bucket`, `estimate`, `low`, `high`, `raw`, `n`, `why`, `is_open` (can still be chosen),
        `is_best`; `group` (whose curve it is, `all`: everybody's), `notes`, and `comes`: True while it is
        being worked out.
    """
    effects = running.worked_out.ask("effects")
    if effects.value is None:
        return no_window(effects.why, comes=effects.comes)
    if "why" in effects.value["timing"]:
        return no_window(f"can't tell: {effects.value['timing']['why']}")
    arm, live = account or account_now(running, row)
    if arm is not None and is_usual(arm):
        return no_window(withheld(arm))
    timing = for_contracts(effects.value)["timing"]
    facts = _own_gain(contract_facts(effects.value, row, live), row, timing)
    facts = plan_row(facts, arm)
    return {**no_window(facts["why"]), **facts, **window_curve(timing, facts)}


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
        return {row["contract_id"]: no_window(why, comes=effects.comes) for row in rows}
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
        windows[row["contract_id"]] = no_window(withheld(arm)) if arm and is_usual(arm) else facts
    return windows


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
