"""The tables, as peewee's models.

No model is bound to a database, because peewee keeps that binding in the class and a second database in the process
would replace it. Every query gets its database when it is executed, which also costs nothing at a cold start.
"""

import json
from datetime import UTC, datetime
from typing import Any

import peewee


class UtcField(peewee.DateTimeField):
    """An aware UTC time; the column contains the time without its zone."""

    def db_value(self, value: datetime | None) -> object:
        """Return the value of the column."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def python_value(self, value: datetime | str | None) -> datetime | None:
        """Return the time that the column's value means."""
        # MySQL's driver returns times, SQLite's driver returns text.
        naive = datetime.fromisoformat(value) if isinstance(value, str) else value
        return None if naive is None else naive.replace(tzinfo=UTC)


class JsonField(peewee.TextField):
    """A value that the column contains as JSON text."""

    def db_value(self, value: object) -> str | None:
        """Return the value of the column."""
        return None if value is None else json.dumps(value, ensure_ascii=False)

    def python_value(self, value: str | bytes | None) -> Any:
        """Return the value that the column's JSON text means."""
        return None if value is None else json.loads(value)


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


class _OutputColumns(peewee.Model):
    """The columns that ``job_outputs`` and ``output_intents`` share."""

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


class IntentRow(_OutputColumns):
    """A row of ``output_intents``."""

    position = peewee.IntegerField()
    attempt = peewee.IntegerField()
    id = peewee.CharField()

    class Meta:
        table_name = "output_intents"
        primary_key = peewee.CompositeKey("job_id", "position")


class KeyRow(peewee.Model):
    """A row of ``idempotency_keys``."""

    user_id = peewee.CharField()
    idempotency_key = peewee.CharField()
    request_hash = peewee.CharField()
    job_id = peewee.CharField()
    created_at = UtcField()
    answer = JsonField(null=True)

    class Meta:
        table_name = "idempotency_keys"
        primary_key = peewee.CompositeKey("user_id", "idempotency_key")


class UsageRow(peewee.Model):
    """A row of ``daily_usage``."""

    user_id = peewee.CharField(primary_key=True)
    # ``jobs`` comes before ``day``: peewee writes an UPDATE in this order, and MySQL sets one column after the other.
    jobs = peewee.IntegerField()
    day = peewee.CharField()

    class Meta:
        table_name = "daily_usage"


class DeletionRow(peewee.Model):
    """A row of ``deletions``."""

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


class DeliveryRow(peewee.Model):
    """A row of ``webhook_deliveries``."""

    id = peewee.CharField(primary_key=True)
    job_id = peewee.CharField()
    user_id = peewee.CharField()
    event = peewee.CharField()
    url = peewee.TextField()
    url_hash = peewee.CharField()
    status = peewee.CharField()
    attempts = peewee.IntegerField()
    created_at = UtcField()
    last_attempt_at = UtcField(null=True)
    next_attempt_at = UtcField(null=True)
    response_status = peewee.IntegerField(null=True)
    error = peewee.TextField(null=True)

    class Meta:
        table_name = "webhook_deliveries"
