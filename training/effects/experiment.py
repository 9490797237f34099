"""How to test the advice by a randomised experiment: whom to randomise, how many, and for how long.

Accounts are drawn, half of them contacted in the window under test, the other half as usual. Numbers are
those of two proportions, two-sided (Fleiss, Levin & Paik 2003, section 4.2), enlarged for contracts that
share an account (Donner & Klar 2000) and for contracts whose plan is not kept, which thin the difference.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from features.crm.crm import Crm
from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings
from features.snapshots import to_score
from training.effects import estimated_timing
from training.effects.advice import remembered
from training.effects.answer import ALL
from training.effects.timing_curve import LEADS, RUNUP_DAYS, Curve, Gain, coming, curves, usable
from training.effects.trial_arrays import NONE

POWER, LEVEL, KEPT = 0.8, 0.05, 0.8
LEAST_GAP = 0.03
GAPS = (0.03, 0.05, 0.08, 0.12)
WITHIN_ACCOUNT = 0.1
"""How alike outcomes of one account are taken to be (intraclass correlation)."""
OUTCOME_DAYS = 45
DAYS_A_MONTH = 365.25 / 12
LONG_MONTHS = 24


def designed(crm: Crm, settings: Settings, *, say: Say = silent, **options: Any) -> dict[str, Any]:
    """`experiment` from the estimated timing, or, where none can be estimated, from the window named.

    The estimate is the one `plan` and `value` keep, by industry where there is one.
    """
    try:
        answer = remembered("timing", estimated_timing, crm, settings, usable(crm, "industry"), say)
    except RenewalError:
        if options.get("window") is None:
            raise
        return experiment(crm, {}, **options)
    return experiment(crm, curves(answer), **options)


def experiment(
    crm: Crm,
    curve_by_group: Mapping[str, Curve],
    *,
    window: str | None = None,
    gap: float | None = None,
    power: float = POWER,
    level: float = LEVEL,
    kept: float = KEPT,
) -> dict[str, Any]:
    """The design that checks one window against what is usually done.

    Args:
        crm: the CRM as it stands.
        curve_by_group: curves by group, `all` among them where it is estimated.
        window: the one to test; default: the one that looks best.
        gap: the difference of probabilities that should be found; default: the estimated gain, at least 0.03.
        power: chance to find it if it is there.
        level: chance to find one where there is none (two-sided).
        kept: share of contracts treated as drawn.

    Returns:
        `window`, `arms`, `whom`, `gap`, `usual`, `power`, `level`, `kept`, `contracts_each`, `accounts_each`,
        `a_month` (contracts that may join), `waiting` (that may join today), `enrol_months`,
        `months_to_answer`, `rows` (the same for other gaps) and `why` in words.

    Raises:
        RenewalError: a number is out of range, no such window, or none can be named.
    """
    _check(window, gap, power, level, kept)
    curve = curve_by_group.get(ALL)
    gain = curve.advise(RUNUP_DAYS) if curve else None
    window = window or _looks_best(gain)
    usual = gain.usual if gain else _renewal_rate(crm)
    estimated_gain = gain.gain if gain and gain.window == window else 0.0
    gap = gap or max(estimated_gain, LEAST_GAP)
    ends = _last_year(crm)
    shared = len(ends) / max(ends["account_id"].nunique(), 1)
    joining = _share_open(curve, window) * len(ends) / 12

    def sized(of: float) -> dict[str, Any]:
        each = contracts_each(usual, of * kept, power, level, shared)
        enrol = 2 * each / joining if joining else None
        wait = (LEADS[window][1] + OUTCOME_DAYS) / DAYS_A_MONTH
        return {
            "gap": round(of, 4),
            "contracts_each": each,
            "enrol_months": None if enrol is None else round(enrol, 1),
            "months_to_answer": None if enrol is None else round(enrol + wait, 1),
        }

    low, high = LEADS[window]
    sizes = sized(gap)
    return {
        "window": window,
        "whom": f"accounts whose contract ends in {high} days or more and was not contacted in its run-up",
        "arms": [f"first contact {low} to {high} days before the end", "as usual"],
        **sizes,
        "accounts_each": int(np.ceil(sizes["contracts_each"] / max(shared, 1.0))),
        "usual": round(usual, 4),
        "a_month": round(joining, 1),
        "waiting": _waiting(crm, high),
        "power": power,
        "level": level,
        "kept": kept,
        "rows": [sized(each) for each in GAPS],
        "why": _words(sizes),
    }


def _looks_best(gain: Gain | None) -> str:
    if gain is not None and gain.window != NONE:
        return gain.window
    raise RenewalError(
        expected="a window that looks best, to test",
        found="none that can be compared" if gain is None else "no contact at all looks best",
        do="Name one with --window.",
    )


def contracts_each(usual: float, gap: float, power: float, level: float, shared: float) -> int:
    """Contracts an arm needs to find `usual` + `gap` against `usual`, `shared` contracts to an account."""
    p, q = usual, usual + gap
    if q >= 1:
        p, q = usual, max(usual - gap, 0.0)
    z = stats.norm.isf(level / 2) + stats.norm.isf(1 - power)
    each = z**2 * (p * (1 - p) + q * (1 - q)) / gap**2
    return int(np.ceil(each * (1 + (max(shared, 1.0) - 1) * WITHIN_ACCOUNT)))


def _check(window: str | None, gap: float | None, power: float, level: float, compliance: float) -> None:
    if window is not None and window not in LEADS:
        raise RenewalError(
            expected=f"a window of {', '.join(LEADS)}", found=repr(window), do="Choose one of them."
        )
    limits = {
        "the gap in points": (gap, 0.5, 50.0),
        "the power": (power, 0.5, 0.99),
        "the level": (level, 0.001, 0.2),
        "the share kept": (compliance, 0.1, 1.0),
    }
    for name, (at, low, high) in limits.items():
        shown = at * 100 if at is not None and name == "the gap in points" else at
        if shown is not None and not low <= shown <= high:
            raise RenewalError(
                expected=f"{name} from {low:g} to {high:g}", found=f"{shown:g}", do="Change the number."
            )


def _renewal_rate(crm: Crm) -> float:
    """The share of decided contracts that renewed: the base where no curve is estimated."""
    from training.effects.timing_trial import matured_contracts

    label = matured_contracts(crm)[0]["label"]
    if label.empty:
        raise RenewalError(
            expected="contracts with a decided outcome", found="none", do="Load past contracts and outcomes."
        )
    return float(np.clip(label.mean(), 0.02, 0.98))


def _last_year(crm: Crm) -> pd.DataFrame:
    """Account and end of the contracts that ended in the last year."""
    ends = crm.frame("contracts", ["account_id", "end_date"]).dropna()
    return ends[(ends["end_date"] > crm.until - pd.Timedelta(days=365)) & (ends["end_date"] <= crm.until)]


def _share_open(curve: Curve | None, window: str) -> float:
    """The share of contracts still uncontacted when the window opens, as was usual."""
    if curve is None or not curve.chosen.sum():
        return 1.0
    later = [b == NONE or LEADS[b][1] <= LEADS[window][1] for b in curve.buckets]
    return float(curve.chosen[later].sum() / curve.chosen.sum())


def _waiting(crm: Crm, high: int) -> int:
    """Contracts that may join today: uncontacted as far as is known, and their window yet to open."""
    rows = to_score(crm, "renewal")
    early = rows["lead_days"] >= high
    try:
        return int((early & coming(crm, rows)["contacted_at"].isna()).sum())
    except RenewalError:  # no calls or meetings on record: an experiment can be planned all the same
        return int(early.sum())


def _words(design: Mapping[str, Any]) -> str:
    each, gap = design["contracts_each"], 100 * design["gap"]
    text = f"{each:,} contracts in each arm find a difference of {gap:.1f} points"
    if design["enrol_months"] is None:
        return f"{text}; no contract ended in the last year, so how long that takes can't be estimated"
    text += (
        f": {design['enrol_months']:.0f} months to enrol, the answer after {design['months_to_answer']:.0f}"
    )
    if design["enrol_months"] > LONG_MONTHS:
        text += "; that is long: look for a larger difference, or settle for less power"
    return text
