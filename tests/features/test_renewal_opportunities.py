"""Which opportunities are the renewal of a contract, and of which."""

import pandas as pd
import pytest

from features.crm.load import load
from features.renewal_opportunities import contracts_of_renewals, renewed_by
from features.snapshots import to_score

CONTRACTS = """contract_id,account_id,start_date,end_date,annual_value,renewed
C1,A1,2024-01-01,2025-03-01,1000,
C2,A2,2024-01-01,2025-04-01,1000,
C3,A2,2024-01-01,2025-12-01,1000,
C4,A3,2024-01-01,2025-03-01,1000,
C5,A3,2024-01-01,2025-03-01,1000,
C6,A4,2023-01-01,2024-01-01,1000,true
"""
DEALS = """opportunity_id,created_at,account_id,kind,contract_id,amount,is_won,closed_at
named,2024-12-01,A1,Existing Business - Renewal,C1,1000,,
unnamed,2024-12-01,A2,Renewal,,1000,,
no kind,2024-12-01,A1,,C1,1000,,
late,2024-12-01,A2,renewal,C3,1000,,
expansion,2024-12-01,A1,expansion,C1,1000,,
first,2023-12-01,A1,,C1,1000,,
two at once,2024-12-01,A3,renewal,,1000,,
decided,2023-11-01,A4,renewal,C6,1000,true,2023-12-20
new,2024-12-01,A1,New Business,,1000,,
"""


@pytest.fixture
def crm(tmp_path):
    """Renewals written in several ways, beside deals that are none."""
    folder = tmp_path / "crm"
    folder.mkdir()
    (folder / "contracts.csv").write_text(CONTRACTS)
    (folder / "opportunities.csv").write_text(DEALS)
    return load(folder, until=pd.Timestamp("2025-01-01"), into=tmp_path / "clean")


def test_a_renewal_is_told_by_its_kind_or_else_by_a_contract_that_ran(crm):
    links = contracts_of_renewals(crm).to_dict()
    assert links == {"named": "C1", "no kind": "C1", "unnamed": "C2", "late": "C3", "decided": "C6"}


def test_only_a_contract_that_is_listed_lends_its_likelihood(crm):
    looks = to_score(crm, "win", crm.until)
    contract = renewed_by(crm, looks).set_axis(looks["opportunity_id"]).dropna()
    assert contract.to_dict() == {"named": "C1", "no kind": "C1", "unnamed": "C2"}


def test_without_contracts_nothing_is_a_renewal_of_one(tmp_path):
    folder = tmp_path / "deals"
    folder.mkdir()
    (folder / "opportunities.csv").write_text(DEALS.replace(",contract_id", ",note"))
    crm = load(folder, until=pd.Timestamp("2025-01-01"), into=tmp_path / "clean")
    assert contracts_of_renewals(crm).empty
    looks = to_score(crm, "win", crm.until)
    assert renewed_by(crm, looks).isna().all()
