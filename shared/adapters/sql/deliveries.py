"""The table ``webhook_deliveries``: an outbox, whose rows are inserted in the transaction that ends a job."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import peewee

from shared.adapters.sql.database import Database
from shared.adapters.sql.statements import delivery_values, is_behind
from shared.adapters.sql.tables import DeliveryRow
from shared.domain.deliveries import Delivery, DeliveryStatus, hash_url
from shared.domain.errors import LeaseLostError

_PENDING = DeliveryStatus.PENDING.value
_DISABLED = DeliveryStatus.DISABLED.value


class SqlDeliveryStore:
    """The table ``webhook_deliveries``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_job(self, job_id: str) -> Sequence[Delivery]:
        """Return the deliveries of a job, the oldest first."""
        query = DeliveryRow.select().where(DeliveryRow.job_id == job_id).order_by(DeliveryRow.created_at)
        return self._deliveries(query)

    def due(self, now: datetime, *, limit: int, after: Delivery | None = None) -> Sequence[Delivery]:
        """Return pending deliveries that are due, the longest due first; ``after`` is the last one seen."""
        due_at = DeliveryRow.next_attempt_at
        wanted = (DeliveryRow.status == _PENDING) & (due_at <= now)
        if after is not None:
            wanted &= is_behind(due_at, after.next_attempt_at, DeliveryRow.id, after.id)
        return self._deliveries(DeliveryRow.select().where(wanted).order_by(due_at, DeliveryRow.id).limit(limit))

    def _deliveries(self, query: Any) -> Sequence[Delivery]:
        with self._database.session() as db:
            return [_to_delivery(row) for row in query.execute(db)]

    def count_begun(self, user_id: str, since: datetime) -> int:
        """Count a user's pending deliveries whose last attempt began at ``since`` or later."""
        begun = (DeliveryRow.user_id == user_id) & (DeliveryRow.last_attempt_at >= since)
        with self._database.session() as db:
            return int(DeliveryRow.select().where(begun & (DeliveryRow.status == _PENDING)).count(db))

    def save(self, delivery: Delivery, *, over_attempts: int | None = None) -> None:
        """Write the delivery if its row is pending and at ``over_attempts`` (default: the delivery's own number)."""
        attempts = delivery.attempts if over_attempts is None else over_attempts
        row = (DeliveryRow.id == delivery.id) & (DeliveryRow.attempts == attempts) & (DeliveryRow.status == _PENDING)
        with self._database.session() as db:
            if not DeliveryRow.update(**delivery_values(delivery)).where(row).execute(db):
                raise LeaseLostError("the delivery has ended, or a later attempt has begun")

    def is_disabled(self, user_id: str, url: str) -> bool:
        """Return whether a delivery of this user to exactly this URL ended as disabled."""
        disabled = _is_to(user_id, url) & (DeliveryRow.status == _DISABLED)
        with self._database.session() as db:
            return bool(DeliveryRow.select().where(disabled).exists(db))

    def disable(self, user_id: str, url: str, error: str) -> None:
        """End the user's pending deliveries to exactly this URL as disabled."""
        ended = {"status": _DISABLED, "next_attempt_at": None, "error": error}
        with self._database.session() as db:
            DeliveryRow.update(**ended).where(_is_to(user_id, url) & (DeliveryRow.status == _PENDING)).execute(db)

    def remove_before(self, moment: datetime, *, limit: int) -> int:
        """Remove rows that were created before ``moment``, the oldest first, and return their number."""
        # MySQL supports no LIMIT in a subquery of this kind, SQLite none in a DELETE.
        old = DeliveryRow.select(DeliveryRow.id).where(DeliveryRow.created_at < moment)
        oldest = old.order_by(DeliveryRow.created_at).limit(limit)
        with self._database.session() as db:
            ids = [row.id for row in oldest.execute(db)]
            return int(DeliveryRow.delete().where(DeliveryRow.id.in_(ids)).execute(db)) if ids else 0


def _is_to(user_id: str, url: str) -> peewee.Expression:
    return (DeliveryRow.user_id == user_id) & (DeliveryRow.url_hash == hash_url(url))


def _to_delivery(row: Any) -> Delivery:
    values = {field.name: getattr(row, field.name) for field in fields(Delivery)}
    return Delivery(**{**values, "status": DeliveryStatus(row.status)})
