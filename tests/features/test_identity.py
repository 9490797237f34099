"""One customer out of several systems: joined at ingest, kept apart where decided, and taken back."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks.identity import measured, world
from features.crm.load import load
from features.errors import RenewalError
from features.identity import linkage
from features.identity.customer_records import form_records, name_core, phone_end, read_records, web_of
from features.identity.customers import MERGE, clusters
from features.identity.linkage import pair_probabilities
from features.identity.links import (
    COLUMNS,
    DIFFERENT,
    SAME,
    decide,
    forget_links,
    joined,
    keep_links,
    read_decisions,
    read_links,
    same_customers,
)
from features.identity.same_site import Agreement, fitted
from perennial import cli

ACCOUNTS = "account_id,name\nA1,Acme Inc.\nA2,ACME\nA3,Other\n7,Seven\n"
CONTRACTS = (
    "contract_id,account_id,start_date,end_date\n"
    "C1,A1,2023-01-01,2023-12-31\nC2,A2,2023-01-01,2023-12-31\nC3,billing:b1,2023-01-01,2023-12-31\n"
    "C4,b1,2023-01-01,2023-12-31\nC5,7,2023-01-01,2023-12-31\nC6,A3,2023-01-01,2023-12-31\n"
)


@pytest.mark.parametrize(
    ("clean", "written", "plain"),
    [
        (name_core, "Bäcker & Söhne GmbH & Co. KG", "backer sohne"),
        (name_core, "ACME S.A.S.", "acme"),
        (name_core, "Co", "co"),
        (name_core, None, None),
        (web_of, "https://www.Acme.com/about?x=1", "acme.com"),
        (web_of, "ann@acme.com", "acme.com"),
        (web_of, "ann@gmail.com", None),
        (web_of, "none", None),
        (phone_end, "+49 (0)30 / 1234-5678", "12345678"),
        (phone_end, "110", None),
    ],
)
def test_what_is_compared(clean, written, plain):
    assert clean(written) == plain


def test_records_are_read_under_other_names(tmp_path):
    file = tmp_path / "customers.csv"
    file.write_text("Customer ID,Company Name,Website,Zip\ncus_1,Acme Ltd,acme.com,0123\n")
    row = read_records("billing", file).iloc[0]
    assert (row["record"], row["name_core"], row["web"], row["postal_core"]) == (
        "billing:cus_1", "acme", "acme.com", "0123",
    )  # fmt: skip
    file.write_text("number,title\n1,x\n")
    with pytest.raises(RenewalError, match="id and name"):
        read_records("billing", file)


def test_groups_hold_no_two_that_are_apart():
    groups, used = joined([("a", "b"), ("b", "c"), ("c", "d")], [frozenset(("a", "c"))])
    assert groups == {"a": "a", "b": "a", "c": "c", "d": "c"}
    assert used == [("a", "b"), ("c", "d")]


def folder_of(tmp_path):
    source = tmp_path / "crm"
    source.mkdir()
    (source / "accounts.csv").write_text(ACCOUNTS)
    (source / "contracts.csv").write_text(CONTRACTS)
    return source


def owners_of(tmp_path, source):
    crm = load(source, into=tmp_path / "clean", home=tmp_path)
    frame = crm.frame("contracts").set_index("contract_id")["account_id"]
    return frame.to_dict(), set(crm.frame("accounts")["account_id"]), crm


def test_an_ingest_replays_decisions_and_an_undone_one_no_more(tmp_path):
    source = folder_of(tmp_path)
    before, accounts, _ = owners_of(tmp_path, source)
    assert accounts == {"A1", "A2", "A3", "7", "billing:b1", "b1"}
    assert (before["C3"], before["C4"]) == ("billing:b1", "b1")
    decide(tmp_path, [("crm:A2", "crm:A1", SAME), ("billing:b1", "crm:A2", SAME)], "Ann")
    assert decide(tmp_path, [("crm:A1", "crm:A2", SAME)], "Ann") == 0
    decide(tmp_path, [("billing:7", "crm:A3", SAME)], "Ann")
    after, accounts, crm = owners_of(tmp_path, source)
    assert accounts == {"A1", "A3", "7"}
    assert after == {"C1": "A1", "C2": "A1", "C3": "A1", "C4": "A1", "C5": "7", "C6": "A3"}
    assert any("follow the account they are" in warning for warning in crm.quality.warnings)
    decide(tmp_path, [("crm:A1", "crm:A2", DIFFERENT)], "Ann")
    undone, accounts, _ = owners_of(tmp_path, source)
    assert accounts == {"A1", "A2", "A3", "7"}
    assert undone["C3"] == undone["C2"] == "A2"
    assert forget_links(tmp_path, ["A2"]) == 2
    assert same_customers(tmp_path) == [["billing:7", "crm:A3"]]


def test_a_match_replaces_its_links_and_leaves_peoples(tmp_path):
    links = pd.DataFrame([("x:1", "x:2", "", "", 0.99, SAME, "model")], columns=list(COLUMNS))
    keep_links(tmp_path, links, judged={"x:1", "x:2"})
    decide(tmp_path, [("x:2", "x:3", SAME)], "Ann")
    keep_links(tmp_path, links.iloc[:0], judged={"x:1"})
    assert same_customers(tmp_path) == [["x:1", "x:2", "x:3"]]
    keep_links(tmp_path, links.iloc[:0], judged={"x:1", "x:2", "x:3"})
    assert read_links(tmp_path)["by"].tolist() == ["Ann"]


@pytest.mark.parametrize(
    ("text", "words"),
    [("left,right\na,b\n", "decision"), ("left,right,decision\na,b,perhaps\n", "line 2")],
)
def test_decisions_that_cannot_be_read_are_refused(tmp_path, text, words):
    file = tmp_path / "review.csv"
    file.write_text(text)
    with pytest.raises(RenewalError, match=words):
        read_decisions(file)


@pytest.fixture(scope="module")
def judged():
    records, truth = world(600, seed=3)
    return records, truth, pair_probabilities(records)


def test_likely_pairs_are_one_customer(judged):
    records, truth, pairs = judged
    precision, recall, _ = measured(clusters(records, pairs), truth)
    assert precision > 0.97  # a sixth are subsidiaries that share site and most of the name
    assert recall > 0.85
    right = pairs["left"].map(truth).to_numpy() == pairs["right"].map(truth).to_numpy()
    sure, unlikely = pairs["probability"] >= MERGE, pairs["probability"] < 1 - MERGE
    assert np.mean(right[sure]) > 0.97 > 0.03 > np.mean(right[unlikely])


def test_of_pairs_with_one_site_companies_of_a_group_are_told_apart():
    """Two kinds of pairs are drawn; what each looks like, and which is which, is found."""
    rng = np.random.default_rng(0)
    drawn = {
        "name": ([0.1, 0.9], [0.8, 0.2]),
        "phone": ([0.2, 0.8], [0.999, 0.001]),
        "place": ([0.3, 0.7], [0.9, 0.1]),
    }
    is_same = rng.random(4000) < 0.6
    levels = {
        name: np.where(
            rng.random(4000) < 0.3, -1, np.where(is_same, *(rng.choice(2, 4000, p=p) for p in both))
        )
        for name, both in drawn.items()
    }
    levels = {name: np.where(rng.random(4000) < 0.3, -1, each) for name, each in levels.items()}
    lax = {name: np.array([0.4, 0.6]) for name in drawn}  # companies of a group taken for one
    random = {name: np.array([0.999, 0.001]) for name in drawn}
    found, agreement = fitted(levels, np.zeros(4000), Agreement(lax, random), start=5.0)
    for name, (same, other) in drawn.items():
        assert agreement.same[name][0] == pytest.approx(same[0], abs=0.05)
        assert agreement.other[name][0] == pytest.approx(other[0], abs=0.05)
    for low in (0.0, 0.25, 0.5, 0.75):
        here = (found >= low) & (found < low + 0.25)
        assert is_same[here].mean() == pytest.approx(found[here].mean(), abs=0.08)


def test_of_pairs_all_alike_nothing_is_made():
    """Where no company has a sister, pairs with one site stay one customer, however few there are."""
    levels = {"name": np.array([1] * 9 + [0]), "phone": np.array([1, -1] * 5)}
    lax = {name: np.array([0.1, 0.9]) for name in levels}
    random = {name: np.array([0.999, 0.001]) for name in levels}
    found, _ = fitted(levels, np.zeros(10), Agreement(lax, random), start=3.0)
    assert found[:9].min() > 0.98


def test_a_value_that_hundreds_share_is_not_compared_by(monkeypatch):
    """Customers who all write from one provider's domain are not all compared with each other."""
    monkeypatch.setattr(linkage, "MOST_SHARING", 3)
    records, _ = world(120, seed=0)
    records["web"] = "provider.example"
    pairs = pair_probabilities(records)
    assert 0 < len(pairs) < 120 * 119 / 2 / 4


def test_decisions_and_parents_go_before_what_is_likely(judged):
    records, _, pairs = judged
    left, right, _ = pairs.iloc[0]
    groups = clusters(records, pairs)
    assert groups[left] == groups[right]
    decided = pd.DataFrame([(left, right, DIFFERENT)], columns=["left", "right", "decision"])
    apart = clusters(records, pairs, decided)
    assert apart[left] != apart[right]
    same_system = pairs[pairs["left"].str.split(":").str[0] == pairs["right"].str.split(":").str[0]].iloc[0]
    held = records.set_index("record")
    held.loc[same_system["left"], "parent"] = held.loc[same_system["right"], "id"]
    family = clusters(held.reset_index(), pairs)
    assert family[same_system["left"]] != family[same_system["right"]]


def test_too_few_records_are_refused():
    with pytest.raises(RenewalError, match="50 records"):
        pair_probabilities(form_records(pd.DataFrame({"id": ["1"], "name": ["a"]}), "crm"))


def test_the_commands_list_decide_and_take_back(tmp_path, monkeypatch):
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))

    def run(*words):
        return CliRunner().invoke(cli.app, words, standalone_mode=False, catch_exceptions=False).stdout

    links = pd.DataFrame([("x:1", "crm:2", "Acme", "ACME", 0.5, "", "model")], columns=list(COLUMNS))
    keep_links(tmp_path, links, judged=set())
    assert "Acme" in run("identity", "list", "--out", str(tmp_path / "review.csv"))
    review = pd.read_csv(tmp_path / "review.csv", dtype=str).assign(decision="same")
    review.to_csv(tmp_path / "done.csv", index=False)
    assert "changed: 1" in run("identity", "decide", str(tmp_path / "done.csv"), "--by", "Ann")
    assert same_customers(tmp_path) == [["crm:2", "x:1"]]
    assert "identity match" in run("identity", "list")
    assert "crm:2" in run("identity", "undo", "crm:2", "x:1")
    assert same_customers(tmp_path) == []
    with pytest.raises(RenewalError, match="which are not"):
        run("identity", "undo", "crm:2", "x:1")
