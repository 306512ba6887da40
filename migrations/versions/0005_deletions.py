"""Requested deletions, until everything in their scope is deleted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLE = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}
_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=3), "mysql")


def upgrade() -> None:
    op.create_table(
        "deletions",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),  # output, job or user
        sa.Column("target_id", sa.String(255), nullable=False),  # the id of the output, job or user
        sa.Column("requested_at", _TIME, nullable=False),
        sa.Column("oss_path", sa.String(700)),  # of an output: its row is deleted before this row
        sa.Column("finished_at", _TIME),
        sa.Column("told_at", _TIME),  # when a response first reported the end to the user
        **_TABLE,
    )
    # Not unique: a deletion can be requested again, and two deletions of the same target do no harm.
    op.create_index("deletions_by_target", "deletions", ["target_id", "scope"])
    op.create_index("deletions_by_end", "deletions", ["finished_at", "requested_at", "id"])
    # Lists are ordered by time and then by id.
    op.drop_index("jobs_of_user", "jobs")
    op.create_index("jobs_of_user", "jobs", ["user_id", "created_at", "id"])
    op.drop_index("job_outputs_of_user", "job_outputs")
    op.create_index("job_outputs_of_user", "job_outputs", ["user_id", "created_at", "id"])


def downgrade() -> None:
    op.drop_index("job_outputs_of_user", "job_outputs")
    op.create_index("job_outputs_of_user", "job_outputs", ["user_id", "created_at"])
    op.drop_index("jobs_of_user", "jobs")
    op.create_index("jobs_of_user", "jobs", ["user_id", "created_at"])
    op.drop_table("deletions")
