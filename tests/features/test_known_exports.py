"""Exports of well-known systems are recognised by their headers; others get a drafted mapping."""

import json
from pathlib import Path

import pytest
import yaml

from features.crm.load import load
from features.errors import RenewalError
from features.mapping_draft.folder_draft import map_folder
from features.mapping_draft.match import system_of
from features.mapping_draft.outcome_words import meaning

CASES = Path(__file__).parents[3] / "shared" / "cases"
EXPORTS = {
    "Salesforce": '"Id","AccountId","StageName","CloseDate","CreatedDate","Amount","IsClosed",'
    '"IsWon","OwnerId"\n'
    "006A,001A,Closed Won,2022-03-01,2022-01-01T10:00:00.000Z,100,true,true,005A\n"
    "006B,001B,Closed Lost,2022-03-01,2022-01-01T10:00:00.000Z,100,true,false,005A\n"
    "006C,001C,Prospecting,2022-06-01,2022-01-01T10:00:00.000Z,100,false,false,005A\n",
    "HubSpot": '"Record ID","Deal Name","Deal Stage","Close Date","Create Date","Amount",'
    '"Associated Company IDs"\n'
    "006A,x,Closed won,2022-03-01 10:00,2022-01-05 09:00,100,001A\n"
    "006B,y,Closed lost,2022-03-01 10:00,2022-01-05 09:00,100,001B\n"
    "006C,z,Appointment scheduled,2022-06-01 10:00,2022-01-05 09:00,100,001C\n",
    "Dynamics 365": "opportunityid,name,statecode,actualclosedate,estimatedclosedate,createdon,"
    "_parentaccountid_value,actualvalue\n"
    "006A,x,1,2022-03-01,2022-03-01,2022-01-05,001A,100\n006B,y,2,2022-03-01,2022-03-01,2022-01-05,001B,100\n"
    "006C,z,0,,2022-06-01,2022-01-05,001C,100\n",
    "Pipedrive": '"Deal - ID","Deal - Title","Deal - Status","Deal - Organization","Deal - Value",'
    '"Deal - Deal created","Deal - Won time","Deal - Lost time"\n'
    "006A,x,Won,001A,100,2022-01-05 09:00:00,2022-03-01 10:00:00,\n"
    "006B,y,Lost,001B,100,2022-01-05 09:00:00,,2022-03-01 10:00:00\n006C,z,Open,001C,100,"
    "2022-01-05 09:00:00,,\n",
    "Zoho": "Record Id,Deal Name,Stage,Closing Date,Created Time,Account Name,Amount,Deal Owner\n"
    "006A,x,Closed Won,2022-03-01,2022-01-05 09:00:00,001A,100,Ann\n"
    "006B,y,Closed Lost,2022-03-01,2022-01-05 09:00:00,001B,100,Ann\n"
    "006C,z,Qualification,2022-06-01,2022-01-05 09:00:00,001C,100,Ann\n",
}


@pytest.mark.parametrize("system", EXPORTS)
def test_open_deals_of_a_known_export_are_open(system, tmp_path):
    source = tmp_path / "crm"
    source.mkdir()
    (source / "deals.csv").write_text(EXPORTS[system])
    crm = load(source, into=tmp_path / "clean")
    deals = crm.frame("opportunities").set_index("opportunity_id").sort_index()
    assert deals.index.tolist() == ["006A", "006B", "006C"]
    assert deals["is_won"].tolist()[:2] == [True, False]
    assert deals["is_won"].isna().tolist() == [False, False, True]
    assert deals["closed_at"].isna().tolist() == [False, False, True]
    assert deals["account_id"].tolist() == ["001A", "001B", "001C"]
    assert deals["amount"].tolist() == [10_000] * 3
    assert deals["created_at"].notna().all()
    assert any(system in text for text in crm.quality.warnings)


def test_the_contracts_own_names_are_no_export():
    assert system_of(["opportunity_id", "account_id", "created_at", "is_won"]) is None


@pytest.mark.parametrize(
    ("word", "won"),
    [
        ("Closed Won", True),
        ("closedlost", False),
        ("Gewonnen", True),
        ("Verloren", False),
        ("Dead", False),
        ("Not renewed", False),
        ("Renewed - Auto", True),
        ("Negotiation", None),
        ("Closed", None),
        ("On Hold", None),
    ],
)
def test_outcome_words(word, won):
    assert meaning(word) is won


def foreign(folder):
    (folder / "Firms.csv").write_text(
        "Customer ID,Customer Name,Sector\n007,Acme,Steel\n008,Bolt,Toys\n009,Cone,Steel\n"
    )
    (folder / "Pipeline deals.csv").write_text(
        "Deal ID,Customer,Deal Status,Create Date,Close Date,Deal Value\n"
        "D1,Acme,Won,15/01/2022,20/03/2022,100\nD2,Bolt,Dead,16/01/2022,21/03/2022,200\n"
        "D3,Cone,On hold,17/01/2022,,300\n"
    )
    (folder / "Phone calls.csv").write_text(
        "Call ID,Customer ID,Call Start Time,Call Duration (in minutes)\n1,007,2022-02-01 10:00:00,7\n"
    )
    (folder / "weather.csv").write_text("day,rain\n2022-01-01,3\n")


def test_a_foreign_folder_is_mapped_and_read(tmp_path):
    source = tmp_path / "crm"
    source.mkdir()
    foreign(source)
    with pytest.raises(RenewalError, match="perennial map"):
        load(source, into=tmp_path / "before")
    result = map_folder(source)
    assert result["unmapped_files"] == ["weather.csv"]
    lines = {(line["table"], line["column"]): line for line in result["lines"]}
    assert lines["opportunities", "account_id"]["evidence"].startswith("100% of its values are names")
    assert all(
        line["confidence"] in ("sure", "likely", "unsure") and line["evidence"] for line in result["lines"]
    )
    assert json.loads(json.dumps(result)) == result
    assert set(yaml.safe_load((source / "mapping.yaml").read_text())) >= {
        "accounts",
        "opportunities",
        "activities",
    }
    crm = load(source, into=tmp_path / "clean")
    deals = crm.frame("opportunities").set_index("opportunity_id").sort_index()
    assert deals["account_id"].tolist() == ["007", "008", "009"]
    assert deals["is_won"].isna().tolist() == [False, False, True]
    assert deals["is_won"].tolist()[:2] == [True, False]
    assert str(deals["created_at"].iloc[0])[:10] == "2022-01-15"
    assert crm.frame("activities")["account_id"].tolist() == ["007"]
    assert crm.frame("activities")["kind"].tolist() == ["call"]


def test_days_that_fit_two_readings_are_asked_about(tmp_path):
    (tmp_path / "deals.csv").write_text(
        "Deal ID,Company,Deal Status,Create Date\nD1,A,Won,05/06/2022\nD2,B,Lost,01/02/2022\n"
    )
    result = map_folder(tmp_path)
    assert any("created_at" in question and "say which" in question for question in result["questions"])


def test_a_mapping_that_is_there_is_not_overwritten(tmp_path):
    foreign(tmp_path)
    map_folder(tmp_path)
    with pytest.raises(RenewalError, match="Move it away"):
        map_folder(tmp_path)


def test_a_folder_without_deals_or_contracts_cannot_be_mapped(tmp_path):
    (tmp_path / "weather.csv").write_text("day,rain\n2022-01-01,3\n")
    with pytest.raises(RenewalError, match="deals or of contracts"):
        map_folder(tmp_path)


def test_the_shared_dataloader_case_has_open_deals(tmp_path):
    if not (CASES / "54_raw_dataloader").is_dir():
        pytest.skip("54_raw_dataloader is not beside the checkout, in ../shared/cases")
    crm = load(CASES / "54_raw_dataloader", into=tmp_path / "clean")
    deals = crm.frame("opportunities")
    stages = crm.quality.tables["opportunities"]
    assert stages.quarantined == 0
    assert deals["is_won"].isna().any()
    assert deals["created_at"].notna().all()
    assert (deals["is_won"].isna() == deals["closed_at"].isna()).all()


def test_the_shared_hubspot_case_takes_the_primary_company(tmp_path):
    if not (CASES / "39_map_hubspot_export").is_dir():
        pytest.skip("39_map_hubspot_export is not beside the checkout, in ../shared/cases")
    crm = load(CASES / "39_map_hubspot_export", into=tmp_path / "clean")
    assert "987654321" in crm.frame("opportunities")["account_id"].tolist()


def test_what_hubspots_api_answers_are_its_tables_joined_by_their_associations(tmp_path):
    company = {
        "name": "Acme",
        "domain": "acme.de",
        "createdate": "2023-01-04T10:00:00Z",
        "industry": "RETAIL",
    }
    deal = {
        "dealname": "Acme new", "dealstage": "closedwon", "amount": "12000", "hs_is_closed_won": "true",
        "createdate": "2023-03-04T10:00:00Z", "closedate": "2023-05-04T10:00:00Z",
    }  # fmt: skip
    joined = {"companies": {"results": [{"id": "501", "type": "deal_to_company"}]}}
    answers = {
        "companies": {"id": "501", "properties": company, "archived": False},
        "deals": {"id": "9001", "properties": deal, "associations": joined},
    }
    for name, row in answers.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"results": [row]}))
    crm = load(tmp_path, into=tmp_path / "clean")
    assert crm.frame("accounts")[["account_id", "name"]].to_numpy().tolist() == [["501", "Acme"]]
    assert crm.frame("opportunities")[["opportunity_id", "account_id"]].to_numpy().tolist() == [
        ["9001", "501"]
    ]


FOREIGN_CONTRACTS = {
    "Chargebee": (
        "subscription.id,subscription.customer_id,subscription.status,subscription.mrr,subscription.started_at,"
        "subscription.current_term_start,subscription.current_term_end",
        ["1640995200,1672531200,1704067200", "1609459200,1654041600,1685577600"],
        "{id},{account},{state},500,{days}",
    ),
    "Zuora": (
        "Account: Name,Subscription: Name,Subscription: Status,Rate Plan Charge: MRR,"
        "Subscription: Term Start Date,Subscription: Term End Date",
        ["01/01/2023,01/01/2024", "06/01/2022,06/01/2023", "05/28/2021,05/28/2022"],
        '{account},{id},{state},"$500.00",{days}',
    ),
    "Polish": (
        "Nr umowy;Klient;Odnowiona;Wartość roczna (PLN);Data rozpoczęcia;Data zakończenia",
        ["01.01.2023;01.01.2024", "01.06.2022;01.06.2023"],
        "{id};{account};{flag_pl};6 000,00;{days}",
    ),
    "Swedish": (
        "Avtalsnummer;Kund;Förnyat;Årsvärde;Startdatum;Slutdatum",
        ["2023-01-01;2024-01-01", "2022-06-01;2023-06-01"],
        "{id};{account};{flag_sv};6000;{days}",
    ),
}
"""System or language → headers, the spans of two contracts, how a row is written."""


@pytest.mark.parametrize("name", FOREIGN_CONTRACTS)
def test_contracts_of_billing_systems_and_further_languages_are_mapped(name, tmp_path):
    header, spans, row = FOREIGN_CONTRACTS[name]
    words = [("Active", "tak", "ja"), ("Cancelled", "nie", "nej")]
    lines = [
        row.format(
            id=f"S{n}", account=f"Kunde {n % 9}", state=state, flag_pl=polish, flag_sv=swedish, days=days
        )
        for n, ((state, polish, swedish), days) in enumerate(zip(words * 20, spans * 20, strict=False))
    ]
    (tmp_path / "subscriptions.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    map_folder(tmp_path)
    rows = load(tmp_path, into=tmp_path / "clean").frame("contracts").sort_values("contract_id")
    assert rows["contract_id"].tolist()[:2] == ["S0", "S1"]
    assert rows["start_date"].astype(str).str[:10].tolist()[:2] == ["2023-01-01", "2022-06-01"]
    assert rows["end_date"].astype(str).str[:10].tolist()[:2] == ["2024-01-01", "2023-06-01"]
    assert set(rows["annual_value"]) == {600_000}
    assert not rows["renewed"].tolist()[1]


@pytest.mark.parametrize("thousands", ["{n}.5", "{n}.5k"])
def test_a_systems_own_number_and_amounts_in_thousands(thousands, tmp_path):
    lines = ["Total paid,Copper ID,Bill to Customer,Renewal Date,ARR $k,Renewal Status,Sales Rep"]
    for n in range(1, 29):
        outcome = ["Churned", "Downsell"][n % 2]
        amount = thousands.format(n=n)
        lines.append(f"{700 + n},{500 + n},Kunde {n},{n:02d}-Mar-23,{amount},{outcome},Ann")
    (tmp_path / "renewals.csv").write_text("\n".join(lines) + "\n")
    map_folder(tmp_path)
    rows = load(tmp_path, into=tmp_path / "clean").frame("contracts").sort_values("contract_id")
    first = rows.iloc[0]
    assert (first["contract_id"], first["account_id"], first["owner_id"]) == ("501", "Kunde 1", "Ann")
    assert first["annual_value"] == 150_000  # 1.5 thousand, in minor units
    assert rows["renewed"].tolist()[:2] == [True, False]


def test_a_column_that_only_ends_like_an_id_is_none(tmp_path):
    lines = ["Kunde,Startdatum,Enddatum,Total paid,Status"]
    states = ["renewed", "lost"]
    lines += [f"K{n % 5},2022-01-{n:02d},2023-01-{n:02d},{n}.25,{states[n % 2]}" for n in range(1, 29)]
    (tmp_path / "contracts of old.csv").write_text("\n".join(lines) + "\n")
    map_folder(tmp_path)
    drafted = yaml.safe_load((tmp_path / "mapping.yaml").read_text())
    assert "contract_id" not in drafted["contracts"]
