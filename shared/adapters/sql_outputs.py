"""The tables ``job_outputs`` and ``output_intents``."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import peewee

from shared.adapters.database import Database, JsonField, UtcField, is_behind
from shared.adapters.sql_jobs import JobRow, page_of_user, write_job
from shared.domain.cursors import Place
from shared.domain.errors import DatabaseUnavailableError
from shared.domain.jobs import JobOutput, OutputIntent
from shared.domain.media_type import MediaType


class _OutputColumns(peewee.Model):
    """What a row of ``job_outputs`` and the intent to write it both say."""

    job_id = peewee.CharField()
    user_id = peewee.CharField()
    type = peewee.CharField()
    oss_url = peewee.TextField()
    oss_path = peewee.CharField()
    size = peewee.BigIntegerField()
    meta = JsonField()
    created_at = UtcField()


class OutputRow(_OutputColumns):
    """A row of ``job_outputs``."""

    id = peewee.CharField(primary_key=True)

    class Meta:
        table_name = "job_outputs"


class _IntentRow(_OutputColumns):
    position = peewee.IntegerField()
    attempt = peewee.IntegerField()
    id = peewee.CharField()

    class Meta:
        table_name = "output_intents"
        primary_key = peewee.CompositeKey("job_id", "position")


class SqlOutputStore:
    """The tables ``job_outputs`` and ``output_intents``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.peewee.bind([JobRow, OutputRow, _IntentRow])

    def intend(self, intent: OutputIntent, *, lease_expires_at: datetime) -> None:
        """Write the intent in place of its position's earlier one and renew its attempt's lease, in one transaction."""
        values = {**_output_values(intent.output), "position": intent.position, "attempt": intent.attempt}
        with self._database.transaction():
            write_job(intent.output.job_id, intent.attempt, {"lease_expires_at": lease_expires_at})
            _IntentRow.insert(**values).on_conflict_replace().execute()

    def commit(self, intent: OutputIntent, *, lease_expires_at: datetime) -> None:
        """Write the intent's row, remove the intent and renew its attempt's lease, in one transaction."""
        output = intent.output
        try:
            with self._database.transaction():
                write_job(output.job_id, intent.attempt, {"lease_expires_at": lease_expires_at})
                _put_output(output)
        except DatabaseUnavailableError:
            # The answer to COMMIT may be all that was lost.
            left = [each for each in self.intents_of_job(output.job_id) if each.output.id == output.id]
            if self.get(output.id) != output or left:
                raise

    def put(self, output: JobOutput) -> None:
        """Write the row, or bring it up to date, keeping when it was made, and remove its intent."""
        with self._database.transaction():
            _put_output(output)

    def of_job(self, job_id: str) -> Sequence[JobOutput]:
        """Return the rows of a job by position: the timestamp in the key holds it."""
        with self._database.session():
            rows = list(OutputRow.select().where(OutputRow.job_id == job_id).order_by(OutputRow.oss_path))
        return [_to_output(row) for row in rows]

    def of_jobs(self, job_ids: Sequence[str]) -> Sequence[JobOutput]:
        """Return the rows of several jobs in one query, those of each by position."""
        with self._database.session():
            query = OutputRow.select().where(OutputRow.job_id.in_(job_ids))
            rows = list(query.order_by(OutputRow.job_id, OutputRow.oss_path))
        return [_to_output(row) for row in rows]

    def of_user(
        self, user_id: str, *, limit: int, before: Place | None = None, type: MediaType | None = None
    ) -> Sequence[JobOutput]:
        """Return a user's rows behind the place ``before``, the newest first; of one type if it is given."""
        query = page_of_user(OutputRow, user_id, before, limit)
        if type is not None:
            query = query.where(OutputRow.type == type)
        with self._database.session():
            rows = list(query)
        return [_to_output(row) for row in rows]

    def get(self, output_id: str) -> JobOutput | None:
        """Return the row, or None."""
        with self._database.session():
            row = OutputRow.get_or_none(id=output_id)
        return None if row is None else _to_output(row)

    def remove(self, output_id: str) -> None:
        """Remove the row; nothing happens if there is none."""
        with self._database.session():
            OutputRow.delete().where(OutputRow.id == output_id).execute()

    def intents_of_job(self, job_id: str) -> Sequence[OutputIntent]:
        """Return the intents of a job by position."""
        with self._database.session():
            rows = list(_IntentRow.select().where(_IntentRow.job_id == job_id).order_by(_IntentRow.position))
        return [_to_intent(row) for row in rows]

    def intents_before(
        self, moment: datetime, *, limit: int, after: OutputIntent | None = None
    ) -> Sequence[OutputIntent]:
        """Return intents that were written before ``moment``, the oldest first; ``after`` is the last one seen."""
        wanted = _IntentRow.created_at < moment
        if after is not None:
            wanted &= is_behind(_IntentRow.created_at, after.output.created_at, _IntentRow.id, after.output.id)
        with self._database.session():
            query = _IntentRow.select().where(wanted).order_by(_IntentRow.created_at, _IntentRow.id)
            rows = list(query.limit(limit))
        return [_to_intent(row) for row in rows]

    def remove_intent(self, intent: OutputIntent) -> None:
        """Remove the intent if it is still that of its attempt; nothing happens otherwise."""
        with self._database.session():
            _IntentRow.delete().where(
                (_IntentRow.job_id == intent.output.job_id)
                & (_IntentRow.position == intent.position)
                & (_IntentRow.attempt == intent.attempt)
            ).execute()


def sum_of_sizes(user_id: str) -> int:
    """Sum up the bytes of a user's outputs."""
    return int(OutputRow.select(peewee.fn.SUM(OutputRow.size)).where(OutputRow.user_id == user_id).scalar() or 0)


def remove_rows_of_job(job_id: str) -> None:
    """Remove a job's outputs and intents, within the caller's transaction."""
    OutputRow.delete().where(OutputRow.job_id == job_id).execute()
    _IntentRow.delete().where(_IntentRow.job_id == job_id).execute()


def remove_rows_of_output(output_id: str) -> None:
    """Remove an output and its intent, within the caller's transaction."""
    OutputRow.delete().where(OutputRow.id == output_id).execute()
    _IntentRow.delete().where(_IntentRow.id == output_id).execute()


def _put_output(output: JobOutput) -> None:
    # One statement: an INSERT that fails and an UPDATE after it deadlock when two do it at once.
    sqlite = isinstance(OutputRow._meta.database, peewee.SqliteDatabase)
    target = {"conflict_target": [OutputRow.id]} if sqlite else {}
    changed = [OutputRow.oss_url, OutputRow.size, OutputRow.meta]
    OutputRow.insert(**_output_values(output)).on_conflict(preserve=changed, **target).execute()
    _IntentRow.delete().where(_IntentRow.id == output.id).execute()


def _output_values(output: JobOutput) -> dict[str, Any]:
    return {field.name: getattr(output, field.name) for field in fields(JobOutput)}


def _to_output(row: Any) -> JobOutput:
    values = {field.name: getattr(row, field.name) for field in fields(JobOutput)}
    values["type"] = MediaType(row.type)
    return JobOutput(**values)


def _to_intent(row: Any) -> OutputIntent:
    return OutputIntent(_to_output(row), row.position, row.attempt)
