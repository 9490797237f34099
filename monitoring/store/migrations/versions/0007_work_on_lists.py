"""Work on lists: statuses, saved views, tasks about a subject, and keys that see a manager's team."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "work_status",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("set_by", sa.String(), nullable=True),
        sa.Column("set_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "subject_id"),
    )
    op.create_table(
        "saved_views",
        sa.Column("view_id", sa.String(), nullable=False),
        sa.Column("page", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("query", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("is_shared", sa.Boolean(), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("view_id"),
        sa.UniqueConstraint("page", "key_id", "name", name="view_once"),
    )
    op.add_column("tasks", sa.Column("kind", sa.String(), nullable=True))
    op.add_column("tasks", sa.Column("subject_id", sa.String(), nullable=True))
    for name in ("kind", "subject_id"):
        op.execute(
            f"UPDATE tasks SET {name} = (SELECT a.{name} FROM alerts AS a WHERE a.alert_id = tasks.alert_id)"
        )
    op.add_column("api_keys", sa.Column("manager_id", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("api_keys", "manager_id")
    op.drop_column("tasks", "subject_id")
    op.drop_column("tasks", "kind")
    op.drop_table("saved_views")
    op.drop_table("work_status")
