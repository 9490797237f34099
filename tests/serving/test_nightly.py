"""The nightly job: everything once, then nothing; gone on with when cut short; one at a time; on a page."""

import json
import logging
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from serving_case import client_of, train_plainly
from sqlalchemy import update

from features.crm.load import ingest
from features.errors import RenewalError
from features.logs import JsonLines, span
from features.scratch import turn
from features.settings import Settings
from features.simulation import simulate
from monitoring.alerts import survey_alerts
from monitoring.store import open_store
from monitoring.store.database import now, writing
from monitoring.store.task_log import TaskLog
from monitoring.store.task_tables import tasks
from serving.nightly import job, steps
from serving.nightly.job import alone, run_night
from serving.nightly.job_log import LOCK, is_running, last_jobs
from serving.nightly.steps import Night, NotNow, Step

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nightly") / "crm"
    simulate(folder, accounts=120, seed=6, draws=0)
    return folder


@pytest.fixture
def night(source, tmp_path, monkeypatch):
    """A night with plain models, as what is trained is not what these tests are about."""
    copy = shutil.copytree(source, tmp_path / "crm")
    settings = Settings(home=tmp_path / "home", threads=1)
    made = []

    def plainly(crm, settings, **asked):
        kinds = [kind for kind in ("renewal", "win") if kind not in made]
        for kind in kinds:
            train_plainly(kind, crm, settings, tmp_path / kind)
        made.extend(kinds)
        what = "promoted" if kinds else "kept"
        return {"models": [{"kind": kind, "what": what, "why": "due"} for kind in ("renewal", "win")]}

    monkeypatch.setattr(steps, "retrain", plainly)
    return Night(settings, open_store(settings), str(copy), lists=tmp_path / "lists")


def whats(result):
    return {step["step"]: step["what"] for step in result["steps"]}


def test_a_night_does_everything_the_next_nothing_and_changed_data_run_again_from_the_ingest_on(night):
    first = run_night(night)
    assert first["status"] == "done", first
    assert whats(first) == dict.fromkeys(
        ("ingest", "score renewal", "score win", "monitor", "retrain", "lists"), "done"
    ) | {
        "alerts": "unchanged",
        "write back": "not now",
        "experiments": "not now",
        "tasks": "unchanged",
    }
    rows = pd.read_csv(night.lists / "renewals.csv")
    assert len(rows) == len(night.store.scores.page("renewal", limit=1_000).rows)
    assert len(pd.read_csv(night.lists / "pipeline.csv")) > 0
    counted = len(night.store.predictions.read("renewal"))
    second = run_night(night)
    assert second["status"] == "nothing to do"
    assert set(whats(second).values()) == {"unchanged", "not now"}  # no connection is written to
    assert len(night.store.predictions.read("renewal")) == counted
    one = {"account_id": rows["account_id"][0], "probability": 0.5, "reason": "x", "made_by": "me"}
    night.store.judgements.override("renewal", rows["contract_id"][0], **one)
    third = whats(run_night(night))
    assert {step for step, what in third.items() if what == "done"} == {"monitor", "lists"}
    with client_of(night.settings.home) as client:
        page = client.get("/status", headers={"accept": "text/html"}).text
    assert "Last run: done" in page
    assert page.count("nothing to do") == 1
    contracts = Path(night.source) / "contracts.csv"
    pd.read_csv(contracts, dtype=str).iloc[1:].to_csv(contracts, index=False)
    answer = whats(run_night(night))
    assert answer["ingest"] == answer["score renewal"] == answer["score win"] == "done"


def test_without_source_and_data_nothing_can_be_done_and_the_reason_is_told(tmp_path):
    settings = Settings(home=tmp_path / "home")
    answer = run_night(Night(settings, open_store(settings)))
    assert answer["status"] == "nothing to do"
    assert whats(answer)["score renewal"] == "not now"
    assert "name a source" in next(step["why"] for step in answer["steps"] if step["step"] == "monitor")


def three_steps(done, killed_at=None, fails=None):
    def work(name):
        def run(night):
            if name == killed_at:
                raise KeyboardInterrupt
            if name == fails:
                raise RenewalError(expected="x", found="y", do="z")
            done.append(name)
            return name

        return run

    return tuple(Step(name, lambda night, name=name: [name], work(name)) for name in ("one", "two", "three"))


def test_a_job_cut_short_is_gone_on_with_where_it_was(tmp_path, monkeypatch):
    settings, done = Settings(home=tmp_path / "home"), []
    night = Night(settings, open_store(settings))
    monkeypatch.setattr(job, "STEPS", three_steps(done, killed_at="two"))
    with pytest.raises(KeyboardInterrupt):
        run_night(night)
    (cut,) = last_jobs(night.store)
    assert (cut["summary"]["status"], is_running(settings)) == ("under way", False)
    with client_of(settings.home) as client:
        assert "Last run: cut short" in client.get("/status", headers={"accept": "text/html"}).text
    monkeypatch.setattr(job, "STEPS", three_steps(done))
    answer = run_night(night)
    assert (answer["status"], answer["resumed"]) == ("done", True)
    assert done == ["one", "two", "three"]
    assert [one["run_id"] for one in last_jobs(night.store)] == [cut["run_id"]]
    assert run_night(night)["status"] == "nothing to do"


def test_a_step_that_fails_is_told_tried_again_next_time_and_holds_up_no_other(tmp_path, monkeypatch):
    settings, done = Settings(home=tmp_path / "home"), []
    night = Night(settings, open_store(settings))
    monkeypatch.setattr(job, "STEPS", three_steps(done, fails="one"))
    answer = run_night(night)
    assert answer["status"] == "failed"
    assert whats(answer) == {"one": "failed", "two": "done", "three": "done"}
    monkeypatch.setattr(job, "STEPS", three_steps(done))
    assert whats(run_night(night)) == {"one": "done", "two": "unchanged", "three": "unchanged"}


def loop_of(settings):
    """A night of the steps about experiments and tasks alone, with one unhappy answer on record."""
    night = Night(settings, open_store(settings))
    low = {"account_id": "A1", "kind": "nps", "score": 2, "owner_id": "ann", "response_id": "R1"}
    survey_alerts(night.store, settings, [low, {**low, "account_id": "A2", "response_id": "R2"}])
    return night


def overdue(night):
    with writing(night.store.engine) as connection:
        connection.execute(update(tasks).values(due_at=now() - timedelta(hours=13)))


LOOP = [step for step in steps.STEPS if step.name in ("experiments", "tasks")]


def test_alerts_become_tasks_at_night_and_overdue_ones_escalate_once(tmp_path, monkeypatch):
    night = loop_of(Settings(home=tmp_path / "home"))
    monkeypatch.setattr(job, "STEPS", LOOP)
    assert whats(run_night(night)) == {"experiments": "not now", "tasks": "done"}
    assert {row["account_id"] for row in night.store.tasks.read()} == {"A1", "A2"}
    assert run_night(night)["status"] == "nothing to do"
    overdue(night)
    done = run_night(night)
    assert next(step["why"] for step in done["steps"] if step["step"] == "tasks") == "2 escalated"
    assert run_night(night)["status"] == "nothing to do"
    assert [row["escalations"] for row in night.store.tasks.read()] == [1, 1]


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("where", ["open", "mark_escalated"])
def test_killed_between_alert_and_task_nothing_is_lost_or_doubled(tmp_path, monkeypatch, where, after):
    """The first or second write of a kind never happens: the next night does what is missing, once."""
    night = loop_of(Settings(home=tmp_path / "home"))
    monkeypatch.setattr(job, "STEPS", LOOP)
    if where == "mark_escalated":
        run_night(night)
        overdue(night)
    whole, calls = getattr(TaskLog, where), []

    def killed(self, *args, **more):
        calls.append(args)
        if len(calls) == after + 1:
            raise KeyboardInterrupt
        return whole(self, *args, **more)

    monkeypatch.setattr(TaskLog, where, killed)
    with pytest.raises(KeyboardInterrupt):
        run_night(night)
    monkeypatch.setattr(TaskLog, where, whole)
    again = run_night(night)
    assert (again["status"], again["resumed"]) == ("done", True)
    rows = night.store.tasks.read()
    assert sorted(row["account_id"] for row in rows) == ["A1", "A2"]
    late = [alert for alert in night.store.alerts.read() if alert["rule"] == "task overdue"]
    escalations = 1 if where == "mark_escalated" else 0
    assert [row["escalations"] for row in rows] == [escalations] * 2
    assert sorted(alert["account_id"] for alert in late) == ["A1", "A2"][: 2 * escalations]
    assert all(list(alert["topics"]) == ["escalation 1"] for alert in late)
    assert run_night(night)["status"] == "nothing to do"


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_one_job_at_a_time(request, tmp_path, database):
    url = request.getfixturevalue("postgres_url") if database == "postgres" else None
    settings = Settings(home=tmp_path / "home", database_url=url)
    night = Night(settings, open_store(settings))
    with alone(settings, night.store) as mine:
        assert mine
        assert is_running(settings)
        assert run_night(night)["status"] == "busy"
        if url:  # another machine: its own home, the same database
            other = replace(night, settings=settings.model_copy(update={"home": tmp_path / "elsewhere"}))
            assert run_night(other)["status"] == "busy"
    with turn(settings.home / LOCK, wait=False) as mine:
        assert mine


def test_log_lines_are_json_with_what_was_given_and_spans_need_no_set_up():
    record = logging.makeLogRecord(
        {"msg": "step %s", "args": ("one",), "name": "perennial.nightly", "job": "j"}
    )
    answer = json.loads(JsonLines().format(record))
    assert (answer["event"], answer["job"], answer["logger"]) == ("step one", "j", "perennial.nightly")
    with span("nothing listens", rows=1):
        pass


def test_a_source_in_a_database_is_read_each_time_but_not_told_as_new(night, monkeypatch):
    ingest(night.source, night.settings)
    monkeypatch.setattr(steps, "ingest", lambda source, settings, **more: ingest(night.source, settings))
    of_database = replace(night, source="postgresql://x/y")
    monkeypatch.setattr(job, "STEPS", steps.STEPS[:1])
    assert run_night(of_database)["status"] == "nothing to do"
    with pytest.raises(NotNow):
        steps.STEPS[0].rests_on(replace(night, source=None))
