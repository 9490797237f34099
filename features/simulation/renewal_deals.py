"""Renewal opportunities: strategic accounts' renewals run as deals, closed with the contract's decision."""

import numpy as np

from features.simulation.csv_tables import Frame, ids
from features.simulation.people import People
from features.simulation.planted import DAY
from features.simulation.renewals import Contracts

MANAGED_LEAD = 120
"""Days before the end at which the renewal opportunity of a strategic account is opened, at midnight."""


def renewal_deal_keys(rows: np.ndarray) -> np.ndarray:
    """Ids of the renewal opportunities of contract row numbers."""
    return ids("ON", rows)


def managed(who: People, terms: Contracts) -> np.ndarray:
    """Which contracts get a renewal opportunity of their own: those of strategic accounts (n,)."""
    return who.tier[terms.account] == 2


def renewal_deal_frame(who: People, terms: Contracts, frame: Frame) -> Frame:
    """Opportunities of the kind renewal, closed with the contract's decision."""
    row = np.flatnonzero(managed(who, terms))
    return {
        "opportunity_id": renewal_deal_keys(row),
        "created_at": (terms.end_day[row] - MANAGED_LEAD) * DAY,
        "account_id": frame["account_id"][row],
        "kind": np.full(row.size, "renewal"),
        "closed_at": frame["decided_at"][row],
        "is_won": terms.renewed[row],
        "amount": terms.annual_value[row],
        "lead_source": np.full(row.size, ""),
        "lost_reason": frame["lost_reason"][row],
        "owner_id": frame["owner_id"][row],
        "contract_id": frame["contract_id"][row],
        "forecast": np.full(row.size, np.nan),
        "competitor": np.full(row.size, "none"),
        "has_partner": np.zeros(row.size, dtype=bool),
    }


def renewal_stages(deals: Frame) -> Frame:
    """Stages of renewal opportunities: opened at discovery, closed as won or lost."""
    n = deals["opportunity_id"].size
    closed = np.where(deals["is_won"] == 1, "won", "lost")
    expected = deals["created_at"] // DAY + MANAGED_LEAD
    return {
        "opportunity_id": np.concatenate([deals["opportunity_id"]] * 2),
        "changed_at": np.concatenate([deals["created_at"], deals["closed_at"]]),
        "stage": np.concatenate([np.full(n, "discovery"), closed]),
        "amount": np.concatenate([deals["amount"]] * 2),
        "expected_close_date": np.concatenate([expected] * 2),
    }
