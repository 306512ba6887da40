"""The table deletions, and the rows that a deletion removes from other tables: in memory, on SQLite and MariaDB."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from shared.adapters.sql.deletions import SqlDeletionStore
from shared.adapters.sql.jobs import SqlJobStore
from shared.adapters.sql.outputs import SqlOutputStore
from shared.domain.deletions import (
    MAX_FAILURES,
    SECOND_LOOK_AFTER,
    Deletion,
    DeletionScope,
    deletion_of_job,
    deletion_of_output,
    deletion_of_user,
)
from shared.domain.errors import LeaseLostError
from shared.domain.jobs import JobStatus, OutputIntent
from shared.ports import DeletionStore, JobStore, OutputStore
from shared.services.batches import pages
from tests.contract.databases import KINDS, database_url, open_database
from tests.database_connection import open_database as look_at
from tests.fakes import NOW, USER, InMemoryDeletionStore, InMemoryJobStore, InMemoryOutputStore, make_job, make_output

SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Stores:
    jobs: JobStore
    outputs: OutputStore
    deletions: DeletionStore
    url: str = ""


@pytest.fixture(params=KINDS)
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    if request.param == "memory":
        jobs = InMemoryJobStore()
        outputs = InMemoryOutputStore(jobs)
        yield Stores(jobs, outputs, InMemoryDeletionStore(jobs, outputs))
        return
    url = database_url(request.param, request)
    database = open_database(url)
    yield Stores(SqlJobStore(database), SqlOutputStore(database), SqlDeletionStore(database), url)
    database.peewee.close()


def make_deletion(number: int = 0, job_id: str = "abc123", **changes: Any) -> Deletion:
    made = deletion_of_job(make_job(id=job_id), NOW + number * SECOND)
    return replace(made, id=f"deletion{number}", **changes)


def test_a_deletion_is_read_back_unchanged(stores: Stores) -> None:
    for deletion in (
        deletion_of_output(make_output(oss_path="users/用户 😀/jobs/j/image-1703123456789.png"), NOW),
        deletion_of_job(make_job(), NOW),
        replace(deletion_of_user("用" * 255, NOW), finished_at=NOW + SECOND / 1000, told_at=NOW + SECOND),
    ):
        stores.deletions.add(deletion)
        assert stores.deletions.get(deletion.id) == deletion
    assert stores.deletions.get("none") is None


def test_newest_of_finds_the_deletion_requested_last(stores: Stores) -> None:
    for number in (1, 2, 0):
        stores.deletions.add(make_deletion(number))
    stores.deletions.add(make_deletion(3, job_id="ABC123"))
    assert stores.deletions.newest_of(DeletionScope.JOB, "abc123") == make_deletion(2)
    assert stores.deletions.newest_of(DeletionScope.OUTPUT, "abc123") is None
    assert stores.deletions.newest_of(DeletionScope.JOB, "abc12") is None


def test_concerns_finds_deletions_of_the_job_or_the_output(stores: Stores) -> None:
    output = make_output(job_id="another")
    stores.deletions.add(make_deletion(0))
    stores.deletions.add(deletion_of_output(output, NOW))
    stores.deletions.add(deletion_of_user("users-job", NOW))
    asked = [("abc123", "x"), ("x", output.id), ("ABC123", "x"), ("x", "abc123"), (output.id, "x"), ("users-job", "x")]
    found = [stores.deletions.concerns(job_id=job_id, output_id=output_id) for job_id, output_id in asked]
    assert found == [True, True, False, False, False, False]


@pytest.mark.parametrize("limit", [1, 2, 9])
def test_due_deletions_are_paged_the_longest_due_first(stores: Stores, limit: int) -> None:
    for number in (3, 1, 0, 2):
        stores.deletions.add(replace(make_deletion(number), requested_at=NOW + number // 2 * SECOND))
    stores.deletions.add(make_deletion(4, next_attempt_at=NOW + 2 * SECOND, failures=MAX_FAILURES - 1))
    stores.deletions.add(make_deletion(5, next_attempt_at=NOW + 3 * SECOND))
    stores.deletions.add(make_deletion(6, failures=MAX_FAILURES))
    now = NOW + 2 * SECOND
    found = list(pages(lambda last: stores.deletions.due(now, limit=limit, after=last)))
    assert [deletion.id for deletion in found] == [f"deletion{number}" for number in range(5)]
    assert all(deletion.due(now) for deletion in found)


def test_finished_deletions_are_due_again_after_an_hour(stores: Stores) -> None:
    for number in range(4):
        stores.deletions.add(make_deletion(number, finished_at=NOW + number * SECOND))
    found = stores.deletions.due(NOW + SECOND_LOOK_AFTER + 2 * SECOND, limit=9)
    assert [deletion.id for deletion in found] == ["deletion0", "deletion1"]


def test_only_one_reader_of_a_deletion_can_save_its_attempt(stores: Stores) -> None:
    first = make_deletion(0)
    stores.deletions.add(first)
    postponed = first.postponed(NOW)
    stores.deletions.save(postponed, over=first)
    assert stores.deletions.get(first.id) == postponed
    failed = postponed.failed(NOW)
    for stale in (first, replace(postponed, failures=1), replace(postponed, id="none")):
        with pytest.raises(LeaseLostError):
            stores.deletions.save(failed, over=stale)
    stores.deletions.save(failed, over=postponed)
    assert stores.deletions.get(first.id) == failed
    stores.deletions.finish(failed, NOW)
    assert stores.deletions.get(first.id) == replace(first, finished_at=NOW)


def test_tell_records_the_time_and_remove_removes_the_deletion(stores: Stores) -> None:
    stores.deletions.add(make_deletion(0))
    stores.deletions.add(make_deletion(1))
    stores.deletions.tell("deletion0", NOW)
    assert stores.deletions.get("deletion0") == replace(make_deletion(0), told_at=NOW)
    for _ in range(2):
        stores.deletions.remove("deletion0")
        assert stores.deletions.get("deletion0") is None
    assert stores.deletions.get("deletion1") == make_deletion(1)


def fill(stores: Stores, job_id: str, first: int) -> None:
    stores.jobs.add(make_job(id=job_id, status=JobStatus.STORING))
    for position in (first, first + 1):
        stores.outputs.put(make_output(position, job_id=job_id))
    intent = OutputIntent(make_output(first + 2, job_id=job_id), 2, 0)
    stores.outputs.intend(intent, lease_expires_at=NOW)


def rows_of(stores: Stores, job_id: str) -> tuple[int, int, int]:
    return (
        int(stores.jobs.get(job_id) is not None),
        len(stores.outputs.of_job(job_id)),
        len(stores.outputs.intents_of_job(job_id)),
    )


def test_finishing_the_deletion_of_a_job_removes_only_its_rows(stores: Stores) -> None:
    fill(stores, "abc123", 0)
    fill(stores, "ABC123", 10)
    stores.deletions.add(make_deletion(0))
    stores.deletions.finish(make_deletion(0), NOW)
    assert rows_of(stores, "abc123") == (0, 0, 0)
    assert rows_of(stores, "ABC123") == (1, 2, 1)
    assert stores.deletions.get("deletion0") == replace(make_deletion(0), finished_at=NOW)
    # A second call removes the rows that were added in the meantime and keeps the time of the end.
    stores.outputs.put(make_output(0))
    stores.deletions.finish(make_deletion(0), NOW + SECOND)
    assert rows_of(stores, "abc123") == (0, 0, 0)
    assert stores.deletions.get("deletion0") == replace(make_deletion(0), finished_at=NOW)


def test_finishing_the_deletion_of_an_output_removes_its_row_and_its_intent(stores: Stores) -> None:
    fill(stores, "abc123", 0)
    for position in (0, 2):
        deletion = deletion_of_output(make_output(position), NOW)
        stores.deletions.add(deletion)
        stores.deletions.finish(deletion, NOW)
    assert rows_of(stores, "abc123") == (1, 1, 0)
    assert stores.outputs.get(make_output(1).id) is not None


def test_finishing_the_deletion_of_a_user_removes_no_row(stores: Stores) -> None:
    fill(stores, "abc123", 0)
    deletion = deletion_of_user(USER, NOW)
    stores.deletions.add(deletion)
    stores.deletions.finish(deletion, NOW)
    assert rows_of(stores, "abc123") == (1, 2, 1)
    assert stores.deletions.get(deletion.id) == replace(deletion, finished_at=NOW)


def insert(url: str, table: str, values: dict[str, object]) -> None:
    with look_at(url) as (connection, mark):
        names, marks = ", ".join(values), ", ".join([mark] * len(values))
        connection.cursor().execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))
        connection.commit()


def select(url: str, sql: str) -> list[tuple[Any, ...]]:
    with look_at(url) as (connection, _), closing(connection.cursor()) as cursor:
        cursor.execute(sql)
        return [tuple(dict(row).values()) for row in cursor.fetchall()]


def key_and_deliveries(url: str, job_id: str) -> None:
    common = {"job_id": job_id, "user_id": USER, "created_at": "2023-12-21 01:50:56"}
    answered = {"idempotency_key": f"key of {job_id}", "request_hash": "f" * 64, "answer": '{"status": 200}'}
    insert(url, "idempotency_keys", {**common, **answered})
    to = {"event": "job.succeeded", "url": "https://example.com/hook", "url_hash": "f" * 64}
    for number in range(2):
        delivery = {"id": f"{job_id}-{number}", "status": "pending", "attempts": number}
        insert(url, "webhook_deliveries", {**common, **to, **delivery})


@pytest.mark.parametrize("stores", ["sqlite", "mariadb"], indirect=True)
def test_the_deletion_of_a_job_removes_its_deliveries_and_the_answer_of_its_key(stores: Stores) -> None:
    for job_id in ("abc123", "ABC123"):
        key_and_deliveries(stores.url, job_id)
    stores.jobs.add(make_job(status=JobStatus.SUCCEEDED))
    stores.deletions.add(make_deletion(0))
    stores.deletions.finish(make_deletion(0), NOW)
    assert select(stores.url, "SELECT id FROM webhook_deliveries ORDER BY id") == [("ABC123-0",), ("ABC123-1",)]
    assert select(stores.url, "SELECT job_id, idempotency_key, answer FROM idempotency_keys ORDER BY job_id") == [
        ("ABC123", "key of ABC123", '{"status": 200}'),
        ("abc123", "key of abc123", None),
    ]
