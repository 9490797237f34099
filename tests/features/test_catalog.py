"""The catalogue: well formed, described in words, and each line's meaning shown on a row of its own."""

import math

import pandas as pd
import pytest

from features.arrays import COMPUTED
from features.catalog import CATALOG, DECLARED, ITSELF, SUBJECT_INFOS, infos, of_columns, plan
from features.catalog.declare import (
    Derived,
    Feature,
    change_pct,
    discount_pct,
    mean_age_days,
    overdue,
    share,
    smoothed_share,
    trend,
)
from features.crm.contract import TABLES
from features.crm.load import from_rows
from features.engine import feature_rows
from features.settings import Settings
from features.snapshots import snapshots_for

FULL = {name: tuple(column.stored for column in table.columns) for name, table in TABLES.items()}
FULL["stage_history"] += ("account_id",)
COLUMNS = {f"{table}.{column}" for table, columns in FULL.items() for column in columns}
AS_OF = "2024-03-01T00:00:00"
HOME = {
    "accounts": [{"account_id": "a", "industry": "steel"}],
    "contracts": [
        {
            "contract_id": "c",
            "account_id": "a",
            "start_date": "2023-06-01",
            "end_date": "2024-05-30",
            "owner_id": "u",
        },
        {
            "contract_id": "d",
            "account_id": "b",
            "start_date": "2023-06-01",
            "end_date": "2024-06-30",
            "owner_id": "u",
        },
    ],
    "opportunities": [
        {"opportunity_id": "o", "account_id": "a", "created_at": "2024-02-01T00:00:00", "owner_id": "u"},
        {"opportunity_id": "p", "account_id": "b", "created_at": "2024-02-02T00:00:00", "owner_id": "u"},
    ],
    "owners": [{"owner_id": "u"}],
}


def ask(kind: str, **tables: list[dict]) -> pd.Series:
    """The features of contract c or opportunity o on 1 March 2024, given some rows."""
    crm = from_rows({**HOME, **tables}, pd.Timestamp("2026-01-01"))
    row = {"contract_id": ["c"]} if kind == "renewal" else {"opportunity_id": ["o"]}
    snapshots = snapshots_for(crm, kind, pd.DataFrame({**row, "as_of": [AS_OF]}))
    return feature_rows(crm, snapshots, kind, Settings(threads=1)).frame.iloc[0]


def activity(at: str, kind: str = "call", **more) -> dict:
    activity.count += 1
    return {"activity_id": f"v{activity.count}", "account_id": "a", "occurred_at": at, "kind": kind, **more}


activity.count = 0

TALKS = [
    activity(
        "2024-01-31T00:00:00",
        duration_minutes="30",
        direction="outbound",
        contract_id="c",
        opportunity_id="o",
    ),
    activity(
        "2024-02-20T00:00:00", "meeting", duration_minutes="60", direction="inbound", outcome="no answer"
    ),
    activity("2024-02-29T00:00:00", "Email", direction="inbound", outcome="reached"),
    activity("2024-03-01T00:00:00"),
    activity("2024-02-10T00:00:00", recorded_at="2024-03-05T00:00:00"),
]
QUOTES = [
    {"quote_id": "q1", "account_id": "a", "quoted_at": "2024-01-01T00:00:00", "list_amount": "100",
    "net_amount": "90",
     "contract_id": "c", "opportunity_id": "o"},
    {"quote_id": "q2", "account_id": "a", "quoted_at": "2024-02-20T00:00:00", "list_amount": "100",
    "net_amount": "75",
     "contract_id": "c", "opportunity_id": "o"},
]  # fmt: skip
STAGES = [
    {"opportunity_id": "o", "changed_at": f"2024-02-{day}T00:00:00", "stage": stage, "amount": amount,
     "expected_close_date": close}
    for day, stage, amount, close in [("05", "demo", "100", "2024-03-10"), ("10", "demo", "80", "2024-03-20"),
                                      ("20", "offer", "80", "2024-03-31")]
]  # fmt: skip
CASES = [
    {"case_id": "k1", "account_id": "a", "opened_at": "2024-01-10T00:00:00",
    "closed_at": "2024-01-11T12:00:00",
     "priority": "High", "escalated": "true", "csat": "4"},
    {"case_id": "k2", "account_id": "a", "opened_at": "2024-02-20T00:00:00",
    "closed_at": "2024-03-02T00:00:00",
     "escalated": "false", "csat": "1"},
]  # fmt: skip
SURVEYS = [
    {"response_id": f"r{n}", "account_id": "a", "kind": "NPS", "asked_at": asked_at,
    "answered_at": answered, "score": score}
    for n, (asked_at, answered, score) in enumerate([("2023-12-01T00:00:00", "2023-12-02T00:00:00", "9"),
        ("2024-02-01T00:00:00", "2024-02-01T06:00:00", "5"), ("2024-02-25T00:00:00", None, None)])
]  # fmt: skip
INVOICES = [
    {"invoice_id": "i1", "account_id": "a", "issued_at": "2023-12-01T00:00:00", "due_at": "2023-12-31",
    "amount": "50",
     "paid_at": "2024-01-10T08:00:00"},
    {"invoice_id": "i2", "account_id": "a", "issued_at": "2024-01-01T00:00:00", "due_at": "2024-01-31",
    "amount": "70.5",
     "paid_at": None},
]  # fmt: skip
USAGE = [
    {"account_id": "a", "used_on": day, "metric": metric, "value": value}
    for day, metric, value in [("2024-01-15", "logins", "10"), ("2024-02-15", "logins", "4"),
                               ("2024-02-15", "exports", "1"), ("2024-02-28", "logins", "2.5")]
]  # fmt: skip
TOUCHES = [
    {"touch_id": "t1", "account_id": "a", "sent_at": "2024-01-01T00:00:00", "campaign_id": "m",
    "channel": "mail",
     "responded_at": "2024-01-03T00:00:00"},
    {"touch_id": "t2", "account_id": "a", "sent_at": "2024-02-01T00:00:00", "campaign_id": "m",
    "channel": "event"},
]  # fmt: skip
OLD = [
    {"contract_id": "old1", "account_id": "a", "start_date": "2021-03-01", "end_date": "2022-03-01",
    "renewed": "true",
     "owner_id": "u", "decided_at": "2022-02-01T00:00:00"},
    {"contract_id": "old2", "account_id": "a", "start_date": "2022-03-01", "end_date": "2023-03-01",
    "renewed": "false",
     "owner_id": "u", "decided_at": "2023-02-01T00:00:00"},
]  # fmt: skip
DEALS = [
    {"opportunity_id": "won", "account_id": "a", "created_at": "2023-01-01T00:00:00",
    "closed_at": "2023-01-31T00:00:00",
     "is_won": "true", "amount": "1000", "kind": "expansion", "owner_id": "u"},
    {"opportunity_id": "lost", "account_id": "a", "created_at": "2023-11-01T00:00:00",
    "closed_at": "2024-02-01T00:00:00",
     "is_won": "false", "amount": "500", "owner_id": "u"},
]  # fmt: skip
ROWS = [
    ("renewal", "activities", TALKS, {
        "calls_30d": 1, "calls_90d": 1, "meetings_30d": 1, "emails_30d": 1, "activities_90d": 3,
        "inbound_90d": 2,
        "talk_minutes_90d": 90, "talk_minutes_mean_365d": 45, "days_since_call": 30, "days_since_meeting": 10,
        "days_since_activity": 1, "human_gap_days_365d": 20, "human_overdue": 0.5, "inbound_share_90d": 2 / 3,
        "unanswered_share_90d": 0.5, "last_activity_kind": "Email", "last_outcome": "reached",
        "calls_term": 1,
        "outbound_human_runup": 1, "first_outbound_lead_days": 120, "contract_calls_ever": 1,
        "days_to_end": 90,
        "activity_trend_30d": 0.75, "outbound_365d": 1, "contract_days_since_activity": 30,
    }),
    ("win", "activities", TALKS, {
        "deal_calls_ever": 1, "meetings_term": 1, "calls_term": 0, "days_open": 29,
        "first_human_after_days": 19,
    }),
    ("win", "quotes", QUOTES, {
        "quotes_90d": 2, "days_since_quote": 10, "last_discount_pct": 25, "discount_step_pct": 15,
        "quoted_net_365d": 165,
        "discount_pct_365d": 17.5, "deal_first_discount_pct": 10, "deal_discount_change_pct": 15,
        "deal_quoted_net": 75,
        "peer_discount_pct": 17.5, "discount_above_peers": 7.5,
    }),
    ("win", "stage_history", STAGES, {
        "deal_stage": "offer", "deal_stage_age_days": 10, "deal_stage_moves": 2, "deal_amount_now": 80,
        "deal_amount_change_pct": -20, "deal_amount_cuts": 1, "deal_days_to_expected_close": 30,
        "deal_close_date_pushes": 2, "deal_close_date_pushed_days": 21,
    }),
    ("renewal", "cases", CASES, {
        "cases_90d": 2, "cases_open": 1, "case_open_days_mean": 10, "escalated_365d": 1, "escalated_open": 0,
        "urgent_cases_90d": 1, "case_hours_365d": 36, "case_csat_last": 4, "case_csat_365d": 4,
        "days_since_case": 10,
    }),
    ("renewal", "surveys", SURVEYS, {
        "surveys_asked_365d": 3, "surveys_answered_365d": 2, "survey_answer_share": 2 / 3,
        "survey_answer_hours": 15,
        "nps_last": 5, "nps_step": -4, "nps_365d": 7, "nps_silent": 1, "detractor_365d": 1,
        "days_since_nps": 28.75,
    }),
    ("renewal", "invoices", INVOICES, {
        "invoices_365d": 2, "invoiced_365d": 120.5, "invoices_overdue": 1, "amount_overdue": 70.5,
        "paid_late_365d": 1,
        "paid_late_share": 1, "payment_delay_days_ever": 10, "last_payment_delay_days": 10,
        "payment_delay_change": 0,
    }),
    ("renewal", "usage", USAGE, {
        "usage_days_30d": 2, "usage_days_90d": 3, "usage_metrics_90d": 2, "usage_logins_30d": 6.5,
        "usage_logins_last": 2.5,
        "usage_logins_mean_90d": 5.5, "usage_exports_90d": 1, "usage_logins_trend_30d": (6.5 - 10) / 17.5,
    }),
    ("renewal", "touches", TOUCHES, {
        "touches_365d": 2, "campaigns_365d": 1, "touches_responded_365d": 1, "touches_responded_share": 0.5,
        "last_touch_channel": "event", "days_since_response": 58,
    }),
    ("renewal", "contracts", [*HOME["contracts"], *OLD], {
        "contracts_started": 3, "contracts_running": 1, "renewals": 1, "contracts_lost": 1,
        "renewal_share": 0.5,
        "tenure_days": 1096, "days_since_contract_lost": 394, "owner_contracts_running": 2,
        "owner_decided": 2,
        "owner_renewal_share": 0.5, "term_days": 364, "end_month": 5,
    }),
    ("win", "opportunities", [*HOME["opportunities"], *DEALS], {
        "deals_created_ever": 3, "deals_won_ever": 1, "deals_lost_365d": 1, "deals_open": 1, "win_share": 0.5,
        "won_amount": 1000, "won_days_mean": 30, "days_since_deal_lost": 29, "owner_deals_open": 2,
        "owner_win_share": 0.5,
    }),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "table", "rows", "expected"), ROWS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_line_means_what_it_says(kind, table, rows, expected):
    found = ask(kind, **{table: rows})
    assert {name: found[name] for name in expected} == {
        name: value if isinstance(value, str) else pytest.approx(value, rel=1e-12)
        for name, value in expected.items()
    }


PRICED = [
    {**HOME["contracts"][0], "annual_value": "90", "list_value": "120"},
    {
        "contract_id": "b",
        "account_id": "a",
        "start_date": "2022-06-01",
        "end_date": "2023-05-31",
        "annual_value": "75",
        "list_value": "100",
    },
]


def test_a_price_is_held_against_the_list_and_the_contract_before():
    priced = ask("renewal", contracts=PRICED)
    assert priced["previous_contract_value"] == 75
    assert priced["contract_price_discount_pct"] == 25
    assert priced["contract_price_change_pct"] == pytest.approx(20)
    unlisted = ask("renewal", contracts=[{**PRICED[0], "list_value": None}, HOME["contracts"][1]])
    assert math.isnan(unlisted["contract_price_discount_pct"])
    assert math.isnan(unlisted["contract_price_change_pct"])


def test_names_are_unique_and_everything_is_told():
    for kind in SUBJECT_INFOS:
        names = [declared.name for declared in DECLARED if kind in declared.kinds]
        assert len(names) == len(set(names))
    for info in infos():
        assert info.words
        assert info.unit
        assert info.touchpoint
        assert info.group
        assert "{" not in info.name + info.words


def test_what_is_derived_derives_from_what_is_declared():
    for kind in SUBJECT_INFOS:
        known = set(ITSELF[kind])
        known |= COLUMNS
        for declared in DECLARED:
            if kind in declared.kinds:
                if isinstance(declared, Derived):
                    assert known.issuperset(declared.needs), declared.name
                known.add(declared.name)


@pytest.mark.parametrize("kind", ["renewal", "win"])
def test_a_full_crm_answers_the_whole_catalogue(kind):
    planned = plan(FULL, kind)
    derived = {each.name for each in of_columns(kind, {*planned.names, *COLUMNS})}
    assert {*planned.names, *derived} == {info.name for info in infos(kind)}
    assert len(planned.names) >= 150


def test_every_line_reads_columns_of_the_contract():
    for declared in CATALOG:
        if isinstance(declared, Feature):
            table = TABLES[declared.events.table]
            stored = {column.stored for column in table.columns}
            for name in {declared.events.at, *(test.column for test in declared.source.where)}:
                assert name in stored or (table.name, name) in COMPUTED, declared.name


def test_formulas():
    numbers = [pd.Series([value]).to_numpy(float) for value in (3.0, 4.0, 0.0, 10.0)]
    three, four, zero, ten = numbers
    assert share(three, four).tolist() == [0.75]
    assert math.isnan(share(three, zero)[0])
    assert trend(three, four).tolist() == [2 / 5]
    assert trend(zero, zero).tolist() == [0.0]
    assert change_pct(four, ten).tolist() == [-60.0]
    assert discount_pct(four, ten).tolist() == [60.0]
    assert overdue(ten, four).tolist() == [2.5]
    assert smoothed_share(three, four, four, ten).tolist() == [7 / 14]
    assert math.isnan(smoothed_share(zero, zero, zero, zero)[0])
    assert mean_age_days(ten * 0 + 86_400, zero, zero + 1, zero + 5 * 86_400).tolist() == [4.0]
