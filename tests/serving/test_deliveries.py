"""Alerts of the live path: raised within the call, sent after it, none lost or doubled by a kill."""

import json
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from serving_case import LOCAL, home, night, serving, train_plainly  # noqa: F401 (fixtures)
from starlette.testclient import TestClient

from features.crm.load import opened
from features.settings import Settings
from monitoring.store import open_store
from serving.app import create_app, look
from serving.live.deliveries import Deliveries

pytestmark = pytest.mark.slow
SLOW_SECONDS = 3.0


class Inbox(ThreadingHTTPServer):
    """A webhook that keeps what it is sent, and takes its time."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.taken: list[dict] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                answer = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                time.sleep(seconds)
                inbox.taken.append(answer)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server_port}/"

    def titles(self, count: int, seconds: float = 30.0) -> list[str]:
        """The titles taken, once there are so many."""
        until = time.monotonic() + seconds
        while len(self.taken) < count and time.monotonic() < until:
            time.sleep(0.05)
        return [message["title"] for message in self.taken]


@pytest.fixture
def inbox():
    server = Inbox()
    yield server
    server.shutdown()
    server.server_close()


def answered(account, number, score=1):
    row = {
        "response_id": f"R-{number}", "account_id": account, "kind": "nps", "score": score,
        "answered_at": "2026-01-01T09:30:00",
    }  # fmt: skip
    return {"table": "surveys", "rows": [row]}


def send(client, body):
    """POST an event; the first one may find the data being read, and is sent again."""
    for _ in range(20):
        answer = client.post("/v1/events", json=body)
        if answer.status_code != 504:
            assert answer.status_code == 200, answer.text
            return answer
    raise AssertionError("no answer")


def service(home, urls=""):  # noqa: F811
    app = create_app(Settings(home=home, threads=1, alert_urls=urls))
    return TestClient(app, base_url=LOCAL, client=("127.0.0.1", 1))


def account_of(client):
    return client.get("/v1/renewals?limit=1").json()["rows"][0]["account_id"]


def test_an_alert_is_named_in_the_answer_which_waits_for_no_delivery(home):  # noqa: F811
    slow = Inbox(SLOW_SECONDS)
    with service(home, slow.url) as client:
        account = account_of(client)
        send(client, answered(account, 0, score=9))
        began = time.perf_counter()
        answer = send(client, answered(account, 1)).json()
        assert time.perf_counter() - began < SLOW_SECONDS
        assert not slow.taken
        assert [alert["rule"] for alert in answer["alerts"]][:1] == ["low survey score"]
        assert f"[Perennial] {account}: NPS 1" in slow.titles(1)
    slow.shutdown()
    slow.server_close()


def test_killed_after_the_answer_nothing_is_lost_and_nothing_comes_twice(home, inbox, monkeypatch):  # noqa: F811
    with monkeypatch.context() as dead:
        dead.setattr(Deliveries, "_run", lambda self: None)  # as if killed before the first send
        with service(home, inbox.url) as client:
            account = account_of(client)
            assert send(client, answered(account, 1)).json()["alerts"]
    assert not inbox.taken
    with service(home, inbox.url) as client:
        first = inbox.titles(1)
        again = send(client, answered(account, 1)).json()
        assert (again["stored"], again["repeated"], again["alerts"]) == (0, 1, [])
        time.sleep(1.0)
        assert inbox.titles(1) == first


def test_the_same_answer_is_told_once_even_when_its_alert_is_closed_and_a_new_one_joins(home, inbox):  # noqa: F811
    store = open_store(Settings(home=home))
    with service(home, inbox.url) as client:
        account = account_of(client)
        send(client, answered(account, 1))
        joined = send(client, answered(account, 2, score=0)).json()["alerts"]
        assert [alert["rule"] for alert in joined] == ["low survey score"]
        (alert,) = [one for one in store.alerts.read(state="open") if one["rule"] == "low survey score"]
        store.alerts.close(alert["alert_id"], "me")
        for number in (1, 2):
            assert send(client, answered(account, number)).json()["alerts"] == []
        assert send(client, answered(account, 3)).json()["alerts"] != []


def test_a_killed_process_leaves_its_alerts_to_the_next(home, inbox, monkeypatch):  # noqa: F811
    inbox.shutdown()  # nobody takes what the first one sends
    monkeypatch.setenv("PERENNIAL_ALERT_URLS", inbox.url)
    with serving(home) as running, httpx.Client(base_url=running.site, timeout=30) as client:
        account = account_of(client)
        assert send(client, answered(account, 1)).json()["alerts"]
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.join()
    store = open_store(Settings(home=home))
    sends = [one for alert in store.alerts.read() for one in store.alerts.sends(alert["alert_id"])]
    assert {one["state"] for one in sends} <= {"pending", "sending", "failed"}
    assert len(sends) >= 1


def test_another_champion_is_told_of_whoever_moved_the_alias(home, inbox):  # noqa: F811
    settings = Settings(home=home, threads=1)
    with service(home, inbox.url) as client, opened(settings) as crm:
        train_plainly("renewal", crm, settings, home / "next", C=0.001)
        assert look(client.app.state.running, {}) == {}
        assert "[Perennial] renewal model 2: champion changed" in inbox.titles(1)
    with service(home, inbox.url):
        time.sleep(0.5)
    assert len(inbox.taken) == 1


def test_without_an_address_no_thread_runs(tmp_path):
    settings = Settings(home=tmp_path)
    sender = Deliveries(open_store(settings), settings)
    assert sender._thread is None
    sender.wake()
    sender.close()
