"""What following the advice is worth over the coming renewals, as money and as a policy table for a team."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from features.crm.crm import Crm
from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings
from training.effects import calls, estimated_timing
from training.effects.advice import NOTHING, HeldOut, Likelihoods, Shown, personalised, planned, remembered
from training.effects.answer import ALL
from training.effects.contacts import contact_words
from training.effects.experiment import experiment
from training.effects.learned import Finding, learned
from training.effects.timing_curve import Curve, curves, usable

NOT_ADVISED = (
    "can't tell: for none of the coming renewals is a window better than the present plan beyond chance"
)
NONE_COMING = "no contract ends within 180 days that was not yet contacted in its run-up"


def value(
    crm: Crm,
    settings: Settings,
    by: str | None = "industry",
    as_of: pd.Timestamp | None = None,
    held_out: HeldOut | None = None,
    findings: Sequence[Finding] = (),
    likelihood: Likelihoods | None = None,
    shown: Shown | None = None,
    say: Say = silent,
) -> dict[str, Any]:
    """Money gained by following the advice over the coming renewals, the policy, and how to check it.

    Returns:
        As `worth`, with `experiment` (None where there is none to design), `as_of`, `by` and `notes`.

    Raises:
        RenewalError: as `training.effects.timing`.
    """
    by = usable(crm, by)
    answer = remembered("timing", estimated_timing, crm, settings, by, say)
    if findings:
        answer = learned(answer, findings, settings.seed)
    work, skipped = calls_by_group(crm, settings, by, say)
    plan = planned(crm, answer, by, as_of, held_out, contact_words(settings))
    curve_by_group = curves(answer)
    rows = personalised(plan["rows"], curve_by_group, likelihood or {})
    rows = rows if shown is None else shown(rows)
    try:
        check = experiment(crm, curve_by_group)
    except RenewalError:
        check = None
    return {
        "as_of": plan["as_of"],
        "by": by,
        **worth(rows, curve_by_group, work),
        "experiment": check,
        "notes": [
            "contracts already contacted in this run-up, or for which nothing is advised, count nothing",
            "what the contacts themselves cost is not taken off",
            *skipped,
            *answer["notes"],
        ],
    }


def calls_by_group(
    crm: Crm, settings: Settings, by: str | None, say: Say = silent
) -> tuple[dict[str, list[str]], list[str]]:
    """Group → the numbers of calls that may win most, and why that is missing."""
    if not crm.has("opportunities"):
        return {}, ["no opportunities: the policy names no number of calls"]
    try:
        answer = remembered("calls", calls, crm, settings, by, say)
    except RenewalError as error:
        return {}, [f"the policy names no number of calls: {error}"]
    return enough_calls(answer), []


def enough_calls(answer: Mapping[str, Any]) -> dict[str, list[str]]:
    """Group → the numbers of calls not distinguishable from the best, where one stands out; else nothing."""
    return {
        group: [
            bucket for bucket in answer["indistinguishable"][group] if _is_estimated(answer, group, bucket)
        ]
        for group, best in answer["best"].items()
        if best is not None
    }


def _is_estimated(answer: Mapping[str, Any], group: str, bucket: str) -> bool:
    return any(
        row["overlap_ok"] and (row["group"], row["bucket"]) == (group, bucket) for row in answer["rows"]
    )


def worth(
    rows: Iterable[Mapping[str, Any]], curve_by_group: Mapping[str, Curve], work: Mapping[str, list[str]]
) -> dict[str, Any]:
    """Renewals and money gained over the present plan, over rows of `plan`, and the policy they follow.

    Returns:
        `contracts` (coming, not yet contacted), `advised`, `gain` (expected renewals), `money`, `low`, `high`
        (None where nothing is advised; 95 %, for whichever windows are advised, all errors taken to go
        together, which is the widest they can be), `rows` (the policy: one line a group and advised window)
        and `why`.
    """
    open_rows = [row for row in rows if row["leaning"] is not None]
    policy, total, half = [], np.zeros(2), np.zeros(2)
    for (group, window), here in _by_line(open_rows).items():
        line, gained, spread = _line(group, window, here)
        line["calls"] = work.get(group, work.get(ALL, []))
        policy.append(line)
        total += gained
        half += spread
    has_advice = any(line["window"] for line in policy)
    ends = (total[1] - half[0], total[1] + half[1]) if has_advice else (None, None)
    return {
        "contracts": len(open_rows),
        "advised": sum(line["contracts"] for line in policy if line["window"]),
        "gain": round(float(total[0]), 2) if has_advice else None,
        "money": round(float(total[1]), 2) if has_advice else None,
        "low": None if ends[0] is None else round(float(ends[0]), 2),
        "high": None if ends[1] is None else round(float(ends[1]), 2),
        "rows": sorted(policy, key=lambda line: (line["window"] is None, -(line["money"] or 0.0))),
        "why": None
        if has_advice
        else (NOT_ADVISED if open_rows else NONE_COMING)
        if curve_by_group
        else NOTHING,
    }


def _by_line(rows: list[Mapping[str, Any]]) -> dict[tuple[str, str | None], list[Mapping[str, Any]]]:
    """Rows by the advice they get: their group and the window advised, None for none."""
    lines: dict[tuple[str, str | None], list[Mapping[str, Any]]] = {}
    for row in rows:
        lines.setdefault((row["group"] or ALL, row["window"]), []).append(row)
    return lines


def _line(
    group: str, window: str | None, rows: list[Mapping[str, Any]]
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """One line of the policy table; (renewals, money) gained, and how far the money may be less and more."""
    amounts = np.array([row["amount"] or 0.0 for row in rows])
    line: dict[str, Any] = {
        "group": group,
        "window": window,
        "curve": rows[0]["curve"],
        "alike": list(dict.fromkeys(bucket for row in rows for bucket in row["alike"])),
        "contracts": len(rows),
        "days_from": min(row["days_to_end"] for row in rows),
        "days_to": max(row["days_to_end"] for row in rows),
        "amount": round(float(amounts.sum()), 2),
    }
    if window is None:
        return line | dict.fromkeys(("gain_each", "gain", "money", "low", "high")), np.zeros(2), np.zeros(2)
    gains = np.array([row["gain"] for row in rows])
    sums = np.array([gains.sum(), gains @ amounts])
    ends = [
        (row["low"], row["high"]) if row.get("mean_low") is None else (row["mean_low"], row["mean_high"])
        for row in rows
    ]
    down, up = np.array(ends).T
    half = np.array([(gains - down) @ amounts, (up - gains) @ amounts])
    return (
        line
        | {
            "gain_each": round(float(gains.mean()), 5),
            "gain": round(float(sums[0]), 2),
            "money": round(float(sums[1]), 2),
            "low": round(float(sums[1] - half[0]), 2),
            "high": round(float(sums[1] + half[1]), 2),
        },
        sums,
        half,
    )
