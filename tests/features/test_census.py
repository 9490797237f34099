"""The census client against a local server that answers as the documented API does; the join to accounts."""

import json
import sys

import pandas as pd
import pytest
from census_server import COUNTIES, KEY, census_server

from features.crm.load import from_rows
from features.errors import RenewalError
from features.settings import Settings
from features.sources.area_segments import area_key, area_segments
from features.sources.census import ATTRIBUTES, MOST_VARIABLES, population
from perennial import cli


@pytest.fixture
def bureau():
    with census_server() as server:
        yield server


@pytest.fixture
def own(bureau, tmp_path):
    url = f"http://127.0.0.1:{bureau.server_port}/data"
    return Settings(home=tmp_path / "home", census_key=KEY, census_url=url)


def fetch(settings, **more):
    waits: list[float] = []
    asked = {"year": 2022, "by": "county", **more}
    return population(settings, wait=waits.append, **asked), waits


def test_rows_are_sums_of_variables_by_area(bureau, own):
    bureau.values = {("B01001_002E", 0): "800", ("B01001_026E", 0): "820", ("B01001_026E", 1): "400"}
    found, _ = fetch(own, attributes=["sex"])
    assert found.areas == 2
    assert found.rows[:2] == [
        {"attribute": "sex", "value": "male", "people": 800, "area": f"25017 {COUNTIES['25', '017']}"},
        {"attribute": "sex", "value": "female", "people": 820, "area": f"25017 {COUNTIES['25', '017']}"},
    ]
    assert bureau.asked == [
        {"get": "NAME,B01001_002E,B01001_026E", "for": "county:*", "in": "state:*", "key": KEY}
    ]


def test_many_variables_are_asked_for_in_parts(bureau, own):
    found, _ = fetch(own, states=["25"])
    assert all(query["get"].count(",") + 1 <= MOST_VARIABLES for query in bureau.asked)
    assert len(bureau.asked) == 2
    assert {row["attribute"] for row in found.rows} == set(ATTRIBUTES)
    assert next(row for row in found.rows if row["value"] == "65 and over")["people"] == 12 * 10


def test_postcodes_have_no_state(bureau, own):
    found, _ = fetch(own, by="postcode", attributes=["sex"])
    assert {row["area"] for row in found.rows} == {"02139"}
    assert bureau.asked[0]["for"] == "zip code tabulation area:*"
    with pytest.raises(RenewalError, match="--by county only"):
        fetch(own, by="postcode", states=["25"])


@pytest.mark.parametrize("sentinel", ["-666666666", "-999999999", "-888888888.0", None])
def test_counts_withheld_are_left_out_and_never_zero(bureau, own, sentinel):
    bureau.values = {("B01001_002E", 0): sentinel}
    found, _ = fetch(own, attributes=["sex"])
    assert found.withheld == 1
    assert len(found.rows) == 3
    assert all(row["people"] > 0 for row in found.rows)


def test_what_was_fetched_is_kept_without_the_key_and_not_asked_for_again(bureau, own):
    first, _ = fetch(own)
    calls = len(bureau.asked)
    keyless = own.model_copy(update={"census_key": ""})
    assert fetch(keyless)[0] == first
    assert len(bureau.asked) == calls
    texts = [path.read_text() for path in (own.home / "census").iterdir()]
    assert texts
    assert not any(KEY in text for text in texts)
    fetch(own, refresh=True)
    assert len(bureau.asked) == 2 * calls


def test_a_damaged_answer_on_disk_is_fetched_again(bureau, own):
    first, _ = fetch(own, attributes=["sex"])
    for path in (own.home / "census").iterdir():
        path.write_text(path.read_text()[:20])
    assert fetch(own, attributes=["sex"])[0] == first


def test_what_passes_is_tried_again_ever_later_and_as_the_server_asks(bureau, own):
    bureau.troubles = [(503, "busy"), (429, "slow down", {"Retry-After": "7"}), (500, "oops"), (503, "busy")]
    found, waits = fetch(own, attributes=["sex"])
    assert found.areas == 2
    assert waits[1] == 7
    assert waits[0] <= 1
    assert 2 <= waits[2] <= 4 <= waits[3] <= 8


def test_a_server_that_stays_away_costs_one_line_and_tells_no_key(bureau, own):
    bureau.troubles = [(503, "busy")] * 5
    with pytest.raises(RenewalError, match="status 503, 5 times") as answer:
        fetch(own)
    assert KEY not in str(answer.value)
    nowhere = own.model_copy(update={"census_url": "http://127.0.0.1:9/data"})
    with pytest.raises(RenewalError, match="5 times"):
        fetch(nowhere)
    assert not list((own.home / "census").glob("*"))


TROUBLES = {
    "no key": ({"census_key": ""}, {}, "PERENNIAL_CENSUS_KEY; found none"),
    "a wrong key": ({"census_key": "wrong"}, {}, "Invalid Key"),
    "a year to come": ({}, {"year": 2031}, "earlier --year"),
    "a state that is none": ({}, {"states": ["99"]}, "none \\(204\\)"),
    "a state in letters": ({}, {"states": ["MA"]}, "two-digit"),
    "an unknown attribute": ({}, {"attributes": ["creed"]}, "sex, age, race"),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_mistakes_cost_one_line_and_are_not_tried_again(own, name):
    changed, asked, answer = TROUBLES[name]
    with pytest.raises(RenewalError, match=answer) as error:
        fetch(own.model_copy(update=changed), **asked)
    assert "\n" not in str(error.value)


def test_an_error_of_the_api_is_told_in_its_words(bureau, own):
    bureau.troubles = [(400, "error: unknown variable 'B01001_002X'\n")]
    with pytest.raises(RenewalError, match="400: error: unknown variable 'B01001_002X'"):
        fetch(own, attributes=["sex"])
    bureau.troubles = [(200, "[[1, 2], [3]]")]
    with pytest.raises(RenewalError, match="array of arrays"):
        fetch(own, attributes=["sex"])


@pytest.mark.parametrize(
    ("given", "by", "key"),
    [
        ("02139-4307", "postcode", "02139"), ("2139", "postcode", "02139"), ("2139.0", "postcode", "02139"),
        ("SW1A 1AA", "postcode", None), (None, "postcode", None), ("P144", "postcode", None),
        ("1001.0", "county", "01001"), ("25017 Middlesex County, Massachusetts", "county", "25017"),
        ("Middlesex County,  Massachusetts", "county", "middlesex, massachusetts"),
        ("Orleans Parish", "county", "orleans"),
    ],
)  # fmt: skip
def test_what_an_area_is_matched_by(given, by, key):
    assert area_key(given, by) == key


def crm(accounts, people, segments=()):
    rows = {"accounts": accounts, "population": people, "segments": list(segments)}
    deal = {"opportunity_id": "o1", "account_id": accounts[0]["account_id"], "is_won": True}
    deal |= {"created_at": "2024-02-01", "closed_at": "2024-03-01"}
    return from_rows({**rows, "opportunities": [deal]}, None)


def people(area, male, female):
    answer = {"attribute": "sex", "area": area}
    return [{**answer, "value": "male", "people": male}, {**answer, "value": "female", "people": female}]


def test_accounts_get_the_shares_of_their_postcode_and_keep_what_is_known_of_them():
    own = {"account_id": "a2", "attribute": "sex", "value": "female", "share": 1, "source": "asked"}
    accounts = [
        {"account_id": "a1", "postal_code": "02139-4307"},
        {"account_id": "a2", "postal_code": "02139"},
        {"account_id": "a3", "postal_code": "SW1A 1AA"},
    ]
    found = area_segments(crm(accounts, people("02139", 300, 700), [own]), "postcode")
    rows = pd.DataFrame(found.rows).set_index(["account_id", "value"])
    assert rows["share"].to_dict() == {("a2", "female"): 1.0, ("a1", "male"): 0.3, ("a1", "female"): 0.7}
    assert rows.loc[("a1", "male"), "source"] == "share of 02139"
    assert (found.matched, found.unmatched, found.examples) == (2, 1, ["SW1A 1AA"])


@pytest.mark.parametrize("given", ["25017", "Middlesex County, Massachusetts", "Middlesex"])
def test_counties_are_known_by_code_and_by_name(given):
    accounts = [{"account_id": "a1", "county": given}, {"account_id": "a2", "county": "Nowhere"}]
    area = "25017 Middlesex County, Massachusetts"
    found = area_segments(crm(accounts, people(area, 1, 3)), "county")
    assert {row["value"]: row["share"] for row in found.rows} == {"male": 0.25, "female": 0.75}


def test_a_county_name_of_several_states_alone_is_no_area():
    accounts = [{"account_id": "a1", "county": "Middlesex"}, {"account_id": "a2", "county": "25017"}]
    both = [("25017 Middlesex County, Massachusetts", 1), ("34023 Middlesex County, New Jersey", 2)]
    found = area_segments(crm(accounts, [row for area, n in both for row in people(area, n, n)]), "county")
    assert {row["account_id"] for row in found.rows} == {"a2"}


def test_nothing_to_join_is_told():
    with pytest.raises(RenewalError, match="postal_code"):
        area_segments(crm([{"account_id": "a1"}], people("02139", 1, 1)), "postcode")
    with pytest.raises(RenewalError, match="population census"):
        area_segments(crm([{"account_id": "a1", "postal_code": "10001"}], []), "postcode")
    with pytest.raises(RenewalError, match="10001"):
        area_segments(crm([{"account_id": "a1", "postal_code": "10001"}], people("02139", 1, 1)), "postcode")


def test_the_commands_write_tables_that_a_crm_folder_takes(bureau, own, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PERENNIAL_HOME", str(own.home))
    monkeypatch.setenv("PERENNIAL_CENSUS_KEY", KEY)
    monkeypatch.setenv("PERENNIAL_CENSUS_URL", own.census_url)
    folder = tmp_path / "crm"
    folder.mkdir()
    (folder / "accounts.csv").write_text("account_id,county_fips\nA1,25017\nA2,25025\n")
    (folder / "contracts.csv").write_text("contract_id,account_id,end_date\nC1,A1,2025-01-31\n")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["perennial", "population", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert not stopped.value.code, capsys.readouterr().err
        return capsys.readouterr().out

    answer = run("census", "--year", 2022, "--state", 25, "--out", folder / "population.csv")
    assert "2 areas" in answer
    joined = json.loads(run("join", "--crm", folder, "--out", folder / "segments.csv", "--json"))
    assert (joined["matched"], joined["unmatched"]) == (2, 0)
    assert "ecological inference" in joined["caveat"]
    from features.crm.load import load

    crm = load(folder, into=tmp_path / "clean")
    assert crm.frame("segments").groupby(["account_id", "attribute"])["share"].sum().round(4).eq(1).all()
    assert not crm.quality.quarantined
