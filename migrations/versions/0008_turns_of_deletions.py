"""Turns of deletions: how many have failed, and when the next one is due."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The release before this one inserts rows without them.
    op.add_column("deletions", sa.Column("failures", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("deletions", sa.Column("next_attempt_at", sa.DateTime().with_variant(mysql.DATETIME(fsp=3), "mysql")))


def downgrade() -> None:
    op.drop_column("deletions", "next_attempt_at")
    op.drop_column("deletions", "failures")
