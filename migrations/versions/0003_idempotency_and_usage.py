"""Idempotency keys outlive their jobs; the number of jobs of each user on the day of the user's last job."""

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
        # The first answer: {"status", "headers", "body"}; null until the answer is known.
        sa.Column("answer", sa.Text()),
        **_TABLE,
    )
    op.execute(
        "INSERT INTO idempotency_keys (user_id, idempotency_key, request_hash, job_id, created_at)"
        " SELECT user_id, idempotency_key, request_hash, id, created_at FROM jobs WHERE idempotency_key IS NOT NULL"
    )
    op.drop_index("jobs_by_idempotency_key", "jobs")
    op.drop_column("jobs", "idempotency_key")
    op.drop_column("jobs", "request_hash")
    op.create_index("idempotency_keys_by_age", "idempotency_keys", ["created_at"])
    op.create_index("idempotency_keys_of_job", "idempotency_keys", ["job_id"])
    op.create_table(
        "daily_usage",
        # One row for each user and not for each day: the row is also the lock under which the user's jobs start.
        sa.Column("user_id", sa.String(255), primary_key=True),
        sa.Column("day", sa.String(10), nullable=False),  # a date in UTC, like 2026-11-24
        sa.Column("jobs", sa.Integer(), nullable=False),
        **_TABLE,
    )
    op.create_index("daily_usage_by_day", "daily_usage", ["day"])
    op.create_index("jobs_of_user_by_status", "jobs", ["user_id", "status"])
    op.create_index("job_outputs_of_user_by_size", "job_outputs", ["user_id", "size"])


def downgrade() -> None:
    op.drop_index("job_outputs_of_user_by_size", "job_outputs")
    op.drop_index("jobs_of_user_by_status", "jobs")
    op.drop_table("daily_usage")
    op.add_column("jobs", sa.Column("idempotency_key", sa.String(255)))
    op.add_column("jobs", sa.Column("request_hash", sa.String(64)))
    # The old schema cannot store the key of a deleted job.
    op.execute(
        "UPDATE jobs SET"
        " idempotency_key = (SELECT k.idempotency_key FROM idempotency_keys k WHERE k.job_id = jobs.id),"
        " request_hash = (SELECT k.request_hash FROM idempotency_keys k WHERE k.job_id = jobs.id)"
    )
    op.create_index("jobs_by_idempotency_key", "jobs", ["user_id", "idempotency_key"], unique=True)
    op.drop_table("idempotency_keys")
