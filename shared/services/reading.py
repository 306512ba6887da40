"""Read a user's jobs, outputs, deliveries and quotas. Reading needs no other function, so it loads no HTTP client."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from shared.domain.cursors import Place, read_cursor, write_cursor
from shared.domain.deliveries import Delivery
from shared.domain.jobs import Job, JobOutput, JobStatus
from shared.domain.media_type import MediaType
from shared.domain.quotas import Quotas, QuotaStatus
from shared.ports import Clock, DeliveryStore, JobStore, OutputStore, StartStore
from shared.services.jobs import get_job, wait_for_end
from shared.services.legacy import KeyOf, LegacyOutput, find_known_outputs

T = TypeVar("T")
Row = TypeVar("Row", Job, JobOutput)


@dataclass(frozen=True)
class ReadPorts:
    """The ports that reading uses, and the limits of each user.

    ``key_of`` reads the object key from a URL of the bucket, None for any other URL.
    """

    jobs: JobStore
    outputs: OutputStore
    deliveries: DeliveryStore
    starts: StartStore
    quotas: Quotas
    key_of: KeyOf
    clock: Clock


@dataclass(frozen=True)
class ListQuery:
    """A request for up to ``limit`` rows of a user, from the end of the page before, which ``cursor`` names."""

    user_id: str
    limit: int
    cursor: str | None = None
    type: MediaType | None = None
    status: JobStatus | None = None

    def name(self, table: str) -> str:
        """Return the name of the list that a cursor belongs to: the table and the filters."""
        return f"{table}?type={self.type or ''}&status={self.status or ''}"


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list; ``next_cursor`` is None on the last page."""

    rows: Sequence[T]
    next_cursor: str | None


@dataclass(frozen=True)
class ListedJob:
    """A job and its known outputs; a job that has not succeeded is listed without outputs."""

    job: Job
    outputs: Sequence[JobOutput | LegacyOutput]


def read_job(job_id: str, user_id: str, *, wait_s: float = 0, ports: ReadPorts) -> Job:
    """Return a user's job once it has ended, or its state after ``wait_s`` seconds.

    Raises NotFoundError: the job does not exist, or it is another user's.
    """
    job = get_job(job_id, user_id, jobs=ports.jobs)
    return wait_for_end(job, wait_s, jobs=ports.jobs, clock=ports.clock)


def read_quota_status(user_id: str, *, ports: ReadPorts) -> QuotaStatus:
    """Return a user's quotas and how much of them is used now. Raises DatabaseUnavailableError."""
    now = ports.clock.now()
    return QuotaStatus(ports.quotas, ports.starts.usage_of(user_id, now), now)


def list_jobs(query: ListQuery, *, ports: ReadPorts) -> Page[ListedJob]:
    """Return a page of a user's jobs, the newest first, in two SQL statements for any page size.

    A list indexes nothing: a job without rows has its stored URL as its only output, or no output.
    Raises BadRequestError: the cursor belongs to another list.
    """
    name = query.name("jobs")
    found = ports.jobs.of_user(
        query.user_id,
        type=query.type,
        status=query.status,
        before=_read_place(query, name),
        limit=query.limit + 1,
    )
    page = _cut(found, query.limit, name)
    rows = defaultdict(list)
    succeeded = [job.id for job in page.rows if job.status is JobStatus.SUCCEEDED]
    for output in ports.outputs.of_jobs(succeeded) if succeeded else ():
        rows[output.job_id].append(output)
    listed = [ListedJob(job, find_known_outputs(job, rows[job.id], key_of=ports.key_of)) for job in page.rows]
    return Page(listed, page.next_cursor)


def list_outputs(query: ListQuery, *, ports: ReadPorts) -> Page[JobOutput]:
    """Return a page of a user's outputs, the newest first. Raises BadRequestError: the cursor is of another list."""
    name = query.name("outputs")
    place = _read_place(query, name)
    found = ports.outputs.of_user(query.user_id, type=query.type, before=place, limit=query.limit + 1)
    return _cut(found, query.limit, name)


def list_deliveries(job_id: str, user_id: str, *, ports: ReadPorts) -> Sequence[Delivery]:
    """Return the deliveries of a user's job. Raises NotFoundError: the job does not exist, or it is another user's."""
    return ports.deliveries.of_job(get_job(job_id, user_id, jobs=ports.jobs).id)


def _read_place(query: ListQuery, name: str) -> Place | None:
    return None if query.cursor is None else read_cursor(query.cursor, of=name)


def _cut(found: Sequence[Row], limit: int, name: str) -> Page[Row]:
    """Return the page. One row more than the page was read, which shows whether another page follows."""
    rows = found[:limit]
    if len(found) <= limit:
        return Page(rows, None)
    return Page(rows, write_cursor(Place(rows[-1].created_at, rows[-1].id), of=name))
