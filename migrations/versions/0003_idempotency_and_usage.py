"""Idempotency keys outlive their jobs; how many jobs each user started on a day."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLE = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}
_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=3), "mysql")


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.String(255), primary_key=True),
        sa.Column("idempotency_key", sa.String(255), primary_key=True),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("job_id", sa.String(64), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        # What was answered first: {"status", "headers", "body"}; null while that is not known.
        sa.Column("answer", sa.Text()),
        **_TABLE,
    )
    op.create_index("idempotency_keys_by_age", "idempotency_keys", ["created_at"])
    op.create_index("idempotency_keys_of_job", "idempotency_keys", ["job_id"])
    op.create_table(
        "daily_usage",
        sa.Column("user_id", sa.String(255), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),  # a date in UTC, like 2026-11-24
        sa.Column("jobs", sa.Integer(), nullable=False),
        **_TABLE,
    )
    op.create_index("daily_usage_by_day", "daily_usage", ["day"])
    op.create_index("jobs_of_user_by_status", "jobs", ["user_id", "status"])


def downgrade() -> None:
    op.drop_index("jobs_of_user_by_status", "jobs")
    op.drop_table("daily_usage")
    op.drop_table("idempotency_keys")
