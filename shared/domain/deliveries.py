"""The delivery of a webhook. Each job that ends and has a ``webhookUrl`` has one.

::

    pending → delivered | failed | disabled

The rules are those of Standard Webhooks.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import hashlib
import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.jobs import Job
from shared.domain.texts import bounded

_MESSAGES = uuid.UUID("8a5e7a0c-3f0b-5b55-9f2e-6c1d7b2f4e90")
# About a day in total. The first attempt is immediate.
RETRY_DELAYS_S = (30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 28_800)
MAX_ATTEMPTS = len(RETRY_DELAYS_S) + 1
LEASE_S = 120  # covers finding the job's outputs and waiting for the answer
KEPT_FOR = timedelta(days=30)


class DeliveryStatus(StrEnum):
    """The state of a delivery. ``disabled``: the receiver has answered that it is gone (410)."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    DISABLED = "disabled"


@dataclass(frozen=True)
class Delivery:
    """A row of ``webhook_deliveries``. ``id`` is the ``webhook-id`` of every attempt.

    ``attempts`` counts the claims and fences them, like a job's ``attempt``. While an attempt is running,
    ``next_attempt_at`` is when its lease ends. ``response_status`` is the HTTP status of the last answer. ``error`` is
    the reason why the last attempt failed, in this service's own words.
    """

    id: str
    job_id: str
    user_id: str
    event: str
    url: str
    created_at: datetime
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    last_attempt_at: datetime | None = None
    next_attempt_at: datetime | None = None
    response_status: int | None = None
    error: str | None = None

    @property
    def url_hash(self) -> str:
        """The hash of the URL, for an index: a URL is too long for one."""
        return hash_url(self.url)

    def due(self, now: datetime) -> bool:
        """Whether the next attempt is due."""
        return self.next_attempt_at is not None and self.next_attempt_at <= now

    def claimed(self, now: datetime) -> "Delivery":
        """Start the next attempt."""
        lease = now + timedelta(seconds=LEASE_S)
        return replace(self, attempts=self.attempts + 1, last_attempt_at=now, next_attempt_at=lease)

    def answered(self, response_status: int) -> "Delivery":
        """Store the status of the receiver's answer, without deciding yet what follows."""
        return replace(self, response_status=response_status)

    def delivered(self) -> "Delivery":
        """End because the receiver has accepted the webhook."""
        return self._ended(DeliveryStatus.DELIVERED, None)

    def failed(self, error: str) -> "Delivery":
        """End because the delivery has failed."""
        return self._ended(DeliveryStatus.FAILED, error)

    def disabled(self, error: str) -> "Delivery":
        """End because the receiver is gone."""
        return self._ended(DeliveryStatus.DISABLED, error)

    def postponed(self, error: str, now: datetime, *, factor: float = 1.0, at_least_s: float = 0.0) -> "Delivery":
        """Wait for the scheduled delay times ``factor``, and for ``at_least_s``. Fail after the last attempt."""
        if self.attempts >= MAX_ATTEMPTS:
            return self.failed(f"{error}; given up after {self.attempts} attempts")
        delay_s = max(RETRY_DELAYS_S[self.attempts - 1] * factor, at_least_s)
        return replace(self, next_attempt_at=now + timedelta(seconds=delay_s), error=bounded(error))

    def _ended(self, status: DeliveryStatus, error: str | None) -> "Delivery":
        return replace(self, status=status, next_attempt_at=None, error=error and bounded(error))


def delivery_of(job: Job) -> Delivery | None:
    """Return the delivery for the end of a job, due now; None if the job has not ended or has no webhook URL.

    The delivery's id is derived from the job's id, so that a job has one delivery, however often it is stored.
    """
    if job.webhook_url is None or job.finished_at is None or not job.status.final:
        return None
    return Delivery(
        id=f"msg_{uuid.uuid5(_MESSAGES, job.id).hex}",
        job_id=job.id,
        user_id=job.user_id,
        event=f"job.{job.status.value}",
        url=job.webhook_url,
        created_at=job.finished_at,
        next_attempt_at=job.finished_at,
    )


def hash_url(url: str) -> str:
    """Return the SHA-256 of a URL, in hexadecimal."""
    return hashlib.sha256(url.encode()).hexdigest()
