"""Views for spreadsheets and BI tools, with columns that stay; sessions that somebody ended."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
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
    op.create_table(
        "ended_sessions",
        sa.Column("session_sha256", sa.String(), nullable=False),
        sa.Column("until", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("session_sha256"),
    )
    for name, query in VIEWS.items():
        op.execute(sa.text(f"CREATE VIEW {name} AS {query.format(**_members())}"))


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
