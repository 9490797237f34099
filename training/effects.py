"""Cause, not correlation: what contact timing, calls and discounts change, beside what raw rates say.

Each answer is a dict: `rows` (outcome, group, bucket, estimate, low, high, raw, n, overlap_ok, effective_n,
margin, why), `best` (group or `all` → bucket, None where none stands out), `indistinguishable` (group or
`all` → every bucket that may be the best), `sensitivity`, `notes`. `low` and `high` are 95 % for all rows
together; `margin` is how far an estimate is off if unseen worry moves it three times as much as
everything recorded does.
"""

from typing import Any

import numpy as np

from features.crm import Crm
from features.progress import Say, silent
from features.settings import Settings
from training.causal.answer import ALL, Answer, answer
from training.causal.deals import CALLS, DISCOUNTS, Question, calls_question, discount_questions
from training.causal.estimate import estimate_arms, estimate_strategies
from training.causal.frame import NAMES, timing_trial
from training.causal.groups import groups_by
from training.causal.sensitivity import without_covariates

TIMING = tuple(reversed(NAMES))


def timing(crm: Crm, settings: Settings, by: str | None = None, say: Say = silent) -> dict[str, Any]:
    """P(renewed) had the first human contact fallen in each window before the end, or never.

    Raises:
        RenewalError: no dates, no contacts, too few matured contracts, or no such attribute.
    """
    told = estimated_timing(crm, settings, by, say)
    told.pop("covariance")
    return told


def estimated_timing(crm: Crm, settings: Settings, by: str | None = None, say: Say = silent) -> Answer:
    """`timing` with `covariance`: each group's told buckets and the covariance of their estimates."""
    trial = timing_trial(crm, settings, say)
    groups = groups_by(crm, by, trial.contracts)
    say("estimating every window in sequence")
    whole = estimate_strategies(trial.windows, trial.y, trial.cluster, seed=settings.seed)
    nothing = without_covariates(trial.windows)
    bare = estimate_strategies(nothing, trial.y, trial.cluster, seed=settings.seed, errors=False)
    found = {ALL: whole} | {name: whole.among(who) for name, who in groups.items()}
    told = answer("renewal", TIMING, found, bare, missing=trial.missing, seed=settings.seed)
    told["notes"] = [
        *trial.notes,
        "an inbound contact before a window breaks 'no contact before'",
        "contact after the decision is no treatment",
        *told["notes"],
        *_robustness(told, "window"),
    ]
    return told


def calls(crm: Crm, settings: Settings, by: str | None = None, say: Say = silent) -> dict[str, Any]:
    """P(won) by calls in a deal's first 30 days, among deals open then; with calls until won as description.

    Raises:
        RenewalError: no dates or outcomes, no activities, too few decided deals, or no such attribute.
    """
    from training.causal.competing import calls_until_won

    question = calls_question(crm, settings)
    told = _one_moment(crm, "win", CALLS, question, settings, by, say)
    told.pop("covariance")
    told["notes"] += _robustness(told, "bucket")
    told["calls_until_won"] = calls_until_won(crm, by)
    return told


def discount(crm: Crm, settings: Settings, by: str | None = None, say: Say = silent) -> dict[str, Any]:
    """P(won) and P(renewed) by the first quote's discount, and the lowest band not told from the best.

    With both outcomes, `best` and `indistinguishable` are told for wins under the group's name and for
    renewals under `renewal: group`; `enough` holds the lowest band not distinguishable from the best.

    Raises:
        RenewalError: no quotes, too few with a decided outcome, or no such attribute.
    """
    told = estimated_discount(crm, settings, by, say)
    told.pop("covariance")
    return told


def estimated_discount(crm: Crm, settings: Settings, by: str | None = None, say: Say = silent) -> Answer:
    """`discount` with `covariance` by outcome and group."""
    keyed = ("best", "indistinguishable", "enough", "sensitivity", "covariance")
    told: dict[str, Any] = {"rows": [], "notes": [], **{name: {} for name in keyed}}
    for outcome, question in discount_questions(crm, settings).items():
        one = _one_moment(crm, outcome, DISCOUNTS, question, settings, by, say)
        one["notes"] += _robustness(one, "band")
        told["covariance"][outcome] = one.pop("covariance")
        prefix = f"{outcome}: " if told["rows"] else ""
        told["rows"] += one["rows"]
        told["sensitivity"][outcome] = one["sensitivity"]
        told["notes"] += [f"{outcome}: {note}" for note in one["notes"]]
        for group, best in one["best"].items():
            alike = one["indistinguishable"][group]
            told["best"][prefix + group] = best
            told["indistinguishable"][prefix + group] = alike
            told["enough"][prefix + group] = _lowest_known(one, group, alike)
    return told


def _lowest_known(one: Answer, group: str, alike: list[str]) -> str | None:
    known = {r["bucket"] for r in one["rows"] if r["group"] == group and r["overlap_ok"]}
    return next((band for band in DISCOUNTS if band in alike and band in known), None)


def _one_moment(
    crm: Crm,
    outcome: str,
    names: tuple[str, ...],
    question: Question,
    settings: Settings,
    by: str | None,
    say: Say,
) -> Answer:
    groups = groups_by(crm, by, question.rows)
    say(f"{outcome}: {len(question.y):,} rows")
    levels, y, cluster = question.arm, question.y, question.cluster
    whole = estimate_arms(question.X, levels, names, y, cluster, seed=settings.seed)
    nothing = np.empty((len(y), 0))
    bare = estimate_arms(nothing, levels, names, y, cluster, seed=settings.seed, errors=False)
    found = {ALL: whole} | {name: whole.among(who) for name, who in groups.items()}
    told = answer(outcome, names, found, bare, seed=settings.seed)
    told["notes"] = [*question.notes, *told["notes"]]
    return told


def _robustness(told: Answer, unit: str) -> list[str]:
    """How strong an unseen confounder would have to be to undo the best bucket's lead, in words."""
    lead, best = told["sensitivity"], told["best"].get(ALL)
    if lead is None:
        return [f"can't tell: no two {unit}s can be compared"]
    if best is None:
        return [f"no {unit} stands out from all others"]
    times = lead["times_recorded"]
    strength = "" if times is None else f" about {times:.1f} times as strong as everything recorded, or"
    return [
        f"the lead of {lead['best']} over {lead['second']} is {100 * lead['lead']:.1f} points; an unseen "
        f"confounder would undo it if it were{strength} tied to both choice and outcome by a risk ratio of "
        f"{lead['e_value']:.2f}"
    ]
