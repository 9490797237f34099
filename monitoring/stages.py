"""The stages of the customer journey as rows: who came to a stage, and who went on from it.

Each stage is conditional on the one before: its rows are what arrived there and whose going on is known.
Leads still open, deals not closed and contracts not ended are left out, whichever way they lean.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from features.crm import Crm
from features.snapshots import renewal_snapshots

STAGES = ("reach", "response", "qualification", "win", "satisfaction", "renewal", "recommendation")
NPS_PROMOTER = 9
_SCALES = (5, 7, 10, 100)
_SATISFIED = 0.8


def stage_rows(crm: Crm) -> dict[str, pd.DataFrame]:
    """Stage → rows of `account_id` and `went_on` (0/1), for the stages this CRM can tell of but reach.

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
    made = {stage: make(crm) for stage, make in makers.items()}
    return {stage: rows for stage, rows in made.items() if rows is not None and len(rows)}


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
    found = pd.concat(parts)
    return found[found["score"].notna()].assign(score=lambda rows: rows["score"].astype(float))


def top_of_scale(score: pd.Series) -> float:
    """The scale's end that scores were given on: 5, 7, 10 or 100."""
    return next((end for end in _SCALES if score.max() <= end), float(score.max()))


def _responses(crm: Crm) -> pd.DataFrame | None:
    """Touches of accounts not yet a lead, up to the first answered one; going on is a response.

    Later touches are left out: whom a later stage loses is touched again and again, and whom it keeps is
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
    """Closed opportunities of new business (all, where the kind is not told); going on is winning."""
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
    found = answers(crm, "csat")
    found = found if len(found) else answers(crm, "ces")
    if found.empty:
        return None
    return _rows(found["account_id"], found["score"] >= _SATISFIED * top_of_scale(found["score"]))


def _renewals(crm: Crm) -> pd.DataFrame | None:
    """Contracts whose outcome has matured; going on is renewal."""
    if not crm.has("contracts"):
        return None
    found = renewal_snapshots(crm).drop_duplicates("subject_id")
    matured = found["matured_at"].isna() | (found["matured_at"] <= crm.until)
    known = found[found["label"].notna() & matured]
    return _rows(known["account_id"], known["label"] == 1)


def _recommendations(crm: Crm) -> pd.DataFrame | None:
    """Answers on recommendation (NPS); going on is being a promoter, 9 or 10."""
    found = answers(crm, "nps")
    return _rows(found["account_id"], found["score"] >= NPS_PROMOTER) if len(found) else None


def _rows(account_id: pd.Series, went_on: pd.Series) -> pd.DataFrame:
    rows = pd.DataFrame({"account_id": account_id.to_numpy(object), "went_on": went_on.to_numpy(float)})
    return rows[rows["account_id"].notna()]
