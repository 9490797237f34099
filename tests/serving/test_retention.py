"""Renewal money by month against truths that are known: exact sums, and how often an interval holds."""

import numpy as np
import pandas as pd
import pytest

from features.crm.load import from_rows
from serving.scoring.retention import history, outlook

MONTHS = [pd.Period(text, "M") for text in ("2026-01", "2026-02", "2026-03")]
NOBODY = pd.DataFrame(columns=["month", "amount", "renewed"])


def open_contracts(n: int, rng: np.random.Generator, error: float = 0.0) -> tuple[pd.DataFrame, np.ndarray]:
    """Open contracts whose stated probabilities are off by one common error, and the true ones."""
    logit = rng.normal(1.3, 1.0, n)
    true = 1 / (1 + np.exp(-(logit + error)))
    stated, low, high = (1 / (1 + np.exp(-(logit + shift))) for shift in (0.0, -0.5, 0.5))
    frame = pd.DataFrame(
        {
            "month": rng.choice(MONTHS, n),
            "account_id": np.arange(n).astype(str),
            "amount": rng.lognormal(9, 0.8, n).round(2),
            "probability": stated,
            "low": low,
            "high": high,
            "own": np.where(np.arange(n) % 2, stated + 0.05, np.nan),
        }
    )
    return frame, true


def test_expected_money_is_the_exact_sum_and_decided_money_counts_whole():
    rows, _ = open_contracts(90, np.random.default_rng(0))
    decided = pd.DataFrame({"month": MONTHS[:2], "amount": [1000.0, 500.0], "renewed": [1, 0]})
    answer = {row["month"]: row for row in outlook(rows, decided, None)}
    january = rows[rows["month"] == MONTHS[0]]
    assert answer[MONTHS[0]]["decided"] == 1000
    assert answer[MONTHS[0]]["up"] == pytest.approx(january["amount"].sum() + 1000)
    money = (january["amount"] * january["probability"]).sum()
    assert answer[MONTHS[0]]["expected"] == pytest.approx(money + 1000)
    whole = (rows["amount"] * rows["probability"]).sum() + 1000
    assert answer["all"]["expected"] == pytest.approx(whole)
    assert answer["all"]["contracts"] == 92
    assert answer["all"]["gross"] == pytest.approx(whole / (rows["amount"].sum() + 1500))
    assert answer["all"]["net"] is None
    stated = rows[rows["own"].notna()]
    assert answer["all"]["own"] == pytest.approx((stated["amount"] * stated["own"]).sum())
    assert answer["all"]["model_same"] == pytest.approx((stated["amount"] * stated["probability"]).sum())


@pytest.mark.slow
def test_the_interval_holds_what_comes_about_as_often_as_it_says():
    """250 worlds: the probabilities are off together, as their intervals say; then each customer decides."""
    rng = np.random.default_rng(1)
    held = []
    for world in range(250):
        rows, true = open_contracts(60, rng, error=rng.normal(0, 0.5 / 1.6449))
        kept = (rows["amount"] * (rng.random(len(rows)) < true)).sum()
        answer = outlook(rows, NOBODY, None, seed=world)[-1]
        held.append(answer["low"] <= kept <= answer["high"])
    assert 0.85 <= np.mean(held) <= 0.95


def test_contracts_of_one_customer_share_their_luck():
    rows, _ = open_contracts(60, np.random.default_rng(2))
    one = outlook(rows.assign(account_id="A"), NOBODY, None)[-1]
    many = outlook(rows, NOBODY, None)[-1]
    assert one["high"] - one["low"] > 1.5 * (many["high"] - many["low"])
    assert one["expected"] == pytest.approx(many["expected"])


def test_net_adds_the_expansion_expected_in_those_months_only():
    rng = np.random.default_rng(3)
    rows, _ = open_contracts(60, rng)
    more, _ = open_contracts(20, rng)
    late = more.assign(month=pd.Period("2027-01", "M"))
    answer = outlook(rows, NOBODY, pd.concat([more, late]))[-1]
    expansion = (more["amount"] * more["probability"]).sum()
    assert answer["expansion"] == pytest.approx(expansion)
    assert answer["net"] == pytest.approx(answer["gross"] + expansion / answer["up"])
    assert answer["net_low"] < answer["net"] < answer["net_high"]


def test_the_same_question_gets_the_same_answer():
    rows, _ = open_contracts(30, np.random.default_rng(4))
    assert outlook(rows, NOBODY, None, seed=7) == outlook(rows, NOBODY, None, seed=7)


def test_history_tells_months_before_and_what_is_decided_ahead():
    def contract(name: str, end: str, renewed: bool | None, value: float) -> dict:
        begun = str((pd.Timestamp(end) - pd.DateOffset(years=1)).date())
        return {
            "contract_id": name, "account_id": name.replace("C", "A"), "start_date": begun, "end_date": end,
            "annual_value": value, "renewed": renewed, "owner_id": "U1",
        }  # fmt: skip

    crm = from_rows(
        {
            "accounts": [{"account_id": f"A{i}", "region": "north"} for i in range(1, 6)],
            "contracts": [
                contract("C1", "2025-11-10", True, 100),
                contract("C2", "2025-11-20", False, 300),
                contract("C3", "2025-12-31", None, 50),
                contract("C4", "2026-02-10", True, 70) | {"decided_at": "2025-12-20"},
                contract("C5", "2026-03-10", None, 90),
            ],
            "opportunities": [
                {
                    "opportunity_id": "O1", "account_id": "A1", "kind": "expansion", "amount": 40,
                    "is_won": True,
                    "created_at": "2025-10-01", "closed_at": "2025-11-15", "owner_id": "U1",
                }
            ],
        },
        pd.Timestamp("2026-01-05"),
    )  # fmt: skip
    answer = history(crm)
    november, december = answer["past"]
    wanted = {"month": "2025-11", "up": 400, "kept": 100, "expansion": 40}
    assert {name: november[name] for name in wanted} == wanted
    assert (november["owner_id"], november["region"]) == ("U1", "north")
    assert (december["month"], december["up"], december["undecided"]) == ("2025-12", 0, 1)
    assert [row["contract_id"] for row in answer["decided"]] == ["C4"]
    assert answer["has_expansion"]


def test_without_dates_there_is_no_history():
    crm = from_rows(
        {"contracts": [{"contract_id": "C1", "annual_value": 5, "renewed": True}]}, pd.Timestamp("2026-01-05")
    )
    assert history(crm)["past"] == []
