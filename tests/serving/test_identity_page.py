"""The page of identity: both records side by side, decided, taken back; what an erasure leaves of them."""

import re

import pandas as pd
import pytest
from starlette.testclient import TestClient

from features.identity.customer_records import form_records
from features.identity.links import (
    COLUMNS,
    forget_links,
    keep_links,
    read_linked_records,
    read_links,
    same_customers,
)
from monitoring.store import open_store
from serving.app import create_app

PAIR = ("crm:A1", "billing:7")
RECORDS = {
    "crm": {"id": ["A1", "A2"], "name": ["Acme <b>", "Other"], "domain": ["acme.com", ""], "city": "Bonn"},
    "billing": {"id": ["7"], "name": ["ACME"], "domain": ["ACME.com"], "phone": ["0228 1234567"]},
}  # fmt: skip


@pytest.fixture
def client(settings):
    links = pd.DataFrame([(*PAIR, "Acme <b>", "ACME", 0.624, "", "model")], columns=list(COLUMNS))
    records = pd.concat([form_records(pd.DataFrame(rows), name) for name, rows in RECORDS.items()])
    keep_links(settings.home, links, judged=set(), records=records)
    with TestClient(create_app(settings), base_url="http://127.0.0.1", client=("127.0.0.1", 1)) as opened:
        opened.headers["accept"] = "text/html"
        yield opened


def settle(client, decision, pair=PAIR):
    page = "".join(client.get(f"/identity?show={tab}").text for tab in ("open", "same", "different"))
    csrf = re.search(r'name="csrf" value="([^"]+)"', page)
    fields = {"csrf": csrf.group(1), "left": pair[0], "right": pair[1], "decision": decision}
    return client.post("/identity", data=fields)


def test_a_pair_is_shown_side_by_side_decided_and_taken_back(client, settings):
    page = client.get("/identity").text
    for words in ("62.4 %", "Acme &lt;b&gt;", "ACME.com", "Bonn", "0228 1234567", "crm:A1", "To decide (1)"):
        assert words in page
    assert '<span class="muted">ACME.com</span>' in page  # the same, however it is written
    assert "one customer from the next ingest on" in settle(client, "same").text
    assert same_customers(settings.home) == [["billing:7", "crm:A1"]]
    assert "decided by this machine" in client.get("/identity?show=same").text
    assert settle(client, "undo").status_code == 200
    assert same_customers(settings.home) == []
    assert read_links(settings.home)[["decision", "by"]].to_numpy().tolist() == [["", "model"]]
    assert settle(client, "different").status_code == 200
    assert "To decide (0)" in client.get("/identity?show=different&q=acme").text
    assert "No pair fits" in client.get("/identity?show=different&q=nobody").text
    noted = [entry["action"] for entry in open_store(settings).audit.read()]
    assert noted == ["identity different", "identity undo", "identity same"]


def test_what_is_no_pair_or_no_decision_changes_nothing(client, settings):
    assert settle(client, "same", ("crm:A1", "crm:A2")).status_code == 404
    assert settle(client, "perhaps").status_code == 422
    assert (
        client.post("/identity", data={"left": PAIR[0], "right": PAIR[1], "decision": "same"}).status_code
        == 403
    )
    assert read_links(settings.home)["decision"].tolist() == [""]


def test_a_scoped_key_sees_no_records(client, settings):
    key, _ = open_store(settings).access.create_key("mlops", region="west")
    assert client.get("/identity", headers={"authorization": f"Bearer {key}"}).status_code == 403


def test_only_records_in_pairs_are_written_and_an_erasure_takes_them(client, settings):
    assert set(read_linked_records(settings.home)) == set(PAIR)
    assert forget_links(settings.home, ["A1"]) == 1
    assert read_linked_records(settings.home) == {}
