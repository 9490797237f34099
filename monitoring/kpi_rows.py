"""What each customer KPI counts: rows of account_id, at and value, made of the CRM's tables.

What may still come is left out rather than counted as missing: a survey or touch sent within the last 30
days, a deal not closed, a contract whose outcome has not matured.
"""

import numpy as np
import pandas as pd

from features.catalog.contact import INBOUND_WORDS, OUTBOUND_WORDS
from features.crm.crm import Crm
from features.snapshots import renewal_snapshots
from training.effects.contacts import HUMAN_WORDS, plain

SETTLED_DAYS = 30
"""After so many days what was not answered counts as not answered."""


def survey_responses(crm: Crm) -> pd.DataFrame | None:
    """Surveys asked: answered within 30 days, or not; with `about`, their kind and touchpoint."""
    rows = _answered_in_time(crm, "surveys", "asked_at", "answered_at")
    if rows is None:
        return None
    columns = ["kind", *(["touchpoint"] if crm.has("surveys", "touchpoint") else [])]
    sent = crm.frame("surveys", [*columns, "asked_at"])
    sent = sent[sent["asked_at"] <= crm.until - pd.Timedelta(days=SETTLED_DAYS)]
    return rows.assign(about=sent[columns].astype("string").fillna("").agg(" ".join, axis=1).to_numpy(object))


def responded_touches(crm: Crm) -> pd.DataFrame | None:
    """Campaign touches sent: responded to within 30 days, or not."""
    return _answered_in_time(crm, "touches", "sent_at", "responded_at")


def _answered_in_time(crm: Crm, table: str, sent: str, answered: str) -> pd.DataFrame | None:
    if not crm.has(table, "account_id", sent, answered):
        return None
    rows = crm.frame(table, ["account_id", sent, answered])
    wait = pd.Timedelta(days=SETTLED_DAYS)
    rows = rows[rows[sent] <= crm.until - wait]
    return _rows(rows["account_id"], rows[sent], rows[answered] <= rows[sent] + wait)


def reply_hours(crm: Crm) -> pd.DataFrame | None:
    """Each time a customer wrote, called or met us: hours until we next contacted them, 30 days at most.

    Several in a row before we answer are one wait, from the first of them.
    """
    if not crm.has("activities", "account_id", "occurred_at", "direction"):
        return None
    rows = crm.frame("activities", ["account_id", "occurred_at", "direction"]).dropna()
    direction = plain(rows["direction"])
    rows = rows.assign(ours=direction.isin(OUTBOUND_WORDS), theirs=direction.isin(INBOUND_WORDS))
    rows = rows[(rows["ours"] | rows["theirs"]) & (rows["occurred_at"] <= crm.until)]
    rows = rows.sort_values(["account_id", "occurred_at", "ours"], kind="stable")
    if not rows["ours"].any() or not rows["theirs"].any():
        return None
    begins = rows["theirs"] & ~rows.groupby("account_id")["theirs"].shift(1, fill_value=False)
    answered = rows["occurred_at"].where(rows["ours"]).groupby(rows["account_id"]).bfill()
    waits = rows[begins].assign(answered=answered[begins])
    longest = pd.Timedelta(days=SETTLED_DAYS)
    waits = waits[waits["occurred_at"] <= crm.until - longest]
    hours = _hours(waits["answered"], waits["occurred_at"])
    most = longest.total_seconds() / 3600
    return _rows(waits["account_id"], waits["occurred_at"], hours.fillna(most).clip(upper=most))


def case_hours(crm: Crm) -> pd.DataFrame | None:
    """Cases closed: hours since they were opened, by when they were closed."""
    if not crm.has("cases", "account_id", "opened_at", "closed_at"):
        return None
    rows = crm.frame("cases", ["account_id", "opened_at", "closed_at"]).dropna()
    return _rows(rows["account_id"], rows["closed_at"], _hours(rows["closed_at"], rows["opened_at"]))


def escalated_cases(crm: Crm) -> pd.DataFrame | None:
    """Cases: escalated or not."""
    if not crm.has("cases", "account_id", "opened_at", "escalated"):
        return None
    rows = crm.frame("cases", ["account_id", "opened_at", "escalated"]).dropna()
    return _rows(rows["account_id"], rows["opened_at"], rows["escalated"].astype(bool))


def decided_leads(crm: Crm) -> pd.DataFrame | None:
    """Leads decided on: qualified or not, by the day of that."""
    if not crm.has("leads", "account_id", "qualified_at", "disqualified_at"):
        return None
    rows = crm.frame("leads", ["account_id", "qualified_at", "disqualified_at"])
    at = rows["qualified_at"].fillna(rows["disqualified_at"])
    return _rows(rows["account_id"], at, rows["qualified_at"].notna())


def won_deals(crm: Crm) -> pd.DataFrame | None:
    """Deals closed: won or lost."""
    if not crm.has("opportunities", "account_id", "closed_at", "is_won"):
        return None
    rows = crm.frame("opportunities", ["account_id", "closed_at", "is_won"]).dropna()
    return _rows(rows["account_id"], rows["closed_at"], rows["is_won"].astype(bool))


def decided_renewals(crm: Crm) -> pd.DataFrame | None:
    """Contracts whose outcome has matured: renewed or not, by their end."""
    if not crm.has("contracts", "end_date") or not crm.dated("renewal"):
        return None
    rows = renewal_snapshots(crm).drop_duplicates("subject_id")
    rows = rows[rows["label"].notna() & (rows["matured_at"] <= crm.until)]
    ends = crm.frame("contracts", ["contract_id", "end_date"]).set_index("contract_id")["end_date"]
    return _rows(rows["account_id"], rows["subject_id"].map(ends), rows["label"])


def usage_values(crm: Crm) -> pd.DataFrame | None:
    """The metric of usage that is recorded most: its values."""
    if not crm.has("usage", "account_id", "used_on", "metric", "value_milli"):
        return None
    rows = crm.frame("usage", ["account_id", "used_on", "metric", "value_milli"])
    rows = rows[rows["metric"] == rows["metric"].mode()[0]]
    return _rows(rows["account_id"], rows["used_on"], rows["value_milli"] / 1000)


def used_each_quarter(crm: Crm) -> pd.DataFrame | None:
    """Customers under contract through a whole quarter: whether there is any usage of theirs in it."""
    if not crm.has("usage", "account_id", "used_on"):
        return None
    used = crm.frame(
        "usage", ["account_id", "used_on", *(["value_milli"] if crm.has("usage", "value_milli") else [])]
    )
    if "value_milli" in used:
        used = used[used["value_milli"] > 0]
    return _each_quarter(crm, used["account_id"], used["used_on"], as_share=True)


def contacts_each_quarter(crm: Crm) -> pd.DataFrame | None:
    """Customers under contract through a whole quarter: how many calls and meetings they had in it."""
    if not crm.has("activities", "account_id", "occurred_at", "kind"):
        return None
    rows = crm.frame("activities", ["account_id", "occurred_at", "kind"])
    human = rows[plain(rows["kind"]).isin(HUMAN_WORDS)]
    return _each_quarter(crm, human["account_id"], human["occurred_at"], as_share=False)


def _each_quarter(crm: Crm, account: pd.Series, at: pd.Series, *, as_share: bool) -> pd.DataFrame | None:
    """A row a customer and quarter since the first event: how many of its events lie in it, or if any."""
    at = at[at <= crm.until]
    if not crm.has("contracts", "account_id", "start_date", "end_date") or at.empty:
        return None
    contracts = crm.frame("contracts", ["account_id", "start_date", "end_date"]).dropna()
    events = pd.DataFrame({"account_id": account.loc[at.index], "quarter": at.dt.to_period("Q")}).dropna()
    counts = events.groupby(["account_id", "quarter"]).size()
    parts = []
    for quarter in pd.period_range(events["quarter"].min(), crm.until.to_period("Q"), freq="Q")[1:]:
        first, last = quarter.start_time, quarter.end_time
        if last > crm.until:
            break
        runs = (contracts["start_date"] <= first) & (contracts["end_date"] >= last)
        customers = contracts.loc[runs, "account_id"].drop_duplicates()
        keys = pd.MultiIndex.from_arrays([customers, [quarter] * len(customers)])
        value = counts.reindex(keys, fill_value=0).to_numpy(float)
        parts.append(_rows(customers, pd.Series(first, customers.index), pd.Series(value, customers.index)))
    rows = pd.concat(parts) if parts else None
    if rows is not None and as_share:
        rows["value"] = (rows["value"] > 0).astype(float)
    return rows


def _hours(end: pd.Series, start: pd.Series) -> pd.Series:
    return (end - start).dt.total_seconds() / 3600


def _rows(account_id: pd.Series, at: pd.Series, value: pd.Series) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "account_id": account_id.to_numpy(object),
            "at": at.to_numpy("datetime64[us]"),
            "value": np.asarray(value.astype("Float64").to_numpy(float, na_value=np.nan)),
        }
    )
