"""Customer KPIs over time (NPS, CSAT, CES) and the cost of acquisition by segment."""

from typing import Any

import numpy as np
import pandas as pd

from features.crm import Crm
from monitoring.stages import answers, top_of_scale

LEAST_ANSWERS = 10
_MINOR = 100
_Z90 = 1.6449


def kpis(crm: Crm) -> list[dict[str, Any]]:
    """NPS (promoters less detractors, −100 to 100), CSAT and CES (mean, own scale) by quarter of the answer.

    Quarters with fewer than 10 answers show none: `value`, `low` and `high` (90 %) are None.
    """
    rows = []
    for kind in ("nps", "csat", "ces"):
        found = answers(crm, kind)
        found = found[found["answered_at"].notna()]
        if found.empty:
            continue
        scale = top_of_scale(found["score"])
        points = _nps_points(found["score"]) if kind == "nps" else found["score"]
        for quarter, values in points.groupby(found["answered_at"].dt.to_period("Q")):
            unit = "points" if kind == "nps" else f"of {scale:g}"
            rows.append({"kpi": kind.upper(), "quarter": str(quarter), "unit": unit, **_mean(values)})
    return rows


def cost_of_acquisition(crm: Crm, segments: pd.DataFrame) -> list[dict[str, Any]]:
    """Campaign cost for each account won, by segment: a campaign's cost is shared equally by its touches.

    Args:
        crm: with campaigns (cost), touches (campaign_id) and opportunities (is_won); else no rows.
        segments: account_id, attribute, value, share.

    Returns:
        attribute, segment, `cost` and `cost_per_win` in units of money, `wins` (accounts won).
    """
    if not (
        crm.has("campaigns", "cost")
        and crm.has("touches", "campaign_id", "account_id")
        and crm.has("opportunities", "is_won", "account_id")
    ):
        return []
    spent = _spent(crm)
    deals = crm.frame("opportunities", ["account_id", "is_won"])
    won = set(deals.loc[deals["is_won"].fillna(False).astype(bool), "account_id"].dropna())
    rows = []
    for (attribute, value), part in segments.groupby(["attribute", "value"], sort=True):
        cost = float((part["account_id"].map(spent).fillna(0.0) * part["share"]).sum())
        wins = float(part.loc[part["account_id"].isin(won), "share"].sum())
        each = cost / wins if wins else None
        found = {"cost": cost, "wins": wins, "cost_per_win": each}
        rows.append({"attribute": str(attribute), "segment": str(value), **found})
    return rows


def _spent(crm: Crm) -> pd.Series:
    """account_id → its touches' share of what campaigns cost, in units of money."""
    touches = crm.frame("touches", ["campaign_id", "account_id"])
    cost = (
        crm.frame("campaigns", ["campaign_id", "cost"]).set_index("campaign_id")["cost"].astype(float)
        / _MINOR
    )
    each = cost / touches["campaign_id"].value_counts()
    return touches["campaign_id"].map(each).fillna(0.0).groupby(touches["account_id"]).sum()


def _nps_points(score: pd.Series) -> pd.Series:
    return pd.Series(np.select([score >= 9, score <= 6], [100.0, -100.0], 0.0), score.index)


def _mean(values: pd.Series) -> dict[str, Any]:
    n = len(values)
    if n < LEAST_ANSWERS:
        return {"n": n, "value": None, "low": None, "high": None}
    mean, half = float(values.mean()), float(_Z90 * values.std() / np.sqrt(n))
    return {"n": n, "value": mean, "low": mean - half, "high": mean + half}
