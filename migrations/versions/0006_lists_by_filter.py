"""Lists of one type or one status read their page from an index, as the list of everything does."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("job_outputs_of_user_by_type", "job_outputs", ["user_id", "type", "created_at", "id"])
    op.create_index("jobs_of_user_by_type", "jobs", ["user_id", "type", "created_at", "id"])
    op.create_index("jobs_of_user_by_type_and_status", "jobs", ["user_id", "type", "status", "created_at", "id"])
    # Replaces the index of user and status, which is dropped last because the count of unfinished jobs uses it.
    op.create_index("jobs_of_user_by_status_and_time", "jobs", ["user_id", "status", "created_at", "id"])
    op.drop_index("jobs_of_user_by_status", "jobs")


def downgrade() -> None:
    op.create_index("jobs_of_user_by_status", "jobs", ["user_id", "status"])
    op.drop_index("jobs_of_user_by_status_and_time", "jobs")
    op.drop_index("jobs_of_user_by_type_and_status", "jobs")
    op.drop_index("jobs_of_user_by_type", "jobs")
    op.drop_index("job_outputs_of_user_by_type", "job_outputs")
