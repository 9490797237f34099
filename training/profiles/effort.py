"""What a deal cost: hours of talk and writing, and the attention of the weeks it stayed open."""

import numpy as np
import pandas as pd

from features.catalogue.contact import CALL_WORDS, MEETING_WORDS
from features.crm import Crm
from training.causal.contacts import plain

TALK_HOURS = {"call": 0.25, "meeting": 1.0, "other": 0.0}
"""Length of a contact where it is not recorded: a call, a meeting, a mail or anything else."""
HOURS_AROUND = {"call": 0.15, "meeting": 0.5, "other": 0.1}
"""What a contact costs besides the talk: preparing, reaching somebody, writing it down."""
HOURS_A_WEEK_OPEN = 0.1
"""A deal that stays open is looked at: six minutes a week."""


def deal_hours(crm: Crm, deals: pd.DataFrame) -> tuple[np.ndarray, str]:
    """(n,) hours spent on each deal, NaN where not known, and how they were counted.

    Args:
        crm: the CRM.
        deals: opportunity_id, account_id, created_at and closed_at of decided deals.
    """
    open_days = (deals["closed_at"] - deals["created_at"]).dt.total_seconds().to_numpy() / 86_400
    weeks = HOURS_A_WEEK_OPEN * np.maximum(open_days, 0) / 7
    if not crm.has("activities"):
        return weeks, "effort counts days open only: there are no activities"
    made = _contacts(crm)
    hours = _by_deal(deals, made) if "opportunity_id" in made else _by_account(deals, made)
    around = ", ".join(f"{hours_each:g} h around each {what}" for what, hours_each in HOURS_AROUND.items())
    words = f"effort counts talk, {around} contact, and {HOURS_A_WEEK_OPEN:g} h for each week open"
    return hours + np.nan_to_num(weeks), words


def _contacts(crm: Crm) -> pd.DataFrame:
    """Every activity with its hours; `opportunity_id` only where activities are linked to deals."""
    wanted = ("account_id", "opportunity_id", "occurred_at", "kind", "duration_seconds")
    made = crm.frame("activities", [c for c in wanted if crm.has("activities", c)])
    kinds = plain(made["kind"])
    what = np.select([kinds.isin(CALL_WORDS), kinds.isin(MEETING_WORDS)], ["call", "meeting"], "other")
    default = pd.Series(what).map(TALK_HOURS).to_numpy(float)
    told = np.full(len(made), np.nan)
    if "duration_seconds" in made:
        told = made["duration_seconds"].astype("Float64").to_numpy(float, na_value=np.nan) / 3600
    talk = np.where(np.isfinite(told), told, default)
    made["hours"] = talk + pd.Series(what).map(HOURS_AROUND).to_numpy(float)
    if "opportunity_id" in made and not made["opportunity_id"].notna().any():
        made = made.drop(columns="opportunity_id")
    return made


def _by_deal(deals: pd.DataFrame, made: pd.DataFrame) -> np.ndarray:
    spent = made.groupby("opportunity_id")["hours"].sum()
    return deals["opportunity_id"].map(spent).fillna(0.0).to_numpy(float)


def _by_account(deals: pd.DataFrame, made: pd.DataFrame) -> np.ndarray:
    """Activities of the account while the deal was open."""
    rows = deals.assign(deal=np.arange(len(deals)))[["deal", "account_id", "created_at", "closed_at"]]
    met = rows.merge(made[["account_id", "occurred_at", "hours"]], on="account_id")
    during = (met["occurred_at"] >= met["created_at"]) & (met["occurred_at"] <= met["closed_at"])
    spent = met[during].groupby("deal")["hours"].sum()
    return spent.reindex(range(len(deals)), fill_value=0.0).to_numpy(float)
