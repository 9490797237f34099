"""The tables of experiments: what is tried, who was drawn for what, and whose outcomes count."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
)

from monitoring.store.tables import metadata

experiments = Table(
    "experiments",
    metadata,
    Column("experiment_id", String, primary_key=True),
    Column("question", String, nullable=False),
    Column("choice", String),
    Column("cluster", String, nullable=False),
    Column("strata", JSON, nullable=False),
    Column("share", Float, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("gap", Float, nullable=False),
    Column("level", Float, nullable=False),
    Column("power", Float, nullable=False),
    Column("followed", Float, nullable=False),
    Column("needed", Integer, nullable=False),
    Column("as_of", DateTime, nullable=False),
    Column("started_at", DateTime, nullable=False),
    Column("started_by", String),
    Column("ended_at", DateTime),
    Column("ended_by", String),
    Column("ended_because", String),
    Column("result", JSON),
)
Index(
    "experiment_open_once",
    experiments.c.question,
    unique=True,
    sqlite_where=experiments.c.ended_at.is_(None),
    postgresql_where=experiments.c.ended_at.is_(None),
)


def _of_experiment() -> Column:
    return Column(
        "experiment_id",
        String,
        ForeignKey("experiments.experiment_id", ondelete="CASCADE"),
        primary_key=True,
    )


experiment_accounts = Table(
    "experiment_accounts",
    metadata,
    _of_experiment(),
    Column("account_id", String, primary_key=True),
    Column("cluster", String, nullable=False),
    Column("stratum", String, nullable=False),
    Column("arm", String, nullable=False),
    Column("drawn_at", DateTime, nullable=False),
)
Index("experiment_by_account", experiment_accounts.c.account_id)

experiment_subjects = Table(
    "experiment_subjects",
    metadata,
    _of_experiment(),
    Column("subject_id", String, primary_key=True),
    Column("account_id", String, nullable=False),
    Column("joined_at", DateTime, nullable=False),
    Column("matures_at", DateTime, nullable=False),
)
Index("experiment_subject_by_account", experiment_subjects.c.account_id)
