"""The tables ``job_outputs`` and ``output_intents``."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import peewee

from shared.adapters.sql.database import Database
from shared.adapters.sql.statements import is_behind, page_of_user, write_job
from shared.adapters.sql.tables import IntentRow, OutputRow
from shared.domain.cursors import Place
from shared.domain.errors import DatabaseUnavailableError
from shared.domain.jobs import JobOutput, OutputIntent
from shared.domain.media_type import MediaType


class SqlOutputStore:
    """The tables ``job_outputs`` and ``output_intents``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def intend(self, intent: OutputIntent, *, lease_expires_at: datetime) -> None:
        """Replace the intent of its position and renew the lease of its attempt, in one transaction."""
        values = {**_output_values(intent.output), "position": intent.position, "attempt": intent.attempt}
        with self._database.transaction() as db:
            write_job(db, intent.output.job_id, intent.attempt, {"lease_expires_at": lease_expires_at})
            IntentRow.insert(**values).on_conflict_replace().execute(db)

    def commit(self, intent: OutputIntent, *, lease_expires_at: datetime) -> None:
        """Write the intent's row, remove the intent and renew the lease of its attempt, in one transaction."""
        output = intent.output
        try:
            with self._database.transaction() as db:
                write_job(db, output.job_id, intent.attempt, {"lease_expires_at": lease_expires_at})
                _put_output(db, output)
        except DatabaseUnavailableError:
            # Perhaps the transaction succeeded and only the answer to COMMIT was lost.
            left = [each for each in self.intents_of_job(output.job_id) if each.output.id == output.id]
            if self.get(output.id) != output or left:
                raise

    def put(self, output: JobOutput) -> None:
        """Insert the row, or update it except for its ``created_at``, and remove its intent."""
        with self._database.transaction() as db:
            _put_output(db, output)

    def of_job(self, job_id: str) -> Sequence[JobOutput]:
        """Return the rows of a job by position, which is part of the timestamp in the key."""
        return self._outputs(OutputRow.select().where(OutputRow.job_id == job_id).order_by(OutputRow.oss_path))

    def of_jobs(self, job_ids: Sequence[str]) -> Sequence[JobOutput]:
        """Return the rows of several jobs in one query; the rows of each job are ordered by position."""
        query = OutputRow.select().where(OutputRow.job_id.in_(job_ids))
        return self._outputs(query.order_by(OutputRow.job_id, OutputRow.oss_path))

    def of_user(
        self, user_id: str, *, limit: int, before: Place | None = None, type: MediaType | None = None
    ) -> Sequence[JobOutput]:
        """Return a user's rows behind the place ``before``, the newest first; of one type if it is given."""
        query = page_of_user(OutputRow, user_id, before, limit)
        return self._outputs(query if type is None else query.where(OutputRow.type == type))

    def _outputs(self, query: Any) -> Sequence[JobOutput]:
        with self._database.session() as db:
            return [_to_output(row) for row in query.execute(db)]

    def get(self, output_id: str) -> JobOutput | None:
        """Return the row, or None."""
        with self._database.session() as db:
            row = OutputRow.select().where(OutputRow.id == output_id).get_or_none(db)
        return None if row is None else _to_output(row)

    def remove(self, output_id: str) -> None:
        """Remove the row; nothing happens if it does not exist."""
        with self._database.session() as db:
            OutputRow.delete().where(OutputRow.id == output_id).execute(db)

    def intents_of_job(self, job_id: str) -> Sequence[OutputIntent]:
        """Return the intents of a job by position."""
        return self._intents(IntentRow.select().where(IntentRow.job_id == job_id).order_by(IntentRow.position))

    def intents_before(
        self, moment: datetime, *, limit: int, after: OutputIntent | None = None
    ) -> Sequence[OutputIntent]:
        """Return intents that were written before ``moment``, the oldest first; ``after`` is the last one seen."""
        wanted = IntentRow.created_at < moment
        if after is not None:
            wanted &= is_behind(IntentRow.created_at, after.output.created_at, IntentRow.id, after.output.id)
        query = IntentRow.select().where(wanted).order_by(IntentRow.created_at, IntentRow.id)
        return self._intents(query.limit(limit))

    def _intents(self, query: Any) -> Sequence[OutputIntent]:
        with self._database.session() as db:
            return [_to_intent(row) for row in query.execute(db)]

    def remove_intent(self, intent: OutputIntent) -> None:
        """Remove the intent if it still belongs to the same attempt; nothing happens otherwise."""
        with self._database.session() as db:
            IntentRow.delete().where(
                (IntentRow.job_id == intent.output.job_id)
                & (IntentRow.position == intent.position)
                & (IntentRow.attempt == intent.attempt)
            ).execute(db)


def _put_output(db: peewee.Database, output: JobOutput) -> None:
    # One statement, because two callers that each send an INSERT, which fails, and then an UPDATE can deadlock.
    target = {"conflict_target": [OutputRow.id]} if isinstance(db, peewee.SqliteDatabase) else {}
    changed = [OutputRow.oss_url, OutputRow.size, OutputRow.meta]
    OutputRow.insert(**_output_values(output)).on_conflict(preserve=changed, **target).execute(db)
    IntentRow.delete().where(IntentRow.id == output.id).execute(db)


def _output_values(output: JobOutput) -> dict[str, Any]:
    return {field.name: getattr(output, field.name) for field in fields(JobOutput)}


def _to_output(row: Any) -> JobOutput:
    values = {field.name: getattr(row, field.name) for field in fields(JobOutput)}
    values["type"] = MediaType(row.type)
    return JobOutput(**values)


def _to_intent(row: Any) -> OutputIntent:
    return OutputIntent(_to_output(row), row.position, row.attempt)
