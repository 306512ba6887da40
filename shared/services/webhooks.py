"""Webhooks: tell whoever asked for a job that it has ended.

The outbox is the table ``webhook_deliveries``; its row is written in the transaction that ends the job. An asynchronous
invocation sends it at once, and the minute timer sends whatever is due, so a lost invocation costs a minute.
"""

import json
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.domain.errors import AddressRefusedError, HostUnavailableError, LeaseLostError
from shared.domain.jobs import Job
from shared.domain.webhooks import KEPT_FOR, MAX_ATTEMPTS, Delivery, DeliveryStatus
from shared.ports import Clock, DeliveryStore, JobStore, WebhookMessage, WebhookReply, WebhookSender
from shared.services.jobs import get_job

log = logging.getLogger(__name__)
_AT_ONCE = 16
_MAX_RETRY_AFTER_S = 8 * 3600  # the longest of our own delays; whoever asks for more is asked in between
_STATUS_GONE = 410
_GONE = "the receiver has answered 410 Gone, so nothing is sent to this URL"


def jitter() -> float:
    """Return a factor around 1, so that what failed together is not repeated together."""
    return random.uniform(0.8, 1.2)  # noqa: S311 - nothing secret depends on it


@dataclass(frozen=True)
class WebhookService:
    """What deliveries work with. ``show`` returns a job as its user sees it, with URLs that hold from now on."""

    jobs: JobStore
    deliveries: DeliveryStore
    sender: WebhookSender
    show: Callable[[Job], dict[str, Any]]
    clock: Clock
    jitter: Callable[[], float] = jitter


def get_deliveries(job_id: str, user_id: str, *, jobs: JobStore, deliveries: DeliveryStore) -> Sequence[Delivery]:
    """Return the deliveries of a user's job. Raises NotFoundError, for another user's as well."""
    return deliveries.of_job(get_job(job_id, user_id, jobs=jobs).id)


def deliver_webhooks(*, service: WebhookService, until: datetime, job_id: str | None = None) -> dict[str, int]:
    """Make every attempt that is due, or those of one job, until ``until``; return how many came to which status.

    A crash after a claim leaves a lease; when it is over, the minute timer makes the next attempt. A crash after the
    request leaves the same, and the receiver gets the message again, under the same id.
    """
    counts = Counter({status.value: 0 for status in DeliveryStatus})
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        while service.clock.now() < until and (due := _due(service, job_id)):
            _deliver(due, service, threads, counts)
    return dict(counts)


def remove_old_deliveries(
    *, deliveries: DeliveryStore, clock: Clock, until: datetime, batch: int = 1000
) -> dict[str, int]:
    """Remove deliveries older than 30 days, until ``until``, and return their number.

    Batches are transactions of their own; what a crash or the end of the time leaves, the next day removes.
    """
    before, count = clock.now() - KEPT_FOR, 0
    while clock.now() < until and (removed := deliveries.remove_before(before, limit=batch)):
        count += removed
    return {"deliveries": count}


def _due(service: WebhookService, job_id: str | None) -> Sequence[Delivery]:
    now = service.clock.now()
    if job_id is None:
        return service.deliveries.due(now, limit=_AT_ONCE)
    return [each for each in service.deliveries.of_job(job_id) if each.due(now)]


def _deliver(
    due: Sequence[Delivery], service: WebhookService, threads: ThreadPoolExecutor, counts: Counter[str]
) -> None:
    # Only the requests run in threads: the database has one connection.
    sending = [(claimed, threads.submit(service.sender.send, message)) for claimed, message in _claim(due, service)]
    for claimed, answer in sending:
        settled = _judge(claimed, answer, service)
        if _save(settled, service):
            counts[settled.status] += 1


def _claim(due: Sequence[Delivery], service: WebhookService) -> Iterator[tuple[Delivery, WebhookMessage]]:
    """Claim one after the other and yield what is to be sent; what is not ends here."""
    for delivery in due:
        job = service.jobs.get(delivery.job_id)
        if job is None:
            _save(delivery.failed("job_deleted: the job was deleted before its webhook was delivered"), service)
        elif delivery.attempts >= MAX_ATTEMPTS:
            _save(delivery.failed(f"given up after {delivery.attempts} attempts, the last of which broke off"), service)
        elif service.deliveries.is_disabled(delivery.user_id, delivery.url):
            _save(delivery.disabled(_GONE), service)
        elif _save(claimed := delivery.claimed(service.clock.now()), service, over_attempts=delivery.attempts):
            yield claimed, _make_message(claimed, job, service)


def _make_message(delivery: Delivery, job: Job, service: WebhookService) -> WebhookMessage:
    shown = service.show(job)
    payload = {"type": delivery.event, "timestamp": shown["finishedAt"], "data": shown}
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return WebhookMessage(delivery.id, delivery.url, body, service.clock.now())


def _judge(claimed: Delivery, answer: Future[WebhookReply], service: WebhookService) -> Delivery:
    """Return what becomes of a delivery by what was answered. Only a 2xx is a success."""
    try:
        reply = answer.result()
    except AddressRefusedError as error:
        return claimed.failed(f"the address {error}")
    except HostUnavailableError as error:
        return _postpone(claimed, f"the receiver {error}", service)
    answered = claimed.answered(reply.status)
    if 200 <= reply.status < 300:
        return answered.delivered()
    if reply.status == _STATUS_GONE:
        return answered.disabled(_GONE)
    redirected = "; redirects are not followed" if 300 <= reply.status < 400 else ""
    return _postpone(answered, f"the receiver answered HTTP {reply.status}{redirected}", service, reply.retry_after_s)


def _postpone(claimed: Delivery, error: str, service: WebhookService, retry_after_s: float = 0.0) -> Delivery:
    at_least_s = min(retry_after_s, _MAX_RETRY_AFTER_S)
    return claimed.postponed(error, service.clock.now(), factor=service.jitter(), at_least_s=at_least_s)


def _save(delivery: Delivery, service: WebhookService, *, over_attempts: int | None = None) -> bool:
    """Write the delivery down, and what it means for others to the same receiver; False: another attempt has it.

    A crash between the two leaves the others pending; each of them ends when it is due.
    """
    try:
        service.deliveries.save(delivery, over_attempts=over_attempts)
    except LeaseLostError:
        log.info("another attempt has this delivery", extra={"delivery_id": delivery.id})
        return False
    if delivery.status is DeliveryStatus.DISABLED:
        service.deliveries.disable(delivery.user_id, delivery.url, _GONE)
    return True
