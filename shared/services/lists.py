"""The lists of a user's jobs and outputs, page by page, the newest first."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from shared.domain.cursors import Place, read_cursor, write_cursor
from shared.domain.jobs import Job, JobOutput, JobStatus
from shared.domain.keys import MediaType, ObjectKey
from shared.ports import JobStore, OutputStore
from shared.services.legacy import LegacyOutput, find_known_outputs

T = TypeVar("T")
Row = TypeVar("Row", Job, JobOutput)


@dataclass(frozen=True)
class ListQuery:
    """Which rows of a user are wanted, and at most how many; ``cursor`` is where the page before ended."""

    user_id: str
    limit: int
    cursor: str | None = None
    type: MediaType | None = None
    status: JobStatus | None = None

    def name(self, table: str) -> str:
        """Return the name of the list that a cursor belongs to."""
        return f"{table}?type={self.type or ''}&status={self.status or ''}"


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list; ``next_cursor`` is None on the last page."""

    rows: Sequence[T]
    next_cursor: str | None


@dataclass(frozen=True)
class ListedJob:
    """A job and what is known of its outputs; none while it has not succeeded."""

    job: Job
    outputs: Sequence[JobOutput | LegacyOutput]


def list_jobs(
    query: ListQuery, *, jobs: JobStore, outputs: OutputStore, key_of: Callable[[str], ObjectKey | None]
) -> Page[ListedJob]:
    """Return a page of a user's jobs, in two statements however long it is.

    Nothing is indexed here: a job without rows shows the URL that was stored of it, or nothing. Raises BadRequestError:
    the cursor is not one of this list.
    """
    name = query.name("jobs")
    found = jobs.of_user(
        query.user_id,
        type=query.type,
        status=query.status,
        before=_read_place(query, name),
        limit=query.limit + 1,
    )
    page = _cut(found, query.limit, name)
    rows = defaultdict(list)
    succeeded = [job.id for job in page.rows if job.status is JobStatus.SUCCEEDED]
    for output in outputs.of_jobs(succeeded) if succeeded else ():
        rows[output.job_id].append(output)
    listed = [ListedJob(job, find_known_outputs(job, rows[job.id], key_of=key_of)) for job in page.rows]
    return Page(listed, page.next_cursor)


def list_outputs(query: ListQuery, *, outputs: OutputStore) -> Page[JobOutput]:
    """Return a page of a user's outputs. Raises BadRequestError: the cursor is not one of this list."""
    name = query.name("outputs")
    found = outputs.of_user(query.user_id, type=query.type, before=_read_place(query, name), limit=query.limit + 1)
    return _cut(found, query.limit, name)


def _read_place(query: ListQuery, name: str) -> Place | None:
    return None if query.cursor is None else read_cursor(query.cursor, of=name)


def _cut(found: Sequence[Row], limit: int, name: str) -> Page[Row]:
    """Return the page of which one row more was asked for, to know whether there is another page."""
    rows = found[:limit]
    if len(found) <= limit:
        return Page(rows, None)
    return Page(rows, write_cursor(Place(rows[-1].created_at, rows[-1].id), of=name))
