"""Parts of SQL that several stores use. ``db`` is the database of the caller's session or transaction."""

from dataclasses import fields
from datetime import datetime
from typing import Any

import peewee

from shared.adapters.sql.tables import JobRow, UtcField
from shared.domain.cursors import Place
from shared.domain.deliveries import Delivery
from shared.domain.errors import LeaseLostError
from shared.domain.jobs import Job, JobStatus

UNFINISHED = [status.value for status in JobStatus if not status.final]


def utc(moment: datetime) -> peewee.Value:
    """Return a time in the form of a column's value, to be compared with an expression that is not a column."""
    return peewee.Value(moment, converter=UtcField().db_value)


def is_behind(column: Any, value: object, id_column: Any, id_value: str) -> Any:
    """Return the condition for the rows that follow one row in a list ordered by ``column``, then by the id."""
    return (column > value) | ((column == value) & (id_column > id_value))


def page_of_user(table: Any, user_id: str, before: Place | None, limit: int) -> Any:
    """Return the query for the rows of a user in ``table`` that follow the place ``before``, the newest first."""
    query = table.select().where(table.user_id == user_id)
    if before is not None:
        # The first condition bounds the index: MySQL reads no bound from a comparison of rows, and merges indexes for
        # an OR.
        row = peewee.Tuple(table.created_at, table.id)
        bound = peewee.Tuple(utc(before.created_at), before.id)
        query = query.where((table.created_at <= before.created_at) & (row < bound))
    return query.order_by(table.created_at.desc(), table.id.desc()).limit(limit)


def insert_job(db: peewee.Database, job: Job) -> None:
    """Write a new row of ``jobs``."""
    JobRow.insert(**job_values(job)).execute(db)


def write_job(db: peewee.Database, job_id: str, attempt: int, values: dict[str, Any]) -> None:
    """Write ``values`` to an unfinished job at this attempt. Raises LeaseLostError: no row matches."""
    row = (JobRow.id == job_id) & (JobRow.attempt == attempt) & JobRow.status.in_(UNFINISHED)
    if not JobRow.update(**values).where(row).execute(db):
        raise LeaseLostError("the job has ended, or a later attempt has begun")


def job_values(job: Job) -> dict[str, Any]:
    """Return the columns of the job's row."""
    values = {field.name: getattr(job, field.name) for field in fields(Job)}
    error = job.error
    values["error"] = error and {"code": error.code, "message": error.message, "retryable": error.retryable}
    values["warnings"] = list(job.warnings)
    return values


def delivery_values(delivery: Delivery) -> dict[str, Any]:
    """Return the columns of the delivery's row."""
    return {**{field.name: getattr(delivery, field.name) for field in fields(Delivery)}, "url_hash": delivery.url_hash}
