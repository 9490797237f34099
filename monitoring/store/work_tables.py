"""The tables of a team's work on a list: where it is with each subject, and the views it has saved."""

from sqlalchemy import Boolean, Column, DateTime, String, Table, UniqueConstraint

from monitoring.store.tables import metadata

work_status = Table(
    "work_status",
    metadata,
    Column("kind", String, primary_key=True),
    Column("subject_id", String, primary_key=True),
    Column("account_id", String),
    Column("status", String, nullable=False),
    Column("set_by", String),
    Column("set_at", DateTime, nullable=False),
)

saved_views = Table(
    "saved_views",
    metadata,
    Column("view_id", String, primary_key=True),
    Column("page", String, nullable=False),
    Column("name", String, nullable=False),
    Column("query", String, nullable=False),
    Column("key_id", String, nullable=False),
    Column("is_shared", Boolean, nullable=False),
    Column("made_at", DateTime, nullable=False),
    UniqueConstraint("page", "key_id", "name", name="view_once"),
)
