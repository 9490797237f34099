"""Several rows of one record: versions give the current one and history, product lines add up."""

from pathlib import Path

import pandas as pd
import pytest

from features.crm.load import load

CASES = Path(__file__).parents[3] / "shared" / "cases"


def crm_of(folder, name, text):
    source = folder / "crm"
    source.mkdir()
    (source / name).write_text(text, encoding="utf-8")
    return load(source, into=folder / "clean")


@pytest.mark.parametrize(
    ("marks", "old", "new"),
    [
        ("_fivetran_active,_fivetran_start", "false,2022-01-01", "true,2022-03-01"),
        ("dbt_valid_from,dbt_valid_to", "2022-01-01,2022-03-01", "2022-03-01,"),
        ("LastModifiedDate,note", "2022-01-01,a", "2022-03-01,b"),
        ("is_current,valid_from", "0,2022-01-01", "1,2022-03-01"),
        ("Last Modified Date,note", "12/31/2021 11:04 PM,a", "3/1/2022 9:04 AM,b"),
        ("snapshot_date,note", "2022-01-31,a", "2022-02-28,b"),
        ("Report Date,LastModifiedDate", "1/31/2022,2021-05-01", "2/28/2022,2021-05-01"),
        ("Stichtag,note", "31.01.2022,a", "28.02.2022,b"),
        ("Month,note", "Jan-22,a", "Feb-22,b"),
        ("Snapshot Month,note", "2022-01,a", "2022-02,b"),
    ],
)
def test_the_current_version_counts_and_the_older_are_history(marks, old, new, tmp_path):
    head = f"opportunity_id,account_id,created_at,closed_at,is_won,amount,{marks}\n"
    rows = f"1,A1,2022-01-01,2022-03-01,true,1500,{new}\n1,A1,2022-01-01,,,1000,{old}\n"
    crm = crm_of(tmp_path, "opportunities.csv", head + rows)
    assert crm.frame("opportunities")["amount"].tolist() == [150_000]
    assert crm.frame("opportunities")["is_won"].tolist() == [True]
    history = crm.frame("history")
    amounts = history[history["column"] == "amount"].sort_values("changed_at")
    assert amounts["value"].tolist() == ["1000", "1500"]
    assert not {"is_won", "closed_at", "Stichtag", "Month", "snapshot_date"} & set(history["column"])
    assert not {"Stichtag", "Month", "snapshot_date"} & set(crm.frame("opportunities"))
    quality = crm.quality.tables["opportunities"]
    assert (quality.rows, quality.kept, quality.older_versions, quality.quarantined) == (2, 1, 1, 0)
    assert quality.left_out == 0


def test_a_record_without_a_current_version_is_left_out(tmp_path):
    head = "opportunity_id,account_id,created_at,amount,_fivetran_active\n"
    crm = crm_of(tmp_path, "opportunities.csv", head + "1,A1,2022-01-01,5,true\n2,A1,2022-01-01,5,false\n")
    assert crm.frame("opportunities")["opportunity_id"].tolist() == ["1"]
    assert any("no current version" in text for text in crm.quality.warnings)


def test_connectors_own_columns_are_not_carried(tmp_path):
    head = "contract_id,account_id,start_date,end_date,renewed,_fivetran_synced,tier\n"
    crm = crm_of(tmp_path, "contracts.csv", head + "C1,A1,2022-01-01,2022-12-31,true,2024-01-01,gold\n")
    assert set(crm.carried["contracts"]) == {"tier"}


LINES = "contract_id,account_id,start_date,end_date,product,annual_value,list_value,seats,renewed\n"


def test_product_lines_add_up(tmp_path):
    rows = (
        "C1,A1,2022-01-01,2022-12-31,Pro,1000,1200,5,true\nC1,A1,2022-01-01,2022-12-31,Add-on,200,"
        "1200,2,true\n"
        "C2,A2,2022-01-01,2022-12-31,Pro,900,900,3,false\n"
    )
    crm = crm_of(tmp_path, "contracts.csv", LINES + rows)
    contracts = crm.frame("contracts").set_index("contract_id")
    assert contracts["annual_value"].tolist() == [120_000, 90_000]
    assert contracts.loc["C1", "list_value"] == 120_000  # the same on both lines: a total, given once
    assert contracts["seats"].tolist() == [7, 3]
    assert contracts.loc["C1", "product"] == "Add-on;Pro"
    assert crm.quality.tables["contracts"].merged == 1
    assert crm.quality.quarantined == 0
    assert any("added up" in text for text in crm.quality.warnings)


def test_rows_that_differ_in_more_than_the_product_are_no_lines(tmp_path):
    first = "C1,A1,2022-01-01,2022-12-31,Pro,1000,1000,5,true\n"
    rows = first + "C1,A2,2022-01-01,2022-12-31,Add-on,200,200,2,true\n"
    crm = crm_of(tmp_path, "contracts.csv", LINES + rows)
    assert crm.frame("contracts")["annual_value"].tolist() == [100_000]
    assert crm.quality.quarantined == 1


def test_the_shared_history_case_gives_the_active_version(tmp_path):
    if not (CASES / "28_history_mode_dups").is_dir():
        pytest.skip("28_history_mode_dups is not beside the checkout, in ../shared/cases")
    crm = load(CASES / "28_history_mode_dups", into=tmp_path / "clean")
    deals = crm.frame("opportunities").set_index("opportunity_id")
    assert deals["amount"].tolist() == [150_000, 90_000]
    assert deals["is_won"].tolist() == [True, False]
    assert crm.frame("history")["value"].tolist() == ["1000", "1500"]


def test_a_table_that_ends_early_cuts_no_other_off(tmp_path):
    source = tmp_path / "crm"
    source.mkdir()
    months = pd.date_range("2020-01-01", periods=48, freq="MS")
    rows = "".join(
        f"C{i},A{i},{day.date()},{(day + pd.DateOffset(years=1)).date()},{i % 3 > 0}\n"
        for i, day in enumerate(months)
    )
    (source / "contracts.csv").write_text("contract_id,account_id,start_date,end_date,renewed\n" + rows)
    calls = "".join(f"E{i},A{i},2021-{i + 1:02d}-15 10:00:00,call\n" for i in range(12))
    (source / "activities.csv").write_text("activity_id,account_id,occurred_at,kind\n" + calls)
    crm = load(source, into=tmp_path / "clean")
    assert len(crm.frame("contracts")) == 48
    assert crm.frame("contracts")["renewed"].notna().all()
    assert any(text.startswith("activities ends on 2021-12-15") for text in crm.quality.warnings)


def test_early_renewals_do_not_move_the_day_of_the_load(tmp_path):
    rows = "".join(f"C{i},A{i},2021-01-01,2022-{i + 1:02d}-15,true\n" for i in range(6))
    rows += "".join(
        f"D{i},B{i},2021-01-01,2022-{i + 7:02d}-15,{'true' if i == 4 else ''}\n" for i in range(6)
    )
    crm = crm_of(tmp_path, "contracts.csv", "contract_id,account_id,start_date,end_date,renewed\n" + rows)
    assert crm.until <= pd.Timestamp("2022-07-15")


def test_the_shared_stale_case_keeps_all_contracts(tmp_path):
    if not (CASES / "53_stale_activities").is_dir():
        pytest.skip("53_stale_activities is not beside the checkout, in ../shared/cases")
    crm = load(CASES / "53_stale_activities", into=tmp_path / "clean")
    assert crm.quality.tables["contracts"].kept == 48
    assert any("activities ends on" in text for text in crm.quality.warnings)


@pytest.mark.parametrize("name", ["deleted_at", "DeletedOn", "Deleted Date"])
def test_rows_with_a_moment_of_deletion_are_left_out(name, tmp_path):
    folder = tmp_path / "crm"
    folder.mkdir()
    moments = ("", "2022-05-01 10:00:00", "NULL", "0000-00-00 00:00:00", "9999-12-31")
    rows = "".join(f"C{i},A{i},{moment}\n" for i, moment in enumerate(moments))
    (folder / "contracts.csv").write_text(f"contract_id,account_id,{name}\n{rows}")
    crm = load(folder, into=tmp_path / "clean")
    assert sorted(crm.frame("contracts")["contract_id"]) == ["C0", "C2", "C3", "C4"]


def test_a_deal_that_is_not_closed_is_open_whatever_is_won_says(tmp_path):
    head = "opportunity_id,account_id,created_at,closed_at,is_won,IsClosed,closed\n"
    decided = "1,A1,2022-01-01,2022-03-01,true,true,a\n2,A1,2022-01-01,2022-04-01,false,true,b\n"
    rows = decided + "3,A1,2022-05-01,2022-09-01,false,false,c\n4,A1,2022-05-02,2022-09-01,,false,d\n"
    rows += "5,A1,2022-05-03,2022-06-01,false,,e\n"
    crm = crm_of(tmp_path, "opportunities.csv", head + rows)
    deals = crm.frame("opportunities").sort_values("opportunity_id")
    assert deals["is_won"].isna().tolist() == [False, False, True, True, False]
    assert deals["is_won"].iloc[:2].tolist() == [True, False]
    assert deals["closed_at"].isna().tolist() == [False, False, True, True, False]
    assert "IsClosed" not in deals
    assert any("2 open by IsClosed" in each for each in crm.quality.warnings)


def test_a_month_beside_records_that_do_not_repeat_is_a_column_like_others(tmp_path):
    text = "contract_id,account_id,end_date,month\nC1,A1,2022-12-31,Jan-22\nC2,A2,2022-12-31,Feb-22\n"
    crm = crm_of(tmp_path, "contracts.csv", text)
    assert crm.frame("contracts")["month"].tolist() == ["Jan-22", "Feb-22"]


def test_a_record_that_the_newest_snapshot_lacks_stays_as_it_was_last(tmp_path):
    text = (
        "snapshot_date,contract_id,account_id,end_date,annual_value\n"
        "2022-01-31,C1,A1,2022-12-31,100\n2022-01-31,C2,A2,2022-12-31,500\n2022-02-28,C1,A1,2022-12-31,200\n"
    )
    crm = crm_of(tmp_path, "contracts.csv", text)
    frame = crm.frame("contracts").sort_values("contract_id")
    assert frame["annual_value"].tolist() == [20000, 50000]
