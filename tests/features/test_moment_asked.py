"""Moments at which nobody could have asked about a contract or deal."""

import pandas as pd
import pytest

from features.columns import KEYS
from features.crm.load import from_rows
from features.snapshots import impossible, snapshots_for

UNTIL = pd.Timestamp("2024-09-01")
CONTRACTS = [
    {"contract_id": "open", "start_date": "2024-01-01", "end_date": "2024-12-31"},
    {"contract_id": "decided", "start_date": "2023-01-01", "end_date": "2023-12-31", "renewed": True,
     "decided_at": "2023-11-15T10:00:00"},
    {"contract_id": "over", "start_date": "2023-01-01", "end_date": "2023-12-31"},
    {"contract_id": "long", "start_date": "2023-01-01", "end_date": "2027-12-31"},
]  # fmt: skip
DEALS = [
    {"opportunity_id": "open", "created_at": "2024-06-01T09:00:00"},
    {"opportunity_id": "won", "created_at": "2024-01-01T09:00:00", "closed_at": "2024-03-01T09:00:00",
     "is_won": True},
]  # fmt: skip


def answer(kind, table, rows, subject, as_of):
    crm = from_rows({table: rows}, UNTIL)
    wanted = pd.DataFrame({KEYS[table]: [subject], "as_of": [as_of]})
    return impossible(crm, kind, snapshots_for(crm, kind, wanted))[0]


@pytest.mark.parametrize(
    ("subject", "as_of", "problem"),
    [
        ("open", "2023-12-31", "as_of 2023-12-31 is before it starts (2024-01-01)"),
        ("open", "1999-01-01", "as_of 1999-01-01 is before it starts (2024-01-01)"),
        ("open", "2024-01-01", None),
        ("open", "2024-08-01", None),
        ("open", "2024-12-31", None),
        ("open", "2025-01-02", "as_of 2025-01-02 is after its end (2024-12-31)"),
        ("decided", "2023-11-15", None),
        ("decided", "2023-11-16", "as_of 2023-11-16 is after it was decided (2023-11-15 10:00)"),
        ("over", "2023-12-01", None),
        ("over", "2024-08-01", "as_of 2024-08-01 is after its end (2023-12-31)"),
        ("long", "2025-02-28", None),
        ("long", "2025-03-01", "as_of 2025-03-01 is over 180 days after the data end (2024-09-01)"),
        ("nobody", "2024-08-01", None),
    ],
)
def test_contracts(subject, as_of, problem):
    assert answer("renewal", "contracts", CONTRACTS, subject, as_of) == problem


@pytest.mark.parametrize(
    ("subject", "as_of", "problem"),
    [
        ("open", "2024-06-01", "as_of 2024-06-01 is before it was created (2024-06-01 09:00)"),
        ("open", "2024-06-02", None),
        ("open", "2030-01-01", "as_of 2030-01-01 is over 180 days after the data end (2024-09-01)"),
        ("won", "2024-02-01", None),
        ("won", "2024-03-02", "as_of 2024-03-02 is after it was decided (2024-03-01 09:00)"),
    ],
)
def test_deals(subject, as_of, problem):
    assert answer("win", "opportunities", DEALS, subject, as_of) == problem


def test_rows_without_dates_are_not_refused_for_them():
    crm = from_rows({"contracts": [{"contract_id": "c1", "annual_value": 5}]})
    snapshots = snapshots_for(crm, "renewal", pd.DataFrame({"contract_id": ["c1"]}))
    assert impossible(crm, "renewal", snapshots).tolist() == [None]


def test_of_no_snapshots_none_is_refused():
    for kind, table, rows in (("renewal", "contracts", CONTRACTS), ("win", "opportunities", DEALS)):
        crm = from_rows({table: rows}, UNTIL)
        wanted = pd.DataFrame({KEYS[table]: ["open"], "as_of": [pd.Timestamp("2024-07-01")]})
        assert impossible(crm, kind, snapshots_for(crm, kind, wanted).iloc[:0]).tolist() == []
