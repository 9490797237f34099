import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from features.errors import RenewalError
from features.settings import Settings
from monitoring.alerts import (
    DeliveryError,
    champion_alert,
    channels,
    model_alert,
    risk_alerts,
    send_due,
    settle,
    survey_alerts,
)
from monitoring.checks import Check, Verdict, overall
from monitoring.store import open_store

NOW = timedelta(0)


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, alert_urls="json://one.example/token json://two.example")


@pytest.fixture
def store(settings):
    return open_store(settings)


def check(name="drift: calls", verdict=Verdict.ALERT, essential=False, segment=""):
    return Check(name, segment, 0.3, 0.1, verdict, "calls fell", is_essential=essential)


def test_a_cause_opens_one_alert_however_often_it_is_seen(store, settings):
    for _ in range(3):
        settle(store, settings, "renewal", [check()])
    settle(store, settings, "win", [check()])
    assert len(store.alerts.read(state="open")) == 2
    assert len(store.alerts.read(kind="renewal")) == 1


def test_an_alert_closes_when_its_cause_is_gone_and_not_before(store, settings):
    settle(store, settings, "renewal", [check(), check("drift: mails")])
    settle(store, settings, "renewal", [check("drift: all", Verdict.UNKNOWN, essential=True)])
    settle(store, settings, "renewal", [check("performance: AUC", Verdict.OK)])
    settle(store, settings, "win", [check("drift: all", Verdict.OK)])
    assert len(store.alerts.read(state="open")) == 2
    answer = settle(store, settings, "renewal", [check("drift: mails"), check("drift: all", Verdict.OK)])
    assert (answer["closed"], answer["standing"], answer["opened"]) == (1, 1, [])
    (closed,) = store.alerts.read(state="closed")
    assert closed["closed_because"] == "the cause is gone"
    assert closed["hours_to_close"] >= 0
    assert settle(store, settings, "renewal", [check()])["opened"][0]["alert_id"] != closed["alert_id"]


def test_people_acknowledge_and_close(store, settings):
    settle(store, settings, "renewal", [check()])
    (alert,) = store.alerts.read(state="open")
    store.alerts.acknowledge(alert["alert_id"], "Ann")
    (seen,) = store.alerts.read(state="standing")
    assert (seen["state"], seen["owner"], seen["acknowledged_by"]) == ("acknowledged", "Ann", "Ann")
    settle(store, settings, "renewal", [check()])
    assert len(store.alerts.read()) == 1
    store.alerts.close(alert["alert_id"], "Ann", "retrained")
    store.alerts.close(alert["alert_id"], "Bob", "again")
    (closed,) = store.alerts.read(state="closed")
    assert (closed["closed_by"], closed["closed_because"]) == ("Ann", "retrained")
    with pytest.raises(RenewalError, match="alert"):
        store.alerts.close("nothing", "Ann")


def test_low_survey_scores_alert_once_an_account(store, settings):
    rows = [
        {"account_id": "a1", "kind": "nps", "score": 2, "owner_id": "o1", "touchpoint": "support"},
        {"account_id": "a1", "kind": "NPS", "score": 0},
        {"account_id": "a2", "kind": "csat", "score": 2},
        {"account_id": "a3", "kind": "nps", "score": 9},
        {"account_id": "a4", "kind": "ces", "score": None},
        {"account_id": "a5", "kind": "mood", "score": 0},
    ]
    assert [alert["title"] for alert in survey_alerts(store, settings, rows)] == [
        "a1: NPS 2 on support",
        "a2: CSAT 2",
    ]
    assert store.alerts.read()[0]["threshold"] == 2


def test_a_jump_in_risk_alerts_with_its_reasons(store, settings):
    reasons = [{"words": "no meeting in 94 days", "log_odds": -0.9}, {"words": "many users", "log_odds": 0.4}]
    row = {
        "subject_id": "c1",
        "account_id": "a1",
        "previous_probability": 0.8,
        "probability": 0.55,
        "reasons": reasons,
    }
    calm = {**row, "subject_id": "c2", "probability": 0.7}
    new = {**row, "subject_id": "c3", "previous_probability": None}
    answer = risk_alerts(store, settings, "renewal", [row, calm, new])
    assert [alert["title"] for alert in answer] == ["c1: likelihood to renew fell from 80% to 55%"]
    assert store.alerts.read()[0]["reasons"] == ["no meeting in 94 days"]
    assert model_alert(store, settings, "renewal", "4", rule="champion changed", reasons=[])
    assert not model_alert(store, settings, "renewal", "4", rule="champion changed", reasons=[])


def test_each_alert_goes_once_to_each_channel_and_secrets_stay_out_of_the_ledger(store, settings):
    sent = []
    settle(store, settings, "renewal", [check()])
    for _ in range(3):
        send_due(store, settings, send=lambda *message: sent.append(message), lease=NOW)
        settle(store, settings, "renewal", [check()])
    assert sorted(url for url, _, _ in sent) == sorted(channels(settings).values())
    (alert,) = store.alerts.read()
    assert alert["alert_id"] in sent[0][2]
    assert "token" not in json.dumps(store.alerts.sends(alert["alert_id"]), default=str)


def test_what_joins_a_standing_alert_is_told_again_and_what_comes_and_goes_is_not(store, settings):
    sent = []

    def answer(*names):
        columns = [
            Check(f"drift: {n}", "", 1.0, 0.1, Verdict.ALERT, "moved", cause="drift: all") for n in names
        ]
        done = settle(store, settings, "renewal", columns)
        send_due(store, settings, send=lambda *message: sent.append(message), lease=NOW)
        return done

    answer("calls")
    assert len(sent) == 2
    grown = answer("calls", "mails")["grown"]
    assert grown[0]["joined"] == ["drift: mails"]
    assert len(sent) == 4
    assert sent[-1][1].startswith("[Perennial] more on: renewal model")
    assert sent[-1][2].startswith("new under this alert: drift: mails\n")
    answer("calls")
    answer("calls", "mails")
    assert len(sent) == 4
    assert store.alerts.read()[0]["topics"] == ["drift: calls", "drift: mails"]
    answer("seats")
    assert len(sent) == 6


def test_what_joins_while_a_message_is_under_way_is_still_due(store, settings):
    settle(store, settings, "renewal", [check(segment="a")])
    due = store.alerts.claim_send()
    cause = check(segment="a").alert_as
    grown = [check(segment="a"), Check("drift: mails", "", 1.0, 0.1, Verdict.ALERT, "fell", cause=cause)]
    settle(store, settings, "renewal", grown)
    store.alerts.mark_send(due["alert_id"], due["channel"], round=due["round"])
    sent = []
    send_due(store, settings, send=lambda *message: sent.append(message), lease=NOW)
    assert len(sent) == 2
    assert all("drift: mails" in body for _, _, body in sent)


def test_figures_say_how_long_alerts_take(store, settings):
    assert store.alerts.figures()["median_hours_to_close"] is None
    settle(store, settings, "renewal", [check(), check("drift: mails")])
    first, second = store.alerts.read()
    store.alerts.acknowledge(first["alert_id"], "Ann")
    store.alerts.close(second["alert_id"], "Ann", "mended")
    answer = store.alerts.figures("renewal")
    assert (answer["open"], answer["acknowledged"], answer["closed"]) == (0, 1, 1)
    assert 0 <= answer["median_hours_to_close"] < 1
    assert 0 <= answer["oldest_hours"] < 1
    assert store.alerts.figures("win")["closed"] == 0


def test_another_champion_is_told_once(store, settings):
    assert champion_alert(store, settings, "renewal", "1") == []
    assert champion_alert(store, settings, "renewal", "2")[0]["title"] == "renewal model 2: champion changed"
    assert champion_alert(store, settings, "renewal", "2") == []
    assert store.alerts.read()[0]["reasons"] == ["version 2 serves in place of version 1"]


def test_a_failed_send_is_tried_again_and_given_up_after_five(store, settings):
    settle(store, settings, "renewal", [check()])

    def refuse(url, title, body):
        raise DeliveryError("down")

    assert send_due(store, settings, send=refuse) == {"sent": 0, "failed": 2}
    assert send_due(store, settings, send=refuse) == {"sent": 0, "failed": 0}
    sent = []
    assert send_due(store, settings, send=lambda *m: sent.append(m), lease=timedelta(seconds=-1))["sent"] == 2
    assert "may have reached you before" in sent[0][2]
    survey_alerts(store, settings, [{"account_id": "a", "kind": "nps", "score": 0}])
    assert send_due(store, settings, send=refuse, lease=timedelta(seconds=-1))["failed"] == 10
    assert send_due(store, settings, send=refuse, lease=timedelta(seconds=-1))["failed"] == 0


class Inbox(ThreadingHTTPServer):
    """A webhook that keeps what it is sent."""

    def __init__(self):
        self.taken = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                inbox.taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"json://127.0.0.1:{self.server_port}/"


@pytest.fixture
def inbox():
    server = Inbox()
    yield server
    server.shutdown()
    server.server_close()


def test_apprise_reaches_a_real_webhook_and_notices_one_that_is_gone(tmp_path, inbox):
    settings = Settings(home=tmp_path, alert_urls=f"{inbox.url}, json://127.0.0.1:1/")
    store = open_store(settings)
    survey_alerts(store, settings, [{"account_id": "a1", "kind": "nps", "score": 1}])
    assert send_due(store, settings) == {"sent": 1, "failed": 1}
    assert inbox.taken[0]["title"] == "[Perennial] a1: NPS 1"


KILLED = """
import sys
from pathlib import Path
from datetime import timedelta
from features.settings import Settings
from monitoring.alerts import send_due, survey_alerts
from monitoring.store import open_store
settings = Settings(home=Path(sys.argv[1]), alert_urls=sys.argv[2])
store = open_store(settings)
import apprise
print("ready", flush=True)
for number in range(int(sys.argv[3])):
    survey_alerts(store, settings, [{"account_id": f"a{number}", "kind": "nps", "score": 1}])
    send_due(store, settings, lease=timedelta(0) if number == 0 else timedelta(minutes=10))
print("done", flush=True)
"""


def start(tmp_path, inbox, count=25):
    arguments = [sys.executable, "-c", KILLED, str(tmp_path), inbox.url, str(count)]
    child = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    return child


def test_killed_while_sending_no_alert_is_lost_and_only_the_one_in_flight_can_come_twice(tmp_path, inbox):
    kills = 0
    for wait in (0.03, 0.1, 0.2, 0.33):
        child = start(tmp_path, inbox)
        time.sleep(wait)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        kills += 1
    child = start(tmp_path, inbox)
    assert child.communicate(timeout=60)[0].strip() == "done"
    titles = [message["title"] for message in inbox.taken]
    assert set(titles) == {f"[Perennial] a{number}: NPS 1" for number in range(25)}
    assert len(titles) <= 25 + kills
    repeated = [message for message in inbox.taken if "may have reached you before" in message["message"]]
    assert len(titles) - 25 <= len(repeated)


def test_the_whole_is_alert_before_unknown_before_ok():
    ok, alert = check(verdict=Verdict.OK, essential=True), check()
    essential, other = check(verdict=Verdict.UNKNOWN, essential=True), check(verdict=Verdict.UNKNOWN)
    assert overall([ok, other]) is Verdict.OK
    assert overall([ok, essential]) is Verdict.UNKNOWN
    assert overall([ok, essential, alert]) is Verdict.ALERT
    assert overall([]) is Verdict.UNKNOWN
    assert overall([check(verdict=Verdict.OK)]) is Verdict.UNKNOWN
    assert ok.as_dict()["verdict"] == "ok"
