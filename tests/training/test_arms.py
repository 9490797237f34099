"""Who is drawn for what: the same seed draws the same, arms stay even, clusters stay whole."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from features.crm.load import from_rows
from features.errors import RenewalError
from training.effects.arms import (
    ADVICE,
    SMALL,
    USUAL,
    clusters_of,
    contamination,
    draw,
    in_both_arms,
    merged_small,
    strata_of,
)

TODAY = pd.Timestamp("2026-01-01")
CLUSTERS = {f"c{at}": "north" if at % 3 else "south" for at in range(300)}


def crm_of(accounts):
    contracts = [{"contract_id": "K", "account_id": accounts[0]["account_id"], "end_date": "2026-03-01"}]
    return from_rows({"accounts": accounts, "contracts": contracts}, TODAY)


def test_the_same_seed_draws_the_same_and_another_does_not():
    shuffled = dict(reversed(CLUSTERS.items()))
    assert draw(CLUSTERS, 0.5, 7, {}) == draw(shuffled, 0.5, 7, {})
    assert draw(CLUSTERS, 0.5, 7, {}) != draw(CLUSTERS, 0.5, 8, {})


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
def test_each_stratum_is_within_one_of_its_share(share):
    arms = draw(CLUSTERS, share, 3, {})
    for stratum in ("north", "south"):
        mine = [arms[one] == ADVICE for one, where in CLUSTERS.items() if where == stratum]
        assert abs(sum(mine) - share * len(mine)) <= 1


def test_whoever_comes_later_keeps_the_arms_even():
    first = {f"a{at}": "all" for at in range(7)}
    later = {f"b{at}": "all" for at in range(6)}
    arms = draw(first, 0.5, 1, {}) | draw(later, 0.5, 1, {"all": 7})
    assert abs(Counter(arms.values())[ADVICE] - 6.5) <= 1


def test_each_cluster_has_the_chance_it_should_have():
    clusters = {f"c{at}": "all" for at in range(5)}
    drawn = [draw(clusters, 0.3, seed, {}) for seed in range(2_000)]
    for one in clusters:
        assert np.mean([arms[one] == ADVICE for arms in drawn]) == pytest.approx(0.3, abs=0.035)


def test_a_family_is_one_cluster_even_where_parents_go_in_a_circle():
    crm = crm_of(
        [
            {"account_id": "a", "parent_account_id": None},
            {"account_id": "b", "parent_account_id": "a"},
            {"account_id": "c", "parent_account_id": "b"},
            {"account_id": "x", "parent_account_id": "y"},
            {"account_id": "y", "parent_account_id": "x"},
        ]
    )
    assert clusters_of(crm, "parent") == {"a": "a", "b": "a", "c": "a", "x": "x", "y": "x"}
    assert clusters_of(crm, "account")["c"] == "c"
    with pytest.raises(RenewalError, match="owner_id"):
        clusters_of(crm, "owner")


def test_a_cluster_has_the_stratum_most_of_its_accounts_have():
    crm = crm_of(
        [{"account_id": a, "industry": i} for a, i in (("a", "retail"), ("b", "retail"), ("c", "it"))]
    )
    assert strata_of(crm, dict.fromkeys("abc", "one"), ["industry"]) == {"one": "retail"}
    with pytest.raises(RenewalError, match="stratify"):
        strata_of(crm, {}, ["region"])


def test_small_strata_are_put_together():
    merged = merged_small({"a": "big", "b": "big", "c": "big", "d": "big", "e": "few", "f": "one"})
    assert merged == {**dict.fromkeys("abcd", "big"), "e": SMALL, "f": SMALL}


def test_contamination_names_families_and_owners_in_both_arms():
    crm = crm_of(
        [
            {"account_id": "a", "owner_id": "ann", "parent_account_id": None},
            {"account_id": "b", "owner_id": "bob", "parent_account_id": "a"},
            {"account_id": "c", "owner_id": "ann", "parent_account_id": None},
            {"account_id": "d", "owner_id": "eve", "parent_account_id": None},
        ]
    )
    found = contamination(crm, {"a": ADVICE, "b": USUAL, "c": USUAL, "d": USUAL}, ["d"])
    assert (found["families"], found["owners"], found["moved"]) == (1, ["ann"], 1)
    assert found["shared"] == pytest.approx(2 / 3)
    assert len(found["words"]) == 3
    clean = contamination(crm, {"a": ADVICE, "b": ADVICE, "c": ADVICE, "d": USUAL}, [])
    assert clean["words"] == []
    assert in_both_arms({"a": "g", "b": "g"}, {"a": ADVICE, "b": USUAL}) == ["g"]
