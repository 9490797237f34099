"""Decided deals of new business: whose they were, when they began, whether they were won."""

import numpy as np
import pandas as pd

from features.crm import Crm
from features.snapshots import win_horizon_days
from training.causal.contacts import plain

NEW_WORDS = frozenset(
    {"new", "new business", "new logo", "new customer", "new deal", "newbusiness", "acquisition"}
)
COLUMNS = (
    "opportunity_id",
    "account_id",
    "created_at",
    "closed_at",
    "is_won",
    "amount",
    "kind",
    "lead_source",
)


def decided_deals(crm: Crm) -> tuple[pd.DataFrame, list[str]]:
    """Decided deals of kind new where kinds are given, and what to say of those left out.

    Of dated deals only those are taken that began a horizon before the end of the data: of younger ones the
    quickly decided alone would be seen.

    Returns:
        A frame with all of `COLUMNS`; `amount` in units, `won` 0.0 or 1.0.
    """
    if not crm.has("opportunities", "is_won"):
        return _empty(), ["there are no decided deals: wins, effort and discount are left out"]
    rows = crm.frame("opportunities", [c for c in COLUMNS if crm.has("opportunities", c)])
    for column in COLUMNS:
        if column not in rows:
            moment = column.endswith("_at")
            rows[column] = pd.Series(pd.NaT if moment else pd.NA, index=rows.index)
            if moment:
                rows[column] = rows[column].astype("datetime64[us]")
    notes = []
    rows, note = _new_business(rows)
    notes += note
    rows = rows[rows["is_won"].notna()]
    if crm.dated("win"):
        horizon = win_horizon_days(crm)
        old = rows["created_at"] <= crm.until - pd.Timedelta(days=horizon)
        notes.append(
            f"{int(old.sum()):,} deals began {horizon} days or more before the data end and are decided"
        )
        rows = rows[old.to_numpy(bool)]
    amount = rows["amount"].astype("Int64").astype("Float64").to_numpy(float, na_value=np.nan) / 100
    rows = rows.assign(amount=amount, won=rows["is_won"].astype(float))
    return rows.reset_index(drop=True), notes


def _new_business(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    kinds = plain(rows["kind"])
    is_new = kinds.isin(NEW_WORDS)
    if is_new.any():
        return rows[is_new.to_numpy(bool)], []
    renewals = kinds.str.contains("renew").to_numpy(bool)
    if renewals.any() and not renewals.all():
        return rows[~renewals], ["no deal is of kind new: all but renewals are taken"]
    return rows, []


def _empty() -> pd.DataFrame:
    empty = pd.DataFrame({column: pd.Series(dtype=object) for column in COLUMNS})
    for column in ("created_at", "closed_at"):
        empty[column] = empty[column].astype("datetime64[us]")
    return empty.assign(won=pd.Series(dtype=float), amount=pd.Series(dtype=float))
