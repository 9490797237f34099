"""The store's tables, and the views for spreadsheets and BI tools, with columns that stay.

Numbered as the last of the six migrations that it was put together from, so that a database at that one is at
this one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = None
branch_labels = None
depends_on = None

REASONS = ", ".join(
    f"CASE WHEN held_out THEN NULL ELSE {{reason_{at}}} END AS reason_{at}" for at in (1, 2, 3)
)
HELD_OUT = "held out: one of the customers left unscored, so that the model can be judged on them later"


def masked(*names: str) -> str:
    """Columns that a held-out customer shows empty."""
    return ", ".join(f"CASE WHEN held_out THEN NULL ELSE {name} END AS {name}" for name in names)


SCORE = f"as_of, {masked('probability', 'low', 'high', 'band')}, amount"
LAST = (
    f"{REASONS}, model_version, {{alias}} AS alias, "
    f"CASE WHEN held_out THEN '{HELD_OUT}' ELSE problem END AS problem, "
    f"{masked('previous_probability')}, previous_as_of, scored_at"
)
WHO = "account_id, {account_name} AS account_name, owner_id, {owner_name} AS owner_name, region"
VIEWS = {
    "v_renewals": (
        f"SELECT subject_id AS contract_id, {WHO}, {{product}} AS product, end_date, {SCORE}, "
        f"{masked('at_risk')}, {LAST} FROM scores WHERE kind = 'renewal' AND gone_at IS NULL"
    ),
    "v_pipeline": (
        f"SELECT subject_id AS opportunity_id, {WHO}, {{deal_kind}} AS deal_kind, "
        f"{{created_at}} AS created_at, {SCORE}, {masked('expected')}, {{forecast}} AS forecast, {LAST} "
        "FROM scores WHERE kind = 'win' AND gone_at IS NULL"
    ),
    "v_predictions": (
        "SELECT p.kind, p.subject_id, p.account_id, p.owner_id, p.region, p.as_of, p.lead_days, p.end_date, "
        "p.probability, p.low, p.high, p.band, p.amount, p.at_risk, p.expected, p.model_version, "
        "p.scored_at, o.outcome, o.decided_at FROM prediction_log AS p LEFT JOIN outcomes AS o "
        "ON o.kind = p.kind AND o.subject_id = p.subject_id WHERE p.held_out IS NOT TRUE"
    ),
    "v_alerts": (
        "SELECT alert_id, rule, severity, title, kind, subject_id, account_id, segment, value, threshold, "
        "owner, state, opened_at, last_seen_at, acknowledged_at, acknowledged_by, closed_at, closed_by, "
        "closed_because FROM alerts"
    ),
    "v_overrides": (
        "SELECT kind, subject_id, account_id, probability, reason, made_by, made_at FROM overrides"
    ),
}


def upgrade() -> None:
    _create_tables()
    for name, query in VIEWS.items():
        op.execute(sa.text(f"CREATE VIEW {name} AS {query.format(**_members())}"))


def downgrade() -> None:
    for name in VIEWS:
        op.execute(sa.text(f"DROP VIEW {name}"))
    for name in (
        "experiment_subjects",
        "experiment_accounts",
        "alert_sends",
        "tasks",
        "survey_requests",
        "shadow_log",
        "scores",
        "runs",
        "prediction_log",
        "overrides",
        "outcomes",
        "feature_batches",
        "experiments",
        "events",
        "ended_sessions",
        "audit",
        "api_keys",
        "alerts",
        "actions",
    ):
        op.drop_table(name)


def _members() -> dict[str, str]:
    """How this database takes members out of the columns `details` and `reasons`."""
    if op.get_bind().dialect.name == "sqlite":
        names = ("account_name", "owner_name", "product", "deal_kind", "alias", "forecast")
        members = {name: f"json_extract(details, '$.{name}')" for name in names}
        members["created_at"] = "replace(json_extract(details, '$.created_at'), 'T', ' ')"
        return members | {f"reason_{at}": f"json_extract(reasons, '$[{at - 1}].words')" for at in (1, 2, 3)}
    members = {
        name: f"details ->> '{name}'" for name in ("account_name", "owner_name", "product", "deal_kind")
    }
    members["alias"] = "details ->> 'alias'"
    members["forecast"] = "CAST(details ->> 'forecast' AS double precision)"
    members["created_at"] = "CAST(details ->> 'created_at' AS timestamp)"
    return members | {f"reason_{at}": f"reasons -> {at - 1} ->> 'words'" for at in (1, 2, 3)}


def _create_tables() -> None:
    op.create_table(
        "actions",
        sa.Column(
            "action_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("taken_by", sa.String(), nullable=True),
        sa.Column("taken_at", sa.DateTime(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("action_id"),
    )
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.String(), nullable=False),
        sa.Column("dedupe_key", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("topics", sa.JSON(), nullable=True),
        sa.Column("kind", sa.String(), nullable=True),
        sa.Column("subject_id", sa.String(), nullable=True),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("segment", sa.String(), nullable=True),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("threshold", sa.Float(), nullable=True),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("opened_at", sa.DateTime(), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(), nullable=True),
        sa.Column("acknowledged_by", sa.String(), nullable=True),
        sa.Column("closed_at", sa.DateTime(), nullable=True),
        sa.Column("closed_by", sa.String(), nullable=True),
        sa.Column("closed_because", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("alert_id"),
    )
    op.create_index(
        "alert_open_once",
        "alerts",
        ["dedupe_key"],
        unique=True,
        sqlite_where=sa.text("state != 'closed'"),
        postgresql_where=sa.text("state != 'closed'"),
    )
    op.create_table(
        "api_keys",
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=True),
        sa.Column("owner_id", sa.String(), nullable=True),
        sa.Column("region", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("revoked_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("prefix"),
        sa.UniqueConstraint("sha256"),
    )
    op.create_table(
        "audit",
        sa.Column(
            "audit_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("audit_id"),
    )
    op.create_table(
        "ended_sessions",
        sa.Column("session_sha256", sa.String(), nullable=False),
        sa.Column("until", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("session_sha256"),
    )
    op.create_table(
        "events",
        sa.Column(
            "event_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("crm_table", sa.String(), nullable=False),
        sa.Column("row_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("received_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
        sa.UniqueConstraint("crm_table", "row_id", name="event_once"),
    )
    op.create_index("event_by_account", "events", ["account_id"], unique=False)
    op.create_table(
        "experiments",
        sa.Column("experiment_id", sa.String(), nullable=False),
        sa.Column("question", sa.String(), nullable=False),
        sa.Column("choice", sa.String(), nullable=True),
        sa.Column("cluster", sa.String(), nullable=False),
        sa.Column("strata", sa.JSON(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("gap", sa.Float(), nullable=False),
        sa.Column("level", sa.Float(), nullable=False),
        sa.Column("power", sa.Float(), nullable=False),
        sa.Column("followed", sa.Float(), nullable=False),
        sa.Column("needed", sa.Integer(), nullable=False),
        sa.Column("as_of", sa.DateTime(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("started_by", sa.String(), nullable=True),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.Column("ended_by", sa.String(), nullable=True),
        sa.Column("ended_because", sa.String(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("experiment_id"),
    )
    op.create_index(
        "experiment_open_once",
        "experiments",
        ["question"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "feature_batches",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("model_version", sa.String(), nullable=False),
        sa.Column("first_as_of", sa.DateTime(), nullable=True),
        sa.Column("last_as_of", sa.DateTime(), nullable=True),
        sa.Column("logged_at", sa.DateTime(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("arrow_zstd", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "run_id"),
    )
    op.create_table(
        "outcomes",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("outcome", sa.Integer(), nullable=False),
        sa.Column("decided_at", sa.DateTime(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "subject_id"),
    )
    op.create_table(
        "overrides",
        sa.Column(
            "override_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("probability", sa.Float(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("made_by", sa.String(), nullable=True),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("override_id"),
    )
    op.create_table(
        "prediction_log",
        sa.Column(
            "prediction_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("contract_id", sa.String(), nullable=True),
        sa.Column("opportunity_id", sa.String(), nullable=True),
        sa.Column("owner_id", sa.String(), nullable=True),
        sa.Column("region", sa.String(), nullable=True),
        sa.Column("as_of", sa.DateTime(), nullable=True),
        sa.Column("as_of_key", sa.String(), nullable=False),
        sa.Column("lead_days", sa.Float(), nullable=True),
        sa.Column("end_date", sa.DateTime(), nullable=True),
        sa.Column("probability", sa.Float(), nullable=True),
        sa.Column("low", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.Column("band", sa.String(), nullable=True),
        sa.Column("amount", sa.Float(), nullable=True),
        sa.Column("at_risk", sa.Float(), nullable=True),
        sa.Column("expected", sa.Float(), nullable=True),
        sa.Column("model_version", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("scored_at", sa.DateTime(), nullable=False),
        sa.Column("held_out", sa.Boolean(), nullable=True),
        sa.Column("problem", sa.String(), nullable=True),
        sa.Column("forecast", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("prediction_id"),
        sa.UniqueConstraint("kind", "subject_id", "as_of_key", "model_version", name="prediction_once"),
    )
    op.create_index("prediction_by_account", "prediction_log", ["account_id"], unique=False)
    op.create_index("prediction_by_as_of", "prediction_log", ["kind", "as_of"], unique=False)
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=True),
        sa.Column("finished_at", sa.DateTime(), nullable=False),
        sa.Column("summary", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_table(
        "scores",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("contract_id", sa.String(), nullable=True),
        sa.Column("opportunity_id", sa.String(), nullable=True),
        sa.Column("owner_id", sa.String(), nullable=True),
        sa.Column("region", sa.String(), nullable=True),
        sa.Column("as_of", sa.DateTime(), nullable=True),
        sa.Column("as_of_key", sa.String(), nullable=False),
        sa.Column("lead_days", sa.Float(), nullable=True),
        sa.Column("end_date", sa.DateTime(), nullable=True),
        sa.Column("probability", sa.Float(), nullable=True),
        sa.Column("low", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.Column("band", sa.String(), nullable=True),
        sa.Column("amount", sa.Float(), nullable=True),
        sa.Column("at_risk", sa.Float(), nullable=True),
        sa.Column("expected", sa.Float(), nullable=True),
        sa.Column("model_version", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("scored_at", sa.DateTime(), nullable=False),
        sa.Column("held_out", sa.Boolean(), nullable=True),
        sa.Column("problem", sa.String(), nullable=True),
        sa.Column("reasons", sa.JSON(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=True),
        sa.Column("rank_value", sa.Float(), nullable=False),
        sa.Column("previous_probability", sa.Float(), nullable=True),
        sa.Column("previous_as_of", sa.DateTime(), nullable=True),
        sa.Column("gone_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "subject_id"),
    )
    op.create_index("scores_by_account", "scores", ["account_id"], unique=False)
    op.create_index(
        "scores_by_rank", "scores", ["kind", sa.literal_column("rank_value DESC"), "subject_id"], unique=False
    )
    op.create_table(
        "shadow_log",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("as_of_key", sa.String(), nullable=False),
        sa.Column("model_version", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("as_of", sa.DateTime(), nullable=True),
        sa.Column("probability", sa.Float(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("scored_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "subject_id", "as_of_key", "model_version"),
    )
    op.create_index("shadow_by_account", "shadow_log", ["account_id"], unique=False)
    op.create_table(
        "survey_requests",
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("contact_id", sa.String(), nullable=True),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("touchpoint", sa.String(), nullable=False),
        sa.Column("trigger", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.DateTime(), nullable=False),
        sa.Column("claimed_at", sa.DateTime(), nullable=True),
        sa.Column("sent_at", sa.DateTime(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("answered_at", sa.DateTime(), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("request_id"),
    )
    op.create_index("survey_request_by_account", "survey_requests", ["account_id", "asked_at"], unique=False)
    op.create_table(
        "tasks",
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("alert_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("playbook", sa.String(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("opened_at", sa.DateTime(), nullable=False),
        sa.Column("due_at", sa.DateTime(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=True),
        sa.Column("closed_at", sa.DateTime(), nullable=True),
        sa.Column("closed_by", sa.String(), nullable=True),
        sa.Column("result", sa.String(), nullable=True),
        sa.Column("escalations", sa.Integer(), nullable=False),
        sa.Column("escalated_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("task_id"),
    )
    op.create_index("task_by_account", "tasks", ["account_id"], unique=False)
    op.create_index("task_by_alert", "tasks", ["alert_id", "step"], unique=False)
    op.create_table(
        "alert_sends",
        sa.Column("alert_id", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), server_default="0", nullable=False),
        sa.Column("claimed_at", sa.DateTime(), nullable=True),
        sa.Column("sent_at", sa.DateTime(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.alert_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("alert_id", "channel"),
    )
    op.create_table(
        "experiment_accounts",
        sa.Column("experiment_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("cluster", sa.String(), nullable=False),
        sa.Column("stratum", sa.String(), nullable=False),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("drawn_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.experiment_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("experiment_id", "account_id"),
    )
    op.create_index("experiment_by_account", "experiment_accounts", ["account_id"], unique=False)
    op.create_table(
        "experiment_subjects",
        sa.Column("experiment_id", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("joined_at", sa.DateTime(), nullable=False),
        sa.Column("matures_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.experiment_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("experiment_id", "subject_id"),
    )
    op.create_index("experiment_subject_by_account", "experiment_subjects", ["account_id"], unique=False)
