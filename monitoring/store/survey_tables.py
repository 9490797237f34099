"""The table of survey requests: who is asked about what, whether it was sent, and what was answered."""

from sqlalchemy import Column, DateTime, Float, Index, Integer, String, Table

from monitoring.store.tables import metadata

survey_requests = Table(
    "survey_requests",
    metadata,
    Column("request_id", String, primary_key=True),
    Column("account_id", String, nullable=False),
    Column("contact_id", String),
    Column("email", String),
    Column("kind", String, nullable=False),
    Column("touchpoint", String, nullable=False),
    Column("trigger", String, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("asked_at", DateTime, nullable=False),
    Column("claimed_at", DateTime),
    Column("sent_at", DateTime),
    Column("error", String),
    Column("answered_at", DateTime),
    Column("score", Float),
)
Index("survey_request_by_account", survey_requests.c.account_id, survey_requests.c.asked_at)
