"""Jobs and their outputs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLE = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}


def _time(name: str, *, nullable: bool = True) -> sa.Column:
    """UTC, to the millisecond."""
    return sa.Column(name, sa.DateTime().with_variant(mysql.DATETIME(fsp=3), "mysql"), nullable=nullable)


def upgrade() -> None:
    # Names, ids and keys compare byte by byte: A@example.com and a@example.com are two users.
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("negative_prompt", sa.Text()),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("size", sa.String(16), nullable=False),
        sa.Column("seed", sa.BigInteger()),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("duration", sa.Integer()),
        sa.Column("image_url", sa.Text()),
        sa.Column("webhook_url", sa.Text()),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("request_hash", sa.String(64)),
        _time("created_at", nullable=False),
        _time("started_at"),
        _time("finished_at"),
        sa.Column("error", sa.Text()),
        sa.Column("warnings", sa.Text(), nullable=False),
        _time("submitted_at"),
        sa.Column("provider_task_id", sa.String(128)),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        _time("lease_expires_at"),
        _time("next_attempt_at"),
        **_TABLE,
    )
    op.create_index("jobs_of_user", "jobs", ["user_id", "created_at"])
    op.create_index("jobs_by_status", "jobs", ["status", "created_at"])
    op.create_index("jobs_by_idempotency_key", "jobs", ["user_id", "idempotency_key"], unique=True)
    op.create_table(
        "job_outputs",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("job_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("oss_url", sa.Text(), nullable=False),
        sa.Column("oss_path", sa.String(700), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("meta", sa.JSON(), nullable=False),
        _time("created_at", nullable=False),
        **_TABLE,
    )
    op.create_index("job_outputs_of_job", "job_outputs", ["job_id"])
    op.create_index("job_outputs_of_user", "job_outputs", ["user_id", "created_at"])
    op.create_index("job_outputs_by_path", "job_outputs", ["oss_path"], unique=True)


def downgrade() -> None:
    op.drop_table("job_outputs")
    op.drop_table("jobs")
