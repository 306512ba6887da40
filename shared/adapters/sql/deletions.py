"""The table ``deletions``, and what a deletion takes out of the others."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

import peewee

from shared.adapters.sql.database import Database, UtcField, is_behind, utc
from shared.adapters.sql.deliveries import DeliveryRow
from shared.adapters.sql.jobs import JobRow
from shared.adapters.sql.outputs import remove_rows_of_job, remove_rows_of_output
from shared.adapters.sql.starts import KeyRow
from shared.domain.deletions import MAX_FAILURES, SECOND_LOOK_AFTER, Deletion, DeletionScope
from shared.domain.errors import LeaseLostError


class _DeletionRow(peewee.Model):
    id = peewee.CharField(primary_key=True)
    user_id = peewee.CharField()
    scope = peewee.CharField()
    target_id = peewee.CharField()
    requested_at = UtcField()
    oss_path = peewee.CharField(null=True)
    finished_at = UtcField(null=True)
    told_at = UtcField(null=True)
    failures = peewee.IntegerField()
    next_attempt_at = UtcField(null=True)

    class Meta:
        table_name = "deletions"


_DUE_AT = peewee.fn.COALESCE(_DeletionRow.next_attempt_at, _DeletionRow.requested_at)


class SqlDeletionStore:
    """The table ``deletions``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.peewee.bind([DeliveryRow, JobRow, KeyRow, _DeletionRow])

    def add(self, deletion: Deletion) -> None:
        """Write the wish down."""
        with self._database.session():
            _DeletionRow.insert(**asdict(deletion)).execute()

    def get(self, deletion_id: str) -> Deletion | None:
        """Return the deletion, or None."""
        with self._database.session():
            row = _DeletionRow.get_or_none(id=deletion_id)
        return None if row is None else _to_deletion(row)

    def newest_of(self, scope: DeletionScope, target_id: str) -> Deletion | None:
        """Return the deletion of this target that was asked for last, or None."""
        with self._database.session():
            query = _DeletionRow.select().where(_is_of(scope, target_id))
            row = query.order_by(_DeletionRow.requested_at.desc(), _DeletionRow.id.desc()).first()
        return None if row is None else _to_deletion(row)

    def concerns(self, *, job_id: str, output_id: str) -> bool:
        """Tell whether this job or this output is being deleted, or was not long ago."""
        either = _is_of(DeletionScope.JOB, job_id) | _is_of(DeletionScope.OUTPUT, output_id)
        with self._database.session():
            return bool(_DeletionRow.select().where(either).exists())

    def due(self, now: datetime, *, limit: int, after: Deletion | None = None) -> Sequence[Deletion]:
        """Return deletions that are due, the longest due first; ``after`` is the last one seen."""
        is_open = _DeletionRow.finished_at.is_null() | (_DeletionRow.finished_at < now - SECOND_LOOK_AFTER)
        wanted = is_open & (_DeletionRow.failures < MAX_FAILURES) & (utc(now) >= _DUE_AT)
        if after is not None:
            wanted &= is_behind(_DUE_AT, utc(after.due_at), _DeletionRow.id, after.id)
        with self._database.session():
            rows = list(_DeletionRow.select().where(wanted).order_by(_DUE_AT, _DeletionRow.id).limit(limit))
        return [_to_deletion(row) for row in rows]

    def save(self, deletion: Deletion, *, over: Deletion) -> None:
        """Write the failures and the next turn of a deletion that is still as ``over`` says."""
        as_read = (_DeletionRow.id == over.id) & (_DeletionRow.failures == over.failures)
        as_read &= utc(over.due_at) == _DUE_AT
        values = {"failures": deletion.failures, "next_attempt_at": deletion.next_attempt_at}
        with self._database.session():
            if not _DeletionRow.update(**values).where(as_read).execute():
                raise LeaseLostError("another run has taken this deletion up")

    def finish(self, deletion: Deletion, now: datetime) -> None:
        """Take away every row of the job or the output, and write down the end, in one transaction."""
        unfinished = (_DeletionRow.id == deletion.id) & _DeletionRow.finished_at.is_null()
        with self._database.transaction():
            _DeletionRow.update(finished_at=now, failures=0, next_attempt_at=None).where(unfinished).execute()
            match deletion.scope:
                case DeletionScope.JOB:
                    _remove_job(deletion.target_id)
                case DeletionScope.OUTPUT:
                    remove_rows_of_output(deletion.target_id)
                case DeletionScope.USER:
                    pass  # its jobs have deletions of their own

    def tell(self, deletion_id: str, now: datetime) -> None:
        """Write down that the user was told of the end."""
        with self._database.session():
            _DeletionRow.update(told_at=now).where(_DeletionRow.id == deletion_id).execute()

    def remove(self, deletion_id: str) -> None:
        """Forget the deletion; nothing happens if there is none."""
        with self._database.session():
            _DeletionRow.delete().where(_DeletionRow.id == deletion_id).execute()


def _is_of(scope: DeletionScope, target_id: str) -> Any:
    return (_DeletionRow.target_id == target_id) & (_DeletionRow.scope == scope)


def _remove_job(job_id: str) -> None:
    JobRow.delete().where(JobRow.id == job_id).execute()
    remove_rows_of_job(job_id)
    DeliveryRow.delete().where(DeliveryRow.job_id == job_id).execute()
    # The key stays, so that a repeated request does not pay again.
    KeyRow.update(answer=None).where(KeyRow.job_id == job_id).execute()


def _to_deletion(row: Any) -> Deletion:
    values = {field.name: getattr(row, field.name) for field in fields(Deletion)}
    values["scope"] = DeletionScope(row.scope)
    return Deletion(**values)
