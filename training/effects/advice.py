"""From effects to a plan: each coming contract's best window for the first contact, and by when to act.

A window is advised only where its gain over the present plan is beyond chance: in the contract's own group,
or else among all customers. The present plan is the contact already planned; where none is, what is usually
done from here with contracts not yet contacted.

Estimated effects, kept for the CRM they come from, so that advice and what-ifs answer at once.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.crm.crm import Crm
from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings
from features.snapshots import snapshots_for, to_score
from training.effects import estimated_timing
from training.effects.answer import ALL, Answer
from training.effects.learned import Finding, learned
from training.effects.timing_curve import LEADS, Curve, Gain, coming, curves, usable
from training.effects.trial_arrays import NONE

FORM = 2
"""Counted up when the kept form changes."""


def remembered(
    name: str,
    estimate: Callable[[Crm, Settings, str | None, Say], Answer],
    crm: Crm,
    settings: Settings,
    by: str | None = None,
    say: Say = silent,
) -> Answer:
    """The answer kept for this CRM, `until`, seed and attribute, else estimated now and kept (atomically)."""
    key = f"{FORM}|{crm.fingerprint}|{crm.until}|{settings.seed}|{by}"
    folder = settings.home / "effects"
    path = folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
    if path.exists():
        return dict(json.loads(path.read_text()))
    answer = estimate(crm, settings, by, say)
    folder.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=folder, suffix=".part")
    with os.fdopen(handle, "w") as file:
        json.dump(answer, file)
    os.replace(draft, path)
    return answer


HeldOut = Callable[[pd.Series], np.ndarray]
"""Accounts → (n,) bool: customers left without advice, so that models can be judged on them untouched."""

NOTHING = "can't tell: no two windows can be compared in these data"
LATE = "can't tell: no window is left that can be compared"
USUAL = "what is usually done from here"


@dataclass(frozen=True)
class Choice:
    """What is said of one contract: its curve and gain, where there are any; `is_advice` if beyond chance."""

    curve: Curve | None
    gain: Gain | None
    is_advice: bool
    why: str


def plan(
    crm: Crm,
    settings: Settings,
    by: str | None = "industry",
    as_of: pd.Timestamp | None = None,
    held_out: HeldOut | None = None,
    findings: Sequence[Finding] = (),
    say: Say = silent,
) -> dict[str, Any]:
    """The best window for each coming contract, by when to act, and the gain over the present plan.

    Args:
        crm: the CRM as it stands.
        settings: where estimates are kept.
        by: the attribute whose groups have a curve of their own, where the data give one.
        as_of: the day of the plan; default: the day of the data.
        held_out: whom to leave out; default: nobody.
        findings: of experiments that ended, laid into the estimates.
        say: told what is being done.

    Returns:
        `rows`, those to act on first at the top, each as `advice` gives it; `as_of`; `notes`.

    Raises:
        RenewalError: as `training.effects.timing`.
    """
    by = usable(crm, by)
    answer = remembered("timing", estimated_timing, crm, settings, by, say)
    if findings:
        answer = learned(answer, findings, settings.seed)
    return planned(crm, answer, by, as_of, held_out)


def planned(
    crm: Crm,
    answer: Mapping[str, Any],
    by: str | None = None,
    as_of: pd.Timestamp | None = None,
    held_out: HeldOut | None = None,
) -> dict[str, Any]:
    """`plan` from an answer of `estimated_timing` by that attribute."""
    rows, left_out = coming(crm, to_score(crm, "renewal", as_of), by), []
    if held_out is not None and len(rows):
        out = held_out(rows["account_id"])
        rows = rows[~out]
        if out.any():
            left_out = [f"{int(out.sum()):,} contracts held out, or drawn for usual practice, get no advice"]
    return {
        "as_of": str((as_of or crm.until).date()),
        "by": by,
        "rows": in_order(advised(rows, curves(dict(answer)))),
        "notes": [
            "gain: in probability of renewal, over the contact planned, else over what is usually done from "
            "here; 95 % for whichever window is advised",
            "nothing is advised where the gain may be chance",
            *left_out,
            *answer["notes"],
        ],
    }


def advised(rows: pd.DataFrame, curve_by_group: Mapping[str, Curve]) -> list[dict[str, Any]]:
    """`advice` for each row of `coming`; contracts alike in all that counts share one calculation."""
    choices: dict[tuple[Any, ...], Choice] = {}
    results = []
    for row in rows.to_dict("records"):
        group = None if pd.isna(row["group"]) else str(row["group"])
        still = tuple(low <= row["days_to_end"] for low, _ in LEADS.values())
        key = (group, still, row["planned"])
        if key not in choices:
            choices[key] = choose(curve_by_group, group, row["days_to_end"], row["planned"])
        results.append(advice({str(name): each for name, each in row.items()}, choices[key]))
    return results


def choose(
    curve_by_group: Mapping[str, Curve], group: str | None, days_to_end: float, planned: str | None
) -> Choice:
    """The window with the most to gain in the group, or else among all customers, if beyond chance."""
    candidates = [
        curve_by_group[name]
        for name in dict.fromkeys((group, ALL))
        if name is not None and name in curve_by_group
    ]
    if not candidates:
        return Choice(None, None, False, NOTHING)
    tried = [(curve, curve.advise(days_to_end, planned)) for curve in candidates]
    for curve, gain in tried:
        if gain is not None and gain.low > 0:
            return Choice(curve, gain, True, "")
        if gain is not None and gain.window == planned and curve.best == planned:
            return Choice(curve, gain, True, "")
    curve, gain = tried[0] if tried[0][1] is not None else tried[-1]
    if gain is None and planned is not None:
        return Choice(curve, None, False, f"can't tell: nothing can be told of the window planned, {planned}")
    return Choice(curve, gain, False, LATE if gain is None else "")


def advice(row: Mapping[str, Any], choice: Choice) -> dict[str, Any]:
    """What to do with one contract, as facts and in one sentence.

    Returns:
        The contract's facts; `window` (None: nothing is advised), `act_from` and `act_by` (days, both
        included), `present` (the plan compared with), `estimate` and `usual` (probabilities under the window
        and under the present plan), `gain`, `low`, `high`, `worth` (gain × amount), `alike` (windows not told
        from the best), `curve` (whose: a group or `all`), `leaning` (the window that looks best, advised or
        not) and `why`.
    """
    facts = _facts(row) | {"curve": choice.curve.group if choice.curve else None}
    if not pd.isna(row["contacted_at"]):
        return facts | _nothing(f"first contact of this run-up was made on {row['contacted_at'].date()}")
    curve, gain = choice.curve, choice.gain
    if curve is None or gain is None or row["days_to_end"] < 0:
        return facts | _nothing(choice.why or LATE)
    figures = {
        "leaning": gain.window,
        "present": row["planned"] or USUAL,
        "estimate": round(gain.estimate, 5),
        "usual": round(gain.usual, 5),
        "gain": round(gain.gain, 5),
        "low": round(gain.low, 5),
        "high": round(gain.high, 5),
        "alike": _alike(curve, gain.window, row["days_to_end"]),
    }
    if not choice.is_advice:
        return facts | _nothing(_chance(gain)) | figures
    amount = row["amount"]
    return (
        facts
        | _nothing(_words(row, gain, curve))
        | figures
        | {
            "window": gain.window,
            **_days(row, gain.window),
            "worth": None if pd.isna(amount) else round(gain.gain * amount, 2),
        }
    )


def _alike(curve: Curve, window: str, days_to_end: float) -> list[str]:
    """Windows still open that may be the best, the advised one included."""
    still = [b for b in curve.alike if b == NONE or LEADS[b][0] <= days_to_end]
    return still if window in still else [window, *still]


def _facts(row: Mapping[str, Any]) -> dict[str, Any]:
    plain = {
        name: None if pd.isna(row[name]) else row[name]
        for name in ("contract_id", "account_id", "account_name", "owner_id", "region", "group", "amount")
    }
    days = {
        shown: None if pd.isna(row[name]) else str(row[name].date())
        for shown, name in (
            ("ends_on", "ends_at"),
            ("contacted_on", "contacted_at"),
            ("planned_on", "planned_at"),
        )
    }
    return plain | days | {"days_to_end": int(row["days_to_end"]), "planned": row["planned"]}


def _nothing(why: str) -> dict[str, Any]:
    empty = ("window", "act_from", "act_by", "leaning", "present", "estimate", "usual")
    return {
        **dict.fromkeys((*empty, "gain", "low", "high", "worth")),
        "alike": [],
        "why": why,
    }


def _days(row: Mapping[str, Any], window: str) -> dict[str, str | None]:
    """First and last day of a window, the first not before the day of the data."""
    if window == NONE:
        return {"act_from": None, "act_by": None}
    low, high = LEADS[window]
    first = row["ends_at"] - pd.Timedelta(days=min(high, row["days_to_end"]))
    return {"act_from": str(first.date()), "act_by": str((row["ends_at"] - pd.Timedelta(days=low)).date())}


def points(share: float) -> str:
    """A difference of shares in points, signed."""
    return f"{100 * share:+.1f}".replace("-", "−")


def _words(row: Mapping[str, Any], gain: Gain, curve: Curve) -> str:
    whose = "all customers" if curve.group == ALL else curve.group
    if gain.window == row["planned"]:
        return (
            f"Keep the contact planned for {row['planned_at'].date()}: it lies in the best window ({whose})"
        )
    over = f"the contact planned for {row['planned_at'].date()}" if row["planned"] else USUAL
    effect = f"{points(gain.gain)} points over {over} ({whose})"
    if gain.window == NONE:
        return f"Leave uncontacted: {effect}"
    low, high = LEADS[gain.window]
    return f"First contact {low} to {high} days before the end: {effect}"


def _chance(gain: Gain) -> str:
    if gain.gain <= 0:
        return "can't tell: no window is better than the present plan beyond chance"
    looks = "no contact" if gain.window == NONE else f"{gain.window} days"
    return (
        f"can't tell: {looks} looks best, but {points(gain.gain)} points "
        f"({points(gain.low)} to {points(gain.high)}) may be chance"
    )


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those whose time to act ends first at the top, more money first; what is not advised after them."""
    return sorted(
        rows,
        key=lambda row: (
            row["window"] is None,
            row["act_by"] or "9999",
            -(row["worth"] or 0.0),
            row["ends_on"],
            row["contract_id"],
        ),
    )


def best_window(
    crm: Crm, settings: Settings, contract_id: str, by: str | None = "industry", say: Say = silent
) -> dict[str, Any]:
    """When to make first contact with one contract, as `advice` tells it.

    Raises:
        RenewalError: no such contract, or it has no end date.
    """
    rows = snapshots_for(crm, "renewal", pd.DataFrame({"contract_id": [contract_id]}))
    if rows["problem"].notna().any() or rows["ends_at"].isna().any():
        raise RenewalError(
            expected="the contract_id of a contract with an end date",
            found=repr(contract_id),
            do="Take one from `perennial score renewal`.",
        )
    by = usable(crm, by)
    answer = remembered("timing", estimated_timing, crm, settings, by, say)
    return advised(coming(crm, rows, by), curves(answer))[0]
