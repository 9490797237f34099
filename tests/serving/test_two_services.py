"""Two services on one store: an event taken by one counts in the other's scores, and nothing comes twice."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import pandas as pd
import pytest
from folders import copy_of
from serving_case import night  # noqa: F401 (a fixture)
from sqlalchemy import create_engine, func, select, text
from test_deliveries import Inbox

from features.settings import Settings
from monitoring.alerts import champion_alert, send_due
from monitoring.store import Store, open_store
from monitoring.store.tables import runs
from serving.erase_everywhere import erase
from serving.live.events import Arrivals
from serving.live.live_scores import Live
from serving.live.model_cache import HeldModels
from serving.middleware import Metrics
from serving.security.auth import LOCAL

pytestmark = pytest.mark.slow


@dataclass
class Service:
    """What a service answers events and questions with, without its HTTP."""

    settings: Settings
    store: Store
    live: Live
    free: Iterator[str]

    def take(self, account, number, at="2026-01-01T12:00:00", table="activities"):
        """An event of an account, or its answer to a survey."""
        more = {"response_id": f"R-{account}-{number}", "kind": "nps", "score": 1, "answered_at": at}
        call = {"activity_id": f"E-{account}-{number}", "kind": "meeting", "occurred_at": at}
        row = {"account_id": account, **(more if table == "surveys" else call)}
        return self.live.arrivals.take(table, [row], LOCAL)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def services(request, night, tmp_path_factory):  # noqa: F811
    """Two services of one home, whose scores lie in SQLite or PostgreSQL; each test takes other accounts."""
    home = copy_of(night, tmp_path_factory.mktemp("two") / "home")
    url = None
    if request.param == "postgres":
        server = request.getfixturevalue("postgres_server")
        with create_engine(f"{server}/postgres".replace("ql:", "ql+psycopg:")).connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("CREATE DATABASE two"))
        url = f"{server}/two"
    settings = Settings(home=home, threads=1)
    models = HeldModels(settings, Metrics())  # the home's: what is tried here is the store
    models.refresh()
    stored = settings.model_copy(update={"database_url": url})
    stores = [open_store(stored) for _ in range(2)]
    lives = [Live(stored, store, models) for store in stores]
    ground = lives[0].arrivals._stands.grounds["renewal"]
    free = iter(dict.fromkeys(row["account_id"] for row in ground.subjects))
    both = [Service(stored, store, live, free) for store, live in zip(stores, lives, strict=True)]
    yield both
    for each in both:
        each.store.engine.dispose()


@pytest.fixture
def account(services):
    """One with a contract that runs, which no other test takes."""
    return next(services[0].free)


def at_once(*works):
    """Do several things at the same time; what went wrong is raised."""
    wrong = []

    def run(work):
        try:
            work()
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if wrong:
        raise wrong[0]


def logged(store, account):
    """The feature rows behind an account's live score."""
    rows = store.predictions.features("renewal")
    rows = rows[rows["run_id"] == f"live-renewal-{account}"]
    return rows.sort_values("subject_id").reset_index(drop=True).astype(object)


def test_two_events_of_one_customer_at_once_both_count(services, account, monkeypatch):
    one, other = services
    read = threading.Event()
    events_of = Arrivals._live_events

    def slow(self, connection, account_id):
        arrived = events_of(self, connection, account_id)
        if self is one.live.arrivals:
            read.set()
            time.sleep(0.5)  # it is not committed yet, and the other one begins
        return arrived

    monkeypatch.setattr(Arrivals, "_live_events", slow)
    at_once(
        lambda: one.take(account, 1),
        lambda: read.wait(30) and other.take(account, 2, at="2026-01-01T11:00:00"),
    )
    written = logged(one.store, account)
    other.take(account, 1)  # sent once more, when all is at rest: what the score must be
    pd.testing.assert_frame_equal(written, logged(one.store, account))
    assert len(one.store.events.read(account_id=account)) == 2


def test_what_one_wrote_the_other_answers(services, account):
    one, other = services
    first = one.take(account, 1)["rows"][0]["contract_id"]
    other.live.score_cache.look()
    before = other.live.stored("renewal", [first], LOCAL)
    one.take(account, 2, at="2026-01-15T12:00:00")
    assert other.live.stored("renewal", [first], LOCAL) == before
    other.live.score_cache.look()
    assert other.live.stored("renewal", [first], LOCAL) == one.live.stored("renewal", [first], LOCAL)
    assert other.live.stored("renewal", [first], LOCAL) != before


def test_the_same_events_sent_to_both_are_stored_told_and_delivered_once(services):
    one, other = services
    accounts = list(islice(one.free, 4))
    inbox = Inbox()
    answers = {one.store: [], other.store: []}
    for each in services:
        each.settings = each.settings.model_copy(update={"alert_urls": inbox.url})
        each.live.arrivals.settings = each.settings

    def all_of(service):
        for number, each in enumerate(accounts):
            answers[service.store].append(service.take(each, number, table="surveys"))

    at_once(lambda: all_of(one), lambda: all_of(other))
    for place in range(len(accounts)):
        pair = [answers[each.store][place] for each in services]
        assert sorted((each["stored"], each["repeated"]) for each in pair) == [(0, 1), (1, 0)]
    champion_alert(one.store, one.settings, "renewal", "1")
    at_once(
        *(lambda each=each: champion_alert(each.store, each.settings, "renewal", "2") for each in services)
    )
    at_once(*(lambda each=each: send_due(each.store, each.settings) for each in services))
    result = [each for each in inbox.titles(5) if "NPS" in each or "champion" in each]
    assert len(result) == len(set(result)) == len(accounts) + 1
    with one.store.engine.connect() as connection:
        sends = [one.store.alerts.sends(alert["alert_id"]) for alert in one.store.alerts.read()]
        assert {send["state"] for each in sends for send in each} == {"sent"}
        noted = select(func.count()).where(runs.c.what == "champion", runs.c.kind == "renewal")
        assert connection.execute(noted).scalar() == 1
    inbox.shutdown()
    inbox.server_close()


def test_the_same_outcomes_sent_to_both_are_kept_once(services):
    frame = pd.DataFrame({"contract_id": [f"C-{i}" for i in range(300)], "outcome": 1})
    counts = []
    at_once(*(lambda each=each: counts.append(each.store.outcomes.record(frame)) for each in services))
    assert sorted((each["new"], each["repeated"]) for each in counts) == [(0, 300), (300, 0)]


def test_an_event_that_meets_an_erasure_brings_nobody_back(services, account, monkeypatch):
    one, other = services
    one.take(account, 1)
    people_now = Arrivals._people_now

    def late(self):
        people = people_now(self)
        if people.folder not in seen_before:
            seen_before.add(people.folder)
            erase(account, other.settings)  # between the look at who there is, and the writing
        return people

    seen_before: set = set()
    monkeypatch.setattr(Arrivals, "_people_now", late)
    answer = one.take(account, 2)
    assert (answer["stored"], answer["rows"]) == (0, [])
    assert "there is no account" in answer["refused"][0]["why"]
    assert one.store.events.read(account_id=account) == []
    assert logged(one.store, account).empty


def test_a_night_and_events_at_once_wait_for_each_other(services, account):
    one, other = services
    several = list(islice(one.free, 6))
    for number, each in enumerate(several):
        one.take(each, number)
    rows = pd.DataFrame(one.store.scores.page("renewal", limit=1_000).rows)
    rows = rows.drop(columns=["kind", "run_id", "model_version", "scored_at"]).iloc[::-1]

    def nights():
        for number in range(4):
            one.store.scores.write(
                "renewal", rows, run_id=f"night-{number}", model_version="1", complete=True
            )

    def days():
        for number in range(3):
            batch = [
                {
                    "activity_id": f"N-{number}-{each}",
                    "account_id": each,
                    "kind": "call",
                    "occurred_at": "2026-01-02",
                }
                for each in several
            ]
            assert other.live.arrivals.take("activities", batch, LOCAL)["stored"] == len(several)

    at_once(nights, days)
    assert len(one.store.events.read(accounts=several)) == 4 * len(several)
