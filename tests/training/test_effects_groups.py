import numpy as np
import pandas as pd
import pytest

from features.crm.load import from_rows
from features.errors import RenewalError
from training.effects.answer import groups_by

N = 240


@pytest.fixture(scope="module")
def crm_and_rows():
    rng = np.random.default_rng(0)
    label = (rng.uniform(size=N) < 0.6).astype(float)
    accounts = [
        {
            "account_id": f"a{i}",
            "industry": ["retail", "software", "all"][i % 3],
            "status": "churned" if not label[i] else "active",
            "employees": i,
        }
        for i in range(N)
    ]
    contracts = [
        {
            "contract_id": f"c{i}",
            "account_id": f"a{i}",
            "start_date": "2023-01-01",
            "end_date": f"2023-12-{1 + i % 28:02d}",
            "renewed": bool(label[i]),
        }
        for i in range(N)
    ]
    crm = from_rows({"accounts": accounts, "contracts": contracts}, pd.Timestamp("2025-01-01"))
    ids = [f"{letter}{i}" for letter in "ca" for i in range(N)]
    rows = pd.DataFrame({"contract_id": ids[:N], "account_id": ids[N:], "label": label})
    return crm, rows


def test_groups_part_the_rows(crm_and_rows):
    groups = groups_by(*crm_and_rows[:1], "industry", crm_and_rows[1])
    assert sum(who.sum() for who in groups.values()) == N
    assert {"retail", "software"} < set(groups)


def test_a_group_called_all_does_not_stand_for_everybody(crm_and_rows):
    crm, rows = crm_and_rows
    assert set(groups_by(crm, "industry", rows)) == {"retail", "software", "industry all"}


def test_numbers_come_in_bands(crm_and_rows):
    crm, rows = crm_and_rows
    assert [who.sum() for who in groups_by(crm, "employees", rows).values()] == [60] * 4


@pytest.mark.parametrize("by", ["renewed", "contracts.renewed", "status", "colour", "contract_id"])
def test_the_outcome_is_no_group(crm_and_rows, by):
    crm, rows = crm_and_rows
    with pytest.raises(RenewalError, match="industry"):
        groups_by(crm, by, rows)


def test_without_an_attribute_there_are_no_groups(crm_and_rows):
    crm, rows = crm_and_rows
    assert groups_by(crm, None, rows) == {}
