"""How much of the quotas a user has used. This module imports no other module of the project."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Usage:
    """Unfinished jobs, jobs started today (UTC) and bytes of all outputs. A deleted job still counts for its day."""

    concurrent_jobs: int
    jobs_today: int
    stored_bytes: int

    def with_one_job_more(self) -> "Usage":
        """Return the usage after another job has started."""
        return replace(self, concurrent_jobs=self.concurrent_jobs + 1, jobs_today=self.jobs_today + 1)
