"""Signed webhooks: their receiver can check them, and recognise a repeat by its id."""

from datetime import timedelta

import pytest
from api_server import DOWN, serving
from webhook_receiver import WEBHOOK_SECRET, Receiver

from features.settings import Settings
from monitoring.alerts import channels, send_due
from monitoring.signed_webhook import NotTakenError, signed_headers
from monitoring.store import open_store


@pytest.fixture
def receiver(monkeypatch):
    monkeypatch.setenv("PERENNIAL_SECRET_WEBHOOK", WEBHOOK_SECRET)
    with serving(Receiver()) as each:
        yield each


@pytest.fixture
def due(receiver, tmp_path):
    """Functions that open an alert and that send what is due."""
    settings = Settings(home=tmp_path, alert_urls=f"{receiver.url.replace('http://', 'hook://')}/in")
    store = open_store(settings)

    def open_alert(key):
        names = list(channels(settings))
        return store.alerts.open(key, rule="jump in risk", title="c1 fell", reasons=["no call"],
                                 kind="renewal",
                                 subject_id="c1", account_id="a1", value=0.3, channels=names)  # fmt: skip

    def send(**more):
        return send_due(store, settings, **{"lease": timedelta(0), **more})

    return open_alert, send


def test_an_alert_comes_once_and_its_signature_holds(receiver, due):
    open_alert, send = due
    alert = open_alert("k1")
    assert send() == {"sent": 1, "failed": 0}
    assert send() == {"sent": 0, "failed": 0}
    (message,) = receiver.taken.values()
    assert list(receiver.taken) == [f"{alert.alert_id}.0"]
    assert message["type"] == "alert.opened"
    assert message["data"]["subject_id"] == "c1"
    assert message["data"]["reasons"] == ["no call"]


@pytest.mark.parametrize("fault", [DOWN, 500, 302])
def test_what_is_not_taken_is_tried_again_under_the_same_id(receiver, due, fault):
    open_alert, send = due
    alert = open_alert("k1")
    receiver.status = 200 if fault == DOWN else fault
    receiver.faults += [("/in", DOWN)] if fault == DOWN else []
    ledger = []
    counts = send(stop=lambda: bool(ledger.append(1)) or len(ledger) > 1)
    assert counts == {"sent": 0, "failed": 1}
    receiver.status = 200
    assert send() == {"sent": 1, "failed": 0}
    assert list(receiver.taken) == [f"{alert.alert_id}.0"]


def test_a_wrong_secret_is_refused_and_none_is_one_line_without_it(receiver, due, monkeypatch):
    open_alert, send = due
    open_alert("k1")
    lines, calls = [], []
    monkeypatch.setenv("PERENNIAL_SECRET_WEBHOOK", "another-secret-never-shown")
    send(say=lines.append, stop=lambda: bool(calls.append(1)) or len(calls) > 1)
    monkeypatch.delenv("PERENNIAL_SECRET_WEBHOOK")
    calls.clear()
    send(say=lines.append, stop=lambda: bool(calls.append(1)) or len(calls) > 1)
    assert "answered 401" in lines[0]
    assert "PERENNIAL_SECRET_WEBHOOK" in lines[1]
    assert "never-shown" not in "".join(lines)
    assert not receiver.taken


def test_signatures_are_those_of_the_specification():
    """The example of the Standard Webhooks specification's own libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, '{"test": 2432232314}', secret)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    with pytest.raises(NotTakenError, match="no Base64"):
        signed_headers("m", 1, "{}", "whsec_not base64!")
