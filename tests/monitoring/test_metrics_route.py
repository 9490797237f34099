"""/metrics: what monitoring found stands beside the service's own counts."""

from serving_case import client_of, home, night  # noqa: F401 (fixtures)

from features.settings import Settings
from monitoring.store import open_store


def test_the_newest_verdict_is_a_gauge(home):  # noqa: F811
    found = {"verdict": "alert", "version": "1", "checks": []}
    open_store(Settings(home=home)).record_run("m", "monitor", "renewal", found)
    with client_of(home) as client:
        text = client.get("/metrics").text
    assert 'perennial_monitor_verdict{family="all",kind="renewal",model_version="1"} 1.0' in text
    assert "perennial_in_flight" in text
