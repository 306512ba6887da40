"""Room for longer task ids of providers: one that does not fit loses a task that is paid for."""

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
    # SQLite bounds no text. MySQL keeps the length of both in two bytes, so it touches no row.
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column(
            "jobs",
            "provider_task_id",
            existing_type=sa.String(before),
            type_=sa.String(after),
            existing_nullable=True,
        )
