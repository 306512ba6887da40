"""The table ``deletions``, and what a deletion takes out of the others."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

import peewee

from shared.adapters.database import Database, UtcField
from shared.adapters.sql_jobs import JobRow
from shared.adapters.sql_outputs import remove_rows_of_job, remove_rows_of_output
from shared.adapters.sql_starts import KeyRow
from shared.adapters.sql_webhooks import DeliveryRow
from shared.domain.deletions import Deletion, DeletionScope


class _DeletionRow(peewee.Model):
    id = peewee.CharField(primary_key=True)
    user_id = peewee.CharField()
    scope = peewee.CharField()
    target_id = peewee.CharField()
    requested_at = UtcField()
    oss_path = peewee.CharField(null=True)
    finished_at = UtcField(null=True)
    told_at = UtcField(null=True)

    class Meta:
        table_name = "deletions"


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

    def unfinished(self, *, limit: int, after: Deletion | None = None) -> Sequence[Deletion]:
        """Return deletions that have not ended, the oldest first; ``after`` is the last one seen."""
        return self._some(_DeletionRow.finished_at.is_null(), limit, after)

    def finished_before(self, moment: datetime, *, limit: int, after: Deletion | None = None) -> Sequence[Deletion]:
        """Return deletions that ended before ``moment``, in the same order."""
        return self._some(_DeletionRow.finished_at < moment, limit, after)

    def _some(self, wanted: Any, limit: int, after: Deletion | None) -> Sequence[Deletion]:
        if after is not None:
            same_time = (_DeletionRow.requested_at == after.requested_at) & (_DeletionRow.id > after.id)
            wanted &= (_DeletionRow.requested_at > after.requested_at) | same_time
        with self._database.session():
            query = _DeletionRow.select().where(wanted).order_by(_DeletionRow.requested_at, _DeletionRow.id)
            rows = list(query.limit(limit))
        return [_to_deletion(row) for row in rows]

    def finish(self, deletion: Deletion, now: datetime) -> None:
        """Take away every row of the job or the output, and write down the end, in one transaction."""
        unfinished = (_DeletionRow.id == deletion.id) & _DeletionRow.finished_at.is_null()
        with self._database.transaction():
            _DeletionRow.update(finished_at=now).where(unfinished).execute()
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
