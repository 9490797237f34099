"""The user's weights: read from words, refused where they make no sense, and what they move."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from icp_worlds import WORLDS

from features.errors import RenewalError
from training.icp.fit_score import Fit
from training.icp.prospect_outcomes import DEFAULT_WEIGHTS, checked_weights
from training.icp.reach import places
from training.icp.study import study_of
from training.icp.target_list import Candidates, ranked
from training.icp.weights import exponents_of, priority, read_weights, reordered, reweighted

PARTS = {"win": [0.5], "amount": [100.0], "discount": [0.2], "renewal": [0.5], "effort": [4.0]}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (None, None),
        ("win=1", {"win": 1.0}),
        (" Win=1 , effort=.5,renewal=2", {"win": 1.0, "effort": 0.5, "renews without contact": 2.0}),
        ("renews without contact=0", {"renews without contact": 0.0}),
    ],
)
def test_weights_are_read_from_words(text, answer):
    assert read_weights(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "win",
        "win=x",
        "price=1",
        "win=-1",
        "win=nan",
        "win=1,win=2",
        "win=0,effort=0,discount=0,renewal=0",
    ],
)
def test_weights_that_make_no_sense_are_refused_in_one_line(text):
    with pytest.raises(RenewalError, match="weights") as refused:
        read_weights(text)
    assert "\n" not in str(refused.value)


def test_by_default_the_priority_is_money_for_each_hour():
    exponents = exponents_of(checked_weights(None))
    assert set(exponents.values()) == {1.0}
    assert priority(PARTS, exponents)[0] == pytest.approx(0.5 * 100 * 0.8 * 1.75 / 4)
    assert priority(PARTS, {"effort": 0.0})[0] == pytest.approx(0.5 * 100 * 0.8 * 1.75)


@pytest.fixture(scope="module")
def made():
    seen = WORLDS["midsized hospitals"].draw(500, 0)
    return study_of(seen, checked_weights(None))


def test_a_list_put_in_another_order_is_the_list_made_with_these_weights(made):
    frame = WORLDS["midsized hospitals"].prospects(300, np.random.default_rng(1))
    who = pd.DataFrame({"id": np.arange(300), "name": None, "kind": "company", "account_id": None})
    rows = ranked(made.fit, Candidates(who, frame, [], []))
    listed = {"rows": rows}
    same = reweighted(listed, made.fit, DEFAULT_WEIGHTS)
    assert [row["id"] for row in same["rows"]] == [row["id"] for row in rows]
    weights = checked_weights({"win": 2.0, "effort": 0.0})
    moved = reweighted(listed, Fit.from_dict(json.loads(json.dumps(made.fit.as_dict()))), weights)["rows"]
    scored = replace(made.fit, exponents=exponents_of(weights)).score(frame)
    by_id = [scored["priority"].iloc[row["id"]] for row in moved]
    assert by_id == sorted(by_id, reverse=True)
    assert [row["id"] for row in moved] != [row["id"] for row in rows]
    assert [row["fit"] for row in moved] == pytest.approx([scored["fit"].iloc[r["id"]] for r in moved])
    assert sum(row["listed"] for row in moved) == sum(row["listed"] for row in rows) == 60


def test_profiles_move_with_the_weights_and_lose_limits_that_no_longer_hold():
    def profile(win, hours):
        outcomes = {
            "win": {"value": win, "everyone": 0.3, "spread": 0.5},
            "effort": {"value": hours, "everyone": 4.0, "spread": 2.0},
            "discount": {"value": None, "everyone": None, "spread": 0.1},
        }
        return {"rule": f"{win}", "outcomes": outcomes, "score": {"lift": 1, "low": 0.5, "high": 1.5}}

    answer = [profile(0.5, 4.0), profile(0.3, 2.0)]
    first = reordered(answer, checked_weights({"win": 0.0, "effort": 1.0}))
    assert [one["rule"] for one in first] == ["0.3", "0.5"]
    assert first[0]["score"]["lift"] == pytest.approx(1 / 1.4)
    assert first[0]["score"]["low"] is None


def test_places_are_means_with_intervals_by_account(made):
    answer = places(made.observed)
    assert {one["attribute"] for one in answer} == {"country"}
    assert {one["outcome"] for one in answer} == set(DEFAULT_WEIGHTS)
    wins = next(one for one in answer if one["outcome"] == "win")
    sample = next(s for s in made.observed.samples if s.name == "win")
    where = made.observed.frame["country"].to_numpy(object)[sample.row]
    for row in wins["rows"]:
        assert row["mean"] == pytest.approx(sample.value[where == row["value"]].mean())
        assert row["low"] < row["mean"] < row["high"]
        assert row["accounts"] >= 30
