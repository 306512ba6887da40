"""Deletions: requests to delete outputs, jobs or everything of a user.

A deletion stays in the database until nothing is left of its target, and for ``SECOND_LOOK_AFTER`` longer.
"""

import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.jobs import Job, JobOutput

# How long a deletion is kept after its end. By then no attempt that started before the deletion is still running: the
# longest timeout of a generating function is half an hour.
SECOND_LOOK_AFTER = timedelta(hours=1)
AGAIN_AFTER = timedelta(seconds=45)  # in time for the next run of the minute timer
LONGEST_DELAY = timedelta(days=1)
MAX_FAILURES = 14  # after about four days


class DeletionScope(StrEnum):
    """What a deletion removes."""

    OUTPUT = "output"
    JOB = "job"
    USER = "user"


@dataclass(frozen=True)
class Deletion:
    """A row of ``deletions``. ``target_id`` is the id of the output, the job or the user.

    ``oss_path`` is the key of an output, because the output's row is removed before the deletion. ``told_at`` is when
    the user was told that a deletion of everything has ended; only after that, another request is a new deletion.
    ``failures`` counts the failed turns since the last request for this deletion. ``next_attempt_at`` is when the next
    turn is due; None means now.
    """

    id: str
    user_id: str
    scope: DeletionScope
    target_id: str
    requested_at: datetime
    oss_path: str | None = None
    finished_at: datetime | None = None
    told_at: datetime | None = None
    failures: int = 0
    next_attempt_at: datetime | None = None

    @property
    def due_at(self) -> datetime:
        """When the next turn is due. The deletion that has been due for longest comes first."""
        return self.next_attempt_at or self.requested_at

    def due(self, now: datetime) -> bool:
        """Whether to carry out the deletion, or to check it again, now. A deletion that was given up is never due."""
        open_ = self.finished_at is None or self.finished_at < now - SECOND_LOOK_AFTER
        return open_ and not self.given_up and self.due_at <= now

    @property
    def given_up(self) -> bool:
        """Whether the deletion has failed too often. Another request for the same target starts it again."""
        return self.failures >= MAX_FAILURES

    def begun_again(self) -> "Deletion":
        """Forget the failures, because the user has requested the deletion again."""
        return replace(self, failures=0, next_attempt_at=None)

    def postponed(self, now: datetime) -> "Deletion":
        """Wait for the next minute. A turn does so when it starts, so that no other run starts the same deletion."""
        return replace(self, next_attempt_at=now + AGAIN_AFTER)

    def interrupted(self, now: datetime) -> "Deletion":
        """End a turn whose time is over: the next turn is due now, after the turns of all other deletions."""
        return replace(self, next_attempt_at=now)

    def failed(self, now: datetime) -> "Deletion":
        """End a turn that failed, and wait twice as long as after the failure before."""
        delay = min(AGAIN_AFTER * 2**self.failures, LONGEST_DELAY)
        return replace(self, failures=self.failures + 1, next_attempt_at=now + delay)


def deletion_of_output(output: JobOutput, now: datetime) -> Deletion:
    """Return the deletion of one output."""
    return Deletion(_new_id(), output.user_id, DeletionScope.OUTPUT, output.id, now, output.oss_path)


def deletion_of_job(job: Job, now: datetime) -> Deletion:
    """Return the deletion of a job and of everything that belongs to it."""
    return Deletion(_new_id(), job.user_id, DeletionScope.JOB, job.id, now)


def deletion_of_user(user_id: str, now: datetime) -> Deletion:
    """Return the deletion of everything that a user has now."""
    return Deletion(_new_id(), user_id, DeletionScope.USER, user_id, now)


def _new_id() -> str:
    return str(uuid.uuid4())
