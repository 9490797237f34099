"""Target accounts as others take them: grades and their meaning, platforms' files, what differs on a card."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from training.icp.audiences import audience, email_hash
from training.icp.differences import p_of_difference
from training.icp.grades import at_least, grades_of, meaning
from training.icp.persona_cards import distinctive

ROW = {
    "id": "A1", "name": "Nord AG", "kind": "prospect", "account_id": "A1", "domain": "nord.example",
    "industry": "software", "country": "DE", "employees": 120, "annual_revenue": 5e6, "owner_id": "O1",
    "owner_name": "Ann", "profile": None, "reasons": [{"words": "industry software (+20 %)"}], "grade": "B",
}  # fmt: skip
NOBODY = {**ROW, "id": "L1", "name": None, "account_id": None, "domain": None, "grade": "D"}
CONTACTS = pd.DataFrame(
    {"account_id": ["A1", "A1", "A2"], "email": [" Ann.Lee@Nord.example ", "a.b@gmail.com", "x@y.example"]}
)


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_grade_is_a_fifth():
    assert grades_of(np.array([1.0, 0.8, 0.79, 0.6, 0.5, 0.2, 0.19, 0.0])) == list("AABBCDEE")
    assert [row["grade"] for row in at_least([{"grade": g} for g in "ABCDE"], "B")] == ["A", "B"]
    assert len(at_least([{"grade": "E"}], None)) == 1


def test_what_a_grade_has_meant_sums_to_everything_and_hides_what_is_too_little():
    fit = np.repeat([0.9, 0.7, 0.5, 0.3, 0.1], [40, 40, 40, 40, 5])
    won = pd.DataFrame({"won": np.tile([1.0, 0.0], 83)[:165]})
    rows = meaning(fit, won, won["won"].to_numpy() * 100)
    assert [row["grade"] for row in rows] == list("ABCDE")
    assert sum(row["share_of_wins"] for row in rows) == pytest.approx(1)
    assert sum(row["share_of_money"] for row in rows) == pytest.approx(1)
    assert rows[0]["win_rate"] == 0.5
    assert rows[0]["low"] < 0.5 < rows[0]["high"]
    assert rows[4]["win_rate"] is None
    assert "too little data" in rows[4]["why"]


def test_google_gets_hashed_addresses_of_listed_accounts_alone():
    made = audience("google", [ROW, NOBODY], CONTACTS)
    assert made["rows"] == [{"Email": sha("ann.lee@nord.example")}, {"Email": sha("ab@gmail.com")}]
    assert "1 of the list" in made["notes"][0]
    assert email_hash("A.B+News@GoogleMail.com") == sha("ab@googlemail.com")
    assert email_hash("a.b+news@nord.example") == sha("a.b+news@nord.example")


def test_hubspot_and_linkedin_get_their_columns():
    hubspot = audience("hubspot", [ROW, NOBODY], CONTACTS)
    assert len(hubspot["rows"]) == 1
    assert hubspot["rows"][0]["Company domain name"] == "nord.example"
    assert hubspot["rows"][0]["Company owner"] == "Ann"
    nameless = {**ROW, "owner_name": None, "domain": None}
    without = audience("hubspot", [ROW, nameless], CONTACTS)
    assert without["rows"][1]["Company owner"] is None, (
        "HubSpot knows owners by name or e-mail, not by our id"
    )
    assert without["notes"][0].startswith("1 have no domain")
    linkedin = audience("linkedin", [ROW], CONTACTS)
    assert list(linkedin["rows"][0]) == [
        "companyname", "companywebsite", "companyemaildomain", "linkedincompanypageurl", "stocksymbol",
        "industry", "city", "state", "companycountry", "zipcode",
    ]  # fmt: skip
    assert any("300" in note for note in linkedin["notes"])


def test_one_busy_account_makes_no_difference_and_a_real_one_is_seen():
    draw = np.random.default_rng(0)
    account = pd.Series(np.concatenate([np.arange(60), np.zeros(500, int)]))
    is_in = (account < 30).to_numpy()
    alike = pd.Series(np.where(account == 0, 5.0, draw.normal(0, 1, 560)))
    assert p_of_difference(alike, is_in, account) > 0.05
    apart = pd.Series(draw.normal(0, 1, 60) + 2 * (np.arange(60) < 30))
    ids = pd.Series(range(60))
    assert p_of_difference(apart, is_in[:60], ids) < 1e-6
    assert p_of_difference(np.exp(apart * 3), is_in[:60], ids, ranked=True) < 1e-6


def test_a_card_without_differences_shows_none():
    draw = np.random.default_rng(1)
    shown = 0
    for _ in range(200):
        p = draw.random(12)
        figures = [{"words": "w", "inside": "1", "everyone": "2", "n": 50, "p": each} for each in p]
        shown += bool(distinctive({"who": figures[:6], "buys": figures[6:]})["who"])
    assert shown <= 0.08 * 200
    sure = {"words": "w", "inside": "9", "everyone": "2", "n": 50, "p": 1e-5}
    assert distinctive({"who": [sure], "buys": figures})["who"]
