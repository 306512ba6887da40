"""The quotas of one user: jobs at the same time, jobs per day and bytes in the bucket. They limit what a user costs."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from shared.domain.errors import QuotaExceededError
from shared.domain.media_type import MediaType
from shared.domain.usage import Usage

DAY_S = 86_400
_BYTES_RETRY_S = 3600  # only deleting outputs helps, and nobody can foresee when that happens
_JOBS_RETRY_S = {MediaType.IMAGE: 5, MediaType.VIDEO: 30}  # about when one of the jobs may have ended


@dataclass(frozen=True)
class Quotas:
    """The limits of each user: unfinished jobs, jobs started in one day (UTC), bytes of all outputs."""

    concurrent_jobs: int
    jobs_per_day: int
    stored_bytes: int


@dataclass(frozen=True)
class QuotaStatus:
    """A user's quotas and how much of them the user has used at one moment."""

    quotas: Quotas
    usage: Usage
    at: datetime


def day_of(moment: datetime) -> str:
    """Return the day in UTC, like ``2026-11-24``."""
    return moment.astimezone(UTC).date().isoformat()


def next_day_begins_at(moment: datetime) -> datetime:
    """Return the next 00:00 UTC, when the count of a day starts again at 0."""
    return datetime.combine(moment.astimezone(UTC).date() + timedelta(days=1), time(), UTC)


def rest_of_day_s(moment: datetime) -> int:
    """Return the whole seconds until the next 00:00 UTC, at least 1."""
    return -int((moment - next_day_begins_at(moment)).total_seconds() // 1)


def check_quotas(usage: Usage, quotas: Quotas, type: MediaType, now: datetime) -> None:
    """Check that a user may start another job. Raises QuotaExceededError: a quota is used up.

    Nobody knows in advance how many bytes a job will store. The stored bytes can therefore exceed their limit by the
    outputs of jobs that started below the limit. If several quotas are used up, the error names the one with the
    longest wait.
    """
    if usage.stored_bytes >= quotas.stored_bytes:
        raise QuotaExceededError(
            f"your outputs use {usage.stored_bytes} of {quotas.stored_bytes} bytes; delete some outputs to make room",
            retry_after_s=_BYTES_RETRY_S,
            usage=usage,
            at=now,
        )
    if usage.jobs_today >= quotas.jobs_per_day:
        raise QuotaExceededError(
            f"you have started {usage.jobs_today} of {quotas.jobs_per_day} jobs today; the day ends at 00:00 UTC",
            retry_after_s=rest_of_day_s(now),
            usage=usage,
            at=now,
        )
    if usage.concurrent_jobs >= quotas.concurrent_jobs:
        raise QuotaExceededError(
            f"{usage.concurrent_jobs} of {quotas.concurrent_jobs} jobs are unfinished; wait until one has ended",
            retry_after_s=_JOBS_RETRY_S[type],
            usage=usage,
            at=now,
        )
