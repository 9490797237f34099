"""The tables of tasks: what somebody is to do about an alert, and what became of it."""

from sqlalchemy import Column, DateTime, Index, Integer, String, Table

from monitoring.store.tables import metadata

tasks = Table(
    "tasks",
    metadata,
    Column("task_id", String, primary_key=True),
    Column("alert_id", String, nullable=False),
    Column("account_id", String),
    Column("playbook", String, nullable=False),
    Column("step", Integer, nullable=False),
    Column("title", String, nullable=False),
    Column("owner", String),
    Column("state", String, nullable=False),
    Column("opened_at", DateTime, nullable=False),
    Column("due_at", DateTime, nullable=False),
    Column("started_at", DateTime),
    Column("closed_at", DateTime),
    Column("closed_by", String),
    Column("result", String),
    Column("escalations", Integer, nullable=False),
    Column("escalated_at", DateTime),
    Column("kind", String),
    Column("subject_id", String),
)
Index("task_by_alert", tasks.c.alert_id, tasks.c.step)
Index("task_by_account", tasks.c.account_id)
