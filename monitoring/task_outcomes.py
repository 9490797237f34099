"""What became of the customers a playbook was run for: the first decision after its first step was opened."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from features.crm.contract import SUBJECTS
from features.crm.crm import Crm
from features.snapshots import decisions
from monitoring.store import Store

LEAST_JUDGED = 10
"""Customers decided, below which no share is given."""

END_OF_DAY = pd.Timedelta(days=1) - pd.Timedelta(microseconds=1)
"""A day without a time is over when it ends, as in the CRM's tables."""

WORDS = {"renewal": ("not renewed", "renewed"), "win": ("lost", "won")}


class Became(NamedTuple):
    """How the contract or deal ended: its kind and id, 1 (renewed, won) or 0, and when."""

    kind: str
    subject_id: str
    outcome: int
    decided_at: datetime

    @property
    def words(self) -> str:
        """`renewed`, `not renewed`, `won` or `lost`."""
        return WORDS[self.kind][self.outcome]


def outcomes_of(store: Store, crm: Crm | None, rows: Sequence[Mapping[str, Any]]) -> dict[str, Became]:
    """Alert id → what became of the customer, for those tasks whose customer is decided.

    A task about a contract or deal is judged by that one; one about a customer as a whole by the first of its
    contracts that is decided after the playbook began.

    Args:
        store: outcomes that were sent.
        crm: its own outcomes, which go first; None: there are only those sent.
        rows: tasks as `Store.tasks` gives them.
    """
    begun: dict[str, Mapping[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["opened_at"]):
        if row["account_id"]:
            begun.setdefault(row["alert_id"], row)
    became: dict[str, Became] = {}
    for kind in SUBJECTS:
        about = [row for row in begun.values() if (row["kind"] or "renewal") == kind]
        decided = _decided(store, crm, kind, {row["account_id"] for row in about}) if about else None
        if decided is not None:
            became |= _first_after(kind, about, decided)
    return became


def kept_share(became: Iterable[Became]) -> float | None:
    """The share of the contracts decided that were renewed; None with fewer than ten."""
    outcomes = [one.outcome for one in became if one.kind == "renewal"]
    return float(np.mean(outcomes)) if len(outcomes) >= LEAST_JUDGED else None


def _decided(store: Store, crm: Crm | None, kind: str, accounts: set[str]) -> pd.DataFrame:
    """subject_id, account_id, outcome, decided_at of everything decided; what the CRM says goes first."""
    sent = store.outcomes.read(kind)
    sent = sent[sent["account_id"].isin(accounts)]
    at = sent["decided_at"].fillna(sent["recorded_at"])
    sent = sent.assign(decided_at=at.where(at != at.dt.normalize(), at + END_OF_DAY))
    columns = ["subject_id", "account_id", "outcome", "decided_at"]
    parts = [sent[columns]]
    if crm is not None and crm.has(SUBJECTS[kind], "account_id"):
        parts.insert(0, decisions(crm, kind, accounts)[columns])
    rows = pd.concat([part.astype({"subject_id": object, "outcome": float}) for part in parts])
    return rows.drop_duplicates("subject_id").sort_values("decided_at", kind="stable")


def _first_after(kind: str, about: Sequence[Mapping[str, Any]], decided: pd.DataFrame) -> dict[str, Became]:
    by_account = dict(list(decided.groupby("account_id", sort=False)))
    became = {}
    for row in about:
        rows = by_account.get(row["account_id"])
        if rows is None:
            continue
        rows = rows[rows["decided_at"] > row["opened_at"]]
        if row["subject_id"]:
            rows = rows[rows["subject_id"] == row["subject_id"]]
        for one in rows.head(1).itertuples():
            moment = one.decided_at.to_pydatetime()
            became[row["alert_id"]] = Became(kind, str(one.subject_id), int(one.outcome), moment)
    return became
