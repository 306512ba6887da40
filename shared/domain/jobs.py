"""A job and its outputs: the states, and the steps between them.

::

    queued → running → storing → succeeded | failed | cancelled

A job never goes back and never leaves a final state.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from shared.domain.errors import ConflictError, DreamFactoryError
from shared.domain.media_type import MediaType
from shared.domain.texts import bounded

MAX_FAILURES = 4  # the first try and the three retries that Function Compute makes of an asynchronous invocation
RETRY_AFTER_S = 60  # after a failure that may pass
LEASE_S = 60
SUBMIT_LEASE_S = 240  # nothing renews the lease during a submit, which may take 200 s (provider_http.SUBMIT_WITHIN_S)
MAX_TASK_ID_CHARACTERS = 512  # the size of the column
MAX_WARNINGS = 12  # a job needs at most 7: three of its model and one for each of four outputs
DISPATCH_GRACE_S = 60  # how long a dispatched job may wait for its invocation
TIME_LIMITS = {MediaType.IMAGE: timedelta(hours=1), MediaType.VIDEO: timedelta(hours=6)}


def lease_from(now: datetime) -> datetime:
    """Return when the lease of an attempt ends, unless the attempt renews it."""
    return now + timedelta(seconds=LEASE_S)


class JobStatus(StrEnum):
    """The state of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    STORING = "storing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether the job has ended."""
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}


@dataclass(frozen=True)
class JobError:
    """Why a job failed, for its user."""

    code: str
    message: str
    retryable: bool

    @classmethod
    def of(cls, error: DreamFactoryError) -> "JobError":
        """Return ``error`` for the user, with a message that fits the column: providers write long ones."""
        return cls(error.code, bounded(str(error)), error.retryable)


@dataclass(frozen=True)
class Job:
    """One job: the request, and its progress.

    ``attempt`` counts the claims and fences them: a write that names an older attempt changes nothing. While
    ``lease_expires_at`` is in the future, one attempt is running. ``submitted_at`` without ``provider_task_id`` means
    that a submit was started and its answer was never received. ``cancel_requested_at`` is a request to cancel, which
    the next step carries out. ``legacy_url`` is the result's URL in the previous system, which had no ``job_outputs``.
    """

    id: str
    user_id: str
    type: MediaType
    prompt: str
    model: str
    size: str
    created_at: datetime
    status: JobStatus = JobStatus.QUEUED
    negative_prompt: str | None = None
    seed: int | None = None
    count: int = 1
    duration: int | None = None
    image_url: str | None = None
    webhook_url: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: JobError | None = None
    warnings: tuple[str, ...] = ()
    submitted_at: datetime | None = None
    provider_task_id: str | None = None
    attempt: int = 0
    failures: int = 0
    lease_expires_at: datetime | None = None
    next_attempt_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    legacy_url: str | None = None

    @property
    def deadline(self) -> datetime:
        """When the job fails, unless it has ended before."""
        return self.created_at + TIME_LIMITS[self.type]

    def free(self, now: datetime) -> bool:
        """Whether an attempt may start: the job has not ended, and no running attempt has a lease on it."""
        return not self.status.final and (self.lease_expires_at is None or self.lease_expires_at <= now)

    @property
    def due_at(self) -> datetime | None:
        """When the job needs its next step; None after its end."""
        return self.lease_expires_at or self.next_attempt_at

    def awaits_task(self, now: datetime) -> bool:
        """Whether the only next step is to poll the provider's task."""
        return self.provider_task_id is not None and self.cancel_requested_at is None and self.deadline > now

    @property
    def task_id(self) -> str:
        """The asynchronous task's id. Function Compute refuses an id that it knows, so each attempt starts once."""
        return f"job_{self.id}_{self.attempt}"

    def claimed(self, now: datetime) -> "Job":
        """Start the next attempt."""
        self._must_not_be_final()
        return replace(
            self,
            status=JobStatus.RUNNING if self.status is JobStatus.QUEUED else self.status,
            started_at=self.started_at or now,
            attempt=self.attempt + 1,
            lease_expires_at=lease_from(now),
            next_attempt_at=None,
        )

    def dispatched_again(self, now: datetime) -> "Job":
        """Skip to the next attempt number: Function Compute never accepts the same task id twice."""
        return replace(
            self,
            attempt=self.attempt + 1,
            lease_expires_at=None,
            next_attempt_at=now + timedelta(seconds=DISPATCH_GRACE_S),
        )

    def renewed(self, now: datetime) -> "Job":
        """Renew the lease."""
        return replace(self, lease_expires_at=lease_from(now))

    def submitting(self, now: datetime) -> "Job":
        """Record, before the submit, that the provider will receive the task."""
        return replace(self, submitted_at=now, lease_expires_at=now + timedelta(seconds=SUBMIT_LEASE_S))

    def not_submitted(self) -> "Job":
        """Undo ``submitting``: the provider has certainly not accepted the task."""
        return replace(self, submitted_at=None)

    def submitted(self, task_id: str, now: datetime) -> "Job":
        """Store the provider's task id: after this, the job is never submitted again."""
        return replace(self.renewed(now), provider_task_id=task_id)

    def storing(self, now: datetime) -> "Job":
        """Record that the provider has delivered."""
        return replace(self.renewed(now), status=JobStatus.STORING)

    def parked(self, next_attempt_at: datetime) -> "Job":
        """Give the job back; it continues at that time."""
        return replace(self, lease_expires_at=None, next_attempt_at=next_attempt_at)

    @property
    def may_fail_again(self) -> bool:
        """Whether the job is repeated after one more failure that may pass."""
        return self.failures + 1 < MAX_FAILURES

    def set_back(self, now: datetime) -> "Job":
        """Give the job back after a failure that may pass; the next attempt is due RETRY_AFTER_S later."""
        retry_at = now + timedelta(seconds=RETRY_AFTER_S)
        return replace(self.parked(retry_at), failures=self.failures + 1)

    def succeeded(self, now: datetime, warnings: tuple[str, ...] = ()) -> "Job":
        """End the job successfully: every output is in OSS, verified, with its row."""
        kept = (self.warnings + warnings)[:MAX_WARNINGS]
        return replace(self._ended(JobStatus.SUCCEEDED, now), warnings=tuple(bounded(warning) for warning in kept))

    def failed(self, error: JobError, now: datetime) -> "Job":
        """End the job with ``error``."""
        return replace(self._ended(JobStatus.FAILED, now), error=error)

    def cancelled(self, now: datetime) -> "Job":
        """End the job because its user cancelled it."""
        return self._ended(JobStatus.CANCELLED, now)

    def _ended(self, status: JobStatus, now: datetime) -> "Job":
        self._must_not_be_final()
        return replace(self, status=status, finished_at=now, lease_expires_at=None, next_attempt_at=None)

    def _must_not_be_final(self) -> None:
        if self.status.final:
            raise ConflictError(f"the job has already ended with the status {self.status}", code="job_ended")


@dataclass(frozen=True)
class JobOutput:
    """A row of ``job_outputs``: the complete object is in OSS, with this size.

    ``oss_url`` is the full URL, ``oss_path`` the object key (never shown to users), ``size`` is in bytes.
    """

    id: str
    job_id: str
    user_id: str
    type: MediaType
    oss_url: str
    oss_path: str
    size: int
    meta: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True)
class OutputIntent:
    """A row of ``output_intents``: an attempt is about to put this object to OSS, or has put it and then failed.

    ``output`` becomes the row of ``job_outputs`` when the complete object is in OSS; ``output.meta["crc64"]`` and
    ``output.size`` identify the object. ``position`` counts a job's outputs from 0.
    """

    output: JobOutput
    position: int
    attempt: int
