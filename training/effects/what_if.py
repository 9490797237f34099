"""What if we acted otherwise: the estimated effect of a change of what we do, for one contract.

An effect is what the action changes, as far as the data show. What the model's score would say is
another figure, from `serving.api.planning` and never mixed with this one. Only actions can be changed:
the day of the first contact, the calls, the discount.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from features.crm.crm import Crm
from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings
from training.effects import estimated_discount, estimated_timing
from training.effects.advice import USUAL, best_window, remembered
from training.effects.answer import ALL, Answer
from training.effects.deal_questions import DISCOUNT_EDGES, DISCOUNTS
from training.effects.personal_gain import personal_gain
from training.effects.timing_curve import Curve, curves, usable
from training.effects.timing_trial import BUCKETS

LIMITS = {"contact_days_before": (0, 180), "calls_30d": (0, 60), "discount_pct": (0, 90)}
CALLS_ONLY_WIN = (
    "can't tell: what the number of calls does is estimated for new business only (`perennial effects calls`)"
)
NO_QUOTES = "can't tell: no quotes of renewals are linked to contracts"
NOT_COMPARED = "can't tell: nothing to compare with"
FIGURES = ("estimate", "low", "high", "raw", "n", "margin")


def what_if(
    crm: Crm,
    settings: Settings,
    contract_id: str,
    changes: Mapping[str, float],
    by: str | None = "industry",
    say: Say = silent,
) -> dict[str, Any]:
    """The estimated effect of each change on one contract.

    Args:
        crm: the CRM as it stands.
        settings: where estimates are kept.
        contract_id: a contract.
        changes: any of contact_days_before (0–180), calls_30d (0–60), discount_pct (0–90).
        by: the attribute whose groups have an estimate of their own, where the data give one.
        say: called with each line of progress.

    Returns:
        contract_id, as_of, changes and `effect`: change → as `effect_of` gives it.

    Raises:
        RenewalError: a change is no action or out of range, or there is no such contract.
    """
    asked_for = checked(changes)
    contract = best_window(crm, settings, contract_id, by, say)
    by = usable(crm, by)
    answers: dict[str, Any] = {"timing": remembered("timing", estimated_timing, crm, settings, by, say)}
    if "discount_pct" in asked_for:
        try:
            answers["discount"] = remembered("discount", estimated_discount, crm, settings, by, say)
        except RenewalError as error:
            answers["discount"] = {"why": str(error)}
    return {
        "contract_id": contract_id,
        "as_of": str(crm.until.date()),
        "changes": asked_for,
        "effect": {name: effect_of(answers, contract, name, at) for name, at in asked_for.items()},
    }


def checked(changes: Mapping[str, float]) -> dict[str, float]:
    """The changes, if all of them are actions within their limits.

    Raises:
        RenewalError: one is not.
    """
    for name, at in changes.items():
        if name not in LIMITS:
            raise RenewalError(
                expected=f"changes of actions: {', '.join(LIMITS)}",
                found=repr(name),
                do="Only what you can do differently can be changed.",
            )
        low, high = LIMITS[name]
        if not isinstance(at, int | float) or isinstance(at, bool) or not low <= at <= high:
            raise RenewalError(
                expected=f"{name} from {low} to {high}", found=repr(at), do="Change the number."
            )
    if not changes:
        raise RenewalError(
            expected=f"at least one change of {', '.join(LIMITS)}", found="none", do="Say what you would do."
        )
    return {name: float(at) for name, at in changes.items()}


def effect_of(
    answers: Mapping[str, Any], contract: Mapping[str, Any], name: str, at: float
) -> dict[str, Any]:
    """The estimated effect of one change on the probability of renewal, against the present plan.

    Args:
        answers: `timing` and `discount` with their covariance, or in their place `why` there is none.
        contract: its `group`, `curve`, `days_to_end`, `contacted_on`, `planned_on` and `planned`, as a row
            of `training.effects.advice`; `likelihood` to renew with its limits, where that is known: the
            figures are then this contract's, else averages.
        name: the change.
        at: its value.

    Returns:
        `bucket`, `group` (whose estimate it is: the contract's own or `all`), `estimate`, `low`, `high`,
        `raw`, `n`, `margin`; `present` (the plan compared with), `usual` (the probability under it), `gain`,
        `gain_low`, `gain_high`; `best`, `alike` and `why` in words. What can't be estimated is None.
    """
    if name == "calls_30d":
        return _without_estimate(None, CALLS_ONLY_WIN)
    if name == "contact_days_before":
        return _of_contact(answers["timing"], contract, at)
    bucket = DISCOUNTS[int(np.searchsorted(DISCOUNT_EDGES, at, side="right"))]
    discount = answers["discount"]
    if "renewal" not in discount.get("covariance", ()):
        return _without_estimate(bucket, f"can't tell: {discount['why']}" if "why" in discount else NO_QUOTES)
    return _against(_of_renewals(discount), contract, bucket, None, None)


def _of_contact(answer: Mapping[str, Any], contract: Mapping[str, Any], at: float) -> dict[str, Any]:
    bucket = next(name for name, low, high in BUCKETS if low <= int(at) <= high)
    if "why" in answer:
        return _without_estimate(bucket, f"can't tell: {answer['why']}")
    if contract.get("contacted_on"):
        reason = f"can't tell: the first contact of this run-up was made on {contract['contacted_on']}"
        return _without_estimate(bucket, f"{reason}; what further ones do is not estimated")
    days = contract.get("days_to_end")
    if days is not None and at > days:
        return _without_estimate(bucket, f"can't be done any more: the contract ends in {days} days")
    # The advice and the what-if of one contract go by the same curve.
    return _against(answer, contract, bucket, days, contract.get("planned"), (contract.get("curve"),))


def _against(
    answer: Mapping[str, Any],
    contract: Mapping[str, Any],
    bucket: str,
    days: float | None,
    planned: str | None,
    whose: Sequence[str | None] = (),
) -> dict[str, Any]:
    """The bucket's estimate and gain over the plan, by the first curve of `whose`, group, all that has it."""
    curve_by_group = curves(dict(answer))
    tried = [name for name in dict.fromkeys((*whose, contract.get("group"), ALL)) if name in curve_by_group]
    group = next((name for name in tried if bucket in curve_by_group[name].buckets), ALL)
    row = next((r for r in answer["rows"] if (r["group"], r["bucket"]) == (group, bucket)), None)
    if row is None or group not in curve_by_group or bucket not in curve_by_group[group].buckets:
        return _without_estimate(bucket, (row or {}).get("why") or NOT_COMPARED)
    curve: Curve = curve_by_group[group]
    effect = _without_estimate(bucket, NOT_COMPARED) | {name: row[name] for name in FIGURES}
    effect |= {"group": group, "best": curve.best, "alike": list(curve.alike)}
    usual = curve.usual(days, planned)
    if usual is None:
        return effect
    gain = curve.over(usual, bucket)
    present = f"the contact planned for {contract.get('planned_on')}" if planned else USUAL
    over = "all customers" if group == ALL else group
    beyond = "beyond chance" if gain.low > 0 or gain.high < 0 else "which may be chance"
    average = {
        "present": present,
        "usual": round(gain.usual, 5),
        "gain": round(gain.gain, 5),
        "gain_low": round(gain.low, 5),
        "gain_high": round(gain.high, 5),
        "why": f"the average of {over}, against {present}: {beyond}",
    }
    if contract.get("likelihood") is None:
        return effect | average
    why = f"for this contract, by the effect among {over}, against {present}: {beyond}"
    return effect | average | _own(curve, usual, bucket, contract["likelihood"]) | {"why": why}


def _own(curve: Curve, usual: np.ndarray, bucket: str, likelihood: Sequence[float]) -> dict[str, Any]:
    """The figures of a contract of this likelihood (with its limits) to renew, in place of the averages."""
    p, low, high = (np.array([each]) for each in likelihood)
    gain = personal_gain(curve, usual, bucket, p, low, high)
    figures = {
        "usual": p,
        "estimate": gain.estimate,
        "low": p + gain.low,
        "high": p + gain.high,
        "gain": gain.gain,
        "gain_low": gain.low,
        "gain_high": gain.high,
    }
    return {name: round(float(values[0]), 5) for name, values in figures.items()}


def _without_estimate(bucket: str | None, why: str) -> dict[str, Any]:
    empty = (*FIGURES, "group", "present", "usual", "gain", "gain_low", "gain_high", "best")
    return {"bucket": bucket, **dict.fromkeys(empty), "alike": [], "why": why}


def _of_renewals(answer: Mapping[str, Any]) -> Answer:
    """Renewals of an answer that holds two outcomes, keyed by group as `curves` reads it."""
    prefix = "renewal: " if f"renewal: {ALL}" in answer["best"] else ""
    groups = answer["covariance"]["renewal"]
    return {
        "rows": [row for row in answer["rows"] if row["outcome"] == "renewal"],
        "covariance": groups,
        **{
            name: {group: answer[name][prefix + group] for group in groups}
            for name in ("best", "indistinguishable")
        },
    }
