"""The port ``JobStore``, in memory."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from shared.domain.cursors import Place
from shared.domain.deliveries import delivery_of
from shared.domain.errors import DatabaseUnavailableError, LeaseLostError
from shared.domain.jobs import Job, JobStatus
from shared.domain.media_type import MediaType
from tests.fakes.delivery_store import InMemoryDeliveryStore
from tests.fakes.paging import page_of


class InMemoryJobStore:
    """The table ``jobs``; it does not answer while ``away`` is True. ``history`` has every state that was written.

    A job that ends and names a webhook gets a row in ``deliveries``.
    """

    def __init__(self) -> None:
        self.deliveries = InMemoryDeliveryStore()
        self.away = False
        self.history: list[Job] = []
        self._rows: dict[str, Job] = {}
        self._lock = threading.Lock()

    def add(self, job: Job) -> Job:
        with self._session():
            if job.id not in self._rows:
                self._write(job)
            return self._rows[job.id]

    def get(self, job_id: str) -> Job | None:
        with self._session():
            return self._rows.get(job_id)

    def save(self, job: Job, *, over_attempt: int | None = None) -> None:
        with self._session():
            row = self._held(job.id, job.attempt if over_attempt is None else over_attempt)
            if delivery := delivery_of(job):
                self.deliveries.add(delivery)
            self._write(replace(job, cancel_requested_at=row.cancel_requested_at))

    def renew(self, job_id: str, attempt: int, lease_expires_at: datetime) -> None:
        with self._session():
            self._write(replace(self._held(job_id, attempt), lease_expires_at=lease_expires_at))

    def request_cancel(self, job_id: str, now: datetime) -> None:
        with self._session():
            row = self._rows.get(job_id)
            if row is not None and not row.status.final and row.cancel_requested_at is None:
                self._write(replace(row, cancel_requested_at=now))

    def to_dispatch(self, now: datetime, *, limit: int, after: Job | None = None) -> Sequence[Job]:
        return self._due(now, lambda row: not row.awaits_task(now), limit, after)

    def to_poll(self, now: datetime, *, limit: int, after: Job | None = None) -> Sequence[Job]:
        return self._due(now, lambda row: row.awaits_task(now), limit, after)

    def _due(self, now: datetime, wanted: Callable[[Job], bool], limit: int, after: Job | None) -> Sequence[Job]:
        def place(row: Job) -> tuple[datetime, str]:
            return row.due_at or now, row.id

        with self._session():
            due = [
                row
                for row in self._rows.values()
                if not row.status.final
                and row.due_at is not None
                and row.due_at <= now
                and wanted(row)
                and (after is None or place(row) > place(after))
            ]
        return sorted(due, key=place)[:limit]

    def postpone(self, job: Job, next_attempt_at: datetime) -> Job:
        with self._session():
            row = self._held(job.id, job.attempt)
            if row.due_at != job.due_at:
                raise LeaseLostError("the job has changed since it was read")
            postponed = job.parked(next_attempt_at)
            self._write(replace(postponed, cancel_requested_at=row.cancel_requested_at))
            return postponed

    def recent(self, since: datetime, *, limit: int, after: Job | None = None) -> Sequence[Job]:
        with self._session():
            found = [
                row
                for row in self._rows.values()
                if (row.created_at >= since or (row.finished_at is not None and row.finished_at >= since))
                and (after is None or (row.created_at, row.id) > (after.created_at, after.id))
            ]
        return sorted(found, key=lambda row: (row.created_at, row.id))[:limit]

    def unfinished_of(self, user_id: str) -> int:
        with self._session():
            return sum(row.user_id == user_id and not row.status.final for row in self._rows.values())

    def of_user(
        self,
        user_id: str,
        *,
        limit: int,
        before: Place | None = None,
        type: MediaType | None = None,
        status: JobStatus | None = None,
    ) -> Sequence[Job]:
        with self._session():
            found = [row for row in self._rows.values() if row.user_id == user_id and status in {None, row.status}]
        return page_of(found, type, before, limit)

    def remove(self, job_id: str) -> None:
        with self._session():
            self._rows.pop(job_id, None)

    def _session(self) -> threading.Lock:
        if self.away:
            raise DatabaseUnavailableError("the database did not answer")
        return self._lock

    def _held(self, job_id: str, attempt: int) -> Job:
        row = self._rows.get(job_id)
        if row is None or row.attempt != attempt or row.status.final:
            raise LeaseLostError("the job has continued without this attempt")
        return row

    def _write(self, job: Job) -> None:
        self._rows[job.id] = job
        self.history.append(job)
