"""The tables, on MySQL and on SQLite, by the same queries."""

import json
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import peewee
import pymysql.constants.CLIENT
from playhouse.shortcuts import ReconnectMixin

from shared.domain.errors import ConfigurationError, DatabaseUnavailableError, LeaseLostError
from shared.domain.jobs import Job, JobError, JobOutput, JobStatus, OutputIntent
from shared.domain.keys import MediaType
from shared.settings import DatabaseSettings

_CONNECT_TIMEOUT_S = 10
_QUERY_TIMEOUT_S = 30
_UNFINISHED = [status.value for status in JobStatus if not status.final]


class _Utc(peewee.DateTimeField):
    """An aware UTC time; the column holds it without the zone."""

    def db_value(self, value: datetime | None) -> object:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def python_value(self, value: datetime | str | None) -> datetime | None:
        # MySQL's driver hands out times, SQLite's text.
        naive = datetime.fromisoformat(value) if isinstance(value, str) else value
        return None if naive is None else naive.replace(tzinfo=UTC)


class _Json(peewee.TextField):
    """JSON as text."""

    def db_value(self, value: object) -> str | None:
        return None if value is None else json.dumps(value, ensure_ascii=False)

    def python_value(self, value: str | bytes | None) -> Any:
        return None if value is None else json.loads(value)


class _JobRow(peewee.Model):
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
    idempotency_key = peewee.CharField(null=True)
    request_hash = peewee.CharField(null=True)
    created_at = _Utc()
    started_at = _Utc(null=True)
    finished_at = _Utc(null=True)
    error = _Json(null=True)
    warnings = _Json()
    submitted_at = _Utc(null=True)
    provider_task_id = peewee.CharField(null=True)
    attempt = peewee.IntegerField()
    failures = peewee.IntegerField()
    lease_expires_at = _Utc(null=True)
    next_attempt_at = _Utc(null=True)
    cancel_requested_at = _Utc(null=True)
    legacy_url = peewee.TextField(null=True)

    class Meta:
        table_name = "jobs"


class _OutputColumns(peewee.Model):
    """What a row of ``job_outputs`` and the intent to write it both say."""

    job_id = peewee.CharField()
    user_id = peewee.CharField()
    type = peewee.CharField()
    oss_url = peewee.TextField()
    oss_path = peewee.CharField()
    size = peewee.BigIntegerField()
    meta = _Json()
    created_at = _Utc()


class _OutputRow(_OutputColumns):
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


class _ReconnectingMySql(ReconnectMixin, peewee.MySQLDatabase):  # type: ignore[misc]  # playhouse carries no types
    """A connection that may have gone stale while the instance was frozen."""


class Database:
    """One connection for the life of the instance, which handles one request at a time.

    Raises ConfigurationError: the URL cannot be read.
    """

    def __init__(self, config: DatabaseSettings) -> None:
        self.peewee = _connect(config.url.get_secret_value())
        self.peewee.bind([_JobRow, _OutputRow, _IntentRow])

    @contextmanager
    def session(self) -> Iterator[None]:
        """Translate the database's errors; open the connection if it is not open."""
        try:
            self.peewee.connect(reuse_if_open=True)
            yield
        except (peewee.OperationalError, peewee.InterfaceError) as error:
            # The next session begins with a connection of its own.
            self.peewee.close()
            raise DatabaseUnavailableError("the database did not answer") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Open a session whose statements happen together or not at all.

        The first of them must write: SQLite refuses a transaction that has read the lock for writing when another
        connection has written meanwhile.
        """
        with self.session(), self.peewee.atomic():
            yield


def _connect(url: str) -> peewee.Database:
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return peewee.SqliteDatabase(
            url.removeprefix("sqlite:///"), pragmas={"journal_mode": "wal", "synchronous": "normal"}, timeout=30
        )
    name = parts.path.removeprefix("/")
    if not parts.hostname or not name:
        raise ConfigurationError("DATABASE_URL must name a host and a database")
    options = dict(parse_qsl(parts.query))
    return _ReconnectingMySql(
        unquote(name),
        host=parts.hostname,
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        charset="utf8mb4",
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_QUERY_TIMEOUT_S,
        write_timeout=_QUERY_TIMEOUT_S,
        # Locks on the gaps between rows, which the default takes, make strangers' transactions deadlock.
        init_command="SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        # An UPDATE that changes nothing must still count the row that it found.
        client_flag=pymysql.constants.CLIENT.FOUND_ROWS,
        **({"ssl": _tls_context(options["ssl_ca"])} if "ssl_ca" in options else {"ssl_disabled": True}),
    )


@cache
def _tls_context(ca_file: str) -> ssl.SSLContext:
    """Return one context for the process: each costs 25 to 36 ms of CPU."""
    return ssl.create_default_context(cafile=ca_file)


class SqlJobStore:
    """The table ``jobs``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, job: Job) -> Job:
        """Add the job; with an idempotency key that its user has used, return that earlier job instead."""
        with self._database.session():
            try:
                _JobRow.insert(**_to_row(job)).execute()
            except peewee.IntegrityError:
                # The job itself is there already when the connection broke after an INSERT, which was then repeated.
                row = _JobRow.get_or_none(_JobRow.id == job.id)
                if row is None and job.idempotency_key is not None:
                    row = _JobRow.get_or_none(
                        (_JobRow.user_id == job.user_id) & (_JobRow.idempotency_key == job.idempotency_key)
                    )
                if row is None:
                    raise
                return _to_job(row)
        return job

    def get(self, job_id: str) -> Job | None:
        """Return the job, or None."""
        with self._database.session():
            row = _JobRow.get_or_none(id=job_id)
        return None if row is None else _to_job(row)

    def save(self, job: Job, *, over_attempt: int | None = None) -> None:
        """Write the job's state if its row is still at ``over_attempt`` (left out: at the job's own attempt)."""
        values = _to_row(job)
        del values["cancel_requested_at"]
        with self._database.session():
            _write_job(job.id, job.attempt if over_attempt is None else over_attempt, values)

    def request_cancel(self, job_id: str, now: datetime) -> None:
        """Write down the wish to cancel, if the job has not ended and has none yet."""
        with self._database.session():
            _JobRow.update(cancel_requested_at=now).where(
                (_JobRow.id == job_id) & _JobRow.status.in_(_UNFINISHED) & _JobRow.cancel_requested_at.is_null()
            ).execute()

    def waiting(self, now: datetime, *, limit: int) -> Sequence[Job]:
        """Return unfinished jobs that are due and that nobody works on, the longest waiting first."""
        with self._database.session():
            rows = list(
                _JobRow.select()
                .where(
                    _JobRow.status.in_(_UNFINISHED)
                    & ((_JobRow.lease_expires_at <= now) | (_JobRow.next_attempt_at <= now))
                )
                .order_by(_JobRow.created_at)
                .limit(limit)
            )
        return [_to_job(row) for row in rows]

    def recent(self, since: datetime, *, limit: int, after: Job | None = None) -> Sequence[Job]:
        """Return jobs created or finished at ``since`` or later, the oldest first; ``after`` is the last one seen."""
        wanted = (_JobRow.created_at >= since) | (_JobRow.finished_at >= since)
        if after is not None:
            same_time = (_JobRow.created_at == after.created_at) & (_JobRow.id > after.id)
            wanted &= (_JobRow.created_at > after.created_at) | same_time
        with self._database.session():
            query = _JobRow.select().where(wanted).order_by(_JobRow.created_at, _JobRow.id)
            rows = list(query.limit(limit))
        return [_to_job(row) for row in rows]


class SqlOutputStore:
    """The tables ``job_outputs`` and ``output_intents``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def intend(self, intent: OutputIntent, *, lease_expires_at: datetime) -> None:
        """Write the intent in place of its position's earlier one and renew its attempt's lease, in one transaction."""
        values = {**_output_values(intent.output), "position": intent.position, "attempt": intent.attempt}
        with self._database.transaction():
            _write_job(intent.output.job_id, intent.attempt, {"lease_expires_at": lease_expires_at})
            _IntentRow.insert(**values).on_conflict_replace().execute()

    def commit(self, intent: OutputIntent, *, lease_expires_at: datetime) -> None:
        """Write the intent's row, remove the intent and renew its attempt's lease, in one transaction."""
        output = intent.output
        try:
            with self._database.transaction():
                _write_job(output.job_id, intent.attempt, {"lease_expires_at": lease_expires_at})
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
            rows = list(_OutputRow.select().where(_OutputRow.job_id == job_id).order_by(_OutputRow.oss_path))
        return [_to_output(row) for row in rows]

    def get(self, output_id: str) -> JobOutput | None:
        """Return the row, or None."""
        with self._database.session():
            row = _OutputRow.get_or_none(id=output_id)
        return None if row is None else _to_output(row)

    def remove(self, output_id: str) -> None:
        """Remove the row; nothing happens if there is none."""
        with self._database.session():
            _OutputRow.delete().where(_OutputRow.id == output_id).execute()

    def intents_of_job(self, job_id: str) -> Sequence[OutputIntent]:
        """Return the intents of a job by position."""
        with self._database.session():
            rows = list(_IntentRow.select().where(_IntentRow.job_id == job_id).order_by(_IntentRow.position))
        return [_to_intent(row) for row in rows]

    def intents_before(self, moment: datetime, *, limit: int) -> Sequence[OutputIntent]:
        """Return intents that were written before ``moment``, the oldest first."""
        with self._database.session():
            query = _IntentRow.select().where(_IntentRow.created_at < moment)
            rows = list(query.order_by(_IntentRow.created_at).limit(limit))
        return [_to_intent(row) for row in rows]

    def remove_intent(self, intent: OutputIntent) -> None:
        """Remove the intent if it is still that of its attempt; nothing happens otherwise."""
        with self._database.session():
            _IntentRow.delete().where(
                (_IntentRow.job_id == intent.output.job_id)
                & (_IntentRow.position == intent.position)
                & (_IntentRow.attempt == intent.attempt)
            ).execute()


def _write_job(job_id: str, attempt: int, values: dict[str, Any]) -> None:
    """Write to a job that has not ended and is at this attempt. Raises LeaseLostError: it is not."""
    row = (_JobRow.id == job_id) & (_JobRow.attempt == attempt) & _JobRow.status.in_(_UNFINISHED)
    if not _JobRow.update(**values).where(row).execute():
        raise LeaseLostError("the job has gone on without this attempt")


def _put_output(output: JobOutput) -> None:
    # One statement: an INSERT that fails and an UPDATE after it deadlock when two do it at once.
    sqlite = isinstance(_OutputRow._meta.database, peewee.SqliteDatabase)
    target = {"conflict_target": [_OutputRow.id]} if sqlite else {}
    changed = [_OutputRow.oss_url, _OutputRow.size, _OutputRow.meta]
    _OutputRow.insert(**_output_values(output)).on_conflict(preserve=changed, **target).execute()
    _IntentRow.delete().where(_IntentRow.id == output.id).execute()


def _output_values(output: JobOutput) -> dict[str, Any]:
    return {field.name: getattr(output, field.name) for field in fields(JobOutput)}


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


def _to_output(row: Any) -> JobOutput:
    values = {field.name: getattr(row, field.name) for field in fields(JobOutput)}
    values["type"] = MediaType(row.type)
    return JobOutput(**values)


def _to_intent(row: Any) -> OutputIntent:
    return OutputIntent(_to_output(row), row.position, row.attempt)
