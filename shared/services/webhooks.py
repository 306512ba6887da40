"""Send webhooks: an HTTP request to the URL that a job names, when the job has ended.

The outbox is the table ``webhook_deliveries``; the transaction that ends the job writes the row. An asynchronous
invocation sends the webhook at once, and the minute timer sends every webhook that is due, so a lost invocation costs a
minute.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from shared.domain.deliveries import MAX_ATTEMPTS, RETRY_DELAYS_S, Delivery, DeliveryStatus
from shared.domain.errors import AddressRefusedError, HostUnavailableError
from shared.domain.jobs import Job
from shared.ports import Clock, DeliveryStore, JobStore, WebhookMessage, WebhookSender
from shared.services.batches import Step, pages, work_through

AT_ONCE = 32
OF_ONE_USER_AT_ONCE = 4  # so that the slow receivers of one user leave room for those of all others
_ATTEMPT_TIME = timedelta(seconds=15)  # the limit of the sender is 10 s
_PAGE = 200
_MAX_RETRY_AFTER_S = max(RETRY_DELAYS_S)  # a receiver that asks for more gets attempts in between
_STATUS_GONE = 410
_UNEXPECTED = "an unexpected internal error occurred"
_GONE = "the receiver answered 410 Gone; nothing more is sent to this URL"


def jitter() -> float:
    """Return a factor around 1, so that webhooks that failed at the same time are not repeated at the same time."""
    return random.uniform(0.8, 1.2)  # noqa: S311 - not used for anything secret


@dataclass(frozen=True)
class WebhookPorts:
    """The ports that send webhooks. ``show`` returns the JSON of a job for its user, with URLs signed now."""

    jobs: JobStore
    deliveries: DeliveryStore
    sender: WebhookSender
    show: Callable[[Job], dict[str, Any]]
    clock: Clock
    jitter: Callable[[], float] = jitter


def deliver_webhooks(*, ports: WebhookPorts, until: datetime, job_id: str | None = None) -> dict[str, int]:
    """Send every webhook that is due, or only those of one job, until ``until``; return how many got each status.

    ``failed_attempts`` counts attempts that ended because of an error of ours. A crash after a claim leaves a lease;
    when the lease has expired, the minute timer makes the next attempt. The same happens after a crash behind the
    request; then the receiver gets the message twice, with the same id.
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
    """A delivery that needs an attempt.

    ``claimed`` is set when this run has claimed the delivery; ``settled`` when an answer has decided its next state.
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
        """Yield a job's due deliveries, except while enough attempts for its user wait; then the timer sends them."""
        now = self.ports.clock.now()
        for delivery in self.ports.deliveries.of_job(job_id):
            begun = self.ports.deliveries.count_begun(delivery.user_id, now - _ATTEMPT_TIME)
            if delivery.due(now) and begun < OF_ONE_USER_AT_ONCE:
                yield delivery

    def begin(self, turn: _Turn) -> Step[Delivery] | None:
        """Claim a delivery and return its attempt; a delivery that must not be sent ends here."""
        delivery, ports = turn.delivery, self.ports
        job = ports.jobs.get(delivery.job_id)
        if job is None:
            self._save(delivery.failed("job_deleted: the job was deleted before its webhook was delivered"))
        elif delivery.attempts >= MAX_ATTEMPTS:
            self._save(delivery.failed(f"given up after {delivery.attempts} attempts; the last one did not finish"))
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
        """Count the failure as an attempt, so that the delivery ends after the usual number of attempts."""
        if turn.settled is not None:
            # The answer was not recorded. This second try avoids that the receiver gets the message again.
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
        """Write the delivery; if it is disabled, disable the user's other deliveries to the same URL.

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
    """Send the message and return the next state of its delivery. Only a 2xx is a success."""
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
