"""The stages of the customer journey as rows: who came to a stage, and who went on from it.

Each stage is conditional on the one before: its rows are what arrived there and whose going on is known.
Leads still open, deals not closed and contracts not ended are left out, whichever way they lean.

Customer KPIs over time (NPS, CSAT, CES) and the cost of acquisition by segment.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from features.crm.crm import Crm
from features.snapshots import renewal_snapshots

STAGES = ("reach", "response", "qualification", "win", "satisfaction", "renewal", "recommendation")
NPS_PROMOTER = 9
_SCALES = (5, 7, 10, 100)
_SATISFIED = 0.8


def stage_rows(crm: Crm) -> dict[str, pd.DataFrame]:
    """Stage → rows of `account_id` and `went_on` (0/1), for each stage this CRM has data on, except reach.

    Args:
        crm: any CRM; stages whose tables it lacks are absent.
    """
    makers: dict[str, Callable[[Crm], pd.DataFrame | None]] = {
        "response": _responses,
        "qualification": _qualifications,
        "win": _wins,
        "satisfaction": _satisfactions,
        "renewal": _renewals,
        "recommendation": _recommendations,
    }
    rows_by_stage = {stage: make(crm) for stage, make in makers.items()}
    return {stage: rows for stage, rows in rows_by_stage.items() if rows is not None and len(rows)}


def reached(crm: Crm) -> pd.Series:
    """The accounts that were touched or a lead at all; where neither is recorded, all in the CRM."""
    parts = [
        crm.frame(table, ["account_id"])["account_id"]
        for table in ("touches", "leads")
        if crm.has(table, "account_id")
    ]
    accounts = pd.concat(parts) if parts else crm.frame("accounts", ["account_id"])["account_id"]
    return accounts.dropna().drop_duplicates()


def answers(crm: Crm, kind: str) -> pd.DataFrame:
    """Answered surveys of a kind (`nps`, `csat`, `ces`): `account_id`, `answered_at`, `score`.

    Cases' CSAT counts with the surveys'.
    """
    parts = []
    if crm.has("surveys", "score", "answered_at"):
        surveys = crm.frame("surveys", ["account_id", "kind", "answered_at", "score"])
        parts.append(surveys[surveys["kind"].str.lower() == kind].drop(columns="kind"))
    if kind == "csat" and crm.has("cases", "csat", "closed_at"):
        cases = crm.frame("cases", ["account_id", "closed_at", "csat"])
        parts.append(cases.rename(columns={"closed_at": "answered_at", "csat": "score"}))
    if not parts:
        return pd.DataFrame(
            {"account_id": [], "answered_at": pd.to_datetime([]), "score": np.array([], float)}
        )
    answered = pd.concat(parts)
    return answered[answered["score"].notna()].assign(score=lambda rows: rows["score"].astype(float))


def top_of_scale(score: pd.Series) -> float:
    """The scale's end that scores were given on: 5, 7, 10 or 100."""
    return next((end for end in _SCALES if score.max() <= end), float(score.max()))


def _responses(crm: Crm) -> pd.DataFrame | None:
    """Touches of accounts not yet a lead, up to the first answered one; going on is a response.

    Later touches are left out: accounts lost at a later stage are touched again and again, those kept are
    written to as a customer, so that a gap further on would show here too.
    """
    if not crm.has("touches", "account_id", "responded_at"):
        return None
    touches = crm.frame("touches", ["account_id", "sent_at", "responded_at"])
    before = touches["account_id"].map(_first_known(crm))
    early = touches[before.isna() | (touches["sent_at"] <= before)].sort_values(["account_id", "sent_at"])
    responded = early["responded_at"].notna()
    earlier_ones = responded.astype(int).groupby(early["account_id"]).cumsum() - responded
    first = earlier_ones == 0
    return _rows(early.loc[first, "account_id"], responded[first])


def _first_known(crm: Crm) -> pd.Series:
    """account_id → when it first was a lead, a deal or a customer."""
    starts = (("leads", "created_at"), ("opportunities", "created_at"), ("contracts", "start_date"))
    parts = [
        crm.frame(table, ["account_id", column]).rename(columns={column: "at"})
        for table, column in starts
        if crm.has(table, "account_id", column)
    ]
    return pd.concat(parts).groupby("account_id")["at"].min() if parts else pd.Series(dtype="datetime64[us]")


def _qualifications(crm: Crm) -> pd.DataFrame | None:
    """Leads that were decided on; going on is being qualified."""
    if not crm.has("leads", "account_id", "qualified_at", "disqualified_at"):
        return None
    leads = crm.frame("leads", ["account_id", "qualified_at", "disqualified_at"])
    decided = leads[leads["qualified_at"].notna() | leads["disqualified_at"].notna()]
    return _rows(decided["account_id"], decided["qualified_at"].notna())


def _wins(crm: Crm) -> pd.DataFrame | None:
    """Closed opportunities of new business (all, where the kind is not recorded); going on is winning."""
    if not crm.has("opportunities", "account_id", "is_won"):
        return None
    columns = ["account_id", "is_won", *(["kind"] if crm.has("opportunities", "kind") else [])]
    deals = crm.frame("opportunities", columns)
    if "kind" in deals and (deals["kind"] == "new").any():
        deals = deals[deals["kind"] == "new"]
    closed = deals[deals["is_won"].notna()]
    return _rows(closed["account_id"], closed["is_won"].astype(bool))


def _satisfactions(crm: Crm) -> pd.DataFrame | None:
    """Answers on satisfaction (CSAT; where there is none, CES); going on is 80 % of the scale or more."""
    answered = answers(crm, "csat")
    answered = answered if len(answered) else answers(crm, "ces")
    if answered.empty:
        return None
    return _rows(answered["account_id"], answered["score"] >= _SATISFIED * top_of_scale(answered["score"]))


def _renewals(crm: Crm) -> pd.DataFrame | None:
    """Contracts whose outcome has matured; going on is renewal."""
    if not crm.has("contracts"):
        return None
    snapshots = renewal_snapshots(crm).drop_duplicates("subject_id")
    matured = snapshots["matured_at"].isna() | (snapshots["matured_at"] <= crm.until)
    decided = snapshots[snapshots["label"].notna() & matured]
    return _rows(decided["account_id"], decided["label"] == 1)


def _recommendations(crm: Crm) -> pd.DataFrame | None:
    """Answers on recommendation (NPS); going on is being a promoter, 9 or 10."""
    answered = answers(crm, "nps")
    return _rows(answered["account_id"], answered["score"] >= NPS_PROMOTER) if len(answered) else None


def _rows(account_id: pd.Series, went_on: pd.Series) -> pd.DataFrame:
    rows = pd.DataFrame({"account_id": account_id.to_numpy(object), "went_on": went_on.to_numpy(float)})
    return rows[rows["account_id"].notna()]


LEAST_ANSWERS = 10
_MINOR = 100
_Z90 = 1.6449


def kpis(crm: Crm) -> list[dict[str, Any]]:
    """NPS (promoters less detractors, −100 to 100), CSAT and CES (mean, own scale) by quarter of the answer.

    Quarters with fewer than 10 answers show none: `value`, `low` and `high` (90 %) are None.
    """
    rows = []
    for kind in ("nps", "csat", "ces"):
        answered = answers(crm, kind)
        answered = answered[answered["answered_at"].notna()]
        if answered.empty:
            continue
        scale = top_of_scale(answered["score"])
        points = _nps_points(answered["score"]) if kind == "nps" else answered["score"]
        for quarter, values in points.groupby(answered["answered_at"].dt.to_period("Q")):
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
        figures = {"cost": cost, "wins": wins, "cost_per_win": each}
        rows.append({"attribute": str(attribute), "segment": str(value), **figures})
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
