"""The outbox of webhooks: the same contract in memory, on SQLite and on MariaDB."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Barrier

import pytest

from shared.adapters.sql.database import Database
from shared.adapters.sql.deliveries import SqlDeliveryStore
from shared.adapters.sql.jobs import SqlJobStore
from shared.domain.deliveries import Delivery, DeliveryStatus
from shared.domain.errors import LeaseLostError
from shared.domain.jobs import Job, JobError, JobStatus
from shared.ports import DeliveryStore, JobStore
from shared.services.batches import pages
from tests.contract.databases import KINDS, SQL_KINDS, database_url, open_database
from tests.fakes import NOW, USER, InMemoryJobStore, make_job

RACERS = 8
URL = "https://hooks.example.com/in?token=mine"


@dataclass(frozen=True)
class Stores:
    jobs: JobStore
    deliveries: DeliveryStore
    database: Database | None = None

    def end(self, job_id: str = "abc123", **changes: object) -> Delivery:
        """End a job and return its delivery."""
        job = self.jobs.add(make_job(id=job_id, **{"webhook_url": URL, **changes}))
        self.jobs.save(job.succeeded(job.created_at))
        return self.of(job_id)

    def of(self, job_id: str) -> Delivery:
        (found,) = self.deliveries.of_job(job_id)
        return found


@pytest.fixture(params=KINDS)
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    if request.param == "memory":
        in_memory = InMemoryJobStore()
        yield Stores(in_memory, in_memory.deliveries)
        return
    yield from _sql_stores(request.param, request)


@pytest.fixture(params=SQL_KINDS)
def sql_stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    yield from _sql_stores(request.param, request)


def _sql_stores(kind: str, request: pytest.FixtureRequest) -> Iterator[Stores]:
    database = open_database(database_url(kind, request))
    yield Stores(SqlJobStore(database), SqlDeliveryStore(database), database)
    database.peewee.close()


def _ends(job: Job) -> dict[str, Job]:
    return {
        "job.succeeded": job.succeeded(NOW, ("w",)),
        "job.failed": job.failed(JobError("provider_refused", "它坏了", retryable=False), NOW),
        "job.cancelled": job.cancelled(NOW),
    }


@pytest.mark.parametrize("event", ["job.succeeded", "job.failed", "job.cancelled"])
def test_the_end_of_a_job_adds_its_delivery(stores: Stores, event: str) -> None:
    job = stores.jobs.add(make_job(webhook_url=URL))
    claimed = job.claimed(NOW)
    stores.jobs.save(claimed, over_attempt=0)
    assert stores.deliveries.of_job(job.id) == []
    stores.jobs.save(_ends(claimed)[event])
    found = stores.of(job.id)
    expected = Delivery(found.id, job.id, USER, event, URL, NOW, next_attempt_at=NOW)
    assert found == expected
    assert list(stores.deliveries.due(NOW, limit=9)) == [expected]


def test_a_job_without_a_webhook_adds_no_delivery(stores: Stores) -> None:
    job = stores.jobs.add(make_job(id="none"))
    stores.jobs.save(job.succeeded(NOW))
    assert stores.deliveries.of_job("none") == []


def test_a_stale_attempt_ends_no_job_and_adds_no_delivery(stores: Stores) -> None:
    held = stores.jobs.add(make_job(attempt=2, webhook_url=URL))
    with pytest.raises(LeaseLostError):
        stores.jobs.save(replace(held, attempt=1).succeeded(NOW))
    assert stores.deliveries.of_job(held.id) == []
    stores.jobs.save(held.succeeded(NOW))
    with pytest.raises(LeaseLostError):
        stores.jobs.save(held.cancelled(NOW))
    assert stores.of(held.id).event == "job.succeeded"


def test_a_delivery_is_read_back_unchanged(stores: Stores) -> None:
    fresh = stores.end(webhook_url="https://例え.jp/" + "😀" * 2000)
    claimed = fresh.claimed(NOW + timedelta(milliseconds=1))
    stores.deliveries.save(claimed, over_attempts=0)
    assert stores.of("abc123") == claimed
    for settled in (claimed.answered(500).postponed("他说不", NOW), claimed.answered(204).delivered()):
        stores.deliveries.save(settled)
        assert stores.of("abc123") == settled


@pytest.mark.parametrize("attempts", [0, 2])
def test_a_save_of_another_attempt_is_refused(stores: Stores, attempts: int) -> None:
    claimed = stores.end().claimed(NOW)
    stores.deliveries.save(claimed, over_attempts=0)
    with pytest.raises(LeaseLostError):
        stores.deliveries.save(replace(claimed, attempts=attempts).delivered())
    with pytest.raises(LeaseLostError):
        stores.deliveries.save(claimed, over_attempts=0)
    assert stores.of("abc123") == claimed


@pytest.mark.parametrize("status", [DeliveryStatus.DELIVERED, DeliveryStatus.FAILED, DeliveryStatus.DISABLED])
def test_an_ended_delivery_is_not_changed(stores: Stores, status: DeliveryStatus) -> None:
    ended = replace(stores.end(), status=status, next_attempt_at=None)
    stores.deliveries.save(ended)
    with pytest.raises(LeaseLostError):
        stores.deliveries.save(replace(ended, status=DeliveryStatus.PENDING))
    stores.deliveries.disable(USER, URL, "gone")
    assert stores.of("abc123") == ended


def test_due_deliveries_are_listed_the_longest_due_first(stores: Stores) -> None:
    second = timedelta(seconds=1)
    for number, job_id in enumerate(("late", "later", "claimed", "delivered", "not-yet")):
        stores.end(job_id, created_at=NOW - number * second)
    claimed = stores.of("claimed").claimed(NOW)
    stores.deliveries.save(claimed, over_attempts=0)
    stores.deliveries.save(stores.of("delivered").delivered())
    stores.deliveries.save(replace(stores.of("not-yet"), next_attempt_at=NOW + second / 1000))
    assert [each.job_id for each in stores.deliveries.due(NOW, limit=9)] == ["later", "late"]
    assert [each.job_id for each in stores.deliveries.due(NOW, limit=1)] == ["later"]
    paged = pages(lambda last: stores.deliveries.due(NOW, limit=1, after=last))
    assert [each.job_id for each in paged] == ["later", "late"]
    lease_ends = claimed.next_attempt_at
    assert lease_ends is not None
    assert "claimed" in [each.job_id for each in stores.deliveries.due(lease_ends, limit=9)]


def test_count_begun_counts_the_users_recent_pending_attempts(stores: Stores) -> None:
    for job_id, user_id in (("begun", USER), ("before", USER), ("delivered", USER), ("due", USER), ("other", "other")):
        stores.end(job_id, user_id=user_id)
        if job_id != "due":
            began = NOW - timedelta(milliseconds=1) if job_id == "before" else NOW
            stores.deliveries.save(stores.of(job_id).claimed(began), over_attempts=0)
    stores.deliveries.save(stores.of("delivered").delivered())
    assert stores.deliveries.count_begun(USER, NOW) == 1
    assert stores.deliveries.count_begun(USER, NOW - timedelta(milliseconds=1)) == 2


def test_disable_affects_only_that_user_and_url(stores: Stores) -> None:
    changes: dict[str, dict[str, object]] = {
        "first": {},
        "second": {},
        "other-user": {"user_id": USER.upper()},
        "other-url": {"webhook_url": URL.upper()},
    }
    for job_id, change in changes.items():
        stores.end(job_id, **change)
    assert not stores.deliveries.is_disabled(USER, URL)
    stores.deliveries.disable(USER, URL, "gone")
    states = {job_id: stores.of(job_id).status.value for job_id in changes}
    assert states == {"first": "disabled", "second": "disabled", "other-user": "pending", "other-url": "pending"}
    assert (stores.of("first").error, stores.of("first").next_attempt_at) == ("gone", None)
    asked = [(USER, URL), (USER.upper(), URL), (USER, URL.upper()), (USER, f"{URL}2")]
    assert [stores.deliveries.is_disabled(*each) for each in asked] == [True, False, False, False]


def test_old_deliveries_are_removed_oldest_first(stores: Stores) -> None:
    for milliseconds, job_id in enumerate(("young", "old", "older", "oldest")):
        stores.end(job_id, created_at=NOW - timedelta(milliseconds=milliseconds))
    assert stores.deliveries.remove_before(NOW, limit=2) == 2
    assert [len(stores.deliveries.of_job(job_id)) for job_id in ("young", "old", "older", "oldest")] == [1, 1, 0, 0]
    assert [stores.deliveries.remove_before(NOW, limit=2) for _ in range(2)] == [1, 0]
    assert len(stores.deliveries.of_job("young")) == 1


def test_a_claim_has_one_winner(stores: Stores) -> None:
    for round_ in range(5):
        seen, barrier = stores.end(f"job-{round_}"), Barrier(RACERS)

        def claim(number: int, seen: Delivery = seen, barrier: Barrier = barrier) -> int | None:
            barrier.wait()
            try:
                claimed = seen.claimed(NOW + timedelta(seconds=number))
                stores.deliveries.save(claimed, over_attempts=seen.attempts)
            except LeaseLostError:
                return None
            return number

        with ThreadPoolExecutor(RACERS) as pool:
            (won,) = [number for number in pool.map(claim, range(RACERS)) if number is not None]
        stored = stores.of(f"job-{round_}")
        assert (stored.attempts, stored.last_attempt_at) == (1, NOW + timedelta(seconds=won))


def test_a_job_does_not_end_if_its_delivery_cannot_be_written(sql_stores: Stores) -> None:
    job = sql_stores.jobs.add(make_job(webhook_url=URL))
    assert sql_stores.database is not None
    sql_stores.database.peewee.execute_sql("ALTER TABLE webhook_deliveries RENAME TO elsewhere")
    with pytest.raises(Exception, match=r"."):  # each driver has its own error for a missing table
        sql_stores.jobs.save(job.succeeded(NOW))
    sql_stores.database.peewee.execute_sql("ALTER TABLE elsewhere RENAME TO webhook_deliveries")
    stored = sql_stores.jobs.get(job.id)
    assert stored is not None and stored.status is JobStatus.QUEUED
    sql_stores.jobs.save(job.succeeded(NOW))
    assert sql_stores.of(job.id).status is DeliveryStatus.PENDING
