"""The table ``deletions``, and the rows that a deletion removes from the other tables."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

import peewee

from shared.adapters.sql.database import Database
from shared.adapters.sql.statements import is_behind, utc
from shared.adapters.sql.tables import DeletionRow, DeliveryRow, IntentRow, JobRow, KeyRow, OutputRow
from shared.domain.deletions import MAX_FAILURES, SECOND_LOOK_AFTER, Deletion, DeletionScope
from shared.domain.errors import LeaseLostError

_DUE_AT = peewee.fn.COALESCE(DeletionRow.next_attempt_at, DeletionRow.requested_at)


class SqlDeletionStore:
    """The table ``deletions``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, deletion: Deletion) -> None:
        """Record the request to delete."""
        with self._database.session() as db:
            DeletionRow.insert(**asdict(deletion)).execute(db)

    def get(self, deletion_id: str) -> Deletion | None:
        """Return the deletion, or None."""
        with self._database.session() as db:
            row = DeletionRow.select().where(DeletionRow.id == deletion_id).get_or_none(db)
        return None if row is None else _to_deletion(row)

    def newest_of(self, scope: DeletionScope, target_id: str) -> Deletion | None:
        """Return the deletion of this target that was requested last, or None."""
        query = DeletionRow.select().where(_is_of(scope, target_id))
        with self._database.session() as db:
            row = query.order_by(DeletionRow.requested_at.desc(), DeletionRow.id.desc()).first(db)
        return None if row is None else _to_deletion(row)

    def concerns(self, *, job_id: str, output_id: str) -> bool:
        """Return whether a deletion of this job or this output exists: one in progress, or one that ended recently."""
        either = _is_of(DeletionScope.JOB, job_id) | _is_of(DeletionScope.OUTPUT, output_id)
        with self._database.session() as db:
            return bool(DeletionRow.select().where(either).exists(db))

    def due(self, now: datetime, *, limit: int, after: Deletion | None = None) -> Sequence[Deletion]:
        """Return deletions that are due, the longest due first; ``after`` is the last one seen."""
        is_open = DeletionRow.finished_at.is_null() | (DeletionRow.finished_at < now - SECOND_LOOK_AFTER)
        wanted = is_open & (DeletionRow.failures < MAX_FAILURES) & (utc(now) >= _DUE_AT)
        if after is not None:
            wanted &= is_behind(_DUE_AT, utc(after.due_at), DeletionRow.id, after.id)
        query = DeletionRow.select().where(wanted).order_by(_DUE_AT, DeletionRow.id).limit(limit)
        with self._database.session() as db:
            return [_to_deletion(row) for row in query.execute(db)]

    def save(self, deletion: Deletion, *, over: Deletion) -> None:
        """Write the failures and the next attempt of a deletion whose row is still as ``over`` says."""
        as_read = (DeletionRow.id == over.id) & (DeletionRow.failures == over.failures)
        as_read &= utc(over.due_at) == _DUE_AT
        values = {"failures": deletion.failures, "next_attempt_at": deletion.next_attempt_at}
        with self._database.session() as db:
            if not DeletionRow.update(**values).where(as_read).execute(db):
                raise LeaseLostError("the deletion has changed since it was read")

    def finish(self, deletion: Deletion, now: datetime) -> None:
        """Remove every row of the job or the output, and record the end of the deletion, in one transaction."""
        unfinished = (DeletionRow.id == deletion.id) & DeletionRow.finished_at.is_null()
        with self._database.transaction() as db:
            DeletionRow.update(finished_at=now, failures=0, next_attempt_at=None).where(unfinished).execute(db)
            match deletion.scope:
                case DeletionScope.JOB:
                    _remove_job(db, deletion.target_id)
                case DeletionScope.OUTPUT:
                    _remove_output(db, deletion.target_id)
                case DeletionScope.USER:
                    pass  # each job of the user has its own deletion

    def tell(self, deletion_id: str, now: datetime) -> None:
        """Record that the user has learned about the end of the deletion."""
        with self._database.session() as db:
            DeletionRow.update(told_at=now).where(DeletionRow.id == deletion_id).execute(db)

    def remove(self, deletion_id: str) -> None:
        """Remove the deletion's row; nothing happens if it does not exist."""
        with self._database.session() as db:
            DeletionRow.delete().where(DeletionRow.id == deletion_id).execute(db)


def _is_of(scope: DeletionScope, target_id: str) -> Any:
    return (DeletionRow.target_id == target_id) & (DeletionRow.scope == scope)


def _remove_job(db: peewee.Database, job_id: str) -> None:
    JobRow.delete().where(JobRow.id == job_id).execute(db)
    for table in (OutputRow, IntentRow, DeliveryRow):
        table.delete().where(table.job_id == job_id).execute(db)
    # The key stays, so that a repeated request does not pay for a second job.
    KeyRow.update(answer=None).where(KeyRow.job_id == job_id).execute(db)


def _remove_output(db: peewee.Database, output_id: str) -> None:
    for table in (OutputRow, IntentRow):
        table.delete().where(table.id == output_id).execute(db)


def _to_deletion(row: Any) -> Deletion:
    values = {field.name: getattr(row, field.name) for field in fields(Deletion)}
    values["scope"] = DeletionScope(row.scope)
    return Deletion(**values)
