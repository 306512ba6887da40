"""Intents of objects that will be stored in OSS; requests to cancel; result URLs of jobs of the previous system."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLE = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}
_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=3), "mysql")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("cancel_requested_at", _TIME))
    op.add_column("jobs", sa.Column("legacy_url", sa.Text()))
    op.create_index("jobs_by_creation", "jobs", ["created_at"])
    op.create_index("jobs_by_end", "jobs", ["finished_at"])
    op.create_table(
        "output_intents",
        sa.Column("job_id", sa.String(64), primary_key=True),
        sa.Column("position", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        # The later row of job_outputs, for when the object is stored.
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("oss_url", sa.Text(), nullable=False),
        sa.Column("oss_path", sa.String(700), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("meta", sa.JSON(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        **_TABLE,
    )
    op.create_index("output_intents_by_output", "output_intents", ["id"])
    op.create_index("output_intents_by_age", "output_intents", ["created_at"])


def downgrade() -> None:
    op.drop_table("output_intents")
    op.drop_index("jobs_by_end", "jobs")
    op.drop_index("jobs_by_creation", "jobs")
    op.drop_column("jobs", "legacy_url")
    op.drop_column("jobs", "cancel_requested_at")
