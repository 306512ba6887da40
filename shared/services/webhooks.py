"""Webhooks: tell whoever asked for a job that it has ended.

The outbox is the table ``webhook_deliveries``; its row is written in the transaction that ends the job. An asynchronous
invocation sends it at once, and the minute timer sends whatever is due, so a lost invocation costs a minute.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from shared.domain.errors import AddressRefusedError, HostUnavailableError
from shared.domain.jobs import Job
from shared.domain.webhooks import MAX_ATTEMPTS, Delivery, DeliveryStatus
from shared.ports import Clock, DeliveryStore, JobStore, WebhookMessage, WebhookSender
from shared.services.batches import Step, pages, work_through

AT_ONCE = 32
OF_ONE_USER_AT_ONCE = 4  # so that the slow receivers of one user leave room for those of all others
_ATTEMPT_TIME = timedelta(seconds=15)  # the sender's own limit is ten
_PAGE = 200
_MAX_RETRY_AFTER_S = 8 * 3600  # the longest of our own delays; whoever asks for more is asked in between
_STATUS_GONE = 410
_UNEXPECTED = "something unexpected went wrong here"
_GONE = "the receiver has answered 410 Gone, so nothing is sent to this URL"


def jitter() -> float:
    """Return a factor around 1, so that what failed together is not repeated together."""
    return random.uniform(0.8, 1.2)  # noqa: S311 - nothing secret depends on it


@dataclass(frozen=True)
class WebhookPorts:
    """What deliveries work with. ``show`` returns a job as its user sees it, with URLs that hold from now on."""

    jobs: JobStore
    deliveries: DeliveryStore
    sender: WebhookSender
    show: Callable[[Job], dict[str, Any]]
    clock: Clock
    jitter: Callable[[], float] = jitter


def deliver_webhooks(*, ports: WebhookPorts, until: datetime, job_id: str | None = None) -> dict[str, int]:
    """Make every attempt that is due now, or those of one job, until ``until``; return how many came to which status.

    ``failed_attempts`` counts attempts that a fault of ours ended. A crash after a claim leaves a lease; when it is
    over, the minute timer makes the next attempt. A crash after the request leaves the same, and the receiver gets the
    message again, under the same id.
    """
    run = _Run(ports, Counter({status.value: 0 for status in DeliveryStatus} | {"failed_attempts": 0}))
    work_through(
        map(_Turn, run.due() if job_id is None else run.due_of_job(job_id)),
        run.begin,
        id_of=lambda turn: turn.delivery.id,
        counts=run.counts,
        counted_as="failed_attempts",
        charge=run.charge,
        is_late=lambda: ports.clock.now() >= until,
        at_once=AT_ONCE,
        group_of=lambda turn: turn.delivery.user_id,
        per_group=OF_ONE_USER_AT_ONCE,
    )
    return dict(run.counts)


@dataclass
class _Turn:
    """A delivery whose attempt is to be made.

    ``claimed`` is set once this run has claimed it; ``settled`` once an answer has decided what becomes of it.
    """

    delivery: Delivery
    claimed: Delivery | None = None
    settled: Delivery | None = None


@dataclass(frozen=True)
class _Run:
    ports: WebhookPorts
    counts: Counter[str]

    def due(self) -> Iterator[Delivery]:
        began = self.ports.clock.now()
        return pages(lambda last: self.ports.deliveries.due(began, limit=_PAGE, after=last))

    def due_of_job(self, job_id: str) -> Iterator[Delivery]:
        """Yield a job's deliveries; none while receivers of its user keep enough instances waiting: the timer comes."""
        now = self.ports.clock.now()
        for delivery in self.ports.deliveries.of_job(job_id):
            begun = self.ports.deliveries.count_begun(delivery.user_id, now - _ATTEMPT_TIME)
            if delivery.due(now) and begun < OF_ONE_USER_AT_ONCE:
                yield delivery

    def begin(self, turn: _Turn) -> Step[Delivery] | None:
        """Claim a delivery and return the attempt; one that is not to be sent ends here."""
        delivery, ports = turn.delivery, self.ports
        job = ports.jobs.get(delivery.job_id)
        if job is None:
            self._save(delivery.failed("job_deleted: the job was deleted before its webhook was delivered"))
        elif delivery.attempts >= MAX_ATTEMPTS:
            self._save(delivery.failed(f"given up after {delivery.attempts} attempts, the last of which broke off"))
        elif ports.deliveries.is_disabled(delivery.user_id, delivery.url):
            self._save(delivery.disabled(_GONE))
        else:
            claimed = delivery.claimed(ports.clock.now())
            ports.deliveries.save(claimed, over_attempts=delivery.attempts)
            turn.claimed = claimed
            message = _make_message(claimed, job, ports)
            return Step(partial(_attempt, claimed, message, ports), partial(self._settle, turn))
        return None

    def charge(self, turn: _Turn, error: Exception) -> None:
        """Count what raised ``error`` as an attempt, so that the delivery comes to an end as others do."""
        if turn.settled is not None:
            # The answer could not be written down. Without it the receiver would get the message once more.
            self._save(turn.settled)
            return
        now = self.ports.clock.now()
        claimed = turn.claimed or turn.delivery.claimed(now)
        over_attempts = (turn.claimed or turn.delivery).attempts
        postponed = claimed.postponed(_UNEXPECTED, now, factor=self.ports.jitter())
        self.ports.deliveries.save(postponed, over_attempts=over_attempts)

    def _settle(self, turn: _Turn, settled: Delivery) -> None:
        turn.settled = settled
        self._save(settled)
        self.counts[settled.status] += 1

    def _save(self, delivery: Delivery) -> None:
        """Write the delivery down, and what it means for others to the same receiver.

        A crash between the two leaves the others pending; each of them ends when it is due.
        """
        self.ports.deliveries.save(delivery)
        if delivery.status is DeliveryStatus.DISABLED:
            self.ports.deliveries.disable(delivery.user_id, delivery.url, _GONE)


def _make_message(delivery: Delivery, job: Job, ports: WebhookPorts) -> WebhookMessage:
    shown = ports.show(job)
    payload = {"type": delivery.event, "timestamp": shown["finishedAt"], "data": shown}
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return WebhookMessage(delivery.id, delivery.url, body, ports.clock.now())


def _attempt(claimed: Delivery, message: WebhookMessage, ports: WebhookPorts) -> Delivery:
    """Send the message and return what becomes of its delivery. Only a 2xx is a success."""
    try:
        reply = ports.sender.send(message)
    except AddressRefusedError as error:
        return claimed.failed(f"the address {error}")
    except HostUnavailableError as error:
        return _postpone(claimed, f"the receiver {error}", ports)
    answered = claimed.answered(reply.status)
    if 200 <= reply.status < 300:
        return answered.delivered()
    if reply.status == _STATUS_GONE:
        return answered.disabled(_GONE)
    redirected = "; redirects are not followed" if 300 <= reply.status < 400 else ""
    return _postpone(answered, f"the receiver answered HTTP {reply.status}{redirected}", ports, reply.retry_after_s)


def _postpone(claimed: Delivery, error: str, ports: WebhookPorts, retry_after_s: float = 0.0) -> Delivery:
    at_least_s = min(retry_after_s, _MAX_RETRY_AFTER_S)
    return claimed.postponed(error, ports.clock.now(), factor=ports.jitter(), at_least_s=at_least_s)
