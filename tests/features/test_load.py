"""Loading: what a CRM folder becomes, what is put aside, and what was known before a day."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.crm.contract import Kind
from features.crm.load import from_rows, load
from features.errors import RenewalError


def crm_of(folder: Path, tables: dict[str, str], **given):
    source = folder / "crm"
    source.mkdir(parents=True, exist_ok=True)
    for name, text in tables.items():
        (source / name).write_text(text)
    return load(source, into=folder / "clean", **given)


def reasons(crm, table: str) -> list[str]:
    return pq.read_table(crm.folder / "quarantine" / f"{table}.parquet")["reason"].to_pylist()


CONTRACTS = "contract_id,account_id,start_date,end_date\nc1,a1,2023-01-01,2023-12-31\n"


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("1234.5", 123450),
        ('"1,234.50"', 123450),
        ('"1.234,50"', 123450),
        ("$1234", 123400),
        ("EUR 12", 1200),
        ("12 €", 1200),
        ("1e3", 100000),
        ("(12.50)", -1250),
        ("-3", -300),
        ("0.125", 12),
        ("0.135", 14),
        ("-0.125", -12),
        ("1.015", 102),
        ("", None),
        ("n/a", None),
    ],
)
def test_money_is_minor_units_with_halves_to_even(tmp_path, text, minor):
    crm = crm_of(tmp_path, {"contracts.csv": f"contract_id,annual_value\nc1,{text}\n"})
    assert crm.arrow("contracts")["annual_value"].to_pylist() == [minor]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-02-29", "2024-02-29 23:59:59.999999"),
        ("2024-02-29 10:00", "2024-02-29 10:00:00"),
        ("2024-02-29 00:00:00", "2024-02-29 00:00:00"),
        ("2024-02-29T10:00:00Z", "2024-02-29 10:00:00"),
        ("2024-02-29T10:00:00+02:00", "2024-02-29 08:00:00"),
        ("2024-02-29T22:00:00.123456-05:00", "2024-03-01 03:00:00.123456"),
        ("2024-02-29 10:00:00 UTC", "2024-02-29 10:00:00"),
        ("2024/02/29", "2024-02-29 23:59:59.999999"),
    ],
)
def test_moments_are_utc_and_a_day_counts_from_the_next_midnight(tmp_path, text, moment):
    calls = f"activity_id,account_id,occurred_at,kind\n1,a1,{text},call\n"
    crm = crm_of(tmp_path, {"contracts.csv": CONTRACTS, "activities.csv": calls})
    assert list(crm.frame("activities")["occurred_at"]) == [pd.Timestamp(moment)]
    assert crm.arrow("activities").schema.field("occurred_at").type == pa.timestamp("us")


@pytest.mark.parametrize(
    ("column", "value", "answer"),
    [
        ("end_date", "2022-12-31", "end_date: '2022-12-31' is before start_date"),
        ("renewed", "perhaps", "renewed: 'perhaps' is not yes or no"),
    ],
)
def test_a_row_that_contradicts_itself_or_whose_outcome_is_not_known_is_put_aside(
    tmp_path, column, value, answer
):
    row = {"contract_id": "c2", "account_id": "a1", "start_date": "2023-01-01", "end_date": "2023-12-31"}
    good = row | {"contract_id": "c1", column: ""}
    rows = pd.DataFrame([good, row | {column: value}])
    crm = crm_of(tmp_path, {"contracts.csv": rows.to_csv(index=False)})
    assert crm.frame("contracts")["contract_id"].tolist() == ["c1"]
    assert reasons(crm, "contracts") == [answer]
    told_quality = crm.quality.as_dict()["tables"]["contracts"]
    assert (told_quality["rows"], told_quality["kept"], told_quality["quarantined"]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("end_date", "2023-02-30", "date"),
        ("annual_value", "a lot", "money"),
        ("annual_value", "inf", "money"),
        ("forecast", "high", "number"),
        ("decided_at", "soon", "time"),
        ("auto_renew", "perhaps", "flag"),
    ],
)
def test_an_optional_value_that_cannot_be_read_costs_itself_and_is_counted(tmp_path, column, value, kind):
    head = f"contract_id,account_id,start_date,{column}\n"
    crm = crm_of(tmp_path, {"contracts.csv": head + f"c1,a1,2023-01-01,\nc2,a1,2023-01-01,{value}\n"})
    assert crm.frame("contracts")["contract_id"].tolist() == ["c1", "c2"]
    assert crm.frame("contracts")[column].isna().all()
    quality = crm.quality.as_dict()
    assert quality["quarantined"] == 0
    assert quality["tables"]["contracts"]["unread"] == {
        column: {"count": 1, "examples": [f"'{value}' in row 2"]}
    }
    if kind != "flag":
        words = f"contracts.{column}: 1 values are no {kind} and count as missing ('{value}' in row 2)"
        assert words in quality["warnings"]


def test_the_quarantine_keeps_the_row_as_it_was_read(tmp_path):
    crm = crm_of(tmp_path, {"contracts.csv": "contract_id,renewed,seats\nc1,x?,7\nc2,yes,8\n"})
    aside = pq.read_table(crm.folder / "quarantine" / "contracts.parquet").to_pylist()
    reason = "renewed: 'x?' is not yes or no"
    assert aside == [{"contract_id": "c1", "renewed": "x?", "seats": "7", "reason": reason}]


def test_a_source_may_name_its_columns_as_it_likes(tmp_path):
    head = 'contract_id,annual_value,renewed,v0,v1,g0,reason,__row,select,x""y\n'
    rows = "c1,7,x?,1,2,3,why,9,4,5\nc2,7,,1,2,3,why,9,4,5\n"
    crm = crm_of(tmp_path, {"contracts.csv": head + rows})
    kept = crm.frame("contracts").iloc[0]
    assert (kept["annual_value"], kept["v0"], kept["v1"], kept["g0"], kept["select"]) == (700, 1, 2, 3, 4)
    assert reasons(crm, "contracts") == ["renewed: 'x?' is not yes or no"]


def test_names_run_together_are_read_and_told(tmp_path):
    head = "ContractId,AccountID,StartDate,enddate,annual_value,AnnualValue"
    crm = crm_of(tmp_path, {"contracts.csv": f"{head}\nc1,a1,2024-01-01,2024-12-31,5,6\n"})
    row = crm.frame("contracts").iloc[0]
    assert (row["contract_id"], row["account_id"], row["annual_value"]) == ("c1", "a1", 500)
    assert (str(row["start_date"])[:10], str(row["end_date"])[:10]) == ("2024-01-01", "2024-12-31")
    assert "contracts.ContractId was read as contract_id" in crm.quality.warnings
    assert crm.carried["contracts"].keys() == {"AnnualValue"}


def test_a_missing_column_is_told_with_the_one_probably_meant(tmp_path):
    files = {"contracts.csv": "annual_value\n5\n", "activities.csv": "activity_id,account_id,kind,occured\n"}
    with pytest.raises(RenewalError, match="Rename occured to occurred_at, or map activities"):
        crm_of(tmp_path, files)


def test_a_missing_required_value_puts_the_row_aside(tmp_path):
    calls = "activity_id,account_id,occurred_at,kind\n1,a1,,call\n,a1,2024-01-01,call\n3,a1,2024-01-01,call\n"
    crm = crm_of(tmp_path, {"contracts.csv": CONTRACTS, "activities.csv": calls})
    assert reasons(crm, "activities") == ["occurred_at: is missing", "activity_id: is missing"]


def test_of_rows_with_the_same_key_the_first_is_kept(tmp_path):
    rows = "contract_id,annual_value\nc1,1\nc1,1\nc1,2\nc2,3\n"
    crm = crm_of(tmp_path, {"contracts.csv": rows})
    assert crm.frame("contracts")["annual_value"].tolist() == [100, 300]
    assert reasons(crm, "contracts") == [
        "contract_id: 'c1' occurs again, the same; the first is kept",
        "contract_id: 'c1' occurs again, differing; the first is kept",
    ]
    assert crm.quality.tables["contracts"].duplicates == 2


def test_orphans_are_put_aside_and_what_only_is_referred_to_is_derived(tmp_path):
    crm = crm_of(
        tmp_path,
        {
            "accounts.csv": "account_id,industry\na1,tech\n",
            "contracts.csv": "contract_id,account_id\nc1,a1\nc2,a2\n",
            "opportunities.csv": "opportunity_id,account_id\no1,a1\n",
            "stage_history.csv": "opportunity_id,changed_at,stage\no1,2024-01-01,a\no9,2024-01-01,a\n",
            "activities.csv": "activity_id,account_id,occurred_at,kind,contract_id\n"
            "1,a2,2024-01-01,call,c2\n2,a1,2024-01-01,call,c9\n3,ghost,2024-01-01,call,\n",
        },
    )
    assert crm.frame("accounts")["account_id"].tolist() == ["a1", "a2"]
    assert reasons(crm, "stage_history") == ["opportunity_id: 'o9' is in no row of opportunities"]
    assert reasons(crm, "activities") == [
        "contract_id: 'c9' is in no row of contracts",
        "account_id: 'ghost' is in no row of accounts",
    ]
    assert crm.quality.as_dict()["tables"]["activities"]["orphan_share"] == pytest.approx(2 / 3, abs=1e-6)


def test_accounts_are_made_where_there_is_no_such_table(tmp_path):
    calls = "activity_id,account_id,occurred_at,kind\n1,a7,2024-01-01,call\n"
    crm = crm_of(tmp_path, {"contracts.csv": CONTRACTS, "activities.csv": calls})
    assert crm.tables["accounts"] == ("account_id",)
    assert crm.frame("accounts")["account_id"].tolist() == ["a1", "a7"]


def test_ids_are_made_from_the_rows_number(tmp_path):
    crm = crm_of(tmp_path, {"opportunities.csv": "is_won,colour\nWon,red\nLost,blue\n,red\n"})
    deals = crm.frame("opportunities").sort_values("opportunity_id")
    assert deals["opportunity_id"].tolist() == [f"opportunity-00000{i}" for i in (1, 2, 3)]
    assert deals["account_id"].tolist() == deals["opportunity_id"].tolist()
    assert deals["is_won"].tolist()[:2] == [True, False]
    assert deals["is_won"].isna().tolist() == [False, False, True]
    assert not crm.dated("win")


def test_events_without_an_account_get_it_from_what_they_belong_to(tmp_path):
    crm = crm_of(
        tmp_path,
        {
            "contracts.csv": "contract_id,account_id\nc1,a1\n",
            "opportunities.csv": "opportunity_id,account_id,contract_id\no1,a2,\no2,,c1\n",
            "quotes.csv": "quote_id,quoted_at,list_amount,net_amount,opportunity_id,contract_id\n"
            "q1,2024-01-01,5,4,o1,\nq2,2024-01-01,5,4,,c1\nq3,2024-01-01,5,4,o2,\n",
            "leads.csv": "lead_id,created_at,account_id\nl1,2024-01-01,a3\n",
            "touches.csv": "touch_id,sent_at,lead_id\nt1,2024-01-01,l1\n",
            "stage_history.csv": "opportunity_id,changed_at,stage\no1,2024-01-01,a\n",
            "history.csv": "table,id,changed_at,column,value\nopportunities,o1,2024-01-01,amount,5\n"
            "accounts,a3,2024-01-01,tier,gold\n",
        },
    )
    owner = {"o1": "a2", "o2": "a1"}
    deals = crm.frame("opportunities").set_index("opportunity_id")["account_id"]
    assert deals.to_dict() == owner
    assert crm.frame("quotes").set_index("quote_id")["account_id"].to_dict() == {
        "q1": "a2",
        "q2": "a1",
        "q3": "a1",
    }
    assert crm.frame("touches")["account_id"].tolist() == ["a3"]
    assert crm.frame("stage_history")["account_id"].tolist() == ["a2"]
    assert crm.frame("history")["account_id"].tolist() == ["a2", "a3"]


def test_rows_are_sorted_by_account_time_and_key_whatever_their_order(tmp_path):
    lines = [f"{i},a{i % 3},2024-01-0{1 + i % 2},call" for i in range(9)]
    head = "activity_id,account_id,occurred_at,kind\n"
    one = crm_of(
        tmp_path / "1", {"contracts.csv": CONTRACTS, "activities.csv": head + "\n".join(lines) + "\n"}
    )
    two = crm_of(
        tmp_path / "2", {"contracts.csv": CONTRACTS, "activities.csv": head + "\n".join(lines[::-1])}
    )
    frame = one.frame("activities")
    assert frame.equals(frame.sort_values(["account_id", "occurred_at", "activity_id"], ignore_index=True))
    assert one.path("activities").read_bytes() == two.path("activities").read_bytes()
    assert one.fingerprint == two.fingerprint


def test_the_unit_of_what_is_stored_is_whole(tmp_path):
    crm = crm_of(
        tmp_path,
        {
            "contracts.csv": CONTRACTS,
            "activities.csv": "activity_id,account_id,occurred_at,kind,duration_minutes\n"
            "1,a1,2024-01-01,call,1.5\n2,a1,2024-01-02,call,00:20:30\n",
            "usage.csv": "account_id,used_on,metric,value\na1,2024-01-01,logins,1.2345\n",
        },
    )
    assert crm.arrow("activities")["duration_seconds"].to_pylist() == [90, 1230]
    assert crm.arrow("usage")["value_milli"].to_pylist() == [1234]


CARRIED = pd.DataFrame(
    {
        "contract_id": [f"c{i}" for i in range(40)],
        "seats": range(40),
        "share": [f"{i}.5" for i in range(40)],
        "pilot": ["yes", "no"] * 20,
        "tier": ["gold", "silver"] * 20,
        "zip": [f"0{1000 + i % 7}" for i in range(40)],
        "signed": ["2024-01-05"] * 40,
        "touched": ["2024-01-05T10:00:00Z"] * 40,
        "mail": [f"person{i}@example.org" for i in range(40)],
        "mostly": ["unknown"] + [str(i) for i in range(39)],
        "empty": [None] * 40,
    }
)


def test_further_columns_are_carried_with_the_kind_their_values_show(tmp_path):
    crm = crm_of(tmp_path, {"contracts.csv": CARRIED.to_csv(index=False)})
    assert crm.carried["contracts"] == {
        "seats": Kind.WHOLE,
        "share": Kind.NUMBER,
        "pilot": Kind.FLAG,
        "tier": Kind.CATEGORY,
        "zip": Kind.CATEGORY,
        "signed": Kind.DATE,
        "touched": Kind.TIME,
        "mail": Kind.TEXT,
        "mostly": Kind.NUMBER,
        "empty": Kind.CATEGORY,
    }
    answer = " ".join(crm.quality.warnings)
    assert "contracts.mail: free text" in answer
    assert "contracts.mostly: 1 values are no number" in answer
    assert crm.frame("contracts")["signed"].iloc[0] == pd.Timestamp("2024-01-05")


def test_further_columns_of_other_tables_are_ignored_and_told(tmp_path):
    calls = "activity_id,account_id,occurred_at,kind,mood\n1,a1,2024-01-01,call,good\n"
    crm = crm_of(tmp_path, {"contracts.csv": CONTRACTS, "activities.csv": calls})
    assert "mood" not in crm.tables["activities"]
    assert any("mood ignored" in warning for warning in crm.quality.warnings)


def test_parquet_and_csv_give_the_same(tmp_path):
    days = pd.to_datetime(["2024-01-01 10:00", "2024-01-02 11:00"])
    calls = pd.DataFrame(
        {
            "activity_id": [1, 2],
            "account_id": ["a1", "a1"],
            "occurred_at": days,
            "kind": "call",
            "duration_minutes": [1.5, 2],
        }
    )
    one = crm_of(tmp_path / "1", {"contracts.csv": CONTRACTS, "activities.csv": calls.to_csv(index=False)})
    two = tmp_path / "2" / "crm"
    two.mkdir(parents=True)
    (two / "contracts.csv").write_text(CONTRACTS)
    calls.to_parquet(two / "activities.parquet", index=False)
    typed = load(two, into=tmp_path / "2" / "clean")
    assert typed.arrow("activities").equals(one.arrow("activities"))
    assert typed.fingerprint == one.fingerprint


LATER = {
    "contracts.csv": "contract_id,account_id,start_date,end_date,renewed,decided_at,lost_reason\n"
    "c1,a1,2022-01-01,2022-12-31,no,2022-12-01,price\nc2,a1,2022-07-01,2023-06-30,no,2023-06-01,price\n"
    "c3,a1,2024-01-01,2024-12-31,,,\nc4,a1,2022-06-01,2023-01-15,yes,,\n",
    "opportunities.csv": "opportunity_id,account_id,created_at,closed_at,is_won\n"
    "o1,a1,2022-01-01,2022-02-01,true\no2,a1,2022-12-01,2023-02-01,true\no3,a1,2023-05-01,,\n",
    "stage_history.csv": "opportunity_id,changed_at,stage\no2,2022-12-15,a\no2,2023-01-15,b\n",
    "activities.csv": "activity_id,account_id,occurred_at,kind,recorded_at\n1,a1,2022-12-30,call,2023-01-03\n"
    "2,a1,2023-02-01,meeting,2022-12-20\n3,a1,2022-12-31,call,2022-12-31\n4,a1,2030-02-01,meeting,2023-07-01\n",
    "cases.csv": "case_id,account_id,opened_at,closed_at,csat\nk1,a1,2022-12-01,2023-02-01,5\n",
}


def test_as_if_today_were_a_day_nothing_later_is_known(tmp_path):
    crm = crm_of(tmp_path, LATER, until=pd.Timestamp("2023-01-01"))
    contracts = crm.frame("contracts").set_index("contract_id")
    assert contracts["renewed"].astype(object).where(contracts["renewed"].notna(), None).to_dict() == {
        "c1": False,
        "c4": None,
        "c2": None,
    }
    assert contracts["lost_reason"].fillna("").to_dict() == {"c1": "price", "c4": "", "c2": ""}
    deals = crm.frame("opportunities").set_index("opportunity_id")
    assert deals["is_won"].astype(object).where(deals["is_won"].notna(), None).to_dict() == {
        "o1": True,
        "o2": None,
    }
    assert deals["closed_at"].isna().to_dict() == {"o1": False, "o2": True}
    assert crm.frame("stage_history")["stage"].tolist() == ["a"]
    assert crm.frame("activities")["activity_id"].tolist() == ["3", "2"]
    case = crm.frame("cases").iloc[0]
    assert pd.isna(case["closed_at"])
    assert pd.isna(case["csat"])
    assert crm.quality.tables["activities"].left_out == 2


def test_without_a_day_it_is_the_midnight_after_the_last_moment_recorded(tmp_path):
    # A meeting planned for 2030 was recorded on 2023-07-01; contract ends do not count.
    assert crm_of(tmp_path, LATER).until == pd.Timestamp("2023-07-02")


def test_undated_outcomes_stay_and_today_is_the_day(tmp_path):
    crm = crm_of(tmp_path, {"opportunities.csv": "is_won,colour\nWon,red\nLost,blue\n"})
    assert crm.frame("opportunities")["is_won"].notna().all()
    assert abs(crm.until - pd.Timestamp.now(tz="UTC").tz_localize(None)) < pd.Timedelta(minutes=5)


def test_contracts_alone_are_known_until_their_outcomes_are(tmp_path):
    rows = "contract_id,start_date,end_date,renewed\nc1,2022-01-01,2022-12-31,1\nc2,2022-01-01,2023-03-01,0\n"
    crm = crm_of(tmp_path, {"contracts.csv": rows})
    assert crm.until == pd.Timestamp("2023-04-16")
    assert crm.frame("contracts")["renewed"].tolist() == [True, False]
    assert crm.dated("renewal")


def test_a_number_that_is_none_is_missing_and_infinity_is_wrong(tmp_path):
    source = tmp_path / "crm"
    source.mkdir()
    values = pa.array([1.5, float("nan"), float("inf")])
    table = pa.table({"contract_id": ["c1", "c2", "c3"], "annual_value": values})
    pq.write_table(table, source / "contracts.parquet")
    crm = load(source, into=tmp_path / "clean")
    assert crm.arrow("contracts")["annual_value"].to_pylist() == [150, None, None]
    unread = crm.quality.tables["contracts"].unread
    assert unread == {"annual_value": {"count": 1, "examples": ["'inf' in row 3"]}}


def test_moments_to_come_do_not_make_the_day(tmp_path):
    calls = "activity_id,account_id,occurred_at,kind\n1,a1,2203-01-01,call\n2,a1,2023-05-05 10:00,call\n"
    crm = crm_of(tmp_path, {"contracts.csv": CONTRACTS, "activities.csv": calls})
    assert crm.until == pd.Timestamp("2023-05-06")
    assert crm.frame("activities")["activity_id"].tolist() == ["2"]


def test_rows_from_json_are_cleaned_like_any_other():
    crm = from_rows(
        {
            "contracts": [{"contract_id": "c1", "annual_value": 12.5, "auto_renew": True, "tier": "7"}],
            "activities": [
                {"activity_id": 1, "account_id": "c1", "occurred_at": "2024-01-05T10:00:00Z", "kind": "call"}
            ],
        },
        until=pd.Timestamp("2024-02-01"),
        kinds={"contracts": {"tier": Kind.CATEGORY}},
    )
    contract = crm.frame("contracts").iloc[0]
    assert (contract["annual_value"], contract["auto_renew"], contract["tier"]) == (1250, True, "7")
    assert crm.until == pd.Timestamp("2024-02-01")
    folder = crm.folder
    assert folder.exists()
    del crm
    assert not folder.exists()


def test_rows_of_an_unknown_table_are_refused():
    with pytest.raises(RenewalError, match="found contract"):
        from_rows({"contract": [{"contract_id": "c1"}]})


def test_contracts_alone_were_looked_at_before_the_first_undecided_end(tmp_path):
    folder = tmp_path / "crm"
    folder.mkdir()
    (folder / "contracts.csv").write_text(
        "contract_id,start_date,end_date,renewed\n"
        "C1,2022-01-01,2022-12-31,true\nC2,2022-03-01,2023-02-28,false\nC3,2022-03-10,2023-03-09,\n"
    )
    crm = load(folder, into=tmp_path / "clean")
    assert crm.until == pd.Timestamp("2023-03-09")
    assert crm.frame("contracts")["renewed"].notna().sum() == 2
