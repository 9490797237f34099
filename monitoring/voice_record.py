"""Who was asked, what was known of them when asked, and the groups by which answers are reported."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from features.crm.crm import Crm
from features.kernel import DAY

STAGES = ("prospect", "first half-year", "customer", "run-up to renewal")
DIMENSIONS = ("stage", "industry", "region", "owner", "touchpoint")
NEW_DAYS, RUNUP_DAYS, RECENT_DAYS = 180, 180, 90
MOST_VALUES = 12
"""Values of an attribute reported separately; the rest count as one."""


def asked_surveys(crm: Crm, kind: str) -> pd.DataFrame:
    """Every survey of a kind that was sent, answered or not.

    Returns:
        account_id, asked_at, score (NaN: no answer); stage, industry, region, owner, touchpoint where the CRM
        has them; and what was on record when asked: cases_180d, open_cases, contacts_90d, answered_before,
        last_score, tenure_days.
    """
    if not crm.has("surveys", "asked_at", "score"):
        return pd.DataFrame({"account_id": [], "score": np.array([], float)})
    columns = [
        c for c in ("account_id", "asked_at", "answered_at", "score", "touchpoint") if crm.has("surveys", c)
    ]
    every = crm.frame("surveys", [*columns, "kind"])
    every = every[every["asked_at"].notna()]
    rows = every[every["kind"].str.lower() == kind].drop(columns="kind").reset_index(drop=True)
    rows["score"] = rows["score"].astype("Float64").astype(float)
    at = rows["asked_at"].to_numpy("datetime64[us]").astype(np.int64)
    return rows.join(on_record(crm, rows["account_id"], at, kind))


def on_record(crm: Crm, account: pd.Series, at: np.ndarray, kind: str) -> pd.DataFrame:
    """(n,) industry, region, owner, stage and what else was on record of each account at a moment.

    Args:
        crm: the CRM.
        account: (n,) ids.
        at: (n,) microseconds since 1970; nothing of that moment or later counts.
        kind: the survey whose last score is looked up.
    """
    rows = _attributes(crm, account)
    rows["stage"], rows["tenure_days"] = _stage(crm, account, at)
    opened = counted(crm, "cases", "opened_at", account, at)
    closed = counted(crm, "cases", "closed_at", account, at)
    rows["cases_180d"] = opened(180)
    rows["open_cases"] = opened(None) - closed(None)
    rows["contacts_90d"] = counted(crm, "activities", "occurred_at", account, at)(RECENT_DAYS)
    rows["answered_before"], rows["last_score"] = _answered_before(_answers(crm), kind, account, at)
    return rows


def _answers(crm: Crm) -> pd.DataFrame:
    """Every answered survey: account_id, kind, answered_at, score."""
    columns = ["account_id", "kind", "answered_at", "score"]
    if not crm.has("surveys", *columns):
        return pd.DataFrame(columns=columns)
    every = crm.frame("surveys", columns)
    return every[every["score"].notna() & every["answered_at"].notna()]


def encoded(requests: pd.DataFrame) -> np.ndarray:
    """(n, k) what was known of those asked, as numbers without gaps: frequent values as 0/1, figures."""
    parts = []
    for name in DIMENSIONS:
        if name not in requests:
            continue
        values = requests[name].astype("string").fillna("unknown")
        frequent = values.value_counts().index[:MOST_VALUES]
        parts += [(values == value).to_numpy(float) for value in frequent[1:]]
    for name in ("cases_180d", "open_cases", "contacts_90d", "answered_before"):
        parts.append(np.log1p(np.maximum(requests[name].to_numpy(float), 0)))
    last = requests["last_score"].to_numpy(float)
    parts += [np.nan_to_num(last - np.nanmean(last)) if np.isfinite(last).any() else np.zeros(len(last))]
    tenure = requests["tenure_days"].to_numpy(float)
    parts += [np.log1p(np.maximum(np.nan_to_num(tenure), 0)), np.isnan(tenure).astype(float)]
    return np.column_stack(parts)


def _attributes(crm: Crm, account: pd.Series) -> pd.DataFrame:
    """(n,) industry, region and owner of accounts, where the CRM has them."""
    names = {"industry": "industry", "region": "region", "owner_id": "owner"}
    there = [name for name in names if crm.has("accounts", name)]
    accounts = (
        crm.frame("accounts", ["account_id", *there]).drop_duplicates("account_id").set_index("account_id")
    )
    attributes = accounts.reindex(account.to_numpy()).set_axis(account.index)
    return attributes.rename(columns=names)


def _stage(crm: Crm, account: pd.Series, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) where in its life each customer was when asked, and days since its first contract (NaN: none)."""
    stage = np.full(len(account), STAGES[0], dtype=object)
    if not crm.has("contracts", "account_id", "end_date", "start_date"):
        return stage, np.full(len(account), np.nan)
    contracts = crm.frame("contracts", ["account_id", "start_date", "end_date"]).dropna()
    begun = account.map(contracts.groupby("account_id")["start_date"].min())
    first = begun.to_numpy("datetime64[us]").astype(np.int64)
    is_customer = begun.notna().to_numpy(bool) & (first <= at)
    tenure = np.where(is_customer, (at - first) / DAY, np.nan)
    stage[is_customer] = STAGES[2]
    stage[is_customer & (tenure < NEW_DAYS)] = STAGES[1]
    ends = counted(crm, "contracts", "end_date", account, at + RUNUP_DAYS * DAY)(RUNUP_DAYS)
    stage[is_customer & (ends > 0) & (tenure >= NEW_DAYS)] = STAGES[3]
    return stage, tenure


def counted(
    crm: Crm,
    table: str,
    column: str,
    account: pd.Series,
    at: np.ndarray,
    among: Callable[[pd.DataFrame], pd.Series] | None = None,
) -> Callable[[int | None], np.ndarray]:
    """A function of days (None: ever): (n,) events of each account before `at`, within so many days.

    `among`: which rows of the table count; None: all that have the moment.
    """
    if not crm.has(table, "account_id", column):
        return lambda days: np.zeros(len(account))
    whole = crm.frame(table) if among else crm.frame(table, ["account_id", column])
    rows = (whole[among(whole)] if among else whole)[["account_id", column]].dropna()
    names = pd.Index(pd.concat([rows["account_id"], account]).unique())
    key = _keyed(
        names.get_indexer(rows["account_id"]), rows[column].to_numpy("datetime64[us]").astype(np.int64)
    )
    key.sort()
    codes = names.get_indexer(account)

    def count(days: int | None) -> np.ndarray:
        start = np.full(len(at), np.iinfo(np.int64).min) if days is None else at - days * DAY
        high, low = np.searchsorted(key, _keyed(codes, at)), np.searchsorted(key, _keyed(codes, start))
        return (high - low).astype(float)

    return count


def _keyed(code: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """(n,) pairs that sort by account, then moment."""
    pairs = np.empty(len(code), [("code", np.int64), ("at", np.int64)])
    pairs["code"], pairs["at"] = code, moment
    return pairs


def _answered_before(
    answers: pd.DataFrame, kind: str, account: pd.Series, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) surveys each account had answered when asked, and its last score of this kind then (NaN: none)."""
    if answers.empty:
        return np.zeros(len(account)), np.full(len(account), np.nan)
    requests = pd.DataFrame(
        {"account_id": account.to_numpy(), "at": at.astype("datetime64[us]"), "row": range(len(at))}
    )
    requests = requests.sort_values("at")
    same = answers[answers["kind"].str.lower() == kind]
    scores = same[["account_id", "answered_at", "score"]].sort_values("answered_at")
    scores["account_id"] = scores["account_id"].astype(object)
    requests["account_id"] = requests["account_id"].astype(object)
    last = pd.merge_asof(
        requests, scores, left_on="at", right_on="answered_at", by="account_id", allow_exact_matches=False
    ).sort_values("row")
    every = answers[["account_id", "answered_at"]].sort_values("answered_at")
    every["before"] = every.groupby("account_id").cumcount() + 1
    every["account_id"] = every["account_id"].astype(object)
    counts = pd.merge_asof(
        requests, every, left_on="at", right_on="answered_at", by="account_id", allow_exact_matches=False
    ).sort_values("row")
    return counts["before"].fillna(0).to_numpy(float), last["score"].astype("Float64").to_numpy(
        float, na_value=np.nan
    )
