"""The commands that watch models: what they print, and that alerts are taken and closed by hand."""

import json
from types import SimpleNamespace

import pytest
from decided_case import decided
from typer.testing import CliRunner

from features.errors import RenewalError
from features.settings import Settings
from monitoring.checks import Check, Verdict
from monitoring.forecasters import who_was_right
from monitoring.report import nothing_logged
from monitoring.store import open_store
from perennial import cli
from perennial.print import monitoring_print


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))

    def run(*words):
        answer = CliRunner().invoke(cli.app, words, standalone_mode=False, catch_exceptions=False)
        return answer.stdout

    return run


def test_an_alert_is_listed_taken_and_closed(command, tmp_path):
    store = open_store(Settings(home=tmp_path))
    done = store.alerts.open("k", rule="monitor: drift", title="calls [fell]", reasons=["drift: calls"])
    assert "calls [fell]" in command("alerts")
    (row,) = json.loads(command("alerts", "list", "--json"))["alerts"]
    assert row["alert_id"] == done.alert_id
    command("alerts", "ack", done.alert_id[:6], "--owner", "Ann", "--by", "Bob")
    assert store.alerts.read()[0]["owner"] == "Ann"
    command("alerts", "close", done.alert_id[:6], "--because", "mended", "--by", "Ann")
    answer = json.loads(command("alerts", "list", "--state", "all", "--json"))
    assert answer["alerts"][0]["closed_because"] == "mended"
    assert answer["figures"]["closed"] == 1
    assert answer["figures"]["median_hours_to_close"] >= 0
    assert "No open alert" in command("alerts")
    assert [row["action"] for row in store.audit.read()] == ["alert closed", "alert acknowledged"]
    with pytest.raises(RenewalError, match="fits none"):
        command("alerts", "close", "zz")


def test_who_was_right_reads_on_a_terminal(tmp_path, capsys):
    case = decided(tmp_path)
    case.log(case.blurred(1.5))
    monitoring_print.judged(who_was_right(case.crm, case.settings))
    answer = capsys.readouterr().out
    assert "owners' forecasts" in answer
    assert "Forecasts in words" in answer
    assert "scores said" in answer


def test_a_monitoring_run_reads_on_a_terminal(capsys):
    guess = Check("estimate before outcomes: AUC", "", 0.7, None, Verdict.UNKNOWN, "an estimate")
    moved = Check("drift: calls", "", 0.5, 0.1, Verdict.ALERT, "median [3], was 5")
    checks = [{"kind": "renewal", **check.as_dict()} for check in (guess, moved)]
    figures = {"open": 1, "acknowledged": 0, "closed": 2, "median_hours_to_acknowledge": None}
    alert = {"alert_id": "abcdef0123", "title": "renewal model, drift: features"}
    alerts = {"opened": [alert], "grown": [{**alert, "joined": ["drift: mails"]}],
              "figures": {**figures, "median_hours_to_close": 5.25}}  # fmt: skip
    monitoring_print.monitored({"verdict": "alert", "checks": checks, "html": None, "alerts": alerts})
    answer = capsys.readouterr().out
    assert "median [3], was 5" in answer
    assert "Before outcomes (renewal): AUC 0.700: an estimate." in answer
    assert "More on abcdef01 renewal model, drift: features: drift: mails" in answer
    assert "1 open, 0 taken on, 2 closed; 5.2 h to close (median)" in answer


def test_with_nothing_logged_the_data_are_not_even_read(command, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "monitoring.report.champion", lambda kind, settings: SimpleNamespace(version="4", model=None)
    )
    monkeypatch.setattr("monitoring.report.threshold", lambda model: 0.5)
    waived = {"gate": "parity", "by": "Ann", "reason": "signed off", "why": "a gap"}
    monkeypatch.setattr("monitoring.report.show", lambda *_: {"waived": [waived]})
    monkeypatch.setattr("features.crm.load.load", None)  # calling it would fail
    answer = json.loads(command("monitor", "renewal", "--crm", str(tmp_path / "nowhere"), "--json"))
    assert answer["verdict"] == "unknown"
    assert [check["name"] for check in answer["checks"]] == ["predictions: logged", "gate waived: parity"]
    assert "waived by Ann: signed off" in answer["checks"][1]["why"]
    assert answer["waived"][0]["by"] == "Ann"
    assert "perennial score renewal" in answer["checks"][0]["why"]
    case = decided(tmp_path)
    case.log(case.blurred(1.5))
    assert not nothing_logged(Settings(home=tmp_path / "home"), "renewal")
    assert nothing_logged(Settings(home=tmp_path / "home"), "win")
