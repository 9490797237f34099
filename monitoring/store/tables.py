"""The store's tables, declared once; `monitoring/store/migrations` brings a database to them.

Moments are naive UTC. `as_of_key` is `as_of` as text, or `undated`: a NULL would not be unique. Money is in
units (not minor units), as in the results of the command line.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

FIRST = "0006"
"""The oldest migration; what was at an earlier one was never released."""

HEAD = "0007"
"""The newest migration; a test holds it equal to the head of `monitoring/store/migrations`."""

POSTGRES_SCHEMA = "perennial"
"""On PostgreSQL the tables have a schema of their own: MLflow and Optuna may live in the same database."""

metadata = MetaData()
_SERIAL = BigInteger().with_variant(Integer, "sqlite")


def _subject(primary: bool = False) -> list[Column]:
    """The columns that say who a row is about."""
    return [
        Column("kind", String, primary_key=primary, nullable=False),
        Column("subject_id", String, primary_key=primary, nullable=False),
    ]


def _scored() -> list[Column]:
    """What a score says, the same in the current scores and in the log."""
    return [
        Column("account_id", String),
        Column("contract_id", String),
        Column("opportunity_id", String),
        Column("owner_id", String),
        Column("region", String),
        Column("as_of", DateTime),
        Column("as_of_key", String, nullable=False),
        Column("lead_days", Float),
        Column("end_date", DateTime),
        Column("probability", Float),
        Column("low", Float),
        Column("high", Float),
        Column("band", String),
        Column("amount", Float),
        Column("at_risk", Float),
        Column("expected", Float),
        Column("model_version", String, nullable=False),
        Column("run_id", String, nullable=False),
        Column("scored_at", DateTime, nullable=False),
        Column("held_out", Boolean),
        Column("problem", String),
    ]


scores = Table(
    "scores",
    metadata,
    *_subject(primary=True),
    *_scored(),
    Column("reasons", JSON),
    Column("details", JSON),
    Column("rank_value", Float, nullable=False),
    Column("previous_probability", Float),
    Column("previous_as_of", DateTime),
    Column("gone_at", DateTime),
)
Index("scores_by_rank", scores.c.kind, scores.c.rank_value.desc(), scores.c.subject_id)
Index("scores_by_account", scores.c.account_id)

prediction_log = Table(
    "prediction_log",
    metadata,
    Column("prediction_id", _SERIAL, primary_key=True, autoincrement=True),
    *_subject(),
    *_scored(),
    Column("forecast", Float),
    UniqueConstraint("kind", "subject_id", "as_of_key", "model_version", name="prediction_once"),
)
Index("prediction_by_as_of", prediction_log.c.kind, prediction_log.c.as_of)
Index("prediction_by_account", prediction_log.c.account_id)

shadow_log = Table(
    "shadow_log",
    metadata,
    *_subject(primary=True),
    Column("as_of_key", String, primary_key=True),
    Column("model_version", String, primary_key=True),
    Column("account_id", String),
    Column("as_of", DateTime),
    Column("probability", Float, nullable=False),
    Column("run_id", String, nullable=False),
    Column("scored_at", DateTime, nullable=False),
)
Index("shadow_by_account", shadow_log.c.account_id)

feature_batches = Table(
    "feature_batches",
    metadata,
    Column("kind", String, primary_key=True),
    Column("run_id", String, primary_key=True),
    Column("model_version", String, nullable=False),
    Column("first_as_of", DateTime),
    Column("last_as_of", DateTime),
    Column("logged_at", DateTime, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("arrow_zstd", LargeBinary, nullable=False),
)

outcomes = Table(
    "outcomes",
    metadata,
    *_subject(primary=True),
    Column("account_id", String),
    Column("outcome", Integer, nullable=False),
    Column("decided_at", DateTime),
    Column("recorded_at", DateTime, nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    Column("alert_id", String, primary_key=True),
    Column("dedupe_key", String, nullable=False),
    Column("rule", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("title", String, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("topics", JSON),
    Column("kind", String),
    Column("subject_id", String),
    Column("account_id", String),
    Column("segment", String),
    Column("value", Float),
    Column("threshold", Float),
    Column("owner", String),
    Column("state", String, nullable=False),
    Column("opened_at", DateTime, nullable=False),
    Column("last_seen_at", DateTime, nullable=False),
    Column("acknowledged_at", DateTime),
    Column("acknowledged_by", String),
    Column("closed_at", DateTime),
    Column("closed_by", String),
    Column("closed_because", String),
)
Index(
    "alert_open_once",
    alerts.c.dedupe_key,
    unique=True,
    sqlite_where=alerts.c.state != "closed",
    postgresql_where=alerts.c.state != "closed",
)

alert_sends = Table(
    "alert_sends",
    metadata,
    Column("alert_id", String, ForeignKey("alerts.alert_id", ondelete="CASCADE"), primary_key=True),
    Column("channel", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("round", Integer, nullable=False, server_default="0"),
    Column("claimed_at", DateTime),
    Column("sent_at", DateTime),
    Column("error", String),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("prefix", String, primary_key=True),
    Column("sha256", String, nullable=False, unique=True),
    Column("role", String, nullable=False),
    Column("label", String),
    Column("owner_id", String),
    Column("region", String),
    Column("created_at", DateTime, nullable=False),
    Column("revoked_at", DateTime),
    Column("manager_id", String),
)

ended_sessions = Table(
    "ended_sessions",
    metadata,
    Column("session_sha256", String, primary_key=True),
    Column("until", DateTime, nullable=False),
)

overrides = Table(
    "overrides",
    metadata,
    Column("override_id", _SERIAL, primary_key=True, autoincrement=True),
    *_subject(),
    Column("account_id", String),
    Column("probability", Float),
    Column("reason", String),
    Column("made_by", String),
    Column("made_at", DateTime, nullable=False),
)

actions = Table(
    "actions",
    metadata,
    Column("action_id", _SERIAL, primary_key=True, autoincrement=True),
    *_subject(),
    Column("account_id", String),
    Column("action", String, nullable=False),
    Column("taken_by", String),
    Column("taken_at", DateTime, nullable=False),
    Column("details", JSON),
)

audit = Table(
    "audit",
    metadata,
    Column("audit_id", _SERIAL, primary_key=True, autoincrement=True),
    Column("at", DateTime, nullable=False),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String),
    Column("details", JSON),
)

events = Table(
    "events",
    metadata,
    Column("event_id", _SERIAL, primary_key=True, autoincrement=True),
    Column("crm_table", String, nullable=False),
    Column("row_id", String, nullable=False),
    Column("account_id", String),
    Column("payload", JSON, nullable=False),
    Column("received_at", DateTime, nullable=False),
    UniqueConstraint("crm_table", "row_id", name="event_once"),
)
Index("event_by_account", events.c.account_id)

runs = Table(
    "runs",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("what", String, nullable=False),
    Column("kind", String),
    Column("finished_at", DateTime, nullable=False),
    Column("summary", JSON),
)
