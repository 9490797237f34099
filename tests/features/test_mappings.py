"""The example mappings on the real data they were written for."""

from pathlib import Path

import pandas as pd
import pytest

from features.crm.load import load

MAPPINGS = Path(__file__).parents[2] / "examples" / "mappings"


@pytest.fixture
def crm(real_data: Path, tmp_path: Path):
    return load(real_data, mapping=mapping_of(real_data.name), into=tmp_path / "clean")


def mapping_of(data: str) -> Path:
    return MAPPINGS / f"{data.removeprefix('dbt_').removesuffix('_seeds')}.yaml"


salvirt = pytest.mark.parametrize("real_data", ["salvirt_b2b"], indirect=True)
pysurvival = pytest.mark.parametrize("real_data", ["pysurvival_churn"], indirect=True)
maven = pytest.mark.parametrize("real_data", ["maven_crm"], indirect=True)
ravenstack = pytest.mark.parametrize("real_data", ["ravenstack"], indirect=True)
salesforce = pytest.mark.parametrize("real_data", ["dbt_salesforce_seeds"], indirect=True)
hubspot = pytest.mark.parametrize("real_data", ["dbt_hubspot_seeds"], indirect=True)


@salvirt
def test_salvirt_has_all_deals_and_attributes(crm):
    deals = crm.frame("opportunities")
    assert len(deals) == 448
    assert deals["is_won"].sum() == 227
    assert len(crm.carried["opportunities"]) == 22
    assert not crm.dated("win")
    assert crm.quality.quarantined == 0


@pysurvival
def test_pysurvival_leaves_the_survival_time_out(crm):
    contracts = crm.frame("contracts")
    assert len(contracts) == 2000
    assert contracts["renewed"].mean() == pytest.approx(1 - 0.466)
    assert "months_active" not in contracts
    assert len(crm.carried["contracts"]) == 12
    assert not crm.dated("renewal")


@maven
def test_maven_is_joined_and_mended(crm):
    deals = crm.frame("opportunities").set_index("opportunity_id")
    assert len(deals) == 8800
    assert deals["is_won"].value_counts(dropna=False).tolist() == [4238, 2473, 2089]
    assert deals["product"].notna().all()
    assert deals["sales_price"].notna().all()
    assert (deals["account_id"] == deals.index).sum() == 1425
    assert (deals.loc[deals["is_won"].eq(False).fillna(False), "amount"] == 0).all()
    assert crm.until == pd.Timestamp("2018-01-01")
    assert crm.dated("win")
    accounts = crm.frame("accounts")
    assert "technolgy" not in set(accounts["industry"])
    assert accounts["annual_revenue"].max() == 1169803 * 100 * 10_000
    assert crm.quality.quarantined == 0


@ravenstack
def test_ravenstack_is_cut_into_terms(crm, real_data):
    contracts = crm.frame("contracts")
    subscriptions = pd.read_csv(real_data / "ravenstack_subscriptions.csv", encoding="utf-8-sig")
    for column in ("start_date", "end_date"):
        subscriptions[column] = pd.to_datetime(subscriptions[column], format="%d-%m-%Y")
    ended = subscriptions.set_index("subscription_id")["end_date"]
    contracts["ended"] = pd.to_datetime(contracts["contract_id"].str[:8].map(ended))
    assert ((contracts["end_date"] - contracts["start_date"]).dt.days == 90).all()
    runs_on = contracts["ended"].isna() | (contracts["ended"] > contracts["end_date"])
    decided = contracts["renewed"].notna()
    assert (contracts["renewed"][decided].astype(bool) == runs_on[decided]).all()
    open_terms = contracts[~decided & contracts["ended"].isna()]
    assert (open_terms["end_date"] > pd.Timestamp("2024-12-31")).all()
    assert not {"churn_flag", "end_date", "upgrade_flag"} & set(crm.carried["contracts"])
    assert "churn_flag" not in crm.carried["accounts"]
    assert crm.arrow("usage").num_rows == 25_000
    cases = crm.frame("cases")
    assert len(cases) == 2000
    assert (cases["closed_at"] >= cases["opened_at"]).all()
    assert crm.until == pd.Timestamp("2025-01-01")
    assert crm.dated("renewal")
    assert crm.quality.quarantined == 0


@salesforce
def test_salesforce_objects_make_a_crm(real_data, tmp_path):
    """The few rows are mostly deleted and of accounts that are not among them: here they are neither."""
    source = tmp_path / "crm"
    source.mkdir()
    account = "0015500000Xyy06AAB"
    for path in real_data.glob("sf_*.csv"):
        rows = pd.read_csv(path, dtype=str)
        for name, value in {"is_deleted": "false", "account_id": account}.items():
            if name in rows:
                rows[name] = value
        rows.to_csv(source / path.name, index=False)
    crm = load(source, mapping=mapping_of(real_data.name), into=tmp_path / "clean")
    given = pd.read_csv(source / "sf_opportunity_data.csv", parse_dates=["created_date", "close_date"])
    late = given["close_date"].dt.normalize() < given["created_date"].dt.normalize()
    answer = crm.quality.tables["opportunities"]
    assert (answer.rows, answer.quarantined) == (len(given), (late & given["is_closed"]).sum())
    deals = crm.frame("opportunities")
    assert deals["is_won"].notna().eq(deals["closed_at"].notna()).all()
    assert deals.loc[deals["is_won"].notna(), "forecast"].isna().all()
    calls = crm.frame("activities")
    assert len(calls) == sum(len(pd.read_csv(source / f"sf_{name}_data.csv")) for name in ("task", "event"))
    assert {"call", "meeting"} <= set(calls["kind"])
    assert calls["recorded_at"].notna().all()
    assert len(crm.frame("contacts")) == len(pd.read_csv(source / "sf_contact_data.csv"))
    assert crm.frame("leads")["qualified_at"].notna().all()


@hubspot
def test_hubspot_objects_make_a_crm(real_data, tmp_path):
    source = tmp_path / "crm"
    source.mkdir()
    for path in real_data.glob("*.csv"):
        (source / path.name).write_bytes(path.read_bytes())
    deals = pd.read_csv(source / "deal_data.csv", dtype=str)
    stages = pd.read_csv(source / "deal_pipeline_stage_data.csv", dtype=str)
    won = stages[stages["closed_won"].str.lower() == "true"]["stage_id"].iloc[0]
    company = pd.read_csv(source / "company_data.csv", dtype=str)["id"].iloc[0]
    deals.loc[0, ["deal_pipeline_stage_id", "property_closedate"]] = [won, "2020-03-01 10:00:00"]
    deals.to_csv(source / "deal_data.csv", index=False)
    first = deals["deal_id"].iloc[0]
    links = {"company_id": [company], "deal_id": [first], "type_id": [1], "category": ["x"]}
    pd.DataFrame(links).to_csv(source / "deal_company_data.csv", index=False)
    meetings = pd.read_csv(source / "engagement_meeting_data.csv", dtype=str)["engagement_id"]
    held = {"company_id": company, "engagement_id": meetings, "engagement_type": "MEETING"}
    pd.DataFrame(held).to_csv(source / "engagement_company_data.csv", index=False)
    crm = load(source, mapping=mapping_of(real_data.name), into=tmp_path / "clean")
    frame = crm.frame("opportunities").set_index("opportunity_id")
    assert len(frame) == len(deals)
    assert frame["is_won"].notna().sum() == 1
    assert frame.loc[first, "is_won"]
    assert frame.loc[first, "account_id"] == company
    assert frame.loc[first, "closed_at"] == pd.Timestamp("2020-03-01 10:00")
    calls = crm.frame("activities")
    assert set(calls["kind"]) == {"meeting"}
    assert len(calls) == meetings.nunique()


@pytest.mark.parametrize("real_data", ["zoho_crm"], indirect=True)
def test_zoho_has_open_deals_and_calls(crm):
    deals = crm.frame("opportunities")
    assert len(deals) == 3632
    assert deals["is_won"].isna().any()
    assert crm.has("activities", "duration_seconds")


@pytest.mark.parametrize("real_data", ["olist_funnel"], indirect=True)
def test_olist_has_all_leads_and_those_that_closed(crm):
    deals = crm.frame("opportunities")
    quality = crm.quality.tables["opportunities"]
    assert (quality.rows, quality.kept, quality.quarantined) == (8000, 7999, 1), (
        "one deal was won before its first contact"
    )
    assert list(quality.reasons) == ["closed_at: … is before created_at"]
    assert deals["is_won"].sum() == 841


@pytest.mark.parametrize("real_data", ["x_education"], indirect=True)
def test_x_education_is_undated(crm):
    deals = crm.frame("opportunities")
    assert len(deals) == 9240
    assert deals["is_won"].mean() == pytest.approx(0.385, abs=0.001)
    assert not crm.dated("win")
