"""The example mappings on the real data they were written for."""

from pathlib import Path

import pandas as pd
import pytest

from features.load import load

MAPPINGS = Path(__file__).parents[1] / "examples" / "mappings"


@pytest.fixture
def crm(real_data: Path, tmp_path: Path, request: pytest.FixtureRequest):
    mapping = MAPPINGS / f"{real_data.name}.yaml"
    return load(real_data, mapping=mapping, into=tmp_path / "clean")


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
