"""monitoring/gauges.py: what Prometheus reads."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from features.settings import Settings
from monitoring.gauges import exposition
from monitoring.store import open_store


@pytest.fixture
def store(tmp_path):
    return open_store(Settings(home=tmp_path))


def read(store):
    found = {}
    for family in text_string_to_metric_families(exposition(store).decode()):
        for sample in family.samples:
            found[sample.name, *sorted(sample.labels.values())] = sample.value
    return found


def check(name, verdict, value=None, segment=""):
    return {"name": name, "segment": segment, "verdict": verdict, "value": value, "threshold": 0.1, "why": ""}


def test_verdicts_checks_and_alerts_of_the_newest_run(store):
    old = {"verdict": "alert", "version": "1", "checks": [check("drift: calls", "alert", 0.3)]}
    new = {
        "verdict": "ok",
        "version": "2",
        "checks": [
            check("drift: features", "ok", 0.0),
            check("performance: AUC", "unknown"),
            check("parity (live, all): mean score", "alert", 0.2, "sex=f"),
        ],
    }
    store.record_run("a", "monitor", "renewal", old)
    store.record_run("b", "monitor", "renewal", new)
    store.alerts.open("k", rule="monitor: drift", title="calls")
    found = read(store)
    assert found["perennial_monitor_verdict", "2", "all", "renewal"] == 0
    assert found["perennial_monitor_verdict", "2", "drift", "renewal"] == 0
    assert found["perennial_monitor_verdict", "2", "parity", "renewal"] == 1
    assert found["perennial_monitor_verdict", "2", "performance", "renewal"] == -1
    assert found["perennial_monitor_check", "parity (live, all): mean score", "renewal", "sex=f"] == 1
    assert found["perennial_monitor_value", "parity (live, all): mean score", "renewal", "sex=f"] == 0.2
    assert ("perennial_monitor_value", "", "performance: AUC", "renewal") not in found
    assert 0 <= found["perennial_monitor_age_seconds", "renewal"] < 60
    assert found["perennial_alerts", "open"] == 1
    assert not any("drift: calls" in key for key in found)


def test_without_a_run_there_are_only_alerts(store):
    names = {key[0] for key in read(store)}
    assert names == {"perennial_alerts"}
