"""Survey requests: one for each event, not too often, sent from a ledger, answered once; both databases."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from features.errors import RenewalError
from features.settings import Settings
from monitoring.alerts import DeliveryError
from monitoring.store.database import now, writing
from monitoring.store.survey_tables import survey_requests
from monitoring.survey_rules import FILE, Rules, rules_of
from serving.live.asking import request_of, requests_for, send_requests, token_of
from serving.security.tokens import session_secret, sign

CONTACTS = {
    "A1": [
        {"contact_id": "P1", "email": "p1@example.com", "opted_out": True},
        {"contact_id": "P2", "email": "p2@example.com", "opted_out": None},
    ],
    "A2": [{"contact_id": "P3", "email": None, "opted_out": True}],
}
RULES = Rules(send=("json://127.0.0.1:9/",))
CASE = {"case_id": "K1", "account_id": "A1", "opened_at": "2026-01-01", "closed_at": "2026-01-02"}


def ask(store, row=CASE, table="cases", rules=RULES):
    with writing(store.engine) as connection:
        return requests_for(store, connection, rules, table, [row], CONTACTS)


def test_an_event_leads_to_one_request_however_often_it_is_sent(store):
    assert ask(store) == ask(store) == []
    (request,) = store.survey_requests()
    assert (request["contact_id"], request["kind"], request["touchpoint"]) == ("P2", "csat", "case")
    assert request["state"] == "pending"


@pytest.mark.parametrize(
    ("table", "row", "touchpoint"),
    [
        ("cases", {**CASE, "closed_at": None}, None),
        ("activities", {"activity_id": "1", "account_id": "A1", "kind": "Go-Live"}, "delivery"),
        ("activities", {"activity_id": "2", "account_id": "A1", "kind": "email"}, None),
        ("contracts", {"contract_id": "3", "account_id": "A1", "decided_at": "2026-01-01"}, "renewal"),
    ],
)
def test_which_events_lead_to_a_question(store, table, row, touchpoint):
    ask(store, row, table)
    assert [one["touchpoint"] for one in store.survey_requests()] == ([touchpoint] if touchpoint else [])


def test_who_asked_for_none_gets_none(store):
    assert "may be asked" in ask(store, {**CASE, "account_id": "A2"})[0]
    assert "asked not to be" in ask(store, {**CASE, "contact_id": "P1"})[0]
    store.events.record(
        "contacts", [{"contact_id": "P2", "account_id": "A1", "opted_out": True}], "contact_id"
    )
    assert "may be asked" in ask(store)[0]
    assert store.survey_requests() == []


def test_nobody_is_asked_too_often(store):
    ask(store)
    assert "contact was asked within 30 days" in ask(store, {**CASE, "case_id": "K2"})[0]
    with writing(store.engine) as connection:
        connection.execute(update(survey_requests).values(asked_at=now() - timedelta(days=31)))
    assert ask(store, {**CASE, "case_id": "K2"}) == []
    rules = Rules(send=RULES.send, contact_days=0, account_most=1)
    assert "the account was asked 1 times" in ask(store, {**CASE, "case_id": "K3"}, rules=rules)[0]
    assert len(store.survey_requests()) == 2


def test_nothing_is_asked_where_requests_go_nowhere(store):
    assert ask(store, rules=Rules()) == []
    assert store.survey_requests() == []


def test_what_rolls_back_asks_nobody(store):
    def killed():
        with writing(store.engine) as connection:
            requests_for(store, connection, RULES, "cases", [CASE], CONTACTS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert store.survey_requests() == []


@pytest.fixture
def asking(settings):
    settings.home.mkdir(parents=True)
    text = "send: ['mailto://h?to={email}']\naddress: https://ask.example/\ncontact_days: 7\n"
    (settings.home / FILE).write_text(text)
    return settings


def test_a_request_is_sent_once_with_a_link_of_its_own(store, asking):
    ask(store)
    sent = []
    failing = [True]

    def post(url, title, body):
        if failing:
            failing.clear()
            raise DeliveryError("away")
        sent.append((url, body))

    assert send_requests(store, asking, send=post) == {"sent": 0, "failed": 1}
    assert send_requests(store, asking, send=post) == {"sent": 0, "failed": 0}  # its turn comes again later
    with writing(store.engine) as connection:
        connection.execute(update(survey_requests).values(claimed_at=now() - timedelta(hours=1)))
    assert send_requests(store, asking, send=post)["sent"] == 1
    assert send_requests(store, asking, send=post)["sent"] == 0
    ((url, body),) = sent
    assert url == "mailto://h?to=p2@example.com"
    token = body.split("https://ask.example/surveys/")[1].strip()
    (request,) = store.survey_requests()
    assert request_of(token, asking) == request["request_id"]
    assert (request["state"], request["email"]) == ("sent", None)


def test_a_token_is_good_for_surveys_only(asking):
    token = token_of("r1", asking)
    assert request_of(token, asking) == "r1"
    assert request_of(token[:-1], asking) is None
    assert request_of(sign({"request": "r1"}, session_secret(asking.home)), asking) is None


def test_the_first_answer_stays(store):
    ask(store)
    request_id = store.survey_requests()[0]["request_id"]
    first = store.answer_request(request_id, 2)
    assert store.answer_request(request_id, 5) == first
    assert (first["score"], first["state"]) == (2, "answered")
    assert store.claim_request() is None
    assert store.answer_request("none", 5) is None
    assert store.erase("A1")["survey_requests"] == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sned: x", "only send"),
        ("- a", "names and values"),
        ("contact_days: soon", "whole numbers"),
        ("text: '{name}'", "at most"),
        ("triggers: [{name: a, table: cases, survey: odd, touchpoint: x}]", "a survey of"),
        ("{", "YAML"),
    ],
)
def test_rules_that_make_no_sense_are_refused(tmp_path, text, words):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(RenewalError, match=words):
        rules_of(Settings(home=tmp_path))


def test_rules_of_a_team_s_own(tmp_path):
    text = (
        "send: json://x\ntriggers:\n  - {name: won, table: opportunities, survey: ces, touchpoint: buying, "
        "filled: closed_at}\n"
    )
    (tmp_path / FILE).write_text(text)
    rules = rules_of(Settings(home=tmp_path))
    assert rules.send == ("json://x",)
    (fired,) = rules.fired("opportunities", {"closed_at": "2026-01-01"})
    assert fired.touchpoint == "buying"
