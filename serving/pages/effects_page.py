"""The effects page: when to make contact, how many calls, what discount; what following it is worth."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from serving.api.planning import worked_out
from serving.api.problems import ProblemError
from serving.arms_shown import plan_rows
from serving.pages.charts import band_limits_of
from serving.pages.spreadsheet import TYPES, attachment, plain_sheet
from serving.pages.view import SELLERS, Planner, Seller, chosen, render
from serving.security.auth import Principal
from serving.state import Running, running_of
from serving.studies import ATTRIBUTES, contract_facts
from training.effects.advice import choose
from training.effects.answer import ALL
from training.effects.policy_value import enough_calls, worth
from training.effects.timing_curve import RUNUP_DAYS, Curve, curves
from training.effects.trial_arrays import NONE

SECTIONS = {
    "plan": "The plan",
    "timing": "When to make contact",
    "calls": "Calls to win",
    "discount": "Discount",
}
AXES = {
    "timing": "first contact, days before the end",
    "calls": "calls in the first 30 days",
    "discount": "discount at the first quote, per cent",
}
OUTCOMES = {"renewal": "Renewed", "win": "Won"}
BY = {ALL: "Everybody", "industry": "By industry", "region": "By region"}
NEXT_SHOWN = 15
SOON_DAYS = 30
COLUMNS = (
    "contract_id", "account_id", "account_name", "owner_id", "region", "group", "ends_on", "days_to_end",
    "amount", "window", "act_from", "act_by", "gain", "low", "high", "worth", "estimate", "usual", "present",
    "planned_on", "contacted_on", "mail_answered_on", "why",
)  # fmt: skip
LEAD = re.compile(r"^(\w+: )?(the lead of|no \w+ stands out)")
"""What notes say of the lead has its own place on the page."""
FEWEST_RAW = 10
"""A raw rate of fewer subjects reveals what single customers did, and nothing else."""

router = APIRouter()


@router.get("/effects")
async def effects(request: Request, principal: Planner) -> Response:
    """The plan, or the curves of one question."""
    return await run_in_threadpool(_page, request, principal)


def _page(request: Request, principal: Principal) -> Response:
    running = running_of(request)
    what = chosen(request, "what", SECTIONS, "plan")
    result = running.worked_out.ask("effects")
    shared = {
        "what": what,
        "sections": SECTIONS,
        "found": result.value,
        "why": result.why,
        "comes": result.comes,
    }
    all_effects = result.value
    if all_effects is None:
        part: dict[str, Any] = {}
    elif what == "plan":
        part = the_plan(running, all_effects, principal)
    else:
        part = the_curves(all_effects[what], what, request.query_params.get("by", ALL), principal)
    return render(request, "effects.html", **{**shared, **part})


def the_plan(running: Running, effects: Mapping[str, Any], principal: Principal) -> dict[str, Any]:
    """What following the advice is worth within the visitor's scope, the policy, and who to contact next."""
    plan = effects["plan"]
    if "why" in plan:
        return {"plan": None, "why": plan["why"]}
    timing = effects["timing"][plan["by"] or ALL]
    curve_by_group = curves(timing)
    rows = plan_rows(running.store, (row for row in plan["rows"] if principal.sees(row)), curve_by_group)
    calls = effects["calls"]
    work = {} if "why" in calls else enough_calls(calls.get(plan["by"] or ALL, calls[ALL]))
    check = effects["experiment"]
    is_design = "window" in check
    benefit = worth(rows, curve_by_group, work)
    advised = [row for row in rows if row["window"] is not None]
    sells = principal.role in SELLERS
    return {
        "plan": plan,
        "worth": benefit,
        "lines": [line for line in benefit["rows"] if line["window"] is not None],
        "without_advice": [line for line in benefit["rows"] if line["window"] is None],
        "coming": len(rows),
        "met": sum(row["contacted_on"] is not None for row in rows),
        "next": list(_next(running, effects, urgent(advised, plan["as_of"]))) if sells else None,
        "soon_days": SOON_DAYS,
        "export": (lambda ending: f"/effects/plan.{ending}") if sells and rows else None,
        "experiment": check if is_design else None,
        "no_experiment": None if is_design else check["why"],
    }


def urgent(advised: Sequence[Mapping[str, Any]], as_of: str) -> list[Mapping[str, Any]]:
    """Those whose time to act runs out soon, most money first; then the others, the soonest first."""
    limit = str((pd.Timestamp(as_of) + pd.Timedelta(days=SOON_DAYS)).date())
    dated = [row for row in advised if row["act_by"] is not None]
    soon = [row for row in dated if row["act_by"] <= limit]
    return sorted(soon, key=lambda row: -(row["worth"] or 0.0)) + dated[len(soon) :]


def _next(running: Running, effects: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    """The first few of them, those contacted since the data were read left out."""
    shown = 0
    for row in rows:
        if shown == NEXT_SHOWN:
            return
        live = running.store.events.read("activities", account_id=row["account_id"])
        if contract_facts(effects, row, live)["contacted_on"] is None:
            shown += 1
            yield row


@router.get("/effects/plan.{ending}")
async def plan_file(ending: str, request: Request, principal: Seller) -> Response:
    """The plan of every coming contract within the visitor's scope as a file; noted in the audit."""
    return await run_in_threadpool(_plan_file, ending, request, principal)


def _plan_file(ending: str, request: Request, principal: Principal) -> Response:
    running = running_of(request)
    if ending not in TYPES:
        raise ProblemError(404, f"The plan comes as {', '.join(TYPES)}, not {ending!r}.")
    effects = worked_out(running, "effects")
    plan = effects["plan"]
    if "why" in plan:
        raise ProblemError(409, plan["why"])
    timing = curves(effects["timing"][plan["by"] or ALL])
    rows = plan_rows(running.store, (row for row in plan["rows"] if principal.sees(row)), timing)
    who, details = principal.label or principal.key_id, {"rows": len(rows), "as": ending}
    running.store.audit.record(who, "export", "contact plan", details)
    return attachment(plain_sheet(pd.DataFrame(rows), COLUMNS), "contact-plan", ending)


def the_curves(by_attribute: Mapping[str, Any], what: str, by: str, principal: Principal) -> dict[str, Any]:
    """One question's curves by group, with what supports them and what they can't tell."""
    if "why" in by_attribute:
        return {"panels": [], "why": by_attribute["why"], "by": ALL, "choices": {}}
    choices = [name for name in (ALL, *ATTRIBUTES) if name in by_attribute and _may_see(name, principal)]
    by = by if by in choices else ALL
    answer = by_attribute[by]
    rows = [row for row in answer["rows"] if _is_shown(row["group"], by, principal)]
    curve_by_group = curves(dict(answer)) if what == "timing" else None
    return {
        "by": by,
        "choices": {name: BY[name] for name in choices},
        "axis": AXES[what],
        "panels": [
            _panel(answer, what, outcome, group, rows)
            | {"advice": None if curve_by_group is None else _advised(curve_by_group, group)}
            for outcome in dict.fromkeys(row["outcome"] for row in rows)
            for group in dict.fromkeys(row["group"] for row in rows)
        ],
        "incidence": _incidence(answer, by, principal),
        "sensitivity": _sensitivity(answer, what),
        "notes": [note for note in answer["notes"] if not LEAD.search(note)],
        "outcomes": OUTCOMES,
    }


def _advised(curve_by_group: Mapping[str, Curve], group: str) -> str:
    """What the policy advises for a contract of this group 180 days before its end, in words."""
    choice = choose(curve_by_group, group, RUNUP_DAYS, None)
    if not choice.is_advice or choice.gain is None or choice.curve is None:
        return "The policy advises nothing."
    window = "no contact" if choice.gain.window == NONE else f"first contact {choice.gain.window} days before"
    whose = "" if choice.curve.group == group else ", by the curve of all customers"
    return f"The policy: {window}{whose}."


def _may_see(by: str, principal: Principal) -> bool:
    """By region a key with a scope sees its own region only, and one bound to an owner none."""
    return by != "region" or not principal.is_scoped or principal.region is not None


def _is_shown(group: str, by: str, principal: Principal) -> bool:
    if by == ALL:
        return True
    is_own = by != "region" or principal.region is None or group == principal.region
    return is_own and group != ALL


def _panel(
    answer: Mapping[str, Any], what: str, outcome: str, group: str, rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """One chart: rows in the order of time or size, the best and its equals marked."""
    named = f"{outcome}: {group}"
    key = named if named in answer["best"] else group
    best, alike = answer["best"].get(key), answer["indistinguishable"].get(key, [])
    group_rows = [row for row in rows if (row["outcome"], row["group"]) == (outcome, group)]
    shown = [
        {
            **row,
            "raw": row["raw"] if row["n"] >= FEWEST_RAW else None,
            "is_best": row["bucket"] == best,
            "is_alike": row["bucket"] in alike,
        }
        for row in group_rows
    ]
    alike_buckets = [
        row["bucket"] for row in group_rows if row["estimate"] is not None and row["bucket"] in alike
    ]
    return {
        "outcome": outcome,
        "group": group,
        "rows": shown[::-1] if what == "timing" else shown,
        "limits": band_limits_of([row for row in rows if row["outcome"] == outcome]),
        "best": best,
        "alike": [bucket for bucket in alike_buckets if bucket != best],
        "enough": answer.get("enough", {}).get(key) if best is not None else None,
        "n": sum(row["n"] for row in group_rows),
        "has_estimate": any(row["estimate"] is not None for row in group_rows),
    }


def _incidence(answer: Mapping[str, Any], by: str, principal: Principal) -> list[dict[str, Any]]:
    """Calls until won: group → rows, for groups with more than one point."""
    groups: dict[str, list[Any]] = {}
    for row in answer.get("calls_until_won", ()):
        if _is_shown(row["group"], by, principal):
            groups.setdefault(row["group"], []).append(row)
    return [{"group": group, "rows": rows} for group, rows in groups.items() if len(rows) > 1]


def _sensitivity(answer: Mapping[str, Any], what: str) -> list[dict[str, Any]]:
    """How strong an unseen confounder would have to be, and how far off the estimates would be with one."""
    leads = answer["sensitivity"] if what == "discount" else {None: answer["sensitivity"]}
    result = []
    for outcome, lead in leads.items():
        margins = [
            row["margin"]
            for row in answer["rows"]
            if row["margin"] is not None and outcome in (None, row["outcome"])
        ]
        if lead is not None and _stands_out(answer, outcome):
            result.append({**lead, "outcome": outcome, "margin": max(margins, default=None)})
    return result


def _stands_out(answer: Mapping[str, Any], outcome: str | None) -> bool:
    """Whether one choice stands out over everybody: else there is no lead that could be undone."""
    return answer["best"].get(f"{outcome}: {ALL}", answer["best"].get(ALL)) is not None
