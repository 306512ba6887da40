"""Longer task ids of providers: a task whose id does not fit would be lost although it is paid for."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _resize(128, 512)


def downgrade() -> None:
    _resize(512, 128)


def _resize(before: int, after: int) -> None:
    # SQLite does not limit the length of text. MySQL stores both lengths in two bytes, so no row changes.
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column(
            "jobs",
            "provider_task_id",
            existing_type=sa.String(before),
            type_=sa.String(after),
            existing_nullable=True,
        )
