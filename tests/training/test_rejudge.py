"""The champion on the newcomer's rows: a newcomer that goes without what matters does not replace it."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from model_data import dated

from features.errors import RenewalError
from features.settings import Settings
from training import given_away
from training.explain import reasons
from training.gates import against_champion
from training.registry import Loaded
from training.rejudge import recipe_facts, recipe_of, rejudged
from training.select import select

SETTINGS = Settings(seed=0, threads=1)


@pytest.fixture(scope="module")
def data():
    return dated(280)


@pytest.fixture(scope="module")
def selection(data):
    """So few contracts that the regression alone is tried."""
    return select(data, SETTINGS, trials=1, storage=None)


def as_champion(selection) -> Loaded:
    facts = json.loads(json.dumps(recipe_facts(selection.recipe)))
    return Loaded(replace(selection.model, about={"recipe": facts}), "1", "champion")


def test_a_recipe_comes_back_from_its_facts_and_gives_the_judged_probabilities(data, selection):
    assert selection.served == "logistic"
    again = rejudged(data, selection, recipe_of(recipe_facts(selection.recipe)), SETTINGS)
    assert again == pytest.approx(selection.test["probability"].to_numpy(), abs=0.02)
    exact = replace(selection.recipe, adjustment=selection.judged)
    assert rejudged(data, selection, exact, SETTINGS) == pytest.approx(
        selection.test["probability"].to_numpy(), abs=1e-9
    )


def test_a_newcomer_without_the_columns_that_matter_does_not_replace_the_champion(data, selection):
    poor = select(
        data.without(["usage", "calls_90d", "days_since_meeting"]), SETTINGS, trials=1, storage=None
    )
    gate = against_champion(data, poor, as_champion(selection), frozenset(), SETTINGS)
    assert gate.passed is False
    assert "higher than the recipe of champion 1 on the same" in gate.why
    back = against_champion(data, selection, as_champion(poor), frozenset(), SETTINGS)
    assert back.passed is True


def test_the_same_model_again_is_no_worse(data, selection):
    assert against_champion(data, selection, as_champion(selection), frozenset(), SETTINGS).passed is True


def test_a_champion_of_before_is_unknown_and_does_not_block(data, selection):
    old = Loaded(replace(selection.model, about={}), "1", "champion")
    assert against_champion(data, selection, old, frozenset(), SETTINGS).passed is None


def proxied(data):
    """The dataset with a postcode that reveals who owns the business, and the segments."""
    accounts = pd.Series(data.snapshots["account_id"].unique())
    women = np.arange(len(accounts)) % 2 == 0
    segments = pd.DataFrame(
        {
            "account_id": accounts,
            "attribute": "owned_by",
            "value": np.where(women, "women", "men"),
            "share": 1.0,
        }
    )
    inside = data.snapshots["account_id"].map(dict(zip(accounts, women, strict=True)))
    X = data.X.assign(postcode=inside.astype(float) + 0.1)
    return replace(
        data, X=X, infos={**data.infos, "postcode": replace(data.infos["usage"], name="postcode")}
    ), segments


def test_a_column_that_gives_a_segment_away_is_left_out_unless_allowed_in_writing(data, monkeypatch):
    ds, segments = proxied(data)
    monkeypatch.setattr(given_away, "segments_of", lambda crm: segments)
    said = []
    clean, found = given_away.without_proxies(ds, None, SETTINGS, {}, said.append)
    assert "postcode" not in clean.X.columns
    assert {"usage", "calls_90d"} <= set(clean.X.columns)
    assert found[0]["column"] == "postcode"
    assert "left out" in said[0]
    kept, found = given_away.without_proxies(ds, None, SETTINGS, {"postcode": "needed for tax"}, said.append)
    assert "postcode" in kept.X.columns
    assert found[0]["allowed"] == "needed for tax"
    with pytest.raises(RenewalError, match="reason"):
        given_away.without_proxies(ds, None, SETTINGS, {"postcode": " "}, said.append)
    with pytest.raises(RenewalError, match="no column 'post'"):
        given_away.without_proxies(ds, None, SETTINGS, {"post": "typo"}, said.append)


def test_the_price_of_a_column_that_matters_is_its_gain_in_log_loss(data, selection):
    row = {"column": "usage"}
    without = data.without(["usage"])
    poor = select(without, SETTINGS, trials=1, storage=None)
    lost = given_away.price_of(row, data, without, poor, SETTINGS)
    kept = given_away.price_of(row, data, data, selection, SETTINGS)
    assert lost > 0.01
    assert kept > 0.01


def test_what_is_allowed_is_still_no_reason_to_show(data, selection):
    shown = {each["feature"] for row in reasons(selection.model, data.X.iloc[:80]) for each in row}
    assert "calls_90d" in shown
    quiet = replace(selection.model, about={"unspoken": ["calls_90d"]})
    answer = reasons(quiet, data.X.iloc[:80])
    assert "calls_90d" not in {each["feature"] for row in answer for each in row}
    sums = [sum(each["log_odds"] for each in row) for row in answer]
    assert sums == pytest.approx(quiet.log_odds(data.X.iloc[:80]), abs=1e-6)
