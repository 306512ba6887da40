"""The table ``jobs``."""

import functools
import operator
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import peewee

from shared.adapters.sql.database import Database
from shared.adapters.sql.statements import (
    UNFINISHED,
    delivery_values,
    insert_job,
    is_behind,
    job_values,
    page_of_user,
    utc,
    write_job,
)
from shared.adapters.sql.tables import DeliveryRow, JobRow
from shared.domain.cursors import Place
from shared.domain.deliveries import delivery_of
from shared.domain.errors import LeaseLostError
from shared.domain.jobs import TIME_LIMITS, Job, JobError, JobStatus
from shared.domain.media_type import MediaType

_DUE_AT = peewee.fn.COALESCE(JobRow.lease_expires_at, JobRow.next_attempt_at)


class SqlJobStore:
    """The table ``jobs``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, job: Job) -> Job:
        """Add the job and return it; if a job of this id exists already, return that job."""
        with self._database.session() as db:
            try:
                insert_job(db, job)
            except peewee.IntegrityError:
                # The row exists already if the connection broke after the INSERT, which was then repeated.
                return _to_job(_row(job.id).get(db))
        return job

    def get(self, job_id: str) -> Job | None:
        """Return the job, or None."""
        with self._database.session() as db:
            row = _row(job_id).get_or_none(db)
        return None if row is None else _to_job(row)

    def save(self, job: Job, *, over_attempt: int | None = None) -> None:
        """Write the job's state if its row is still at ``over_attempt`` (default: the job's own attempt).

        If the job has ended and names a webhook, the same transaction writes the row of its delivery.
        """
        values = job_values(job)
        del values["cancel_requested_at"]
        attempt, delivery = job.attempt if over_attempt is None else over_attempt, delivery_of(job)
        if delivery is None:
            with self._database.session() as db:
                write_job(db, job.id, attempt, values)
            return
        with self._database.transaction() as db:
            write_job(db, job.id, attempt, values)
            DeliveryRow.insert(**delivery_values(delivery)).execute(db)

    def request_cancel(self, job_id: str, now: datetime) -> None:
        """Record the request to cancel, if the job has not ended and no request is recorded yet."""
        with self._database.session() as db:
            JobRow.update(cancel_requested_at=now).where(
                (JobRow.id == job_id) & JobRow.status.in_(UNFINISHED) & JobRow.cancel_requested_at.is_null()
            ).execute(db)

    def to_dispatch(self, now: datetime, *, limit: int, after: Job | None = None) -> Sequence[Job]:
        """Return due jobs that do not wait for a provider's task, the longest due first."""
        idle = JobRow.provider_task_id.is_null() | JobRow.cancel_requested_at.is_null(False) | _is_overdue(now)
        return self._due(now, idle, limit, after)

    def to_poll(self, now: datetime, *, limit: int, after: Job | None = None) -> Sequence[Job]:
        """Return due jobs that wait for a provider's task, the longest due first."""
        awaits = JobRow.provider_task_id.is_null(False) & JobRow.cancel_requested_at.is_null() & ~_is_overdue(now)
        return self._due(now, awaits, limit, after)

    def _due(self, now: datetime, wanted: Any, limit: int, after: Job | None) -> Sequence[Job]:
        wanted &= JobRow.status.in_(UNFINISHED) & (utc(now) >= _DUE_AT)
        if after is not None and after.due_at is not None:
            wanted &= is_behind(_DUE_AT, utc(after.due_at), JobRow.id, after.id)
        return self._jobs(JobRow.select().where(wanted).order_by(_DUE_AT, JobRow.id).limit(limit))

    def postpone(self, job: Job, next_attempt_at: datetime) -> Job:
        """Move the time at which a job is due, if its row is still as it was read."""
        postponed = job.parked(next_attempt_at)
        as_read = (JobRow.id == job.id) & (JobRow.attempt == job.attempt) & JobRow.status.in_(UNFINISHED)
        if job.due_at is not None:
            as_read &= utc(job.due_at) == _DUE_AT
        values = {"lease_expires_at": None, "next_attempt_at": next_attempt_at}
        with self._database.session() as db:
            if not JobRow.update(**values).where(as_read).execute(db):
                raise LeaseLostError("the job has changed since it was read")
        return postponed

    def recent(self, since: datetime, *, limit: int, after: Job | None = None) -> Sequence[Job]:
        """Return jobs created or finished at ``since`` or later, the oldest first; ``after`` is the last one seen."""
        wanted = (JobRow.created_at >= since) | (JobRow.finished_at >= since)
        if after is not None:
            wanted &= is_behind(JobRow.created_at, after.created_at, JobRow.id, after.id)
        return self._jobs(JobRow.select().where(wanted).order_by(JobRow.created_at, JobRow.id).limit(limit))

    def of_user(
        self,
        user_id: str,
        *,
        limit: int,
        before: Place | None = None,
        type: MediaType | None = None,
        status: JobStatus | None = None,
    ) -> Sequence[Job]:
        """Return a user's jobs behind the place ``before``, the newest first; of a type and a status if given."""
        query = page_of_user(JobRow, user_id, before, limit)
        if type is not None:
            query = query.where(JobRow.type == type)
        if status is not None:
            query = query.where(JobRow.status == status)
        return self._jobs(query)

    def _jobs(self, query: Any) -> Sequence[Job]:
        with self._database.session() as db:
            return [_to_job(row) for row in query.execute(db)]


def _row(job_id: str) -> Any:
    return JobRow.select().where(JobRow.id == job_id)


def _is_overdue(now: datetime) -> Any:
    either = [(JobRow.type == type_.value) & (JobRow.created_at <= now - limit) for type_, limit in TIME_LIMITS.items()]
    return functools.reduce(operator.or_, either)


def _to_job(row: Any) -> Job:
    values = {field.name: getattr(row, field.name) for field in fields(Job)}
    values["type"] = MediaType(row.type)
    values["status"] = JobStatus(row.status)
    values["error"] = JobError(**row.error) if row.error else None
    values["warnings"] = tuple(row.warnings)
    return Job(**values)
