"""The outbox of webhooks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TABLE = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}
_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=3), "mysql")


def upgrade() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.String(64), primary_key=True),  # the webhook-id of every attempt
        sa.Column("job_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("url_hash", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),  # pending, delivered, failed or disabled
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("last_attempt_at", _TIME),
        sa.Column("next_attempt_at", _TIME),
        sa.Column("response_status", sa.Integer()),
        sa.Column("error", sa.Text()),
        **_TABLE,
    )
    op.create_index("webhook_deliveries_due", "webhook_deliveries", ["status", "next_attempt_at"])
    op.create_index("webhook_deliveries_of_job", "webhook_deliveries", ["job_id", "created_at"])
    op.create_index("webhook_deliveries_to", "webhook_deliveries", ["user_id", "url_hash", "status"])
    op.create_index("webhook_deliveries_by_age", "webhook_deliveries", ["created_at"])


def downgrade() -> None:
    op.drop_table("webhook_deliveries")
