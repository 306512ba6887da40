"""What one user may take up: jobs at once, jobs a day and bytes in the bucket. The rule guards money."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

from shared.domain.errors import QuotaExceededError
from shared.domain.keys import MediaType

DAY_S = 86_400
_BYTES_RETRY_S = 3600  # nothing but deleting helps, which nobody can foresee
_JOBS_RETRY_S = {MediaType.IMAGE: 5, MediaType.VIDEO: 30}  # about when one of them may have ended


@dataclass(frozen=True)
class Quotas:
    """The limits of each user: unfinished jobs, jobs begun in one day of UTC, bytes of all outputs."""

    concurrent_jobs: int
    jobs_per_day: int
    stored_bytes: int


@dataclass(frozen=True)
class Usage:
    """What a user takes up. A job that was deleted counts for its day all the same."""

    concurrent_jobs: int
    jobs_today: int
    stored_bytes: int

    def with_one_job_more(self) -> "Usage":
        """Return the usage once another job has begun."""
        return replace(self, concurrent_jobs=self.concurrent_jobs + 1, jobs_today=self.jobs_today + 1)


def day_of(moment: datetime) -> str:
    """Return the day in UTC, like ``2026-11-24``."""
    return moment.astimezone(UTC).date().isoformat()


def next_day_begins_at(moment: datetime) -> datetime:
    """Return the next 00:00 UTC, when the count of a day begins anew."""
    return datetime.combine(moment.astimezone(UTC).date() + timedelta(days=1), time(), UTC)


def rest_of_day_s(moment: datetime) -> int:
    """Return the whole seconds until the next 00:00 UTC, at least 1."""
    return -int((moment - next_day_begins_at(moment)).total_seconds() // 1)


def check_quotas(usage: Usage, quotas: Quotas, type: MediaType, now: datetime) -> None:
    """Check that a user may begin another job. Raises QuotaExceededError: a quota is used up.

    How many bytes a job will store is not known before, so the bytes may pass their limit by what the jobs that were
    begun below it store. Of several quotas the one that takes longest is named.
    """
    if usage.stored_bytes >= quotas.stored_bytes:
        raise QuotaExceededError(
            f"your outputs take {usage.stored_bytes} of {quotas.stored_bytes} bytes; delete some to make room",
            retry_after_s=_BYTES_RETRY_S,
            usage=usage,
        )
    if usage.jobs_today >= quotas.jobs_per_day:
        raise QuotaExceededError(
            f"you have begun {usage.jobs_today} of {quotas.jobs_per_day} jobs today; the day ends at 00:00 UTC",
            retry_after_s=rest_of_day_s(now),
            usage=usage,
        )
    if usage.concurrent_jobs >= quotas.concurrent_jobs:
        raise QuotaExceededError(
            f"{usage.concurrent_jobs} of {quotas.concurrent_jobs} jobs are at work; wait until one has ended",
            retry_after_s=_JOBS_RETRY_S[type],
            usage=usage,
        )
