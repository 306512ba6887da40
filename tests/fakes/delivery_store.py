"""The port ``DeliveryStore``, in memory."""

import threading
from collections.abc import Sequence
from datetime import datetime

from shared.domain.deliveries import Delivery, DeliveryStatus
from shared.domain.errors import DatabaseUnavailableError, LeaseLostError


class InMemoryDeliveryStore:
    """The table ``webhook_deliveries``; it does not answer while ``away`` is True."""

    def __init__(self) -> None:
        self.away = False
        self._rows: dict[str, Delivery] = {}
        self._lock = threading.Lock()

    def add(self, delivery: Delivery) -> None:
        with self._session():
            assert delivery.id not in self._rows
            self._rows[delivery.id] = delivery

    def of_job(self, job_id: str) -> Sequence[Delivery]:
        with self._session():
            return [row for row in self._rows.values() if row.job_id == job_id]

    def due(self, now: datetime, *, limit: int, after: Delivery | None = None) -> Sequence[Delivery]:
        def place(row: Delivery) -> tuple[datetime, str]:
            return row.next_attempt_at or now, row.id

        with self._session():
            due = [row for row in self._rows.values() if row.due(now) and (after is None or place(row) > place(after))]
        return sorted(due, key=place)[:limit]

    def count_begun(self, user_id: str, since: datetime) -> int:
        with self._session():
            pending = [row for row in self._rows.values() if row.status is DeliveryStatus.PENDING]
        return sum(
            row.user_id == user_id and row.last_attempt_at is not None and row.last_attempt_at >= since
            for row in pending
        )

    def save(self, delivery: Delivery, *, over_attempts: int | None = None) -> None:
        with self._session():
            row = self._rows.get(delivery.id)
            attempts = delivery.attempts if over_attempts is None else over_attempts
            if row is None or row.attempts != attempts or row.status is not DeliveryStatus.PENDING:
                raise LeaseLostError("the delivery has continued without this attempt")
            self._rows[delivery.id] = delivery

    def is_disabled(self, user_id: str, url: str) -> bool:
        with self._session():
            return any(row.status is DeliveryStatus.DISABLED for row in self._to(user_id, url))

    def disable(self, user_id: str, url: str, error: str) -> None:
        with self._session():
            for row in self._to(user_id, url):
                if row.status is DeliveryStatus.PENDING:
                    self._rows[row.id] = row.disabled(error)

    def remove_before(self, moment: datetime, *, limit: int) -> int:
        with self._session():
            rows = sorted(self._rows.values(), key=lambda row: row.created_at)
            old = [row.id for row in rows if row.created_at < moment][:limit]
            for id_ in old:
                del self._rows[id_]
        return len(old)

    def _to(self, user_id: str, url: str) -> list[Delivery]:
        return [row for row in self._rows.values() if (row.user_id, row.url) == (user_id, url)]

    def _session(self) -> threading.Lock:
        if self.away:
            raise DatabaseUnavailableError("the database did not answer")
        return self._lock
