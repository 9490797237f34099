"""Closing the loop: alerts lead to the steps of a playbook, overdue ones escalate, all are judged after."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from features.settings import Settings
from monitoring.playbooks import OWNER, Playbook, Step, playbook_for, playbooks_of
from monitoring.store import Store

ESCALATION = "task overdue"
LEAST_JUDGED = 10


def begin_tasks(store: Store, settings: Settings) -> list[str]:
    """Open the first step for every standing alert a playbook is about, once each.

    It goes by the alerts that stand, not by a call when one is opened: killed in between, the next run finds
    what is missing. Accounts drawn for usual practice in an experiment about a playbook get none of it.

    Returns:
        The ids of tasks that are new.
    """
    playbooks = playbooks_of(settings)
    had = {row["alert_id"] for row in store.tasks.read(limit=1_000_000)}
    usual = {
        (row["account_id"], row["choice"])
        for row in store.experiments.arms("playbook")
        if row["arm"] == "usual"
    }
    begun = []
    for alert in store.alerts.read(state="standing"):
        book = playbook_for(alert["rule"], playbooks)
        if book is None or alert["alert_id"] in had or (alert["account_id"], book.name) in usual:
            continue
        first = book.steps[0]
        begun.append(
            store.tasks.open(
                alert["alert_id"],
                account_id=alert["account_id"],
                playbook=book.name,
                title=first.do,
                owner=_who(first, alert["owner"]),
                within_hours=first.within_hours,
                kind=alert["kind"],
                subject_id=alert["subject_id"],
            )
        )
    return begun


def finish_task(
    store: Store, settings: Settings, task_id: str, by: str, result: str, *, is_dropped: bool = False
) -> str | None:
    """Close a step and open the next of its playbook; after the last the alert is closed too.

    Returns:
        The id of the next step; None after the last one.
    """
    row = next((one for one in store.tasks.read(limit=1_000_000) if one["task_id"] == task_id), None)
    following = None
    if row is not None:
        book = next((one for one in playbooks_of(settings) if one.name == row["playbook"]), None)
        if book is not None and row["step"] + 1 < len(book.steps):
            step = book.steps[row["step"] + 1]
            following = (step.do, None if step.who == OWNER else step.who, step.within_hours)
    return store.tasks.close(task_id, by, result, is_dropped=is_dropped, following=following)


def escalation_due(store: Store, settings: Settings) -> list[dict[str, Any]]:
    """The open steps that are overdue by as long as their playbook allows."""
    hours = {one.name: one.escalate_after_hours for one in playbooks_of(settings)}
    return store.tasks.escalation_due(hours)


def escalate(store: Store, settings: Settings) -> list[dict[str, Any]]:
    """Raise an alert to whom the playbook names for each step overdue too long; again after as long again.

    The alert comes first and names the how-manieth escalation it is: killed before that is noted, the next
    run raises the same one, which stands already.
    """
    from monitoring.alerts import channels

    books: dict[str, Playbook] = {one.name: one for one in playbooks_of(settings)}
    escalated = []
    for row in escalation_due(store, settings):
        to = books[row["playbook"]].escalate_to if row["playbook"] in books else "manager"
        times = row["escalations"] + 1
        opened = store.alerts.open(
            f"task:{row['task_id']}",
            rule=ESCALATION,
            title=f"overdue: {row['title']}",
            severity="warning",
            reasons=[f"{row['owner'] or 'nobody'} was to do it by {row['due_at']:%Y-%m-%d %H:%M} UTC"],
            account_id=row["account_id"],
            owner=to,
            channels=list(channels(settings)),
            topics=[f"escalation {times}"],
        )
        if store.tasks.mark_escalated(row["task_id"], times):
            escalated.append({"task_id": row["task_id"], "to": to, "alert_id": opened.alert_id})
    return escalated


def judged(store: Store) -> list[dict[str, Any]]:
    """For each playbook: alerts worked off, and the share of those customers that renewed after.

    A share alone proves nothing of the playbook: customers in trouble are the ones it is run for. What proves
    it is `perennial experiment start playbook`.
    """
    rows = store.tasks.read(limit=1_000_000)
    outcomes = store.outcomes.read("renewal")
    books_judged = []
    for name in sorted({row["playbook"] for row in rows}):
        mine = [row for row in rows if row["playbook"] == name]
        first = [row for row in mine if row["step"] == 0]
        renewals = _renewed_after(first, outcomes)
        enough = len(renewals) >= LEAST_JUDGED
        books_judged.append(
            {
                "playbook": name,
                "begun": len(first),
                "decided": len(renewals),
                "renewed": float(renewals.mean()) if enough else None,
                **store.tasks.figures(
                    [row for row in store.tasks.read(limit=1_000_000) if row["playbook"] == name]
                ),
            }
        )
    return books_judged


def _renewed_after(rows: Sequence[dict[str, Any]], outcomes: pd.DataFrame) -> pd.Series:
    """The first renewal outcome of each customer decided after the step was opened."""
    begun = pd.DataFrame([{"account_id": row["account_id"], "opened_at": row["opened_at"]} for row in rows])
    met = begun.merge(outcomes[["account_id", "outcome", "decided_at"]], on="account_id")
    met = met[pd.to_datetime(met["decided_at"]) > met["opened_at"]].sort_values("decided_at")
    return met.drop_duplicates("account_id")["outcome"].astype(float)


def _who(step: Step, owner: str | None) -> str | None:
    return owner if step.who == OWNER else step.who
