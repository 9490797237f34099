"""From effects to a plan: each coming contract's best window for the first contact, and by when to act.

A window is advised only where it stands out as the curves show it: in the contract's own group, or else among
all customers, it is not distinguishable from the best, some other window is, and its gain over the present
plan is beyond chance. A contact is never advised where none at all may be as good. How much a contract gains
goes by its own likelihood to renew (`training.effects.personal_gain`). The present plan is the contact
already planned; where none is, what is usually done from here with contracts not yet contacted.

Estimated effects, kept for the CRM they come from, so that advice and what-ifs answer at once.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.crm.crm import Crm
from features.errors import RenewalError
from features.progress import Say, silent
from features.scratch import replacing
from features.settings import Settings
from features.snapshots import snapshots_for, to_score
from training.effects import estimated_timing
from training.effects.answer import ALL, Answer
from training.effects.contacts import HUMAN_WORDS, contact_words
from training.effects.learned import Finding, learned
from training.effects.personal_gain import Personal, personal_gain
from training.effects.timing_curve import LEADS, Curve, Gain, coming, curves, usable
from training.effects.trial_arrays import NONE

FORM = 3
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
    counted = "email" if settings.email_is_contact else ""
    key = f"{FORM}|{crm.fingerprint}|{crm.until}|{settings.seed}|{by}|{counted}"
    folder = settings.home / "effects"
    path = folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
    if path.exists():
        return dict(json.loads(path.read_text()))
    answer = estimate(crm, settings, by, say)
    with replacing(path) as part:
        part.write_text(json.dumps(answer))
    return answer


HeldOut = Callable[[pd.Series], np.ndarray]
"""Accounts → (n,) bool: customers left without advice, so that models can be judged on them untouched."""

Shown = Callable[[Sequence[Mapping[str, Any]]], list[dict[str, Any]]]
"""Rows of a plan → the same as people may see them, where an experiment is open."""

Likelihoods = Mapping[str, tuple[float, float, float]]
"""Contract → its likelihood to renew, and the lower and upper limit of it."""

NOTHING = "can't tell: no two windows can be compared in these data"
LATE = "can't tell: no window is left that can be compared"
USUAL = "what is usually done from here"


@dataclass(frozen=True)
class Choice:
    """The result for one contract: its curve and gain, where there are any; `is_advice` if beyond chance.

    `alike` are the windows still open that are not distinguishable from the best.
    """

    curve: Curve | None
    gain: Gain | None
    is_advice: bool
    why: str
    alike: tuple[str, ...] = ()


def plan(
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
    """The best window for each coming contract, by when to act, and the gain over the present plan.

    Args:
        crm: the CRM as it stands.
        settings: where estimates are kept.
        by: the attribute whose groups have a curve of their own, where the data give one.
        as_of: the day of the plan; default: the day of the data.
        held_out: whom to leave out; default: nobody.
        findings: of experiments that ended, laid into the estimates.
        likelihood: contract → its likelihood to renew with limits; without, gains are averages.
        shown: what is withheld of the rows while an experiment is open; default: nothing.
        say: called with each line of progress.

    Returns:
        `rows`, those to act on first at the top, each as `advice` gives it; `as_of`; `contact_words` (the
        kinds of activity that count as contact); `notes`.

    Raises:
        RenewalError: as `training.effects.timing`.
    """
    by = usable(crm, by)
    answer = remembered("timing", estimated_timing, crm, settings, by, say)
    if findings:
        answer = learned(answer, findings, settings.seed)
    words = contact_words(settings)
    result = planned(crm, answer, by, as_of, held_out, words)
    rows = personalised(result["rows"], curves(answer), likelihood or {})
    return result | {"rows": in_order(rows if shown is None else shown(rows))}


def planned(
    crm: Crm,
    answer: Mapping[str, Any],
    by: str | None = None,
    as_of: pd.Timestamp | None = None,
    held_out: HeldOut | None = None,
    words: frozenset[str] = HUMAN_WORDS,
) -> dict[str, Any]:
    """`plan` from an answer of `estimated_timing` by that attribute; gains as of an average contract."""
    rows, left_out = coming(crm, to_score(crm, "renewal", as_of), by, words), []
    if held_out is not None and len(rows):
        out = held_out(rows["account_id"])
        rows = rows[~out]
        if out.any():
            left_out = [f"{int(out.sum()):,} contracts held out get no advice"]
    return {
        "as_of": str((as_of or crm.until).date()),
        "by": by,
        "contact_words": sorted(words),
        "rows": in_order(advised(rows, curves(dict(answer)))),
        "notes": [
            "gain: in probability of renewal, over the contact planned, else over what is usually done from "
            "here; 95 % for whichever window is advised. It goes by each contract's own likelihood to renew "
            "and is never more than can be gained",
            "nothing is advised where the gain may be chance, and no contact where none may be as good",
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
    tried = [
        (curve, curve.advise(days_to_end, planned), curve.may_be_best(days_to_end)) for curve in candidates
    ]
    for curve, gain, alike in tried:
        if gain is not None and _stands_out(curve, gain, alike, days_to_end, planned):
            return Choice(curve, gain, True, "", alike)
    curve, gain, alike = tried[0] if tried[0][1] is not None else tried[-1]
    if gain is None and planned is not None:
        return Choice(curve, None, False, f"can't tell: the planned window, {planned}, has no estimate")
    return Choice(curve, gain, False, LATE if gain is None else "", alike)


def _stands_out(
    curve: Curve, gain: Gain, alike: Sequence[str], days_to_end: float, planned: str | None
) -> bool:
    """Whether the window is advised: not all are alike, and it is better than the plan and than nothing."""
    if len(alike) == curve.still_open(days_to_end).sum():
        return False
    if gain.window == planned:
        return True
    return gain.low > 0 and planned not in alike and (gain.window == NONE or NONE not in alike)


def advice(row: Mapping[str, Any], choice: Choice) -> dict[str, Any]:
    """What to do with one contract, as facts and in one sentence.

    Returns:
        The contract's facts; `window` (None: nothing is advised), `act_from` and `act_by` (days, both
        included), `present` (the plan compared with), `estimate` and `usual` (probabilities under the window
        and under the present plan), `gain`, `low`, `high`, `worth` (gain × amount), `alike` (windows not
        distinguishable from the best), `curve` (whose: a group or `all`), `leaning` (the window that looks
        best, advised or not) and `why`.
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
        "alike": list(choice.alike) if gain.window in choice.alike else [gain.window, *choice.alike],
        "is_average": True,
    }
    if not choice.is_advice:
        return facts | _nothing("") | figures | {"why": chance(facts | figures)}
    amount = row["amount"]
    result = (
        facts
        | _nothing("")
        | figures
        | {
            "window": gain.window,
            **_days(row, gain.window),
            "worth": None if pd.isna(amount) else round(gain.gain * amount, 2),
        }
    )
    return result | {"why": words_of(result)}


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
            ("mail_answered_on", "mail_answered_at"),
        )
    }
    return plain | days | {"days_to_end": int(row["days_to_end"]), "planned": row["planned"]}


def _nothing(why: str) -> dict[str, Any]:
    empty = ("window", "act_from", "act_by", "leaning", "present", "estimate", "usual")
    return {
        **dict.fromkeys((*empty, "gain", "low", "high", "worth", "mean_low", "mean_high", "is_average")),
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


def words_of(row: Mapping[str, Any]) -> str:
    """What to do with an advised contract, and what that gains, in one sentence."""
    whose = "all customers" if row["curve"] == ALL else row["curve"]
    if row["window"] == row["planned"]:
        return f"Keep the contact planned for {row['planned_on']}: it lies in the best window ({whose})"
    over = f"the contact planned for {row['planned_on']}" if row["planned"] else USUAL
    basis = f"average of {whose}" if row["is_average"] else f"this contract, by the effect among {whose}"
    effect = f"{points(row['gain'])} points over {over} ({basis})"
    if row["window"] == NONE:
        return f"Leave uncontacted: {effect}"
    low, high = LEADS[row["window"]]
    return f"First contact {low} to {high} days before the end: {effect}"


def chance(row: Mapping[str, Any]) -> str:
    """Why nothing is advised though a window looks best."""
    if row["gain"] <= 0 or row["leaning"] == row["planned"]:
        return "can't tell: no window is better than the present plan beyond chance"
    looks = "no contact" if row["leaning"] == NONE else f"contact {row['leaning']} days before the end"
    others = [b for b in row["alike"] if b != row["leaning"]]
    shown = ", ".join("no contact" if b == NONE else b for b in others)
    as_good = f"; {shown} may be as good" if others else ""
    return f"can't tell: {looks} looks best, but that may be chance{as_good}"


def personalised(
    rows: Sequence[Mapping[str, Any]], curve_by_group: Mapping[str, Curve], likelihood: Likelihoods
) -> list[dict[str, Any]]:
    """Rows of `advice` with what each contract gains by its own likelihood, where that is known."""
    result = [dict(row) for row in rows]
    alike: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in result:
        if row.get("gain") is None or row["curve"] not in curve_by_group:
            continue
        if row["contract_id"] not in likelihood:
            continue
        still = tuple(low <= row["days_to_end"] for low, _ in LEADS.values())
        alike.setdefault((row["curve"], still, row["planned"], row["leaning"]), []).append(row)
    for (group, _, planned, window), some in alike.items():
        curve = curve_by_group[group]
        usual = curve.usual(some[0]["days_to_end"], planned)
        if usual is None or window not in curve.buckets:
            continue
        p, low, high = np.array([likelihood[row["contract_id"]] for row in some]).T
        gains = personal_gain(curve, usual, window, p, low, high)
        for at, row in enumerate(some):
            row |= _own_figures(row, gains, at, float(p[at]))
    return result


def _own_figures(row: Mapping[str, Any], gains: Personal, at: int, likelihood: float) -> dict[str, Any]:
    """One contract's figures, in place of the averages."""
    figures = {
        name: round(float(getattr(gains, name)[at]), 5)
        for name in ("estimate", "gain", "low", "high", "mean_low", "mean_high")
    }
    facts = {**row, **figures, "usual": round(likelihood, 5), "is_average": False}
    if row["window"] is None:
        return {**facts, "why": chance(facts)}
    worth = None if row["amount"] is None else round(figures["gain"] * row["amount"], 2)
    return {**facts, "worth": worth, "why": words_of(facts)}


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
    """When to make first contact with one contract, as `advice` gives it.

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
    return advised(coming(crm, rows, by, contact_words(settings)), curves(answer))[0]
