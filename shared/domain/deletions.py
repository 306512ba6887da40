"""Deletions: wishes that stay written down until nothing is left of what they delete, and a while longer."""

import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.jobs import Job, JobOutput

# How long a deletion is remembered after its end. By then no attempt is alive that began before it: the longest
# timeout of a generating function is half an hour.
SECOND_LOOK_AFTER = timedelta(hours=1)
AGAIN_AFTER = timedelta(seconds=45)  # in time for the next run of the minute timer
LONGEST_DELAY = timedelta(days=1)
MAX_FAILURES = 14  # after about four days


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
    ``failures`` counts the turns that failed since it was last asked for; ``next_attempt_at`` is when its next turn is
    due, None for at once.
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
        """When its next turn is due. Those that are due longest come first."""
        return self.next_attempt_at or self.requested_at

    def due(self, now: datetime) -> bool:
        """Tell whether it is time to carry it out, or to look again; never once it is given up."""
        open_ = self.finished_at is None or self.finished_at < now - SECOND_LOOK_AFTER
        return open_ and not self.given_up and self.due_at <= now

    @property
    def given_up(self) -> bool:
        """Whether it has failed too often. Another request for the same begins it again."""
        return self.failures >= MAX_FAILURES

    def begun_again(self) -> "Deletion":
        """Forget the failures, because it was asked for again."""
        return replace(self, failures=0, next_attempt_at=None)

    def postponed(self, now: datetime) -> "Deletion":
        """Leave it to the next minute; a turn says so when it begins, so that no other run takes it up."""
        return replace(self, next_attempt_at=now + AGAIN_AFTER)

    def interrupted(self, now: datetime) -> "Deletion":
        """End a turn whose time was over: the next turn is due at once, behind those of all others."""
        return replace(self, next_attempt_at=now)

    def failed(self, now: datetime) -> "Deletion":
        """End a turn that failed, and wait twice as long as after the failure before."""
        delay = min(AGAIN_AFTER * 2**self.failures, LONGEST_DELAY)
        return replace(self, failures=self.failures + 1, next_attempt_at=now + delay)


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
