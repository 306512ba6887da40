"""Attempts of deletions: the number of failures, and the time of the next attempt."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The previous release inserts rows without these columns.
    op.add_column("deletions", sa.Column("failures", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("deletions", sa.Column("next_attempt_at", sa.DateTime().with_variant(mysql.DATETIME(fsp=3), "mysql")))


def downgrade() -> None:
    op.drop_column("deletions", "next_attempt_at")
    op.drop_column("deletions", "failures")
