"""The table ``webhook_deliveries``: an outbox, which is written to together with a job's end."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import peewee

from shared.adapters.database import Database, UtcField, is_behind
from shared.domain.deliveries import Delivery, DeliveryStatus, hash_url
from shared.domain.errors import LeaseLostError

_PENDING = DeliveryStatus.PENDING.value
_DISABLED = DeliveryStatus.DISABLED.value


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


class SqlDeliveryStore:
    """The table ``webhook_deliveries``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.peewee.bind([DeliveryRow])

    def of_job(self, job_id: str) -> Sequence[Delivery]:
        """Return the deliveries of a job, the oldest first."""
        with self._database.session():
            rows = list(DeliveryRow.select().where(DeliveryRow.job_id == job_id).order_by(DeliveryRow.created_at))
        return [_to_delivery(row) for row in rows]

    def due(self, now: datetime, *, limit: int, after: Delivery | None = None) -> Sequence[Delivery]:
        """Return pending deliveries that are due, the longest due first; ``after`` is the last one seen."""
        due_at = DeliveryRow.next_attempt_at
        wanted = (DeliveryRow.status == _PENDING) & (due_at <= now)
        if after is not None:
            wanted &= is_behind(due_at, after.next_attempt_at, DeliveryRow.id, after.id)
        with self._database.session():
            rows = list(DeliveryRow.select().where(wanted).order_by(due_at, DeliveryRow.id).limit(limit))
        return [_to_delivery(row) for row in rows]

    def count_begun(self, user_id: str, since: datetime) -> int:
        """Count a user's pending deliveries whose last attempt began at ``since`` or later."""
        begun = (DeliveryRow.user_id == user_id) & (DeliveryRow.last_attempt_at >= since)
        with self._database.session():
            return int(DeliveryRow.select().where(begun & (DeliveryRow.status == _PENDING)).count())

    def save(self, delivery: Delivery, *, over_attempts: int | None = None) -> None:
        """Write the delivery if its row is pending and at ``over_attempts`` (left out: at the delivery's own)."""
        attempts = delivery.attempts if over_attempts is None else over_attempts
        row = (DeliveryRow.id == delivery.id) & (DeliveryRow.attempts == attempts) & (DeliveryRow.status == _PENDING)
        with self._database.session():
            if not DeliveryRow.update(**_to_row(delivery)).where(row).execute():
                raise LeaseLostError("the delivery has gone on without this attempt")

    def is_disabled(self, user_id: str, url: str) -> bool:
        """Tell whether the receiver has said to this user's deliveries that it is gone."""
        with self._database.session():
            return bool(DeliveryRow.select().where(_to(user_id, url) & (DeliveryRow.status == _DISABLED)).exists())

    def disable(self, user_id: str, url: str, error: str) -> None:
        """End the user's pending deliveries to the URL."""
        ended = {"status": _DISABLED, "next_attempt_at": None, "error": error}
        with self._database.session():
            DeliveryRow.update(**ended).where(_to(user_id, url) & (DeliveryRow.status == _PENDING)).execute()

    def remove_before(self, moment: datetime, *, limit: int) -> int:
        """Remove rows that were made before ``moment``, the oldest first, and return their number."""
        with self._database.session():
            # MySQL knows no LIMIT in a subquery of this kind, SQLite none in a DELETE.
            old = DeliveryRow.select(DeliveryRow.id).where(DeliveryRow.created_at < moment)
            ids = [row.id for row in old.order_by(DeliveryRow.created_at).limit(limit)]
            return int(DeliveryRow.delete().where(DeliveryRow.id.in_(ids)).execute()) if ids else 0


def insert_delivery(delivery: Delivery) -> None:
    """Write a new row; the caller's transaction decides whether it happens."""
    DeliveryRow.insert(**_to_row(delivery)).execute()


def _to(user_id: str, url: str) -> peewee.Expression:
    return (DeliveryRow.user_id == user_id) & (DeliveryRow.url_hash == hash_url(url))


def _to_row(delivery: Delivery) -> dict[str, Any]:
    return {**{field.name: getattr(delivery, field.name) for field in fields(Delivery)}, "url_hash": delivery.url_hash}


def _to_delivery(row: Any) -> Delivery:
    values = {field.name: getattr(row, field.name) for field in fields(Delivery)}
    return Delivery(**{**values, "status": DeliveryStatus(row.status)})
