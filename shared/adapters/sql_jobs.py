"""The table ``jobs``."""

import functools
import operator
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import peewee

from shared.adapters.database import Database, JsonField, UtcField, is_behind, utc
from shared.adapters.sql_webhooks import DeliveryRow, insert_delivery
from shared.domain.cursors import Place
from shared.domain.errors import LeaseLostError
from shared.domain.jobs import TIME_LIMITS, Job, JobError, JobStatus
from shared.domain.media_type import MediaType
from shared.domain.webhooks import delivery_of

_UNFINISHED = [status.value for status in JobStatus if not status.final]


class JobRow(peewee.Model):
    """A row of ``jobs``."""

    id = peewee.CharField(primary_key=True)
    user_id = peewee.CharField()
    type = peewee.CharField()
    status = peewee.CharField()
    prompt = peewee.TextField()
    negative_prompt = peewee.TextField(null=True)
    model = peewee.CharField()
    size = peewee.CharField()
    seed = peewee.BigIntegerField(null=True)
    count = peewee.IntegerField()
    duration = peewee.IntegerField(null=True)
    image_url = peewee.TextField(null=True)
    webhook_url = peewee.TextField(null=True)
    created_at = UtcField()
    started_at = UtcField(null=True)
    finished_at = UtcField(null=True)
    error = JsonField(null=True)
    warnings = JsonField()
    submitted_at = UtcField(null=True)
    provider_task_id = peewee.CharField(null=True)
    attempt = peewee.IntegerField()
    failures = peewee.IntegerField()
    lease_expires_at = UtcField(null=True)
    next_attempt_at = UtcField(null=True)
    cancel_requested_at = UtcField(null=True)
    legacy_url = peewee.TextField(null=True)

    class Meta:
        table_name = "jobs"


_DUE_AT = peewee.fn.COALESCE(JobRow.lease_expires_at, JobRow.next_attempt_at)


def _is_overdue(now: datetime) -> Any:
    either = [(JobRow.type == type_.value) & (JobRow.created_at <= now - limit) for type_, limit in TIME_LIMITS.items()]
    return functools.reduce(operator.or_, either)


class SqlJobStore:
    """The table ``jobs``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.peewee.bind([JobRow, DeliveryRow])

    def add(self, job: Job) -> Job:
        """Add the job and return it; if there is one of that id, return that."""
        with self._database.session():
            try:
                insert_job(job)
            except peewee.IntegrityError:
                # It is there already when the connection broke after an INSERT, which was then repeated.
                return _to_job(JobRow.get_by_id(job.id))
        return job

    def get(self, job_id: str) -> Job | None:
        """Return the job, or None."""
        with self._database.session():
            row = JobRow.get_or_none(id=job_id)
        return None if row is None else _to_job(row)

    def save(self, job: Job, *, over_attempt: int | None = None) -> None:
        """Write the job's state if its row is still at ``over_attempt`` (left out: at the job's own attempt).

        With the end of a job that names a webhook comes the row of its delivery, in one transaction.
        """
        values = _to_row(job)
        del values["cancel_requested_at"]
        attempt, delivery = job.attempt if over_attempt is None else over_attempt, delivery_of(job)
        if delivery is None:
            with self._database.session():
                write_job(job.id, attempt, values)
            return
        with self._database.transaction():
            write_job(job.id, attempt, values)
            insert_delivery(delivery)

    def request_cancel(self, job_id: str, now: datetime) -> None:
        """Write down the wish to cancel, if the job has not ended and has none yet."""
        with self._database.session():
            JobRow.update(cancel_requested_at=now).where(
                (JobRow.id == job_id) & JobRow.status.in_(_UNFINISHED) & JobRow.cancel_requested_at.is_null()
            ).execute()

    def to_dispatch(self, now: datetime, *, limit: int, after: Job | None = None) -> Sequence[Job]:
        """Return due jobs that do not await a provider's task, the longest due first."""
        idle = JobRow.provider_task_id.is_null() | JobRow.cancel_requested_at.is_null(False) | _is_overdue(now)
        return self._due(now, idle, limit, after)

    def to_poll(self, now: datetime, *, limit: int, after: Job | None = None) -> Sequence[Job]:
        """Return due jobs that await a provider's task, the longest due first."""
        awaits = JobRow.provider_task_id.is_null(False) & JobRow.cancel_requested_at.is_null() & ~_is_overdue(now)
        return self._due(now, awaits, limit, after)

    def _due(self, now: datetime, wanted: Any, limit: int, after: Job | None) -> Sequence[Job]:
        wanted &= JobRow.status.in_(_UNFINISHED) & (utc(now) >= _DUE_AT)
        if after is not None and after.due_at is not None:
            wanted &= is_behind(_DUE_AT, utc(after.due_at), JobRow.id, after.id)
        with self._database.session():
            rows = list(JobRow.select().where(wanted).order_by(_DUE_AT, JobRow.id).limit(limit))
        return [_to_job(row) for row in rows]

    def postpone(self, job: Job, next_attempt_at: datetime) -> Job:
        """Have a job be due at another time, if its row is still as it was read."""
        postponed = job.parked(next_attempt_at)
        as_read = (JobRow.id == job.id) & (JobRow.attempt == job.attempt) & JobRow.status.in_(_UNFINISHED)
        if job.due_at is not None:
            as_read &= utc(job.due_at) == _DUE_AT
        values = {"lease_expires_at": None, "next_attempt_at": next_attempt_at}
        with self._database.session():
            if not JobRow.update(**values).where(as_read).execute():
                raise LeaseLostError("the job has gone on since it was read")
        return postponed

    def recent(self, since: datetime, *, limit: int, after: Job | None = None) -> Sequence[Job]:
        """Return jobs created or finished at ``since`` or later, the oldest first; ``after`` is the last one seen."""
        wanted = (JobRow.created_at >= since) | (JobRow.finished_at >= since)
        if after is not None:
            wanted &= is_behind(JobRow.created_at, after.created_at, JobRow.id, after.id)
        with self._database.session():
            query = JobRow.select().where(wanted).order_by(JobRow.created_at, JobRow.id)
            rows = list(query.limit(limit))
        return [_to_job(row) for row in rows]

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
        with self._database.session():
            rows = list(query)
        return [_to_job(row) for row in rows]


def page_of_user(table: Any, user_id: str, before: Place | None, limit: int) -> Any:
    """Return the query for a user's rows of a table behind a place, the newest first."""
    query = table.select().where(table.user_id == user_id)
    if before is not None:
        # The first bounds the index: MySQL reads no bound from a comparison of rows, and merges indexes for an OR.
        row = peewee.Tuple(table.created_at, table.id)
        bound = peewee.Tuple(utc(before.created_at), before.id)
        query = query.where((table.created_at <= before.created_at) & (row < bound))
    return query.order_by(table.created_at.desc(), table.id.desc()).limit(limit)


def insert_job(job: Job) -> None:
    """Write a new row."""
    JobRow.insert(**_to_row(job)).execute()


def count_unfinished(user_id: str) -> int:
    """Count the jobs of a user that have not ended."""
    return int(JobRow.select().where((JobRow.user_id == user_id) & JobRow.status.in_(_UNFINISHED)).count())


def write_job(job_id: str, attempt: int, values: dict[str, Any]) -> None:
    """Write to a job that has not ended and is at this attempt. Raises LeaseLostError: it is not."""
    row = (JobRow.id == job_id) & (JobRow.attempt == attempt) & JobRow.status.in_(_UNFINISHED)
    if not JobRow.update(**values).where(row).execute():
        raise LeaseLostError("the job has gone on without this attempt")


def _to_row(job: Job) -> dict[str, Any]:
    values = {field.name: getattr(job, field.name) for field in fields(Job)}
    error = job.error
    values["error"] = error and {"code": error.code, "message": error.message, "retryable": error.retryable}
    values["warnings"] = list(job.warnings)
    return values


def _to_job(row: Any) -> Job:
    values = {field.name: getattr(row, field.name) for field in fields(Job)}
    values["type"] = MediaType(row.type)
    values["status"] = JobStatus(row.status)
    values["error"] = JobError(**row.error) if row.error else None
    values["warnings"] = tuple(row.warnings)
    return Job(**values)
