"""When contracts and opportunities are looked at, and what is said to have become of them."""

import pandas as pd
import pytest

from features.crm.load import from_rows
from features.snapshots import renewal_snapshots, snapshots_for, to_score, win_horizon_days, win_snapshots

LATE = pd.Timestamp("2026-01-01")


def contract(number: int, start: str, end: str, **more) -> dict:
    return {
        "contract_id": f"c{number}", "account_id": f"a{number}", "start_date": start, "end_date": end, **more
    }  # fmt: skip


def deal(number: int, created: str, **more) -> dict:
    return {"opportunity_id": f"o{number}", "account_id": f"a{number}", "created_at": created, **more}


def test_a_contract_is_looked_at_at_seven_lead_times_before_its_end():
    crm = from_rows({"contracts": [contract(1, "2023-01-01", "2024-01-01", renewed="true",
    annual_value="10.5"),
                                   contract(2, "2023-03-01", "2024-03-01", renewed="false")]},
                                   LATE)  # fmt: skip
    one = renewal_snapshots(crm).query("subject_id == 'c1'")
    assert sorted(one["lead_days"]) == [14, 30, 60, 90, 120, 150, 180]
    assert one["as_of"].min() == pd.Timestamp("2023-07-05")
    assert set(one["label"]) == {1.0}
    assert set(one["matured_at"]) == {pd.Timestamp("2024-02-15")}
    assert set(one["amount"]) == {1050}


def test_only_where_it_had_begun_and_was_undecided():
    crm = from_rows({"contracts": [
        contract(1, "2023-10-01", "2024-01-01", renewed="true"),
        contract(2, "2023-01-01", "2024-01-01", renewed="false", decided_at="2023-10-20T12:00:00"),
        contract(3, "2023-01-01", "2024-02-01", renewed="true", decided_at="2024-04-20"),
    ]}, LATE)  # fmt: skip
    leads = renewal_snapshots(crm).groupby("subject_id")["lead_days"].agg(sorted)
    assert leads["c1"] == [14, 30, 60, 90]
    assert leads["c2"] == [90, 120, 150, 180]
    matured = renewal_snapshots(crm).groupby("subject_id")["matured_at"].first()
    assert matured["c2"] == pd.Timestamp("2024-02-15")
    assert matured["c3"] == pd.Timestamp("2024-04-20 23:59:59.999999")


@pytest.mark.parametrize(
    ("start", "label"),
    [("2023-07-04", 0.0), ("2023-07-05", 1.0), ("2024-01-01", 1.0), ("2024-02-15", 1.0), ("2024-02-16", 0.0)],
)
def test_without_renewed_a_follow_on_contract_says_it(start, label):
    crm = from_rows({"contracts": [contract(1, "2023-01-01", "2024-01-01"),
                                   {**contract(9, start, "2025-06-01"), "account_id": "a1"}]},
                                   LATE)  # fmt: skip
    assert set(renewal_snapshots(crm).query("subject_id == 'c1'")["label"]) == {label}


def test_a_null_outcome_is_unknown_until_45_days_have_passed():
    rows = [contract(1, "2023-01-01", "2024-01-01"), contract(2, "2023-01-01", "2024-05-01")]
    crm = from_rows({"contracts": rows}, pd.Timestamp("2024-02-14"))
    labels = renewal_snapshots(crm).groupby("subject_id")["label"].first()
    assert labels.isna().all()
    later = from_rows({"contracts": rows}, pd.Timestamp("2024-02-16"))
    assert renewal_snapshots(later).groupby("subject_id")["label"].first()["c1"] == 0.0


def test_the_end_is_the_one_known_then():
    history = [
        {"table": "contracts", "id": "c1", "changed_at": at, "column": "end_date", "value": value}
        for at, value in [("2023-01-01T00:00:00", "2024-01-01"), ("2023-11-15T00:00:00", "2024-06-01")]
    ]
    rows = [contract(1, "2023-01-01", "2024-06-01", renewed="true"),
            contract(2, "2023-01-01", "2024-02-01", renewed="true")]  # fmt: skip
    found = renewal_snapshots(from_rows({"contracts": rows, "history": history}, LATE)).query(
        "subject_id == 'c1'"
    )
    ends = found.groupby("ends_at")["lead_days"].agg(sorted)
    assert ends[pd.Timestamp("2024-01-01")] == [60, 90, 120, 150, 180]
    assert ends[pd.Timestamp("2024-06-01")] == [14, 30, 60, 90, 120, 150, 180]


def test_owner_and_amount_are_those_of_the_time():
    history = [
        {"table": "contracts", "id": "c1", "changed_at": at, "column": column, "value": value}
        for at, column, value in [
            ("2023-01-01T00:00:00", "owner_id", "u1"), ("2023-11-15T00:00:00", "owner_id", "u2"),
            ("2023-01-01T00:00:00", "annual_value", "100"), ("2023-11-15T00:00:00", "annual_value", "90"),
        ]
    ]  # fmt: skip
    rows = [contract(1, "2023-01-01", "2024-01-01", owner_id="u2", annual_value="90"),
            contract(2, "2023-01-01", "2024-02-01", owner_id="u3", annual_value="70")]  # fmt: skip
    owners = [{"owner_id": f"u{number}"} for number in (1, 2, 3)]
    crm = from_rows({"contracts": rows, "history": history, "owners": owners}, LATE)
    found = renewal_snapshots(crm).query("subject_id == 'c1'").set_index("lead_days")
    assert found.loc[[60, 30], "owner_id"].tolist() == ["u1", "u2"]
    assert found.loc[[60, 30], "amount"].tolist() == [10_000, 9_000]


def test_a_deal_is_looked_at_while_it_is_open():
    crm = from_rows({"opportunities": [deal(1, "2024-01-10T08:00:00", closed_at="2024-02-20T08:00:00",
    is_won="true"),
                                       deal(2, "2024-01-31T08:00:00", is_won=None)]}, LATE)  # fmt: skip
    found = win_snapshots(crm)
    assert found.query("subject_id == 'o1'")["lead_days"].tolist() == [0, 7, 14, 30]
    assert found.query("subject_id == 'o2'")["lead_days"].tolist() == [0, 7, 14, 30, 60, 90, 180]
    assert win_horizon_days(crm) == 60
    assert (found["matured_at"] - found["as_of"] == pd.Timedelta(days=60)).all()


def test_won_too_late_is_not_won_within_the_horizon():
    quick = [
        deal(n, "2024-01-01T00:00:00", closed_at="2024-01-20T00:00:00", is_won="true") for n in range(2, 30)
    ]
    slow = deal(1, "2024-01-02T00:00:00", closed_at="2024-03-01T00:00:00", is_won="true")
    crm = from_rows({"opportunities": [slow, *quick]}, LATE)
    assert win_horizon_days(crm) == 30
    one = win_snapshots(crm).query("subject_id == 'o1'").set_index("lead_days")["label"]
    assert one.to_dict() == {0: 0.0, 7: 0.0, 14: 0.0, 30: 1.0}


def test_decided_without_a_date_counts_as_decided_on_the_day_of_the_load():
    crm = from_rows({"opportunities": [deal(1, "2024-01-10T08:00:00", is_won="false"),
                                       deal(2, "2024-01-11T08:00:00", is_won="true")]},
                    pd.Timestamp("2024-03-01"))  # fmt: skip
    found = win_snapshots(crm)
    assert sorted(found.query("subject_id == 'o1'")["lead_days"]) == [0, 7, 14, 30]
    assert to_score(crm, "win", pd.Timestamp("2024-02-01"))["subject_id"].tolist() == ["o1", "o2"]


def test_what_is_to_be_scored():
    crm = from_rows({"contracts": [
        contract(1, "2023-01-01", "2024-01-01"),
        contract(2, "2023-01-01", "2024-08-01"),
        contract(3, "2023-12-20", "2024-01-05"),
        contract(4, "2023-01-01", "2024-01-01", renewed="true", decided_at="2023-11-01"),
    ]}, pd.Timestamp("2023-12-01"))  # fmt: skip
    found = to_score(crm, "renewal")
    assert found["subject_id"].tolist() == ["c1"]
    assert found["lead_days"].tolist() == [31]
    assert found["label"].isna().all()


def test_an_open_deal_of_unknown_age_is_scored_too():
    deals = [deal(1, "2024-01-10"), {"opportunity_id": "o2", "account_id": "a2"}, deal(3, "2024-01-12")]
    crm = from_rows({"opportunities": deals}, pd.Timestamp("2024-03-01"))
    found = to_score(crm, "win").set_index("subject_id")["lead_days"]
    assert found.index.tolist() == ["o1", "o2", "o3"]
    assert found.isna().tolist() == [False, True, False]


def test_rows_that_are_asked_for_keep_their_order_and_say_their_problem():
    crm = from_rows({"contracts": [contract(1, "2023-01-01", "2024-01-01"),
                                   contract(2, "2023-01-01", "2024-02-01")]}, LATE)  # fmt: skip
    rows = pd.DataFrame(
        {"contract_id": ["c2", "nobody", "c1", "c1"], "as_of": ["2023-12-01", "2023-12-01", "soon",
        "2023-12-01T10:00:00Z"]},
        index=[5, 6, 7, 8],
    )  # fmt: skip
    found = snapshots_for(crm, "renewal", rows)
    assert found.index.tolist() == [5, 6, 7, 8]
    assert found["subject_id"].tolist() == ["c2", "nobody", "c1", "c1"]
    assert found["problem"].notna().tolist() == [False, True, True, False]
    assert found["as_of"].tolist()[3] == pd.Timestamp("2023-12-01 10:00:00")
    assert found["lead_days"].tolist()[0] == 62


def test_a_row_says_what_was_found_in_place_of_a_day():
    crm = from_rows({"contracts": [contract(1, "2023-01-01", "2024-01-01")]}, LATE)
    rows = pd.DataFrame(
        {"contract_id": ["c1", "c1", "c1", None], "as_of": ["31.12.2023", "", "yesterday", ""]}
    )
    answer = snapshots_for(crm, "renewal", rows)["problem"].tolist()
    assert answer[0] == "as_of is '31.12.2023': write it as 2025-06-30"
    assert answer[1] == "as_of is missing: say a day, such as 2025-06-30"
    assert answer[2] == "as_of is 'yesterday': write it as 2025-06-30"
    assert answer[3] == "contract_id is missing"


def test_undated_rows_are_looked_at_once():
    crm = from_rows(
        {"opportunities": [{"size": "4", "is_won": "true"}, {"size": "5", "is_won": "false"}, {"size": "6"}]}
    )
    found = win_snapshots(crm)
    assert found["as_of"].isna().all()
    assert found["label"].tolist()[:2] == [1.0, 0.0]
    assert len(to_score(crm, "win")) == 1
