"""Amounts in several currencies become amounts in one, or are refused."""

from pathlib import Path

import pytest

from features.crm.load import load, read_crm
from features.errors import RenewalError

CASES = Path(__file__).parents[3] / "shared" / "cases"
CODED = """contract_id,account_id,start_date,end_date,annual_value,CurrencyIsoCode,renewed
C1,A1,2022-01-01,2022-12-31,1000,USD,true
C2,A2,2022-01-01,2022-12-31,1000000,JPY,false
C3,A3,2022-01-01,2022-12-31,900,EUR,true
"""
IN_CELLS = """contract_id,account_id,start_date,end_date,annual_value,renewed
C1,A1,2022-01-01,2022-12-31,"$1,000.00",true
C2,A2,2022-01-01,2022-12-31,£900,false
C3,A3,2022-01-01,2022-12-31,500 EUR,true
"""
RATES = (
    "code,from,rate\nUSD,,1\nJPY,2020-01-01,0.009\nJPY,2021-06-01,0.0075\nJPY,2023-01-01,5\n"
    "EUR,,1.1\nGBP,,1.25\n"
)


def crm_of(folder, files, **options):
    source = folder / "crm"
    source.mkdir()
    for name, text in files.items():
        (source / name).write_text(text, encoding="utf-8")
    return load(source, into=folder / "clean", **options)


def amounts(crm):
    return crm.frame("contracts").sort_values("contract_id")["annual_value"].tolist()


@pytest.mark.parametrize("contracts", [CODED, IN_CELLS])
def test_without_rates_they_are_refused_with_their_counts(contracts, tmp_path):
    with pytest.raises(RenewalError, match="EUR 1") as refusal:
        crm_of(tmp_path, {"contracts.csv": contracts})
    assert "currencies" in refusal.value.do
    assert "PERENNIAL_CURRENCY" in refusal.value.do


def test_each_is_converted_at_the_rate_of_its_own_time(tmp_path):
    crm = crm_of(tmp_path, {"contracts.csv": CODED, "currencies.csv": RATES})
    assert amounts(crm) == [100_000, 750_000, 99_000]
    assert crm.quality.currency == "USD"
    assert read_crm(crm.folder).quality.currency == "USD"
    assert "currency" not in crm.frame("contracts")


def test_rates_told_in_another_currency_serve_the_home_one(tmp_path):
    crm = crm_of(tmp_path, {"contracts.csv": CODED, "currencies.csv": RATES}, currency="EUR")
    assert amounts(crm) == [90_909, 681_818, 90_000]


def test_signs_in_the_cells_name_the_currency(tmp_path):
    crm = crm_of(tmp_path, {"contracts.csv": IN_CELLS, "currencies.csv": RATES})
    assert amounts(crm) == [100_000, 112_500, 55_000]


HEADED = "contract_id,account_id,start_date,end_date,Annual value (EUR),List value (EUR),renewed\n" + "".join(
    f"C{n},A{n},2022-01-01,2022-12-31,100,120,{n % 2}\n" for n in (1, 2)
)
DEALS = "opportunity_id,account_id,created_at,Amount (USD),is_won\nO1,A1,2022-01-01,110,1\n"


def test_a_header_names_the_currency_of_its_table(tmp_path):
    with pytest.raises(RenewalError, match="contracts: EUR 2; opportunities: USD 1"):
        crm_of(tmp_path, {"contracts.csv": HEADED, "opportunities.csv": DEALS})


def test_amounts_under_headers_are_converted(tmp_path):
    files = {"contracts.csv": HEADED, "opportunities.csv": DEALS, "currencies.csv": RATES}
    crm = crm_of(tmp_path, files, currency="EUR")
    assert amounts(crm) == [10_000, 10_000]
    assert crm.frame("opportunities")["amount"].tolist() == [10_000]


def test_headers_of_one_table_name_one_currency(tmp_path):
    mixed = HEADED.replace("List value (EUR)", "List value (USD)")
    with pytest.raises(RenewalError, match=r"found Annual value \(EUR\), List value \(USD\)"):
        crm_of(tmp_path, {"contracts.csv": mixed})


def test_one_header_names_the_currency_of_all(tmp_path):
    crm = crm_of(tmp_path, {"contracts.csv": HEADED.replace("List value (EUR)", "list_value")})
    assert crm.quality.currency == "EUR"


def test_a_word_behind_a_header_is_no_currency(tmp_path):
    crm = crm_of(tmp_path, {"contracts.csv": HEADED.replace("(EUR)", "(ALL)")})
    assert crm.quality.currency is None


def test_one_currency_alone_needs_no_rate(tmp_path):
    crm = crm_of(tmp_path, {"contracts.csv": CODED.replace("USD", "EUR").replace("JPY", "EUR")})
    assert amounts(crm) == [100_000, 100_000_000, 90_000]
    assert crm.quality.currency == "EUR"


def test_another_home_currency_than_the_only_one_is_refused(tmp_path):
    with pytest.raises(RenewalError, match="EUR"):
        crm_of(tmp_path, {"contracts.csv": CODED.replace("USD", "EUR").replace("JPY", "EUR")}, currency="USD")


def test_a_missing_rate_is_named(tmp_path):
    rates = RATES.replace("EUR,,1.1\n", "")
    with pytest.raises(RenewalError, match="Add EUR to a table currencies"):
        crm_of(tmp_path, {"contracts.csv": CODED, "currencies.csv": rates})


def test_two_rates_of_one_day_are_refused(tmp_path):
    with pytest.raises(RenewalError, match="one rate of EUR"):
        crm_of(tmp_path, {"contracts.csv": CODED, "currencies.csv": RATES + "EUR,,1.2\n"})


def test_a_deals_stages_and_history_are_in_its_currency(tmp_path):
    files = {
        "opportunities.csv": "opportunity_id,account_id,created_at,closed_at,is_won,amount,currency\n"
        "O1,A1,2022-01-01,2022-02-01,true,100,EUR\nO2,A2,2022-01-01,2022-02-01,false,100,USD\n",
        "stage_history.csv": "opportunity_id,changed_at,stage,amount\nO1,2022-01-05,Offer,90\nO2,"
        "2022-01-05,Offer,90\n",
        "history.csv": "table,id,changed_at,column,value\nopportunities,O1,2022-01-03,amount,80\n",
        "currencies.csv": RATES,
    }
    crm = crm_of(tmp_path, files)
    assert crm.frame("stage_history").sort_values("opportunity_id")["amount"].tolist() == [9_900, 9_000]
    assert float(crm.frame("history")["value"][0]) == 88.0


def test_the_shared_case_is_refused(tmp_path):
    if not (CASES / "13_multi_currency").is_dir():
        pytest.skip("13_multi_currency is not beside the checkout, in ../shared/cases")
    with pytest.raises(RenewalError, match="EUR 1, JPY 1, USD 1"):
        load(CASES / "13_multi_currency", into=tmp_path / "clean")
