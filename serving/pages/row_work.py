"""The work on a list's rows: standing alerts, open tasks, status and best time for contact, row by row."""

from typing import Any, NamedTuple

from serving.api.planning import contact_windows
from serving.state import Running


class RowWork(NamedTuple):
    """What is to be done about one row.

    Attributes:
        alerts: standing, newest first.
        tasks: open, due first on top.
        status: as the team noted it last; None: nothing was noted.
        window: when to make first contact, as `planning.contact_windows` gives it; None for deals.
    """

    alerts: list[dict[str, Any]]
    tasks: list[dict[str, Any]]
    status: dict[str, Any] | None
    window: dict[str, Any] | None


def work_of(running: Running, kind: str, rows: list[dict[str, Any]]) -> dict[str, RowWork]:
    """Subject → the work on it, for the rows of one page."""
    store = running.store
    ids, accounts = [row["subject_id"] for row in rows], [row["account_id"] for row in rows]
    alerts, tasks = store.alerts.about(kind, ids, accounts), store.tasks.about(kind, ids, accounts)
    statuses = store.work.statuses(kind, ids)
    windows = contact_windows(running, rows) if kind == "renewal" else {}
    return {
        row["subject_id"]: RowWork(
            [each for each in alerts if _is_about(each, row)],
            [each for each in tasks if _is_about(each, row)],
            statuses.get(row["subject_id"]),
            windows.get(row["subject_id"]),
        )
        for row in rows
    }


def _is_about(each: dict[str, Any], row: dict[str, Any]) -> bool:
    if each["subject_id"] is None:
        return bool(each["account_id"] == row["account_id"])
    return (each["kind"], each["subject_id"]) == (row["kind"], row["subject_id"])
