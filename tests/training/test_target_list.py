"""The fit score and the list: close to the truth, sound with missing values, honest about who is left out."""

import json

import numpy as np
import pandas as pd
import pytest
from icp_worlds import WORLDS

from features.crm.contract import Kind
from features.crm.load import from_rows
from features.errors import RenewalError
from training.icp import fit_rows, personas, profiles, targets
from training.icp.fit_learning import caught, learn
from training.icp.fit_score import Fit, terms_renewed
from training.icp.prospect_outcomes import (
    HOURS_A_WEEK_OPEN,
    HOURS_AROUND,
    checked_weights,
    contract_discounts,
    deal_discounts,
    deal_hours,
    decided_deals,
)
from training.icp.prospects import known_accounts, observe
from training.icp.reach import gives_away, proxies, reach
from training.icp.study import study as study_of_crm
from training.icp.study import study_of
from training.icp.target_list import from_crm, opted_out


@pytest.fixture(scope="module")
def study():
    seen = WORLDS["midsized hospitals"].draw(800, 0)
    return study_of(seen, checked_weights(None))


def test_the_first_fifth_gains_nine_tenths_of_ranking_by_the_truth_and_beats_a_look_alike(study):
    world = WORLDS["midsized hospitals"]
    fresh = world.prospects(10_000, np.random.default_rng(5))
    true = world.expected(fresh)
    value = (
        true["win"] * true["amount"] * (1 - true["discount"]) * terms_renewed(true["renews without contact"])
    )
    hourly = value / true["effort"]
    scored = study.fit.score(fresh)

    def gain(score):
        first = np.argsort(-np.asarray(score))[:2000]
        return value[first].sum() / true["effort"][first].sum(), hourly[first].sum()

    best, ours, look_alike = gain(hourly), gain(scored["value_per_hour"]), gain(scored["win"])
    assert ours[0] >= 0.9 * best[0]
    assert ours[1] >= 0.9 * best[1]
    assert ours[0] > look_alike[0]


def test_expected_parts_are_right_on_average(study):
    seen, fit = study.observed, study.fit
    scored = fit.score(seen.frame.iloc[seen.deals["row"].to_numpy()])
    assert scored["win"].mean() == pytest.approx(seen.deals["won"].mean(), rel=0.05)
    assert scored["amount"].sum() == pytest.approx(seen.deals["amount"].sum(), rel=0.15)
    assert scored["discount"].mean() == pytest.approx(seen.deals["discount"].mean(), rel=0.1)


def test_a_prospect_scores_alone_as_among_others(study):
    frame = study.observed.frame.head(50)
    together = study.fit.score(frame)
    for at in (0, 7, 49):
        pd.testing.assert_frame_equal(study.fit.score(frame.iloc[[at]]), together.iloc[[at]], rtol=1e-12)


def test_missing_unknown_and_further_attributes_are_no_obstacle(study):
    answer = pd.DataFrame(
        {
            "sector": ["hospitals", "no such sector", None],
            "employees": ["120", "many", None],
            "colour": ["x", "y", "z"],
        }
    )
    kinds = {"sector": Kind.CATEGORY, "employees": Kind.WHOLE}
    fit = Fit(**{**vars(study.fit), "kinds": kinds})
    scored = fit.score(fit.read(answer))
    assert np.isfinite(scored.to_numpy()).all()
    assert scored["fit"].between(0, 1).all()
    assert scored["win"].iloc[1] == pytest.approx(scored["win"].iloc[2])


def test_a_score_is_kept_as_json(study):
    kept = Fit.from_dict(json.loads(json.dumps(study.fit.as_dict())))
    frame = study.observed.frame.head(30)
    pd.testing.assert_frame_equal(kept.score(frame), study.fit.score(frame))
    assert kept.reasons(frame) == study.fit.reasons(frame)
    assert kept.profiles == study.fit.profiles


def test_reasons_name_what_moves_the_score(study):
    frame = pd.DataFrame({"employees": [5.0, 3000.0]})
    few, many = (row[0] for row in study.fit.reasons(frame))
    assert (few["feature"], many["feature"]) == ("employees", "employees")
    assert few["times"] < 1 < many["times"]
    assert few["words"].startswith("employees 5 (-")


def test_where_amount_and_effort_are_not_known_the_score_says_so():
    seen = WORLDS["partner banks"].draw(400, 0)
    deals = seen.deals.assign(amount=np.nan, hours=np.nan)
    fit = learn(seen.frame, seen.account, deals, seen.samples[:1], [])
    assert len(fit.notes) == 4
    assert fit.score(seen.frame)["amount"].unique() == pytest.approx([1.0])


def test_amounts_set_to_nothing_for_lost_deals_do_not_teach_the_expected_amount():
    seen = WORLDS["partner banks"].draw(600, 0)
    zeroed = seen.deals.assign(amount=seen.deals["amount"].where(seen.deals["won"] == 1, 0.0))
    fit = learn(seen.frame, seen.account, zeroed, seen.samples, [])
    true = learn(seen.frame, seen.account, seen.deals, seen.samples, []).score(seen.frame)["amount"]
    assert any("lost deals" in note for note in fit.notes)
    assert fit.score(seen.frame)["amount"].sum() == pytest.approx(true.sum(), rel=0.2)


def test_figures_of_a_ranking():
    deals = pd.DataFrame(
        {"won": [1.0, 0, 0, 1, 0, 0, 0, 0, 1, 0], "amount": [90.0] + [10] * 9, "hours": 1.0, "discount": 0.0}
    )
    found = caught(np.arange(10)[::-1], deals)
    assert found.conversions_caught == pytest.approx(1 / 3)
    assert found.value_caught == pytest.approx(90 / 110)
    assert found.band_ratio == pytest.approx(9.0)
    assert found.win_ratio == pytest.approx(1.0)


DEALS = [
    {"opportunity_id": "O1", "account_id": "A", "created_at": "2024-01-01T00:00:00", "closed_at":
    "2024-01-15T00:00:00",
     "is_won": True, "amount": 100, "kind": "new", "lead_source": "web"},
    {"opportunity_id": "O2", "account_id": "B", "created_at": "2024-01-01T00:00:00", "closed_at":
    "2024-01-08T00:00:00",
     "is_won": False, "amount": 50, "kind": "New Business"},
    {"opportunity_id": "O3", "account_id": "B", "created_at": "2024-01-02T00:00:00", "kind": "new"},
    {"opportunity_id": "O4", "account_id": "A", "created_at": "2024-01-02T00:00:00", "closed_at":
    "2024-01-09T00:00:00",
     "is_won": True, "kind": "renewal"},
]  # fmt: skip
ACTIVITIES = [
    {"activity_id": "V1", "account_id": "A", "occurred_at": "2024-01-03T10:00:00", "kind": "call",
     "opportunity_id": "O1", "duration_minutes": 30},
    {"activity_id": "V2", "account_id": "A", "occurred_at": "2024-01-04T10:00:00", "kind": "Meeting",
     "opportunity_id": "O1"},
    {"activity_id": "V3", "account_id": "B", "occurred_at": "2024-01-04T10:00:00", "kind": "email",
     "opportunity_id": "O2"},
]  # fmt: skip
ACCOUNTS = [
    {"account_id": "A", "industry": "x", "employees": 10, "leadership": "women", "postal_code": "80331"},
    {"account_id": "B", "industry": "y", "employees": 20, "leadership": "men", "postal_code": "10115"},
]
UNTIL = pd.Timestamp("2025-01-01")


def _crm(**tables):
    return from_rows(
        {"accounts": ACCOUNTS, "opportunities": DEALS, "activities": ACTIVITIES, **tables}, UNTIL
    )


def test_deals_of_new_business_that_are_decided():
    deals, _ = decided_deals(_crm())
    assert deals["opportunity_id"].tolist() == ["O1", "O2"]
    assert deals["won"].tolist() == [1.0, 0.0]
    assert deals["amount"].tolist() == [100.0, 50.0]


def test_hours_of_a_deal_are_talk_and_what_goes_with_it():
    crm = _crm()
    hours, _ = deal_hours(crm, decided_deals(crm)[0])
    around = HOURS_AROUND
    assert hours.tolist() == pytest.approx(
        [
            0.5 + around["call"] + 1.0 + around["meeting"] + 2 * HOURS_A_WEEK_OPEN,
            around["other"] + HOURS_A_WEEK_OPEN,
        ]
    )


def test_activities_that_are_not_linked_count_while_the_deal_was_open():
    loose = [{key: row[key] for key in row if key != "opportunity_id"} for row in ACTIVITIES]
    loose.append(
        {"activity_id": "V4", "account_id": "B", "occurred_at": "2024-02-04T10:00:00", "kind": "call"}
    )
    linked, apart = _crm(), _crm(activities=loose)
    expected = deal_hours(linked, decided_deals(linked)[0])[0]
    assert deal_hours(apart, decided_deals(apart)[0])[0].tolist() == pytest.approx(expected.tolist())


def test_the_discount_is_that_of_the_last_quote():
    quotes = [
        {"quote_id": f"Q{i}", "quoted_at": at, "list_amount": 100, "net_amount": net, "opportunity_id": "O1"}
        for i, (at, net) in enumerate([("2024-01-05T00:00:00", 95), ("2024-01-09T00:00:00", 80)])
    ]
    crm = _crm(quotes=quotes)
    assert deal_discounts(crm, decided_deals(crm)[0]).tolist() == pytest.approx([0.2, np.nan], nan_ok=True)


def test_contracts_below_list_tell_the_discount_too():
    rows = [{"contract_id": "C1", "account_id": "A", "start_date": "2024-01-01", "end_date": "2025-01-01",
             "annual_value": 90, "list_value": 120}]  # fmt: skip
    found = contract_discounts(_crm(contracts=rows))
    assert found["value"].tolist() == pytest.approx([0.25])


def test_an_audited_attribute_is_never_known_of_a_prospect():
    segments = [{"account_id": "A", "attribute": "leadership", "value": "women"}]
    assert "leadership" in known_accounts(_crm()).frame
    guarded = known_accounts(_crm(segments=segments))
    assert "leadership" not in guarded.frame
    assert "segment" in guarded.left_out["leadership"]


def test_postal_codes_are_read_coarsely_and_only_without_a_region():
    assert known_accounts(_crm()).frame["postal_area"].tolist() == ["80", "10"]
    with_region = known_accounts(_crm(accounts=[{**row, "region": "south"} for row in ACCOUNTS]))
    assert "postal_area" not in with_region.frame
    assert "postal_code" in with_region.left_out


def test_accounts_are_taken_as_they_were_first_known():
    history = [
        {"table": "accounts", "id": "A", "changed_at": at, "column": "industry", "value": value}
        for at, value in (("2023-01-01T00:00:00", "z"), ("2024-06-01T00:00:00", "x"))
    ]
    found = known_accounts(_crm(history=history))
    assert found.frame["industry"].tolist() == ["z", "y"]
    assert found.today["industry"].tolist() == ["x", "y"]


def test_accounts_that_tell_nothing_are_refused():
    with pytest.raises(RenewalError, match="kind of company"):
        known_accounts(_crm(accounts=[{"account_id": "A"}, {"account_id": "B"}]))


def test_who_opted_out_is_left_out_and_open_leads_stand_for_their_accounts():
    contacts = [
        {"contact_id": "P1", "account_id": "A", "opted_out": True},
        {"contact_id": "P2", "account_id": "B", "opted_out": False},
        {"contact_id": "P3", "account_id": "B", "opted_out": True},
    ]
    leads = [
        {"lead_id": "L1", "account_id": "B", "created_at": "2024-05-01T00:00:00", "source": "fair"},
        {
            "lead_id": "L2",
            "account_id": "B",
            "created_at": "2024-05-01T00:00:00",
            "qualified_at": "2024-05-02T00:00:00",
        },
    ]
    crm = _crm(contacts=contacts, leads=leads)
    assert opted_out(crm) == {"A"}
    may = from_crm(crm, known_accounts(crm).today, ("industry", "lead_source"))
    assert may.who["id"].tolist() == ["L1"]
    assert may.frame["lead_source"].tolist() == ["fair"]
    assert [row["id"] for row in may.left_out] == ["A"]


def _segmented(share_inside: float, share_outside: float, n: int = 400):
    rng = np.random.default_rng(0)
    inside = np.arange(n) % 2 == 0
    women = rng.random(n) < np.where(inside, share_inside, share_outside)
    accounts = [{"account_id": f"A{i}", "region": "north" if inside[i] else "south"} for i in range(n)]
    segments = [
        {"account_id": f"A{i}", "attribute": "leadership", "value": "women" if women[i] else "men"}
        for i in range(n)
    ]
    population = [{"attribute": "leadership", "value": value, "people": 50} for value in ("women", "men")]
    crm = from_rows(
        {"accounts": accounts, "opportunities": DEALS, "segments": segments, "population": population}, UNTIL
    )
    ids = pd.Series([row["account_id"] for row in accounts])
    return crm, ids, inside, pd.DataFrame({"region": np.where(inside, "north", "south").astype(object)})


def test_a_segment_that_a_list_leaves_out_is_told():
    crm, ids, inside, _ = _segmented(0.1, 0.7)
    rows = {row["value"]: row for row in reach(crm, ids, inside)}
    assert rows["women"]["verdict"] == "alert"
    assert rows["women"]["listed"] < 0.2 < rows["women"]["candidates"]
    assert rows["women"]["population"] == pytest.approx(0.5)
    assert rows["men"]["verdict"] != "alert"


def test_an_attribute_that_gives_a_segment_away_is_told_and_an_innocent_one_is_not():
    from training.icp.rules import Condition, Rule

    rule = Rule((Condition("region", ("north",)),))
    crm, ids, _, frame = _segmented(0.1, 0.7)
    assert list(proxies(crm, frame, ids.to_numpy())) == ["region"]
    assert "women" in gives_away(crm, [rule], frame, ids.to_numpy())[0][0]
    crm, ids, _, frame = _segmented(0.4, 0.4)
    assert proxies(crm, frame, ids.to_numpy()) == {}
    assert gives_away(crm, [rule], frame, ids.to_numpy()) == [[]]


@pytest.fixture(scope="module")
def listed(simulated_crm, tmp_path_factory):
    from features.settings import Settings

    settings = Settings(home=tmp_path_factory.mktemp("home"), threads=1)
    file = tmp_path_factory.mktemp("companies") / "new.csv"
    file.write_text("Name,Industry,Employees\nAcme,software,300\nOld Mill,retail,\n")
    made = study_of_crm(simulated_crm, settings)
    return (
        profiles(simulated_crm, settings, prepared=made),
        targets(simulated_crm, settings, prepared=made),
        targets(simulated_crm, settings, companies=file, limit=1, prepared=made),
        personas(simulated_crm, settings, prepared=made),
    )


def test_profiles_of_a_simulated_crm_say_what_was_measured(listed):
    answer = listed[0]
    assert set(answer["period"]["measured_from"]) == {"win", "effort", "discount", "renews without contact"}
    assert answer["carried"] > 0
    assert sum(answer["weights"].values()) == pytest.approx(1)
    for profile in answer["profiles"]:
        assert profile["score"]["low"] > 0
        assert profile["n"] >= 15
        assert {"rule", "conditions", "share", "outcomes"} <= set(profile)
    assert len(answer["rows"]) == 5 * len(answer["profiles"])


def test_the_list_ranks_everybody_once_and_leaves_out_who_opted_out(listed, simulated_crm):
    rows = listed[1]["rows"]
    place = [(row["kind"] == "account", -row["value_per_hour"]) for row in rows]
    assert place == sorted(place)  # prospects before customers, the best of each first
    new = [row for row in rows if row["kind"] != "account"]
    assert [row["listed"] for row in rows] == [True] * round(0.2 * len(new)) + [False] * (
        len(rows) - round(0.2 * len(new))
    )
    assert {row["grade"] for row in rows} <= set("ABCDE")
    assert [row["grade"] for row in new] == sorted(row["grade"] for row in new)
    accounts = simulated_crm.frame("accounts").set_index("account_id")
    for row in rows[:30]:
        account = accounts.loc[row["account_id"]]
        assert (row["domain"], row["industry"], row["owner_id"]) == (
            account["domain"],
            account["industry"],
            account["owner_id"],
        )
        assert row["contacts_allowed"] >= 1
    assert sum(row["share_of_wins"] for row in listed[1]["grades"]) == pytest.approx(1)
    assert len({(row["kind"], row["id"]) for row in rows}) == len(rows)
    out = opted_out(simulated_crm)
    assert not {row["id"] for row in rows} & out
    assert all(row["reasons"] for row in rows[:20])
    assert 0 <= listed[1]["conversions_caught"] <= 1
    assert {row["attribute"] for row in listed[1]["reach"]} == {"leadership", "veteran_owned"}


def test_a_file_of_companies_is_ranked(listed):
    answer = listed[2]
    assert [(row["name"], row["kind"]) for row in answer["rows"]] == [("Acme", "company")]
    assert any("says nothing of" in note for note in answer["notes"])


def test_a_file_that_tells_nothing_is_refused(simulated_crm, settings, tmp_path, study):
    from training.icp.target_list import from_file

    file = tmp_path / "x.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(RenewalError, match="columns"):
        from_file(file, simulated_crm, study.fit)
    with pytest.raises(RenewalError, match="file of companies"):
        from_file(tmp_path / "none.csv", simulated_crm, study.fit)


def test_what_a_file_says_but_nobody_can_read_is_told(simulated_crm, study, tmp_path):
    from training.icp.target_list import from_file

    fit = Fit(**{**vars(study.fit), "kinds": {"sector": Kind.CATEGORY, "employees": Kind.WHOLE}})
    file = tmp_path / "x.csv"
    file.write_text("name,sector,employees,mood\nAcme,media,many,good\nOld,media,12,\nNew,media,,\n")
    may = from_file(file, simulated_crm, fit)
    assert "employees of 1 can't be read: taken as not known" in may.notes
    file.write_text("name,sector\nAcme,media\nOld,media,12,\n")
    with pytest.raises(RenewalError, match="found Expected 2 fields in line 3, saw 4"):
        from_file(file, simulated_crm, fit)


def test_records_get_their_fit_and_their_id_back(study):
    fit = Fit(**{**vars(study.fit), "kinds": {"sector": Kind.CATEGORY, "employees": Kind.WHOLE}})
    rows = fit_rows(fit, [{"id": 7, "sector": "hospitals", "employees": 120}, {"name": "Acme"}])
    assert rows[0]["id"] == 7
    assert all(0 <= row["fit"] <= 1 for row in rows)


def test_persona_pages_stand_alone(listed):
    html = listed[3]["html"]
    assert html.startswith("<!doctype html>")
    assert "http" not in html
    for one in listed[3]["personas"]:
        assert one["rule"] in html


def test_a_column_written_after_the_outcome_is_not_known_of_a_prospect():
    rng = np.random.default_rng(0)
    won = rng.random(300) < 0.4
    accounts = [
        {"account_id": f"A{i}", "industry": "xyz"[i % 3], "verdict": "customer" if won[i] else "gone"}
        for i in range(300)
    ]
    days = [f"{2021 + i // 100}-0{1 + i % 9}" for i in range(300)]
    deals = [
        {"opportunity_id": f"O{i}", "account_id": f"A{i}", "kind": "new", "is_won": bool(won[i]),
         "created_at": f"{days[i]}-01T00:00:00", "closed_at": f"{days[i]}-20T00:00:00"}
        for i in range(300)
    ]  # fmt: skip
    from features.settings import Settings

    seen = observe(from_rows({"accounts": accounts, "opportunities": deals}, UNTIL), Settings(threads=1))
    assert "verdict" in seen.barred
    assert list(seen.frame.columns) == ["industry"]
