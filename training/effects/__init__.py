"""Cause, not correlation: what contact timing, calls and discounts change, beside what raw rates say.

Each answer is a dict: `rows` (outcome, group, bucket, estimate, low, high, raw, n, overlap_ok, effective_n,
margin, why), `best` (group or `all` → bucket, None where none stands out), `indistinguishable` (group or
`all` → every bucket that may be the best), `sensitivity`, `notes`. `low` and `high` are 95 % for all rows
together; `margin` is how far an estimate is off if unseen worry moves it three times as much as
everything recorded does.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from features.crm.crm import Crm
from features.progress import Say, silent
from features.settings import Settings
from training.effects.answer import ALL, Answer, answer, groups_by
from training.effects.contacts import contact_words, counts_as_contact
from training.effects.deal_questions import CALLS, DISCOUNTS, Question, calls_question, discount_questions
from training.effects.estimate import estimate_arms, estimate_strategies
from training.effects.inference import without_covariates
from training.effects.timing_trial import NAMES, timing_trial

TIMING = tuple(reversed(NAMES))


def timing(crm: Crm, settings: Settings, by: str | None = None, say: Say = silent) -> dict[str, Any]:
    """P(renewed) had the first human contact fallen in each window before the end, or never.

    Raises:
        RenewalError: no dates, no contacts, too few matured contracts, or no such attribute.
    """
    return shown(estimated_timing(crm, settings, by, say))


def estimated_timing(crm: Crm, settings: Settings, by: str | None = None, say: Say = silent) -> Answer:
    """`timing` with `covariance`: each group's estimated buckets and the covariance of their estimates."""
    return timing_by(crm, settings, (by,), say)[by]


def timing_by(
    crm: Crm, settings: Settings, attributes: Sequence[str | None], say: Say = silent
) -> dict[str | None, Answer]:
    """`estimated_timing` by each of these attributes (None: everybody alone), estimated once."""
    trial = timing_trial(crm, settings, say)
    groups = {by: groups_by(crm, by, trial.contracts) for by in attributes}
    say("estimating every window in sequence")
    whole = estimate_strategies(trial.windows, trial.y, trial.cluster, seed=settings.seed)
    nothing = without_covariates(trial.windows)
    bare = estimate_strategies(nothing, trial.y, trial.cluster, seed=settings.seed, errors=False)
    answers = {}
    for by in attributes:
        parts = {ALL: whole} | {name: whole.among(who) for name, who in groups[by].items()}
        estimated = answer("renewal", TIMING, parts, bare, missing=trial.missing, seed=settings.seed)
        estimated["notes"] = [
            counts_as_contact(contact_words(settings)),
            *trial.notes,
            "an inbound contact before a window breaks 'no contact before'",
            "contact after the decision is no treatment",
            *estimated["notes"],
            *_robustness(estimated, "window"),
        ]
        answers[by] = estimated
    return answers


def calls(crm: Crm, settings: Settings, by: str | None = None, say: Say = silent) -> dict[str, Any]:
    """P(won) by calls in a deal's first 30 days, among deals open then; with calls until won as description.

    Raises:
        RenewalError: no dates or outcomes, no activities, too few decided deals, or no such attribute.
    """
    return shown(estimated_calls(crm, settings, by, say))


def estimated_calls(crm: Crm, settings: Settings, by: str | None = None, say: Say = silent) -> Answer:
    """`calls` with `covariance`: each group's estimated buckets and the covariance of their estimates."""
    return calls_by(crm, settings, (by,), say)[by]


def calls_by(
    crm: Crm, settings: Settings, attributes: Sequence[str | None], say: Say = silent
) -> dict[str | None, Answer]:
    """`calls` with `covariance` by each of these attributes, estimated once."""
    from training.effects.deal_questions import calls_until_won

    question = calls_question(crm, settings)
    answers = _one_moment(crm, "win", CALLS, question, settings, attributes, say)
    for by, estimated in answers.items():
        estimated["notes"] += _robustness(estimated, "bucket")
        estimated["calls_until_won"] = calls_until_won(crm, by)
    return answers


def discount(crm: Crm, settings: Settings, by: str | None = None, say: Say = silent) -> dict[str, Any]:
    """P(won) and P(renewed) by the first quote's discount, and the lowest band as good as the best.

    With both outcomes, `best` and `indistinguishable` are given for wins under the group's name and for
    renewals under `renewal: group`; `enough` holds the lowest band not distinguishable from the best.

    Raises:
        RenewalError: no quotes, too few with a decided outcome, or no such attribute.
    """
    return shown(estimated_discount(crm, settings, by, say))


def estimated_discount(crm: Crm, settings: Settings, by: str | None = None, say: Say = silent) -> Answer:
    """`discount` with `covariance` by outcome and group."""
    return discount_by(crm, settings, (by,), say)[by]


def discount_by(
    crm: Crm, settings: Settings, attributes: Sequence[str | None], say: Say = silent
) -> dict[str | None, Answer]:
    """`estimated_discount` by each of these attributes, estimated once."""
    keyed = ("best", "indistinguishable", "enough", "sensitivity", "covariance")
    answers: dict[str | None, Answer] = {
        by: {"rows": [], "notes": [], **{name: {} for name in keyed}} for by in attributes
    }
    for outcome, question in discount_questions(crm, settings).items():
        for by, one in _one_moment(crm, outcome, DISCOUNTS, question, settings, attributes, say).items():
            one["notes"] += _robustness(one, "band")
            _add(answers[by], outcome, one)
    return answers


def _add(combined: Answer, outcome: str, one: Answer) -> None:
    """One outcome's answer into that of all outcomes; from the second on its groups are named by it."""
    prefix = f"{outcome}: " if combined["rows"] else ""
    combined["rows"] += one["rows"]
    combined["covariance"][outcome] = one["covariance"]
    combined["sensitivity"][outcome] = one["sensitivity"]
    combined["between"] = max(combined.get("between", 0.0), one["between"])
    combined["notes"] += [f"{outcome}: {note}" for note in one["notes"]]
    for group, best in one["best"].items():
        alike = one["indistinguishable"][group]
        combined["best"][prefix + group] = best
        combined["indistinguishable"][prefix + group] = alike
        combined["enough"][prefix + group] = _lowest_known(one, group, alike)


HIDDEN = ("covariance", "between", "baseline")


def shown(estimated: Answer) -> dict[str, Any]:
    """An answer as people and programs get it, without what only further estimates need."""
    return {name: value for name, value in estimated.items() if name not in HIDDEN}


def _lowest_known(one: Answer, group: str, alike: list[str]) -> str | None:
    comparable = {r["bucket"] for r in one["rows"] if r["group"] == group and r["overlap_ok"]}
    return next((band for band in DISCOUNTS if band in alike and band in comparable), None)


def _one_moment(
    crm: Crm,
    outcome: str,
    names: tuple[str, ...],
    question: Question,
    settings: Settings,
    attributes: Sequence[str | None],
    say: Say,
) -> dict[str | None, Answer]:
    groups = {by: groups_by(crm, by, question.rows) for by in attributes}
    say(f"{outcome}: {len(question.y):,} rows")
    levels, y, cluster = question.arm, question.y, question.cluster
    whole = estimate_arms(question.X, levels, names, y, cluster, seed=settings.seed)
    nothing = np.empty((len(y), 0))
    bare = estimate_arms(nothing, levels, names, y, cluster, seed=settings.seed, errors=False)
    answers = {}
    for by in attributes:
        parts = {ALL: whole} | {name: whole.among(who) for name, who in groups[by].items()}
        estimated = answer(outcome, names, parts, bare, seed=settings.seed)
        estimated["notes"] = [*question.notes, *estimated["notes"]]
        answers[by] = estimated
    return answers


def _robustness(estimated: Answer, unit: str) -> list[str]:
    """How strong an unseen confounder would have to be to undo the best bucket's lead, in words."""
    lead, best = estimated["sensitivity"], estimated["best"].get(ALL)
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
