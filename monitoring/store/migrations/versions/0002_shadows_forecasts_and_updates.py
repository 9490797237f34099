"""What a former champion would have said, the owners' forecasts, and alerts told again when they grow."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
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
    op.add_column("prediction_log", sa.Column("forecast", sa.Float(), nullable=True))
    op.add_column("alerts", sa.Column("topics", sa.JSON(), nullable=True))
    op.add_column("alert_sends", sa.Column("round", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_table("shadow_log")
    op.drop_column("prediction_log", "forecast")
    op.drop_column("alerts", "topics")
    op.drop_column("alert_sends", "round")
