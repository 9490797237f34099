"""Calls until won, as description: cumulative incidence over calls, with loss as the competing risk.

The clock is the number of calls made, not days: after how many calls had which share of deals been won, or
lost? Open deals are censored at the calls they have had (Aalen & Johansen 1978).
"""

from typing import Any

import numpy as np
import pandas as pd

from features.as_of import MISSING
from features.catalogue.contact import CALL_WORDS, INBOUND_WORDS
from features.crm import Crm
from training.causal.contacts import FOREVER, micros, plain
from training.causal.groups import groups_by

MOST_CALLS = 20
LEAST_DEALS = 30
OPEN, WON, LOST = 0, 1, 2


def cumulative_incidence(time: np.ndarray, event: np.ndarray, last: int) -> dict[str, np.ndarray]:
    """Aalen–Johansen cumulative incidence of two competing events on a whole-number clock.

    Args:
        time: (n,) the whole number at which each subject left.
        event: (n,) 0 censored then, 1 or 2 what happened. Events count before censorings at the same number.
        last: the largest number to tell, inclusive.

    Returns:
        `at_risk`, `won`, `lost` (last + 1,) and `won_error`, its standard error (Gaynor et al. 1993's delta
        form).
    """
    grid = np.arange(last + 1)
    at_risk = np.array([(time >= t).sum() for t in grid], dtype=float)
    counts = [
        np.array([((time == t) & (event == kind)).sum() for t in grid], dtype=float) for kind in (WON, LOST)
    ]
    safe = np.maximum(at_risk, 1.0)
    hazard = (counts[0] + counts[1]) / safe
    before = np.concatenate([[1.0], np.cumprod(1 - hazard)[:-1]])
    won, lost = np.cumsum(before * counts[0] / safe), np.cumsum(before * counts[1] / safe)
    return {"at_risk": at_risk, "won": won, "lost": lost, "won_error": _error(at_risk, counts, before, won)}


def _error(at_risk: np.ndarray, counts: list[np.ndarray], before: np.ndarray, won: np.ndarray) -> np.ndarray:
    """Standard errors of the first cumulative incidence."""
    both, safe = counts[0] + counts[1], np.maximum(at_risk, 1.0)
    left = np.maximum(safe * (safe - both), 1e-12)
    errors = np.empty(len(won))
    for t in range(len(won)):
        ahead = won[t] - won[: t + 1]
        n, d, s = safe[: t + 1], counts[0][: t + 1], before[: t + 1]
        died = np.where(safe[: t + 1] > both[: t + 1], both[: t + 1] / left[: t + 1], 0.0)
        variance = (
            np.sum(ahead**2 * died) + np.sum(s**2 * d * (n - d) / n**3) - 2 * np.sum(ahead * s * d / n**2)
        )
        errors[t] = np.sqrt(max(variance, 0.0))
    return errors


def calls_until_won(crm: Crm, by: str | None = None) -> list[dict[str, Any]]:
    """The curve for all deals and each group of at least 30: group, calls, won, low, high, lost, at_risk."""
    if not crm.has("opportunities", "opportunity_id", "is_won") or not crm.has("activities", "kind"):
        return []
    deals = _deals(crm)
    count = _calls(crm, deals)
    event = np.where(deals["is_won"].isna(), OPEN, np.where(deals["is_won"].fillna(False), WON, LOST)).astype(
        int
    )
    groups = {"all": np.ones(len(deals), dtype=bool), **groups_by(crm, by, deals)}
    rows: list[dict[str, Any]] = []
    for name, who in groups.items():
        if who.sum() < LEAST_DEALS:
            continue
        curve = cumulative_incidence(np.minimum(count[who], MOST_CALLS + 1), event[who], MOST_CALLS)
        for t in range(MOST_CALLS + 1):
            if curve["at_risk"][t] < 10:
                break
            half = 1.96 * curve["won_error"][t]
            rows.append(
                {
                    "group": name,
                    "calls": t,
                    "won": round(float(curve["won"][t]), 5),
                    "low": round(float(max(curve["won"][t] - half, 0.0)), 5),
                    "high": round(float(min(curve["won"][t] + half, 1.0)), 5),
                    "lost": round(float(curve["lost"][t]), 5),
                    "at_risk": int(curve["at_risk"][t]),
                }
            )
    return rows


def _deals(crm: Crm) -> pd.DataFrame:
    wanted = ("opportunity_id", "account_id", "created_at", "closed_at", "is_won", "kind")
    deals = crm.frame("opportunities", [c for c in wanted if crm.has("opportunities", c)])
    if "kind" in deals:
        deals = deals[~plain(deals["kind"]).str.contains("renew").to_numpy(bool)]
    deals = deals.reset_index(drop=True)
    none = pd.Series(pd.NaT, index=deals.index, dtype="datetime64[us]")
    created, closed = micros(deals.get("created_at", none)), micros(deals.get("closed_at", none))
    return deals.assign(start=created, stop=np.where(closed == MISSING, FOREVER, closed))


def _calls(crm: Crm, deals: pd.DataFrame) -> np.ndarray:
    """(n,) calls we made for each deal while it was open."""
    wanted = ("account_id", "opportunity_id", "occurred_at", "kind", "direction")
    made = crm.frame("activities", [c for c in wanted if crm.has("activities", c)])
    kept = plain(made["kind"]).isin(CALL_WORDS)
    if "direction" in made:
        kept &= ~plain(made["direction"]).isin(INBOUND_WORDS)
    made = made[kept.to_numpy(bool)]
    key = "opportunity_id"
    if key not in made or not made[key].isin(deals[key]).any():
        key = "account_id"
    rows = deals.assign(row=np.arange(len(deals)))[[key, "row", "start", "stop"]].dropna(subset=key)
    met = rows.merge(made.assign(at=micros(made["occurred_at"]))[[key, "at"]].dropna(subset=key), on=key)
    inside = (met["at"] >= met["start"]) & (met["at"] < met["stop"])
    return np.bincount(met.loc[inside, "row"], minlength=len(deals))
