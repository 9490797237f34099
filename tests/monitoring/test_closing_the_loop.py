"""From an alert to tasks, to their close and their judgement: each step once, in both databases."""

from datetime import datetime, timedelta

import pandas as pd
import pytest
from sqlalchemy import update

from features.crm.load import load
from features.errors import RenewalError
from features.settings import Settings
from monitoring.alerts import survey_alerts
from monitoring.closing_the_loop import begin_tasks, escalate, finish_task, judged
from monitoring.playbooks import FILE, SHIPPED, playbook_for, playbooks_of
from monitoring.store.database import now, writing
from monitoring.store.tables import outcomes
from monitoring.store.task_tables import tasks
from monitoring.task_outcomes import outcomes_of

LOW = [{"account_id": "A1", "kind": "nps", "score": 2, "owner_id": "ann", "response_id": "R1"}]


@pytest.fixture
def alerted(store, settings):
    survey_alerts(store, settings, LOW)
    return store


def test_an_alert_leads_to_its_playbook_step_by_step_and_ends_closed(alerted, settings):
    (task_id,) = begin_tasks(alerted, settings)
    assert begin_tasks(alerted, settings) == []
    (task,) = alerted.tasks.read()
    assert (task["playbook"], task["owner"], task["state"]) == ("unhappy answer", "ann", "open")
    assert task["due_at"] - task["opened_at"] == timedelta(hours=24)
    alerted.tasks.start(task_id, "ann")
    results = ["called", "mended", "settled"]
    for result in results:
        following = finish_task(alerted, settings, task_id, "ann", result)
        assert finish_task(alerted, settings, task_id, "bob", "again") is None  # done is done
        task_id = following or task_id
    assert following is None
    assert [row["result"] for row in alerted.tasks.read()] == results
    assert alerted.alerts.read()[0]["closed_because"] == "settled"
    taken = alerted.judgements.actions("renewal")
    assert len(taken) == 3
    assert taken["details"][0] == {"playbook": "unhappy answer", "step": 0, "result": "called"}
    assert set(taken["account_id"]) == {"A1"}
    figures = alerted.tasks.figures()
    assert (figures["open"], figures["done"]) == (0, 3)
    assert figures["median_hours_to_first_answer"] >= 0


def test_dropped_nothing_follows_and_nobody_counts_as_treated(alerted, settings):
    (task_id,) = begin_tasks(alerted, settings)
    assert finish_task(alerted, settings, task_id, "ann", "a mistake", is_dropped=True) is None
    assert [row["state"] for row in alerted.tasks.read()] == ["dropped"]
    assert alerted.judgements.actions("renewal").empty
    assert alerted.alerts.read()[0]["state"] == "closed"


def test_an_overdue_step_is_escalated_once_each_time(alerted, settings):
    begin_tasks(alerted, settings)
    assert escalate(alerted, settings) == []
    with writing(alerted.engine) as connection:
        connection.execute(update(tasks).values(due_at=now() - timedelta(hours=13)))
    (answer,) = escalate(alerted, settings)
    assert answer["to"] == "manager"
    assert escalate(alerted, settings) == []
    overdue = next(alert for alert in alerted.alerts.read() if alert["rule"] == "task overdue")
    assert (overdue["owner"], overdue["account_id"]) == ("manager", "A1")
    with writing(alerted.engine) as connection:
        connection.execute(update(tasks).values(escalated_at=now() - timedelta(hours=13)))
    assert len(escalate(alerted, settings)) == 1
    assert alerted.tasks.read()[0]["escalations"] == 2
    assert alerted.tasks.read()[0]["is_late"]


def test_who_is_drawn_for_usual_practice_gets_no_playbook(alerted, settings):
    facts = {
        "experiment_id": "try", "question": "playbook", "choice": "unhappy answer", "cluster": "account",
        "strata": [], "share": 0.5, "seed": 1, "gap": 0.1, "level": 0.05, "power": 0.8, "followed": 0.8,
        "needed": 100, "as_of": now(), "started_by": "ann",
    }  # fmt: skip
    drawn = {"account_id": "A1", "cluster": "c", "stratum": "all", "arm": "usual"}
    alerted.experiments.open(facts, [drawn], [])
    assert begin_tasks(alerted, settings) == []
    alerted.experiments.end("try", "ann", "", {})
    assert len(begin_tasks(alerted, settings)) == 1


def test_what_became_of_the_customers_is_told_of_enough_of_them(store, settings):
    many = [{**LOW[0], "account_id": f"A{n}", "response_id": f"R{n}"} for n in range(12)]
    survey_alerts(store, settings, many)
    begin_tasks(store, settings)
    assert judged(store)[0]["renewed"] is None
    decided = {"kind": "renewal", "decided_at": now() + timedelta(days=1), "recorded_at": now()}
    rows = [
        {**decided, "subject_id": f"C{n}", "account_id": f"A{n}", "outcome": int(n < 9)} for n in range(12)
    ]
    with writing(store.engine) as connection:
        connection.execute(outcomes.insert(), rows)
    found = judged(store)[0]
    assert (found["begun"], found["decided"], found["renewed"]) == (12, 12, 0.75)


def test_a_customer_is_judged_by_what_the_crm_says_else_by_what_was_sent(store, settings, tmp_path):
    (tmp_path / "crm").mkdir()
    (tmp_path / "crm" / "contracts.csv").write_text(
        "contract_id,account_id,start_date,end_date,renewed,decided_at\n"
        "C0,A0,2023-01-01,2024-01-01,no,2023-12-01\n"  # before anything was done
        "C1,A0,2024-01-01,2025-01-01,yes,2024-12-01\n"
        "C2,A1,2024-01-01,2025-01-01,,\n"
    )
    crm = load(tmp_path / "crm", into=tmp_path / "clean", until=pd.Timestamp("2024-12-15"))
    survey_alerts(
        store, settings, [{**LOW[0], "account_id": f"A{n}", "response_id": f"R{n}"} for n in (0, 1)]
    )
    begin_tasks(store, settings)
    with writing(store.engine) as connection:
        connection.execute(update(tasks).values(opened_at=datetime(2024, 6, 1)))
        for name, outcome in (("C1", 0), ("C2", 0)):
            sent = {"kind": "renewal", "subject_id": name, "account_id": f"A{int(name[1]) - 1}"}
            sent |= {"outcome": outcome, "decided_at": datetime(2024, 6, 1), "recorded_at": now()}
            connection.execute(outcomes.insert(), sent)
    rows = store.tasks.read()
    became = {row["account_id"]: outcomes_of(store, crm, rows).get(row["alert_id"]) for row in rows}
    assert (became["A0"].subject_id, became["A0"].words) == ("C1", "renewed")
    assert (became["A1"].subject_id, became["A1"].words) == ("C2", "not renewed")
    assert {one.words for one in outcomes_of(store, None, rows).values()} == {"not renewed"}


def test_an_erased_customer_has_no_tasks(alerted, settings):
    begin_tasks(alerted, settings)
    assert alerted.erase("A1")["tasks"] == 1
    with pytest.raises(RenewalError, match="id of a task"):
        alerted.tasks.start("none", "ann")


def test_playbooks_are_data(tmp_path):
    settings = Settings(home=tmp_path)
    assert playbooks_of(settings) == SHIPPED
    assert playbook_for("jump in risk", SHIPPED).name == "renewal in danger"
    assert playbook_for("champion changed", SHIPPED) is None
    text = "- name: own\n  rules: [jump in risk]\n  steps:\n    - {do: call, within_hours: 2, who: Eve}\n"
    (tmp_path / FILE).write_text(text)
    (own,) = playbooks_of(settings)
    assert own.steps[0].who == "Eve"
    for wrong in ("- name: x", "- {name: x, rules: [], steps: []}", "{", text + text):
        (tmp_path / FILE).write_text(wrong)
        with pytest.raises(RenewalError, match=r"playbooks\.yaml"):
            playbooks_of(settings)
