"""Deletions: wishes that stay written down until nothing is left of what they delete, and a while longer."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.jobs import Job, JobOutput

# How long a deletion is remembered after its end. By then no attempt is alive that began before it: the longest
# timeout of a generating function is half an hour.
SECOND_LOOK_AFTER = timedelta(hours=1)


class DeletionScope(StrEnum):
    """What a deletion takes away."""

    OUTPUT = "output"
    JOB = "job"
    USER = "user"


@dataclass(frozen=True)
class Deletion:
    """A row of ``deletions``. ``target_id`` is the id of the output, the job or the user.

    ``oss_path`` is an output's key, for its row goes before the deletion does. ``told_at`` is when the user of a
    deletion of everything was told that it has ended; only then is another request a new deletion.
    """

    id: str
    user_id: str
    scope: DeletionScope
    target_id: str
    requested_at: datetime
    oss_path: str | None = None
    finished_at: datetime | None = None
    told_at: datetime | None = None


def deletion_of_output(output: JobOutput, now: datetime) -> Deletion:
    """Return the wish to delete one output."""
    return Deletion(_new_id(), output.user_id, DeletionScope.OUTPUT, output.id, now, output.oss_path)


def deletion_of_job(job: Job, now: datetime) -> Deletion:
    """Return the wish to delete a job with everything of it."""
    return Deletion(_new_id(), job.user_id, DeletionScope.JOB, job.id, now)


def deletion_of_user(user_id: str, now: datetime) -> Deletion:
    """Return the wish to delete everything that a user has now."""
    return Deletion(_new_id(), user_id, DeletionScope.USER, user_id, now)


def _new_id() -> str:
    return str(uuid.uuid4())
