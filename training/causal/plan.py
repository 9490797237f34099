"""From effects to plans: a contract's best window, what advice is worth, a policy table, an experiment."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from features.as_of import DAY, MISSING
from features.crm import Crm
from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings
from features.snapshots import asked, to_score
from training.causal.answer import ALL
from training.causal.contacts import FOREVER, first_contacts, human_contacts, micros
from training.causal.curve import LEADS, Curve, Gain, curve_for, curves
from training.causal.groups import attribute
from training.causal.memory import remembered
from training.causal.trial import NONE
from training.effects import calls, estimated_timing

RUNUP_DAYS = 180
POWER, LEVEL = 0.8, 0.05
LEAST_GAP = 0.03
WITHIN_ACCOUNT = 0.1
OUTCOME_DAYS = 45


def best_window(
    crm: Crm, settings: Settings, contract_id: str, by: str | None = "industry", say: Say = silent
) -> dict[str, Any]:
    """When to make first contact with one contract, what that gains over the usual plan, and by when to act.

    Args:
        crm: the CRM as it stands.
        settings: where estimates are kept.
        contract_id: a contract that runs.
        by: the attribute whose group's curve is used, where it has one.
        say: told what is being done.

    Raises:
        RenewalError: no such contract, or it is not running.
    """
    rows = asked(crm, "renewal", pd.DataFrame({"contract_id": [contract_id]}))
    if rows["problem"].notna().any() or rows["ends_at"].isna().any():
        raise RenewalError(
            expected="the contract_id of a contract with an end date",
            found=repr(contract_id),
            do="Take one from `perennial score renewal`.",
        )
    told = remembered("timing", estimated_timing, crm, settings, _usable(crm, by), say)
    groups = _groups(crm, _usable(crm, by), rows)
    curve = curve_for(curves(told), groups.iloc[0])
    row, met = rows.iloc[0], _met(crm, rows)[0]
    answer: dict[str, Any] = {
        "contract_id": contract_id,
        "as_of": str(crm.until.date()),
        "ends_on": str(row["ends_at"].date()),
        "days_to_end": float(row["lead_days"]),
        "group": curve.group if curve else None,
    }
    if curve is None:
        return answer | {"window": None, "why": "can't tell: no two windows can be compared"}
    if met != FOREVER:
        on = pd.Timestamp(np.int64(met), unit="us").date()
        return answer | {"window": None, "why": f"first contact of this run-up was made on {on}"}
    gain = curve.advise(float(row["lead_days"]))
    if gain is None or row["lead_days"] < 0:
        return answer | {"window": None, "why": "no window is left that can be compared"}
    return answer | _advice(curve, gain, row)


def _advice(curve: Curve, gain: Gain, row: pd.Series) -> dict[str, Any]:
    low, high = LEADS.get(gain.window, (0, 0))
    end, lead = row["ends_at"], float(row["lead_days"])
    open_alike = [b for b in curve.alike if b == NONE or LEADS[b][0] <= lead]
    sure = gain.low > 0
    words = (
        f"Make first contact {low} to {high} days before the end"
        if gain.window != NONE
        else "Leave this contract uncontacted"
    )
    return {
        "window": gain.window,
        "alike": open_alike,
        "act_from": None if gain.window == NONE else str((end - pd.Timedelta(days=min(high, lead))).date()),
        "act_by": None if gain.window == NONE else str((end - pd.Timedelta(days=low)).date()),
        "estimate": round(gain.estimate, 5),
        "usual": round(gain.usual, 5),
        "gain": round(gain.gain, 5),
        "low": round(gain.low, 5),
        "high": round(gain.high, 5),
        "sure": sure,
        "why": f"{words}: {100 * gain.gain:+.1f} points over what is usually done from here"
        + ("" if sure else ", which may be chance"),
    }


def value(
    crm: Crm,
    settings: Settings,
    by: str | None = "industry",
    as_of: pd.Timestamp | None = None,
    say: Say = silent,
) -> dict[str, Any]:
    """Money gained by following the advice over the coming renewals, the policy, and how to check it.

    Returns:
        `contracts`, `gain` (expected renewals won), `money`, `low`, `high` (95 %, groups' errors taken to go
        together, as pooling makes them), `policy` (a row a group:
        window, alike, calls, contracts, gain, money, …), `experiment`, `notes`.
    """
    by = _usable(crm, by)
    told = remembered("timing", estimated_timing, crm, settings, by, say)
    found = curves(told)
    coming = to_score(crm, "renewal", as_of).reset_index(drop=True)
    coming = coming[_met(crm, coming) == FOREVER].reset_index(drop=True)
    notes = ["contracts already contacted in this run-up are not counted", *told["notes"]]
    work, skipped = _calls_by_group(crm, settings, by, say)
    notes += skipped
    policy, total, spread = [], np.zeros(2), np.zeros(2)
    groups = _groups(crm, by, coming)
    for name, rows in coming.groupby(groups.fillna(ALL), sort=True):
        curve = curve_for(found, str(name))
        if curve is None:
            continue
        line, amounts, spreads = _policy_row(str(name), curve, rows, work)
        policy.append(line)
        total += amounts
        spread += spreads
    half = stats.norm.isf(LEVEL / 2) * spread
    return {
        "contracts": len(coming),
        "gain": round(float(total[0]), 2),
        "money": round(float(total[1]), 2),
        "low": round(float(total[1] - half[1]), 2),
        "high": round(float(total[1] + half[1]), 2),
        "policy": sorted(policy, key=lambda line: -line["money"]),
        "experiment": experiment(found.get(ALL), crm),
        "notes": notes,
    }


def _policy_row(
    name: str, curve: Curve, rows: pd.DataFrame, work: Mapping[str, str | None]
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """One line of the policy table, with (renewals, money) gained and their standard errors."""
    money = rows["amount"].astype("Float64").to_numpy(float, na_value=0.0) / 100
    weights = np.zeros((2, len(curve.buckets)))
    advised = 0
    for lead, amount in zip(rows["lead_days"].to_numpy(float), money, strict=True):
        gain = curve.advise(lead)
        if gain is not None and gain.gain > 0:
            weights += np.outer([1.0, amount], gain.weight)
            advised += 1
    sums = [curve.total(weight) for weight in weights]
    early = curve.advise(RUNUP_DAYS)
    line = {
        "group": name,
        "curve": curve.group,
        "window": curve.best,
        "alike": list(curve.alike),
        "calls": work.get(name, work.get(ALL)),
        "contracts": len(rows),
        "advised": advised,
        "gain_each": round(early.gain, 5) if early else None,
        "low_each": round(early.low, 5) if early else None,
        "high_each": round(early.high, 5) if early else None,
        "gain": round(sums[0][0], 2),
        "money": round(sums[1][0], 2),
    }
    return line, np.array([s[0] for s in sums]), np.array([s[1] for s in sums])


def experiment(curve: Curve | None, crm: Crm) -> dict[str, Any] | None:
    """Whom to randomise to check the advice, how many, and for how long.

    Accounts are drawn by lot: one half is contacted in the advised window, the other as usual. Numbers are
    for 80 % power at 5 % (two-sided), enlarged for contracts that share an account.
    """
    gain = curve.advise(RUNUP_DAYS) if curve else None
    if curve is None or gain is None or gain.window == NONE:
        return None
    gap = max(gain.gain, LEAST_GAP)
    p, q = gain.usual, min(gain.usual + gap, 0.999)
    z = stats.norm.isf(LEVEL / 2) + stats.norm.isf(1 - POWER)
    each = z**2 * (p * (1 - p) + q * (1 - q)) / gap**2
    ends = crm.frame("contracts", ["account_id", "end_date"]).dropna()
    year = ends[(ends["end_date"] > crm.until - pd.Timedelta(days=365)) & (ends["end_date"] <= crm.until)]
    shared = len(year) / max(year["account_id"].nunique(), 1)
    each = int(np.ceil(each * (1 + (shared - 1) * WITHIN_ACCOUNT)))
    monthly = len(year) / 12
    months = 2 * each / monthly if monthly else None
    high = LEADS[gain.window][1]
    return {
        "whom": f"accounts whose contract ends in {high} days or more, not contacted in this run-up",
        "arms": [f"first contact {gain.window} days before the end", "as usual"],
        "gap": round(gap, 4),
        "contracts_each": each,
        "enrol_months": None if months is None else round(months, 1),
        "months_to_answer": None if months is None else round(months + (high + OUTCOME_DAYS) / 30.4, 1),
        "power": POWER,
    }


def _calls_by_group(
    crm: Crm, settings: Settings, by: str | None, say: Say
) -> tuple[dict[str, str | None], list[str]]:
    """Group → the number of calls that wins most, None where none stands out; and why it is missing."""
    if not crm.has("opportunities"):
        return {}, ["no opportunities: the policy names no number of calls"]
    try:
        told = remembered("calls", calls, crm, settings, by, say)
    except RenewalError as error:
        return {}, [f"the policy names no number of calls: {error}"]
    return dict(told["best"]), []


def _usable(crm: Crm, by: str | None) -> str | None:
    """The attribute if this CRM has it, else none."""
    table, _, column = (by or "").rpartition(".")
    places = [table] if table else ["accounts", "contracts"]
    return by if by and any(crm.has(place, column) for place in places) else None


def _groups(crm: Crm, by: str | None, rows: pd.DataFrame) -> pd.Series:
    if by is None:
        return pd.Series(pd.NA, index=rows.index, dtype="string")
    return attribute(crm, by, rows)


def _met(crm: Crm, rows: pd.DataFrame) -> np.ndarray:
    """(n,) when each contract's first human contact of the run-up came (µs), `FOREVER` if it has not yet."""
    end = micros(rows["ends_at"])
    now = int(pd.Timestamp(crm.until).as_unit("us").value)
    frame = rows[["contract_id", "account_id"]].assign(
        entry=np.where(end == MISSING, now, end - RUNUP_DAYS * DAY), stop=now
    )
    return first_contacts(frame, human_contacts(crm))[0]
