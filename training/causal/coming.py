"""Contracts that come up for renewal: their group, whether they were contacted already, what is planned."""

from typing import Any

import numpy as np
import pandas as pd

from features.as_of import DAY, MISSING
from features.crm import Crm
from features.errors import RenewalError
from training.causal.contacts import FOREVER, first_contacts, human_contacts, micros
from training.causal.frame import BUCKETS
from training.causal.groups import NO_GROUP, attribute

RUNUP_DAYS = 180
HELD = ("accounts", "contracts")
"""Where an attribute of a contract may stand."""

USED = "industry"
"""The attribute used unless another is asked for."""


def coming(crm: Crm, snapshots: pd.DataFrame, by: str | None = None) -> pd.DataFrame:
    """One row a contract, in the order of `snapshots`.

    Args:
        crm: the CRM as it stands.
        snapshots: as `features.snapshots.to_score` gives them, each seen at its `as_of`.
        by: the attribute that names the group.

    Returns:
        contract_id, account_id, account_name, owner_id, region, group, ends_at, days_to_end, amount (units),
        contacted_at (the first human contact of the run-up, NaT: none yet), planned_at (the next one planned)
        and planned (its window). What was planned on an earlier day than that of the data is not known.
    """
    rows = snapshots.reset_index(drop=True)
    now, end = micros(rows["as_of"].fillna(crm.until)), micros(rows["ends_at"])
    start = np.where(end == MISSING, now, end - RUNUP_DAYS * DAY)
    contacts = human_contacts(crm)
    met = _first(rows, contacts, start, now)
    is_today = (now >= micros(pd.Series([crm.until]))[0]) & (end != MISSING)
    planned = _first(rows, contacts, now, np.where(is_today, end + DAY, now))
    windows = [window_on(end_at, at) for end_at, at in zip(rows["ends_at"], planned, strict=True)]
    known = _of_accounts(crm, rows["account_id"])
    return pd.DataFrame(
        {
            "contract_id": rows["contract_id"],
            "account_id": rows["account_id"],
            "account_name": known["name"],
            "owner_id": rows["owner_id"],
            "region": known["region"],
            "group": None if by is None else attribute(crm, by, rows),
            "ends_at": rows["ends_at"],
            "days_to_end": rows["lead_days"].astype(float),
            "amount": rows["amount"].astype("Float64").astype(float) / 100,
            "contacted_at": met,
            "planned_at": planned,
            "planned": pd.Series(windows, index=rows.index, dtype=object),
        }
    )


def usable(crm: Crm, by: str | None) -> str | None:
    """The attribute if contracts have it in this CRM; none where they lack the one used unless asked.

    Raises:
        RenewalError: another attribute was asked for, and there is none of that name.
    """
    table, _, column = (by or "").rpartition(".")
    if by is None or any(crm.has(place, column) for place in ([table] if table in HELD else HELD)):
        return by
    if by == USED:
        return None
    offered = sorted(
        {name for place in HELD for name in crm.tables.get(place, ()) if not name.endswith(NO_GROUP)}
    )
    raise RenewalError(
        expected="--by to name an attribute of accounts or contracts",
        found=repr(by),
        do=f"Choose one of: {', '.join(offered[:20])}, or none.",
    )


def window_on(end: Any, at: Any) -> str | None:
    """The window a moment falls into, by whole calendar days before the end."""
    if pd.isna(end) or pd.isna(at):
        return None
    days = (pd.Timestamp(end).normalize() - pd.Timestamp(at).normalize()).days
    return next((name for name, low, high in BUCKETS if low <= days <= high), None)


def _first(rows: pd.DataFrame, contacts: pd.DataFrame, entry: np.ndarray, stop: np.ndarray) -> pd.Series:
    """(n,) the first human contact within [entry, stop), NaT where there is none."""
    frame = rows[["contract_id", "account_id"]].assign(entry=entry, stop=stop)
    at = first_contacts(frame, contacts)[0]
    return pd.Series(np.where(at == FOREVER, MISSING, at).astype("datetime64[us]"), index=rows.index)


def _of_accounts(crm: Crm, wanted: pd.Series) -> pd.DataFrame:
    """(n,) `name` and `region` of accounts, None where the CRM has none."""
    columns = [name for name in ("name", "region") if crm.has("accounts", name)]
    rows = crm.frame("accounts", ["account_id", *columns]).drop_duplicates("account_id")
    found = rows.set_index("account_id").reindex(wanted.to_numpy()).set_axis(wanted.index)
    return found.reindex(columns=["name", "region"]).astype(object).where(lambda each: each.notna(), None)
