"""No item of a batch blocks another item: whatever exception one item raises, the others have their usual result.

Each batch runs once without failures. Then one call to a port with an argument of one item raises an exception, once or
from then on, and all other items must have the same result as before.
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shared.adapters.sql.database import Database
from shared.adapters.sql.deletions import SqlDeletionStore
from shared.adapters.sql.deliveries import SqlDeliveryStore
from shared.adapters.sql.jobs import SqlJobStore
from shared.adapters.sql.outputs import SqlOutputStore
from shared.domain.deletions import deletion_of_job, deletion_of_output, deletion_of_user
from shared.domain.errors import (
    DatabaseUnavailableError,
    DispatchError,
    HostUnavailableError,
    ProviderFailedError,
    StorageRefusedError,
    StorageUnavailableError,
)
from shared.domain.jobs import Job, JobOutput, JobStatus, OutputIntent
from shared.domain.keys import ObjectKey
from shared.domain.media_type import MediaType
from shared.ports import Finished, MediaUrl, MultipartUpload, Pending, WebhookMessage, WebhookReply
from shared.services.deletion import DeletionPorts, resume_deletions
from shared.services.indexing import IndexingPorts, index_objects
from shared.services.job_endings import JobEndingPorts
from shared.services.jobs import JobPorts, first_attempt_due
from shared.services.reconcile import reconcile
from shared.services.revival import RevivalPorts, dispatch_due_jobs, poll_due_jobs
from shared.services.webhooks import WebhookPorts, deliver_webhooks
from tests.contract.databases import SQL_KINDS, database_url, open_database
from tests.database_connection import open_database as look_at
from tests.fakes import NOW, HeldObject, StubProbe, World, make_job, make_output, make_png

ITEMS = [f"item-{letter}" for letter in "abcdef"]
TABLES = ("jobs", "job_outputs", "output_intents", "deletions", "webhook_deliveries")
DATA = make_png()
_DRAWN = re.compile(r"(?<=^deletions: \{)'id': '[0-9a-f-]{36}'")  # a random id


class OddError(Exception):
    """An exception that is neither ours nor Python's."""


FAILURES = [
    *(OddError, RuntimeError, OverflowError, MemoryError, RecursionError, StopIteration, TimeoutError),
    *(KeyError, AttributeError, TypeError, ValueError, AssertionError, OSError),
    *(DatabaseUnavailableError, StorageUnavailableError, StorageRefusedError),
    *(ProviderFailedError, DispatchError, HostUnavailableError),
]


# -- the bad item


class Poison:
    """Makes calls to ports fail whose arguments name one item: the call with this number, or all from it on."""

    def __init__(self, item: str, number: int, error: type[Exception], *, lasting: bool) -> None:
        self._item = item
        self._left = number
        self._error = error
        self._lasting = lasting
        self._lock = threading.Lock()
        self.hits = 0

    def into(self, port: Any) -> Any:
        return _Poisoned(port, self)

    def before(self, arguments: tuple[Any, ...]) -> None:
        if self._item not in repr(arguments):
            return
        with self._lock:
            self._left -= 1
            hit = self._left < 0 if self._lasting else self._left == -1
            self.hits += hit
        if hit:
            raise self._error("poison")


class _Poisoned:
    def __init__(self, port: Any, poison: Poison) -> None:
        self._port = port
        self._poison = poison

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        return partial(self._call, value) if callable(value) else value

    def __call__(self, *arguments: Any) -> Any:
        return self._call(self._port, *arguments)

    def _call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        # Options are ignored: "after" names the last item of a page in queries for all items.
        self._poison.before(arguments)
        return method(*arguments, **options)


NO_POISON = Poison("nobody", 0, OddError, lasting=True)


# -- the world


class SqlWorld(World):
    """The world of the unit tests, on a real database."""

    def __init__(self, folder: Path, database: Database) -> None:
        super().__init__(folder)
        self.jobs = SqlJobStore(database)  # type: ignore[assignment]  # the same port
        self.outputs = SqlOutputStore(database)  # type: ignore[assignment]  # the same
        self.deletions = SqlDeletionStore(database)  # type: ignore[assignment]  # the same
        self.deliveries = SqlDeliveryStore(database)
        self.sent: list[str] = []

    # Threads send dispatches and messages, so their order is random.
    def seen(self) -> list[str]:
        return sorted([*self.dispatcher.task_ids, *self.dispatcher.announced, *self.sent])


def add_due_job(world: World, job_id: str, **changes: Any) -> Job:
    job = first_attempt_due(make_job(id=job_id, user_id=f"user of {job_id}", model=f"model of {job_id}", **changes))
    return world.jobs.add(replace(job, next_attempt_at=NOW))


def add_task(world: World, job_id: str) -> None:
    add_due_job(world, job_id, provider_task_id=f"task of {job_id}", submitted_at=NOW, status=JobStatus.RUNNING)


def add_late_job(world: World, job_id: str, hook: str | None = None) -> None:
    add_due_job(world, job_id, created_at=NOW - timedelta(hours=2), webhook_url=hook)


def key_of(job_id: str, position: int = 0) -> ObjectKey:
    return ObjectKey.for_output(
        user_id=f"user of {job_id}", job_id=job_id, type=MediaType.IMAGE, created_at=NOW, position=position, ext="png"
    )


def hold(world: World, key: str) -> None:
    world.store.objects[key] = HeldObject(DATA, modified_at=NOW - timedelta(hours=2))


def output_of(world: World, job_id: str, position: int = 0) -> JobOutput:
    key = key_of(job_id, position)
    stored = world.store.head(str(key))
    made = make_output(id=key.output_id, job_id=job_id, user_id=key.user_id, oss_path=str(key))
    if stored is None:
        return replace(made, created_at=NOW - timedelta(hours=2))
    meta = {**made.meta, "crc64": str(stored.crc64)}
    return replace(made, size=stored.size, meta=meta, created_at=NOW - timedelta(hours=2))


def add_stored_job(world: World, job_id: str) -> Job:
    """Add a job that has succeeded with two outputs, one of which has no row."""
    job = world.jobs.add(make_job(id=job_id, user_id=f"user of {job_id}", status=JobStatus.SUCCEEDED, count=2))
    for position in (0, 1):
        hold(world, str(key_of(job_id, position)))
    world.outputs.put(output_of(world, job_id))
    return job


def add_intent(world: World, job_id: str) -> None:
    job = world.jobs.add(make_job(id=job_id, user_id=f"user of {job_id}", status=JobStatus.RUNNING))
    hold(world, str(key_of(job_id)))
    world.outputs.intend(OutputIntent(output_of(world, job_id), 0, 0), lease_expires_at=NOW)
    world.jobs.save(job.succeeded(NOW))


# -- the batches


@dataclass(frozen=True)
class Batch:
    """``fill`` makes the items; ``run`` works on them, with ports from ``poison``."""

    fill: Callable[[SqlWorld], None]
    run: Callable[[SqlWorld, Poison], object]


def fill_dispatches(world: SqlWorld) -> None:
    for number, item in enumerate(ITEMS):
        if number % 3 == 0:
            add_late_job(world, item, hook=f"https://hooks.example.com/{item}")
        elif number % 3 == 1:
            add_due_job(world, item)
        else:
            world.jobs.add(replace(make_job(id=item).claimed(NOW - timedelta(hours=1)), created_at=NOW))


def revival(world: SqlWorld, poison: Poison) -> RevivalPorts:
    return RevivalPorts(
        jobs=poison.into(world.jobs),
        provider_of=poison.into(lambda model: poison.into(PollingProvider())),
        dispatcher=poison.into(world.dispatcher),
        clock=world.clock,
        endings=endings(world, poison),
        indexing=indexing(world, poison),
    )


def endings(world: SqlWorld, poison: Poison) -> JobEndingPorts:
    return JobEndingPorts(
        jobs=poison.into(world.jobs),
        outputs=poison.into(world.outputs),
        temp=poison.into(world.temp),
        clock=world.clock,
    )


class PollingProvider:
    """Has finished the task of every other item."""

    poll_interval_s = 5.0

    def poll(self, task_id: str) -> Pending | Finished:
        done = ITEMS.index(task_id.removeprefix("task of ")) % 2
        return Finished((MediaUrl("https://results.example.com/0.png"),)) if done else Pending(task_id)


def fill_polls(world: SqlWorld) -> None:
    for item in ITEMS:
        add_task(world, item)


def fill_deliveries(world: SqlWorld) -> None:
    for item in ITEMS:
        hook = f"https://hooks.example.com/{item}"
        job = world.jobs.add(make_job(id=item, user_id=f"user of {item}", webhook_url=hook))
        world.jobs.save(job.succeeded(NOW))


def send(world: SqlWorld, message: WebhookMessage) -> WebhookReply:
    world.sent.append(message.url)
    number = ITEMS.index(message.url.rpartition("/")[2])
    return WebhookReply((204, 503, 410)[number % 3], 0.0)


def run_deliveries(world: SqlWorld, poison: Poison) -> object:
    class Sender:
        def send(self, message: WebhookMessage) -> WebhookReply:
            return send(world, message)

    ports = WebhookPorts(
        jobs=poison.into(world.jobs),
        deliveries=poison.into(world.deliveries),
        sender=poison.into(Sender()),
        show=poison.into(lambda job: {"id": job.id, "finishedAt": "2023-12-21T01:50:56.789Z"}),
        clock=world.clock,
        jitter=lambda: 1.0,
    )
    return deliver_webhooks(ports=ports, until=NOW + timedelta(minutes=1))


def fill_deletions(world: SqlWorld) -> None:
    for number, item in enumerate(ITEMS):
        job = add_stored_job(world, item)
        world.store.uploads[MultipartUpload(f"users/user of {item}/jobs/{item}/x", f"upload of {item}")] = NOW
        deletions = (deletion_of_job(job, NOW), deletion_of_output(output_of(world, item), NOW))
        deletion = (*deletions, deletion_of_user(job.user_id, NOW))[number % 3]
        world.deletions.add(replace(deletion, id=f"deletion of {item}"))
    world.clock.advance(5)


def run_deletions(world: SqlWorld, poison: Poison) -> object:
    jobs = poison.into(world.jobs)
    ports = DeletionPorts(
        store=poison.into(world.store),
        jobs=jobs,
        outputs=poison.into(world.outputs),
        deletions=poison.into(world.deletions),
        clock=world.clock,
        cancelling=JobPorts(jobs, poison.into(world.dispatcher), world.clock),
    )
    return resume_deletions(ports=ports, until=NOW + timedelta(minutes=1))


def indexing(world: SqlWorld, poison: Poison) -> IndexingPorts:
    return IndexingPorts(
        store=poison.into(world.store),
        outputs=poison.into(world.outputs),
        jobs=poison.into(world.jobs),
        deletions=poison.into(world.deletions),
        probe=StubProbe(),
        clock=world.clock,
    )


def fill_reconcile(world: SqlWorld) -> None:
    for number, item in enumerate(ITEMS):
        (add_stored_job if number % 2 else add_intent)(world, item)
        world.store.uploads[MultipartUpload(f"users/{item}/x", f"upload of {item}")] = NOW - timedelta(days=2)
    world.outputs.put(replace(output_of(world, ITEMS[1], 2), oss_path=str(key_of(ITEMS[1], 2))))  # without an object


def run_records(world: SqlWorld, poison: Poison) -> object:
    keys = [str(key_of(item, position)) for item in ITEMS for position in (0, 1)]
    with suppress(Exception):  # a failure is raised at the end, so that the event is delivered again
        index_objects(keys, ports=indexing(world, poison))
    return None


def fill_records(world: SqlWorld) -> None:
    for item in ITEMS:
        add_stored_job(world, item)


def before(world: SqlWorld) -> Any:
    return world.clock.now() + timedelta(minutes=1)


BATCHES = {
    "dispatches": Batch(
        fill_dispatches, lambda world, poison: dispatch_due_jobs(ports=revival(world, poison), until=before(world))
    ),
    "polls": Batch(fill_polls, lambda world, poison: poll_due_jobs(ports=revival(world, poison), until=before(world))),
    "deliveries": Batch(fill_deliveries, run_deliveries),
    "deletions": Batch(fill_deletions, run_deletions),
    "reconcile": Batch(
        fill_reconcile, lambda world, poison: reconcile(ports=indexing(world, poison), until=before(world))
    ),
    "records": Batch(fill_records, run_records),
}


# -- the results


class Databases:
    """Empty databases of one kind."""

    def __init__(self, kind: str, request: pytest.FixtureRequest) -> None:
        self._url = database_url(kind, request)
        self.database = open_database(self._url)

    def emptied(self) -> Database:
        with look_at(self._url) as (connection, _), closing(connection.cursor()) as cursor:
            for table in TABLES:
                cursor.execute(f"DELETE FROM {table}")
            connection.commit()
        return self.database

    def rows(self) -> list[str]:
        found = []
        with look_at(self._url) as (connection, _), closing(connection.cursor()) as cursor:
            for table in TABLES:
                cursor.execute(f"SELECT * FROM {table}")
                found += [f"{table}: {dict(row)}" for row in cursor.fetchall()]
        return [_DRAWN.sub("", row) for row in found]


@pytest.fixture(params=SQL_KINDS)
def databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    made = Databases(request.param, request)
    yield made
    made.database.peewee.close()


def play(batch: Batch, databases: Databases, folder: Path, poison: Poison) -> list[str]:
    """Return the state after a run: rows, objects, uploads, dispatches and messages."""
    world = SqlWorld(folder, databases.emptied())
    batch.fill(world)
    batch.run(world, poison)
    objects = [f"object {key}" for key in world.store.objects]
    uploads = [f"upload {upload}" for upload in world.store.uploads]
    return sorted([*databases.rows(), *objects, *uploads, *world.seen()])


def of_others(state: list[str], item: str) -> list[str]:
    return [line for line in state if item not in line]


@pytest.mark.parametrize("name", BATCHES)
def test_an_exception_of_one_item_does_not_change_the_result_of_the_others(
    databases: Databases, tmp_path: Path, name: str
) -> None:
    batch = BATCHES[name]
    good = play(batch, databases, tmp_path, NO_POISON)
    hits = 0

    @settings(
        max_examples=20,
        phases=[Phase.generate],
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(
        item=st.sampled_from(ITEMS),
        number=st.integers(0, 8),
        error=st.sampled_from(FAILURES),
        lasting=st.booleans(),
    )
    def check(item: str, number: int, error: type[Exception], lasting: bool) -> None:
        nonlocal hits
        poison = Poison(item, number, error, lasting=lasting)
        state = play(batch, databases, tmp_path, poison)
        hits += bool(poison.hits)
        assert of_others(state, item) == of_others(good, item)

    check()
    assert hits >= 5
