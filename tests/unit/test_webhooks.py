"""Webhooks: one delivery for each job that ends, repeated for about a day with the same id."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared.domain.deliveries import LEASE_S, MAX_ATTEMPTS, RETRY_DELAYS_S, Delivery, DeliveryStatus, hash_url
from shared.domain.errors import (
    AddressRefusedError,
    DatabaseUnavailableError,
    DispatchError,
    HostUnavailableError,
    NotFoundError,
)
from shared.domain.jobs import Job, JobError, JobStatus
from shared.ports import Finished, MediaUrl, Pending, WebhookMessage, WebhookReply
from shared.services.expiry import remove_old_deliveries
from shared.services.generation import advance_job
from shared.services.jobs import cancel_job, first_attempt_due
from shared.services.reading import list_deliveries
from shared.services.revival import dispatch_due_jobs
from shared.services.webhooks import deliver_webhooks, jitter
from tests.fakes import NOW, USER, FakeProvider, FakeWebhookSender, InMemoryJobStore, World, make_job, make_png

URL = "https://hooks.example.com/in?token=mine"
RESULT = "https://results.example.com/0.png"
TASK = Pending("task-1")
LATER = NOW + timedelta(minutes=10)
PENDING, DELIVERED, FAILED, DISABLED = DeliveryStatus


def end(world: World, job_id: str = "abc123", **changes: object) -> Job:
    """Record a job that has succeeded, which adds its delivery."""
    job = world.jobs.add(make_job(id=job_id, **{"webhook_url": URL, **changes}))
    done = job.succeeded(world.clock.now())
    world.jobs.save(done)
    return done


def deliver(
    world: World, sender: FakeWebhookSender, *, job_id: str | None = None, factor: float = 1.0
) -> dict[str, int]:
    until = world.clock.now() + timedelta(minutes=1)
    return deliver_webhooks(ports=world.webhooks(sender, factor=factor), until=until, job_id=job_id)


def delivery(world: World, job_id: str = "abc123") -> Delivery:
    (found,) = world.jobs.deliveries.of_job(job_id)
    return found


@pytest.mark.parametrize(
    ("ended", "event"),
    [
        (lambda job: job.succeeded(NOW), "job.succeeded"),
        (lambda job: job.failed(JobError("provider_refused", "no", retryable=False), NOW), "job.failed"),
        (lambda job: job.cancelled(NOW), "job.cancelled"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_job_that_ends_has_one_delivery(world: World, ended: Callable[[Job], Job], event: str) -> None:
    job = world.jobs.add(make_job(webhook_url=URL))
    world.jobs.save(job.renewed(NOW))
    assert world.jobs.deliveries.of_job(job.id) == []
    world.jobs.save(ended(job))
    found = delivery(world)
    assert (found.event, found.url, found.user_id, found.status) == (event, URL, USER, PENDING)
    assert (found.created_at, found.next_attempt_at, found.attempts) == (NOW, NOW, 0)
    assert found.id.startswith("msg_") and "." not in found.id


def test_a_job_without_a_webhook_url_has_no_delivery(world: World) -> None:
    end(world, webhook_url=None)
    assert world.jobs.deliveries.of_job("abc123") == []


def test_the_message_has_the_event_and_the_json_of_the_job(world: World) -> None:
    end(world)
    sender = FakeWebhookSender(204)
    assert deliver(world, sender) == {"pending": 0, "delivered": 1, "failed": 0, "disabled": 0, "failed_attempts": 0}
    (message,) = sender.messages
    shown = {"id": "abc123", "status": "succeeded", "finishedAt": "2023-12-21T01:50:56.789Z"}
    assert json.loads(message.body) == {"type": "job.succeeded", "timestamp": shown["finishedAt"], "data": shown}
    assert (message.id, message.url, message.sent_at) == (delivery(world).id, URL, NOW)
    found = delivery(world)
    assert (found.status, found.attempts, found.response_status, found.error) == (DELIVERED, 1, 204, None)
    assert (found.last_attempt_at, found.next_attempt_at) == (NOW, None)
    deliver(world, sender)
    assert len(sender.messages) == 1


def test_a_failed_delivery_is_repeated_by_the_schedule_with_the_same_id(world: World) -> None:
    end(world)
    sender = FakeWebhookSender(500)
    for number, delay_s in enumerate(RETRY_DELAYS_S, 1):
        assert deliver(world, sender)["pending"] == 1
        found = delivery(world)
        assert (found.status, found.attempts, found.response_status) == (PENDING, number, 500)
        assert found.error == "the receiver answered HTTP 500"
        assert found.next_attempt_at == world.clock.now() + timedelta(seconds=delay_s)
        world.clock.advance(delay_s - 0.001)
        assert deliver(world, sender)["pending"] == 0
        world.clock.advance(0.001)
    assert deliver(world, sender)["failed"] == 1
    found = delivery(world)
    assert (found.status, found.attempts, found.next_attempt_at) == (FAILED, MAX_ATTEMPTS, None)
    assert found.error == "the receiver answered HTTP 500; given up after 10 attempts"
    assert {message.id for message in sender.messages} == {found.id} and len(sender.messages) == MAX_ATTEMPTS
    assert 20 * 3600 < (world.clock.now() - NOW).total_seconds() < 28 * 3600


@pytest.mark.parametrize("status", [100, 199, 301, 302, 307, 400, 401, 403, 404, 409, 429, 500, 503])
def test_a_status_that_is_not_2xx_is_repeated(world: World, status: int) -> None:
    end(world)
    sender = FakeWebhookSender(status, 200)
    deliver(world, sender)
    assert (delivery(world).status, delivery(world).response_status) == (PENDING, status)
    assert ("redirects are not followed" in str(delivery(world).error)) is (300 <= status < 400)
    world.clock.advance(30)
    deliver(world, sender)
    assert (delivery(world).status, delivery(world).error) == (DELIVERED, None)


def test_a_delivery_to_a_host_that_does_not_answer_is_repeated(world: World) -> None:
    end(world)
    deliver(world, FakeWebhookSender(HostUnavailableError("did not answer (ConnectTimeout)")))
    found = delivery(world)
    assert (found.status, found.response_status) == (PENDING, None)
    assert found.error == "the receiver did not answer (ConnectTimeout)"


def test_a_delivery_to_a_refused_address_fails_at_once(world: World) -> None:
    end(world)
    deliver(world, FakeWebhookSender(AddressRefusedError("is not on the public internet")))
    found = delivery(world)
    assert (found.status, found.attempts, found.error) == (FAILED, 1, "the address is not on the public internet")


def test_the_delays_have_a_random_factor(world: World) -> None:
    drawn = [jitter() for _ in range(1000)]
    assert 0.8 <= min(drawn) < 0.85 and 1.15 < max(drawn) <= 1.2
    end(world)
    deliver(world, FakeWebhookSender(500), factor=0.8)
    assert delivery(world).next_attempt_at == NOW + timedelta(seconds=24)


@pytest.mark.parametrize(
    ("asked_s", "waited_s"), [(0, 30), (29, 30), (31, 31), (3600, 3600), (8 * 3600, 8 * 3600), (1e9, 8 * 3600)]
)
def test_retry_after_is_respected_up_to_eight_hours(world: World, asked_s: float, waited_s: float) -> None:
    end(world)
    deliver(world, FakeWebhookSender(WebhookReply(429, asked_s)))
    assert delivery(world).next_attempt_at == NOW + timedelta(seconds=waited_s)


def test_a_receiver_that_answered_410_gets_no_more_webhooks(world: World) -> None:
    end(world, "first")
    end(world, "second")
    end(world, "other-url", webhook_url=f"{URL}2")
    end(world, "other-user", user_id="somebody@else.com")
    sender = FakeWebhookSender(410)
    deliver(world, sender, job_id="first")
    states = {id_: delivery(world, id_).status for id_ in ("first", "second", "other-url", "other-user")}
    assert states == {"first": DISABLED, "second": DISABLED, "other-url": PENDING, "other-user": PENDING}
    end(world, "later")
    deliver(world, sender, job_id="later")
    assert len(sender.messages) == 1
    later = delivery(world, "later")
    assert (later.status, later.attempts, later.response_status) == (DISABLED, 0, None)
    assert "410" in str(later.error) and later.next_attempt_at is None


def test_a_deleted_job_sends_no_webhook(world: World) -> None:
    world.jobs.deliveries.add(Delivery("msg_1", "gone", USER, "job.succeeded", URL, NOW, next_attempt_at=NOW))
    sender = FakeWebhookSender(200)
    deliver(world, sender)
    (found,) = world.jobs.deliveries.of_job("gone")
    assert (found.status, sender.messages) == (FAILED, [])
    assert str(found.error).startswith("job_deleted")


def test_an_attempt_is_sent_by_one_instance_only(world: World) -> None:
    end(world)
    other = FakeWebhookSender(200)

    class Slow(FakeWebhookSender):
        def send(self, message: WebhookMessage) -> WebhookReply:
            # While this attempt waits for its answer, the timer fires, and a second invocation for the job begins.
            deliver(world, other)
            deliver(world, other, job_id="abc123")
            return super().send(message)

    deliver(world, Slow(200))
    assert (delivery(world).status, delivery(world).attempts, other.messages) == (DELIVERED, 1, [])


def test_an_instance_that_loses_the_claim_sends_nothing(world: World) -> None:
    end(world)
    sender = FakeWebhookSender(200)

    class Overtaken(InMemoryJobStore):
        def get(self, job_id: str) -> Job | None:
            # Another instance claims the delivery between the query and the claim of this one.
            found = delivery(world)
            world.jobs.deliveries.save(found.claimed(NOW), over_attempts=found.attempts)
            return world.jobs.get(job_id)

    ports = replace(world.webhooks(sender), jobs=Overtaken())
    deliver_webhooks(ports=ports, until=LATER)
    assert (sender.messages, delivery(world).attempts) == ([], 1)


def test_a_dead_attempt_is_repeated_when_its_lease_has_expired(world: World) -> None:
    end(world)
    claimed = delivery(world).claimed(NOW)
    world.jobs.deliveries.save(claimed, over_attempts=0)
    sender = FakeWebhookSender(200)
    world.clock.advance(LEASE_S - 0.001)
    deliver(world, sender)
    assert sender.messages == []
    world.clock.advance(0.001)
    deliver(world, sender)
    assert (delivery(world).status, delivery(world).attempts, len(sender.messages)) == (DELIVERED, 2, 1)


def test_a_delivery_whose_attempts_all_die_fails(world: World) -> None:
    end(world)
    for _ in range(MAX_ATTEMPTS):
        found = delivery(world)
        world.jobs.deliveries.save(found.claimed(world.clock.now()), over_attempts=found.attempts)
        world.clock.advance(LEASE_S)
    sender = FakeWebhookSender(200)
    deliver(world, sender)
    assert (delivery(world).status, sender.messages) == (FAILED, [])


def test_all_due_deliveries_are_sent_until_the_time_is_over(world: World) -> None:
    for number in range(40):
        end(world, f"job-{number}")
    ports = world.webhooks(FakeWebhookSender(200))
    assert not any(deliver_webhooks(ports=ports, until=world.clock.now()).values())
    assert deliver(world, FakeWebhookSender(200))["delivered"] == 40


def test_the_invocation_for_a_job_sends_only_the_deliveries_of_this_job(world: World) -> None:
    end(world, "first")
    end(world, "second")
    sender = FakeWebhookSender(200)
    deliver(world, sender, job_id="second")
    assert [delivery(world, id_).status for id_ in ("first", "second")] == [PENDING, DELIVERED]


def test_slow_receivers_of_one_user_leave_instances_for_other_users(world: World) -> None:
    for number in range(6):
        end(world, f"slow-{number}")
    end(world, "other", user_id="somebody@else.com")
    for number in range(4):
        found = delivery(world, f"slow-{number}")  # four instances wait for an answer
        world.jobs.deliveries.save(found.claimed(world.clock.now()), over_attempts=0)
    sender = FakeWebhookSender(200)
    deliver(world, sender, job_id="slow-4")
    deliver(world, sender, job_id="other")
    assert [delivery(world, id_).status for id_ in ("slow-4", "other")] == [PENDING, DELIVERED]
    world.clock.advance(16)  # their attempts have ended
    deliver(world, sender, job_id="slow-5")
    assert [delivery(world, f"slow-{number}").status for number in (4, 5)] == [PENDING, DELIVERED]
    deliver(world, sender)  # the timer comes
    assert delivery(world, "slow-4").status is DELIVERED


def test_an_answer_that_was_not_recorded_is_recorded_at_the_second_try(world: World) -> None:
    end(world)
    sender, save = FakeWebhookSender(204), world.jobs.deliveries.save

    def save_or_fail(delivery: Delivery, *, over_attempts: int | None = None) -> None:
        if delivery.status is DELIVERED:
            world.jobs.deliveries.save = save
            raise DatabaseUnavailableError("the connection broke off")
        save(delivery, over_attempts=over_attempts)

    world.jobs.deliveries.save = save_or_fail
    assert deliver(world, sender)["failed_attempts"] == 1
    assert (delivery(world).status, delivery(world).attempts, len(sender.messages)) == (DELIVERED, 1, 1)


def test_a_bug_in_the_message_of_one_delivery_is_charged_to_this_delivery(world: World) -> None:
    end(world, "bad")
    end(world, "good")

    def show(job: Job) -> dict[str, object]:
        if job.id == "bad":
            raise RecursionError
        return {"id": job.id, "finishedAt": "2023-12-21T01:50:56.789Z"}

    ports = replace(world.webhooks(FakeWebhookSender(200)), show=show)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        counts = deliver_webhooks(ports=ports, until=world.clock.now() + timedelta(minutes=1))
        assert (counts["failed_attempts"], counts["delivered"]) == (1, int(attempt == 1))
        found = delivery(world, "bad")
        assert found.attempts == attempt and "unexpected" in str(found.error)
        world.clock.advance(9 * 3600)
    assert found.status is FAILED


def test_only_the_user_of_a_job_sees_its_deliveries(world: World) -> None:
    end(world)
    shown = list_deliveries("abc123", USER, ports=world.reading())
    assert shown == [delivery(world)]
    for job_id, user in (("abc123", "somebody@else.com"), ("nothing", USER)):
        with pytest.raises(NotFoundError):
            list_deliveries(job_id, user, ports=world.reading())


def test_the_hash_of_a_url_is_its_sha_256() -> None:
    assert hash_url("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1


def test_deliveries_are_kept_for_30_days(world: World) -> None:
    end(world, "old")
    world.clock.advance(1)
    end(world, "young")
    world.clock.advance(30 * 86_400)
    until = world.clock.now() + timedelta(minutes=1)
    assert remove_old_deliveries(ports=world.expiry, until=until) == {"deliveries": 1}
    assert [len(world.jobs.deliveries.of_job(id_)) for id_ in ("old", "young")] == [0, 1]


@pytest.mark.parametrize(("seconds", "removed"), [(100, 5), (2, 4), (0, 0)])
def test_old_deliveries_are_removed_in_batches_until_the_time_is_over(
    world: World, seconds: int, removed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        end(world, f"job-{number}")
    world.clock.advance(31 * 86_400)
    deliveries, until = world.jobs.deliveries, world.clock.now() + timedelta(seconds=seconds)
    remove = deliveries.remove_before

    def remove_in_a_second(moment: datetime, *, limit: int) -> int:
        world.clock.advance(1)
        return remove(moment, limit=limit)

    monkeypatch.setattr(deliveries, "remove_before", remove_in_a_second)
    counts = remove_old_deliveries(ports=world.expiry, until=until, batch=2)
    assert counts == {"deliveries": removed}
    assert sum(len(deliveries.of_job(f"job-{number}")) for number in range(5)) == 5 - removed


# -- the invocation at the end of a job


def advance(world: World, provider: FakeProvider) -> Job | None:
    return advance_job("abc123", ports=world.generation(provider), until=LATER)


@pytest.mark.parametrize(("webhook_url", "announced"), [(URL, ["abc123"]), (None, [])])
def test_the_end_of_a_job_with_a_webhook_url_is_announced(
    world: World, webhook_url: str | None, announced: list[str]
) -> None:
    world.downloads.bodies = {RESULT: make_png()}
    world.jobs.add(make_job(webhook_url=webhook_url))
    advance(world, FakeProvider(Finished((MediaUrl(RESULT),))))
    assert world.dispatcher.announced == announced


def test_a_failed_announcement_changes_nothing(world: World) -> None:
    world.dispatcher.failures = [DispatchError("no")]
    world.downloads.bodies = {RESULT: make_png()}
    world.jobs.add(make_job(webhook_url=URL))
    done = advance(world, FakeProvider(Finished((MediaUrl(RESULT),))))
    assert done is not None and done.status is JobStatus.SUCCEEDED
    assert (delivery(world).status, world.dispatcher.announced) == (PENDING, [])


def test_a_parked_job_is_not_announced(world: World) -> None:
    world.jobs.add(make_job(webhook_url=URL))
    advance_job("abc123", ports=world.generation(FakeProvider(TASK, TASK)), until=NOW)
    assert world.dispatcher.announced == []


def test_a_cancelled_job_is_announced(world: World) -> None:
    world.jobs.add(first_attempt_due(make_job(webhook_url=URL)))
    cancel_job("abc123", USER, ports=world.job_requests)
    assert (world.dispatcher.announced, delivery(world).event) == (["abc123"], "job.cancelled")


def test_a_job_past_its_deadline_is_announced(world: World) -> None:
    world.jobs.add(first_attempt_due(make_job(webhook_url=URL)))
    world.clock.advance(3601)
    until = world.clock.now() + timedelta(minutes=1)
    dispatch_due_jobs(ports=world.revival(FakeProvider(AssertionError("submitted"))), until=until)
    assert (world.dispatcher.announced, delivery(world).event) == (["abc123"], "job.failed")
