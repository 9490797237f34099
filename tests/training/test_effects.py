import json
from itertools import pairwise

import pytest

from features.crm.load import from_rows
from features.errors import RenewalError
from training import effects
from training.effects.advice import remembered
from training.effects.timing_trial import NAMES


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    from features.settings import Settings

    return Settings(home=tmp_path_factory.mktemp("effects") / "home", threads=1)


def check_answer(answer, buckets):
    json.dumps(answer)
    for row in answer["rows"]:
        assert row["bucket"] in buckets
        assert (row["estimate"] is None) == (not row["overlap_ok"])
        assert (row["why"] is None) == row["overlap_ok"]
        if row["overlap_ok"]:
            assert 0 <= row["low"] <= row["estimate"] <= row["high"] <= 1
    for group, best in answer["best"].items():
        assert best is None or best in answer["indistinguishable"][group]


def test_timing(simulated_crm, home):
    answer = effects.timing(simulated_crm, home, by="industry")
    check_answer(answer, NAMES)
    rows = [row for row in answer["rows"] if row["group"] == "all"]
    assert [row["bucket"] for row in rows] == ["none", "0-14", "15-30", "31-60", "61-90", "91-120", "121-180"]
    assert sum(row["n"] for row in rows) > 300
    assert {row["group"] for row in answer["rows"]} == set(answer["best"])


@pytest.fixture(scope="module")
def discount(simulated_crm, home):
    return effects.discount(simulated_crm, home)


def test_same_seed_same_answer(simulated_crm, home, discount):
    assert effects.discount(simulated_crm, home) == discount


def test_calls(simulated_crm, home):
    answer = effects.calls(simulated_crm, home)
    check_answer(answer, ("0", "1-2", "3-4", "5-7", "8+"))
    curve = [row for row in answer["calls_until_won"] if row["group"] == "all"]
    assert all(b["won"] >= a["won"] for a, b in pairwise(curve))
    assert any("left out" in note for note in answer["notes"])


def test_discount_names_the_lowest_band_that_does_as_well(discount):
    answer = discount
    check_answer(answer, ("0", "0-10", "10-20", "20-30", "30+"))
    assert {row["outcome"] for row in answer["rows"]} == {"win", "renewal"}
    for group, enough in answer["enough"].items():
        assert enough in answer["indistinguishable"][group]


def test_an_unknown_attribute_is_refused_with_what_there_is(simulated_crm, home):
    with pytest.raises(RenewalError, match="industry"):
        effects.timing(simulated_crm, home, by="colour")


def test_a_crm_without_quotes_says_so(home):
    crm = from_rows({"contracts": [{"contract_id": "c", "account_id": "a", "end_date": "2024-01-01"}]}, None)
    with pytest.raises(RenewalError, match="quotes"):
        effects.discount(crm, home)


def test_estimates_are_kept_for_the_same_crm(simulated_crm, home):
    calls = []

    def estimate(crm, settings, by, say):
        calls.append(by)
        return {"rows": [len(calls)]}

    first = remembered("probe", estimate, simulated_crm, home, "region")
    assert remembered("probe", estimate, simulated_crm, home, "region") == first
    assert remembered("probe", estimate, simulated_crm, home, None) != first
    assert calls == ["region", None]
