"""Alerts in the store of each database: what joins one, what is due, and how long they take."""

from datetime import timedelta

import pytest

from features.errors import RenewalError


def opened(store, *topics):
    return store.alerts.open("k", rule="monitor: drift", title="t", channels=["one", "two"], topics=topics)


def sent(store):
    done = []
    while (due := store.alerts.claim_send(lease=timedelta(minutes=1))) is not None:
        store.alerts.mark_send(due["alert_id"], due["channel"], round=due["round"])
        done.append((due["channel"], due["round"]))
    return sorted(done)


def test_what_joins_is_due_again_once_on_every_channel(store):
    assert opened(store, "calls")[1:] == (True, ())
    assert sent(store) == [("one", 0), ("two", 0)]
    assert opened(store, "calls", "mails")[1:] == (False, ("mails",))
    assert sent(store) == [("one", 1), ("two", 1)]
    assert opened(store, "mails")[1:] == (False, ())
    assert sent(store) == []
    assert store.alerts.read()[0]["topics"] == ["calls", "mails"]


def test_the_mark_of_an_older_telling_does_not_silence_the_newer(store):
    alert = opened(store, "calls").alert_id
    due = store.alerts.claim_send()
    opened(store, "calls", "mails")
    store.alerts.mark_send(alert, due["channel"], round=due["round"])
    assert sent(store) == [("one", 1), ("two", 1)]


def test_an_alert_is_found_by_how_its_id_begins_if_no_other_does(store):
    alert = opened(store).alert_id
    assert store.alerts.id_of(alert[:5]) == alert
    for beginning in ("", "%", "no such"):
        with pytest.raises(RenewalError, match="alerts list"):
            store.alerts.id_of(beginning)
    assert store.alerts.figures("renewal")["open"] == 0
    assert store.alerts.figures()["open"] == 1
