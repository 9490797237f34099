"""Closing the loop: alerts lead to the steps of a playbook, overdue ones escalate, all are judged after."""

from typing import Any

from features.crm.crm import Crm
from features.settings import Settings
from monitoring.playbooks import OWNER, Playbook, Step, playbook_for, playbooks_of
from monitoring.store import Store
from monitoring.task_outcomes import kept_share, outcomes_of

ESCALATION = "task overdue"


def begin_tasks(store: Store, settings: Settings) -> list[str]:
    """Open the first step for every standing alert a playbook is about, once each.

    It goes by the open alerts, not by a call when one is opened: killed in between, the next run finds
    what is missing. Accounts drawn for usual practice in an experiment about a playbook get none of it.

    Returns:
        The ids of tasks that are new.
    """
    playbooks = playbooks_of(settings)
    had = store.tasks.begun()
    usual = {
        (row["account_id"], row["choice"])
        for row in store.experiments.arms("playbook")
        if row["arm"] == "usual"
    }
    begun = []
    for alert in store.alerts.read(state="standing", limit=1_000_000):
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
    row, following = store.tasks.find(task_id), None
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
    """Alert the person the playbook names to each step overdue too long; again after as long again.

    The alert comes first and names the how-manieth escalation it is: killed before that is noted, the next
    run raises the same one, which is already open.
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


def judged(store: Store, crm: Crm | None = None) -> list[dict[str, Any]]:
    """For each playbook: alerts worked off, and the share of those customers that renewed after.

    A share alone proves nothing of the playbook: customers in trouble are the ones it is run for. What proves
    it is `perennial experiment start playbook`.

    Args:
        store: of the tasks, and of outcomes that were sent.
        crm: its own outcomes; None: there are only those sent.

    Returns:
        `playbook`, `begun`, `decided`, `renewed` (None with fewer than ten decided), and the figures of
        `Store.tasks`.
    """
    rows = store.tasks.read(limit=1_000_000)
    became = outcomes_of(store, crm, rows)
    books_judged = []
    for name in sorted({row["playbook"] for row in rows}):
        mine = [row for row in rows if row["playbook"] == name]
        renewals = [one for row in mine if row["step"] == 0 and (one := became.get(row["alert_id"]))]
        books_judged.append(
            {
                "playbook": name,
                "begun": sum(row["step"] == 0 for row in mine),
                "decided": len(renewals),
                "renewed": kept_share(renewals),
                **store.tasks.figures(mine),
            }
        )
    return books_judged


def _who(step: Step, owner: str | None) -> str | None:
    return owner if step.who == OWNER else step.who
