"""Timing from CRM files of many shapes: what is planted is found, nothing is claimed where nothing is."""

from dataclasses import replace

import pandas as pd
import pytest
from effect_crms import Recipe, write

from features.crm.load import load
from features.errors import RenewalError
from training import effects

PEAK = (0.0, 0.0, 1.8, 0.0, 0.0, 0.0)
PLANTED = Recipe({"any": PEAK})
NOTHING = Recipe()


@pytest.fixture
def result(tmp_path, settings):
    def answer(recipe, n=1200, seed=1, by=None, drop=()):
        folder = write(tmp_path / "crm", recipe, n, seed)
        for table, column in drop:
            path = folder / f"{table}.csv"
            pd.read_csv(path).drop(columns=column).to_csv(path, index=False)
        crm = load(folder, until=pd.Timestamp("2025-03-01"), into=tmp_path / "clean")
        return effects.timing(crm, settings, by=by)

    return answer


@pytest.mark.parametrize(
    "recipe",
    [PLANTED, replace(PLANTED, early=0.4), replace(PLANTED, kind="Meeting")],
    ids=["plain", "many decided early", "meetings"],
)
def test_a_planted_window_is_found(recipe, result):
    found = result(recipe)
    assert found["best"]["all"] == "61-90"
    assert len(found["indistinguishable"]["all"]) < 5


@pytest.mark.parametrize(
    "recipe",
    [NOTHING, replace(NOTHING, direction=False), replace(NOTHING, early=0.5)],
    ids=["plain", "no direction", "half decided early"],
)
def test_nothing_is_claimed_where_nothing_is_planted(recipe, result):
    found = result(recipe, seed=2)
    assert found["best"]["all"] is None
    assert len(found["indistinguishable"]["all"]) == 7


def test_duplicates_change_nothing(tmp_path, settings):
    answers = []
    for twice in (False, True):
        folder = write(tmp_path / f"crm {twice}", replace(PLANTED, twice=twice), 400, 3)
        crm = load(folder, until=pd.Timestamp("2025-03-01"), into=tmp_path / f"clean {twice}")
        answers.append(effects.timing(crm, settings)["rows"])
    assert [row["n"] for row in answers[0]] == [row["n"] for row in answers[1]]
    assert [row["raw"] for row in answers[0]] == [row["raw"] for row in answers[1]]


def test_industries_that_differ_are_told_apart(result):
    late = (0.0, 0.0, 0.0, 0.0, 2.2, 0.0)
    found = result(Recipe({"retail": PEAK, "software": late}), n=3000, by="industry")
    assert "61-90" in found["indistinguishable"]["retail"]
    assert "15-30" in found["indistinguishable"]["software"]
    assert found["best"]["retail"] == "61-90"
    assert found["best"]["software"] == "15-30"


def test_industries_that_do_not_differ_are_pooled(result):
    found = result(Recipe(dict.fromkeys(("retail", "software", "finance"), PEAK)), n=900, by="industry")
    assert {found["best"][g] for g in ("retail", "software", "finance")} <= {"61-90", None}
    assert any("pooled" in note for note in found["notes"])


def test_months_tell_only_the_windows_they_have(result):
    found = result(replace(NOTHING, term_days=31, early=0.0))
    none = {row["bucket"] for row in found["rows"] if not row["overlap_ok"]}
    assert {"31-60", "61-90", "91-120", "121-180"} <= none
    assert found["best"]["all"] is None
    whys = [row["why"] for row in found["rows"] if row["bucket"] == "91-120"]
    assert "had begun" in whys[0]


def test_mail_is_no_human_contact(result):
    with pytest.raises(RenewalError, match="call"):
        result(replace(PLANTED, kind="email"), n=200)


def test_undated_contracts_are_refused(result):
    dates = [("contracts", column) for column in ("start_date", "end_date", "decided_at")]
    with pytest.raises(RenewalError, match="dates"):
        result(PLANTED, n=200, drop=dates)


def test_undated_activities_are_refused(tmp_path, settings, result):
    with pytest.raises(RenewalError):
        result(PLANTED, n=200, drop=[("activities", "occurred_at")])


def test_contracts_without_an_account_are_not_taken_for_never_called(tmp_path, settings):
    folder = write(tmp_path / "crm", NOTHING, 1500, 4)
    path = folder / "contracts.csv"
    contracts = pd.read_csv(path)
    lost = ~contracts["renewed"] & (contracts.index % 10 < 8)
    contracts.loc[lost, "account_id"] = None
    contracts.to_csv(path, index=False)
    crm = load(folder, until=pd.Timestamp("2025-03-01"), into=tmp_path / "clean")
    found = effects.timing(crm, settings)
    assert any("name no account" in note for note in found["notes"])
    assert found["best"]["all"] is None
