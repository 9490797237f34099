"""Studies of the past that pages show and that take long: what calls do for a win, what is lost and why.

Effects as pages and what-ifs ask for them: worked out once for each ingested CRM, then only looked up.

Nothing here estimates while somebody waits. What has arrived since, such as a call made an hour ago, is laid
over the kept plan at each question.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from features.crm.crm import Crm
from features.engine import feature_rows
from features.errors import RenewalError
from features.holdout import held_out
from features.owners import owner_names
from features.progress import Say, silent
from features.settings import Settings
from serving.scoring.scored_rows import HELD_OUT
from training.churn_drivers import DAYS, drivers_by_group, groups_of, last_snapshots, money_of, stated_reasons
from training.effects.answer import ALL
from training.effects.contacts import HUMAN_WORDS, contact_words, plain
from training.effects.learned import Finding, learned
from training.effects.timing_curve import LEADS
from training.effects.trial_arrays import NONE
from training.registry import champion

LOST_BY = ("all", "industry", "region", "owner")
_MOST_DRIVERS = 5


def calls_to_win(crm: Crm, settings: Settings) -> dict[str, Any]:
    """The estimate for all deals: `rows` by bucket, `best`, `alike` (all that may be it), `notes`."""
    from training.effects import calls

    result = calls(crm, settings)
    rows = [row for row in result["rows"] if row.get("group", "all") == "all"]
    best, alike = result["best"].get("all"), result["indistinguishable"].get("all") or []
    return {"rows": rows, "best": best, "alike": alike, "notes": result["notes"]}


def lost_and_why(crm: Crm, settings: Settings) -> dict[str, Any]:
    """For renewals and deals what was lost in the last year, by industry, region and owner.

    Returns:
        Kind → `why` (there is none), or `period`, `model_version` and `by`: `all`, `industry`, `region`,
        `owner` → groups, most money first: `group`, `subjects`, `money`, `share` (of what was decided),
        `drivers` (what lowered their scores most) and `stated` (the reasons people wrote).
    """
    return {kind: _lost(kind, crm, settings) for kind in ("renewal", "win")}


def _lost(kind: str, crm: Crm, settings: Settings) -> dict[str, Any]:
    loaded = champion(kind, settings)
    if loaded is None:
        return {"why": f"There is no {kind} model yet. Run `perennial train {kind}`."}
    try:
        decided = last_snapshots(crm, kind, DAYS)
    except RenewalError as error:
        return {"why": str(error)}
    lost = decided[decided["label"] == 0]
    if lost.empty:
        return {"why": f"Nothing was lost in the last {DAYS} days, as far as the data show."}
    X = feature_rows(crm, lost, kind, settings).frame
    by = {}
    for name in LOST_BY:
        try:
            group = groups_of(crm, decided, None if name == "all" else name)
        except RenewalError:  # the CRM has no such column
            continue
        drivers = drivers_by_group(loaded.model, X, lost, group.loc[lost.index], settings.threads)
        stated = stated_reasons(crm, kind, lost, group.loc[lost.index])
        by[name] = _groups(decided, group, drivers, stated)
    dates = decided["as_of"].dropna()
    period = {"from": str(dates.min().date()), "to": str(dates.max().date())} if len(dates) else None
    return {"period": period, "model_version": str(loaded.version), "by": by, "names": owner_names(crm)}


def _groups(
    decided: pd.DataFrame, group: pd.Series, drivers: list[dict[str, Any]], stated: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    result = []
    for name in {row["group"] for row in drivers}:
        inside = decided[(group == name).to_numpy()]
        gone = inside[inside["label"] == 0]
        result.append(
            {
                "group": name,
                "subjects": len(gone),
                "of": len(inside),
                "money": float(money_of(gone).sum()),
                "share": len(gone) / len(inside),
                "drivers": [row for row in drivers if row["group"] == name][:_MOST_DRIVERS],
                "stated": [row for row in stated if row["group"] == name][:_MOST_DRIVERS],
            }
        )
    return sorted(result, key=lambda row: (-row["money"], row["group"]))


ESTIMATED = ("timing", "calls", "discount")
ATTRIBUTES = ("industry", "region")
"""What pages offer to look at groups by, where the CRM has it."""

NOT_COMING = "can't tell: in the ingested data this contract does not come due for renewal within 180 days"
WINDOW_FIELDS = (
    "window", "act_from", "act_by", "leaning", "present", "estimate", "usual", "gain", "low", "high", "worth",
    "mean_low", "mean_high", "is_average",
)  # fmt: skip


def effects_worked_out(
    crm: Crm,
    settings: Settings,
    say: Say = silent,
    findings: Mapping[str, Sequence[Finding]] | None = None,
) -> dict[str, Any]:
    """Everything that is shown of effects, as JSON; `findings`: question → what experiments found about it.

    Returns:
        `as_of`; `timing`, `calls` and `discount`: attribute (or `all`) → the answer of `training.effects`
        with its covariance, or `why` there is none; `plan` as `effects.advice`, `experiment`, or `why`.
    """
    from training.effects import calls_by, discount_by, timing_by

    result: dict[str, Any] = {"as_of": str(crm.until.date())}
    for name, estimate, places in (
        ("timing", timing_by, ("accounts", "contracts")),
        ("calls", calls_by, ("accounts", "opportunities")),
        ("discount", discount_by, ("accounts",)),
    ):
        offered = [by for by in ATTRIBUTES if any(crm.has(place, by) for place in places)]
        learnings = (findings or {}).get(name, ())
        result[name] = _or_why(_by_attribute, estimate, crm, settings, offered, learnings, say)
    result["plan"] = _or_why(_plan, crm, result["timing"], settings)
    result["experiment"] = _or_why(_experiment, crm, result["timing"])
    return result


def _or_why(work: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    """What the work gives, or `why` the data don't give it."""
    try:
        return work(*args)
    except RenewalError as error:
        return {"why": str(error)}


def _by_attribute(
    estimate: Callable[..., dict[str | None, Any]],
    crm: Crm,
    settings: Settings,
    offered: Sequence[str],
    findings: Sequence[Finding],
    say: Say,
) -> dict[str, Any]:
    answer_by_attribute = estimate(crm, settings, (None, *offered), say)
    return {
        by or ALL: learned(answer, findings, settings.seed) if findings else answer
        for by, answer in answer_by_attribute.items()
    }


def _plan(crm: Crm, timing: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    from training.effects.advice import planned

    by = _finest(timing)
    out = partial(held_out, settings=settings)
    words = contact_words(settings)
    return planned(crm, timing[by], None if by == ALL else by, held_out=out, words=words)


def _experiment(crm: Crm, timing: Mapping[str, Any]) -> dict[str, Any]:
    from training.effects.experiment import experiment
    from training.effects.timing_curve import curves

    return experiment(crm, curves(timing.get(ALL, {"covariance": {}})))


def _finest(answers: Mapping[str, Any]) -> str:
    """The attribute whose groups advice goes by.

    Raises:
        RenewalError: there is no estimate.
    """
    if ALL not in answers:
        raise RenewalError(expected="an estimate", found=answers["why"], do="See `perennial effects timing`.")
    return next((by for by in ATTRIBUTES if by in answers), ALL)


def for_contracts(effects: Mapping[str, Any]) -> dict[str, Any]:
    """`timing` and `discount` as `training.effects.what_if.effect_of` takes them."""
    return {name: _of_contracts(effects[name]) for name in ("timing", "discount")}


def _of_contracts(answers: Mapping[str, Any]) -> Mapping[str, Any]:
    return answers if "why" in answers else answers[_finest(answers)]


def contract_facts(
    effects: Mapping[str, Any],
    row: Mapping[str, Any],
    live: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """A contract's row of the plan, with what has arrived since laid over it.

    Args:
        effects: as `effects_worked_out` gives them.
        row: the contract's current score, with `contract_id` and `lead_days`.
        live: events of its account that arrived since, as the store keeps them.
    """
    words = frozenset(effects["plan"].get("contact_words", HUMAN_WORDS))
    rows = effects["plan"].get("rows", ())
    plan_row = next((each for each in rows if each["contract_id"] == row["contract_id"]), None)
    if plan_row is None:
        lead = row.get("lead_days")
        why = HELD_OUT if row.get("held_out") else NOT_COMING
        plan_row = {"contract_id": row["contract_id"], "group": None, "contacted_on": None, "why": why}
        plan_row["days_to_end"] = None if lead is None else int(lead)
    contacted_on = contacted_since(live, str(row["contract_id"]), words)
    if plan_row["contacted_on"] or contacted_on is None:
        return dict(plan_row)
    why = f"first contact of this run-up was made on {contacted_on}"
    return {**plan_row, **dict.fromkeys(WINDOW_FIELDS), "alike": [], "contacted_on": contacted_on, "why": why}


def no_window(why: str, comes: bool = False) -> dict[str, Any]:
    """No window, and why; `comes`: it is being worked out."""
    empty = dict.fromkeys(
        (*WINDOW_FIELDS, "group", "days_to_end", "ends_on", "contacted_on", "planned_on", "mail_answered_on")
    )
    return {**empty, "alike": [], "curve": [], "notes": [], "why": why, "comes": comes}


def window_curve(timing: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The windows a contract is judged by, earliest first: those of its `curve`, else everybody's."""
    group = facts.get("curve") or ALL
    days = facts.get("days_to_end")
    rows = [row for row in timing["rows"] if row["group"] == group]
    shown = ("bucket", "estimate", "low", "high", "raw", "n", "why")
    return {
        "curve": [
            {
                **{name: row[name] for name in shown},
                "is_open": days is None or row["bucket"] == NONE or LEADS[row["bucket"]][0] <= days,
                "is_best": row["bucket"] == facts.get("window"),
            }
            for row in reversed(rows)
        ],
        "group": group,
        "notes": timing["notes"],
    }


def contacted_since(
    live: Sequence[Mapping[str, Any]], contract_id: str, words: frozenset[str] = HUMAN_WORDS
) -> str | None:
    """The day of the first call or meeting among live events that is about this contract; None: none."""
    days = []
    for event in live:
        sent = event["payload"]
        about = sent.get("contract_id")
        if event["crm_table"] != "activities" or about not in (None, "", contract_id):
            continue
        at = pd.to_datetime(sent.get("occurred_at"), errors="coerce", utc=True)
        is_past = pd.notna(at) and at.tz_localize(None) <= event["received_at"]
        if is_past and plain(pd.Series([sent.get("kind")])).iloc[0] in words:
            days.append(str(at.date()))
    return min(days, default=None)
