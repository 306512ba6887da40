"""The reconcile: it repairs differences between the bucket and the tables, and destroys nothing."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from fastcrc import crc64

from shared.domain.errors import DatabaseUnavailableError
from shared.domain.jobs import Job, JobOutput, JobStatus, OutputIntent
from shared.domain.keys import ObjectKey
from shared.domain.media import MediaFacts
from shared.domain.media_type import MediaType
from shared.ports import ListedObject, MultipartUpload
from shared.services.reconcile import reconcile
from shared.services.storage import make_output
from tests.fakes import USER, HeldObject, World, make_job, make_png

HOUR = 3600
DEAD = [JobStatus.FAILED, JobStatus.CANCELLED]
DATA = make_png(noise=range(5))


def run(world: World, *, dry_run: bool = False, for_s: float = 600) -> dict[str, int]:
    """Reconcile and return the counts that are not 0, without ``looked_at``."""
    until = world.clock.now() + timedelta(seconds=for_s)
    counts = reconcile(ports=world.indexing, until=until, dry_run=dry_run)
    assert counts.pop("dry_run") is dry_run
    counts.pop("looked_at")
    if counts.pop("complete") is not True:
        counts["incomplete"] = 1
    return {name: count for name, count in counts.items() if count}


def add_job(world: World, number: int = 0, **changes: Any) -> Job:
    changes.setdefault("created_at", world.clock.now() + timedelta(milliseconds=number))
    job = make_job(**{"id": f"job{number}", "status": JobStatus.SUCCEEDED, **changes})
    world.jobs.add(job)
    return job


def output_of(world: World, job: Job, data: bytes = DATA, position: int = 0) -> JobOutput:
    key = ObjectKey.for_output(
        user_id=job.user_id,
        job_id=job.id,
        type=MediaType.IMAGE,
        created_at=job.created_at,
        position=position,
        ext="png",
    )
    facts = MediaFacts("png", width=77, height=55).with_crc64(crc64.xz(data))
    return make_output(key, len(data), facts, store=world.store, now=world.clock.now())


def hold(world: World, key: str, data: bytes = DATA) -> None:
    world.store.objects[key] = HeldObject(data, modified_at=world.clock.now())


def intend(world: World, status: JobStatus, number: int = 0, **changes: Any) -> OutputIntent:
    """Let a job record its intent, and then reach ``status``."""
    job = add_job(world, number, status=JobStatus.STORING, **changes)
    intent = OutputIntent(output_of(world, job), 0, job.attempt)
    world.outputs.intend(intent, lease_expires_at=job.lease_expires_at or world.clock.now())
    if status is not JobStatus.STORING:
        world.jobs.save(replace(job, status=status, finished_at=world.clock.now()))
    return intent


def state(world: World) -> Any:
    rows, intents = world.outputs._rows, world.outputs._intents
    return copy.deepcopy((rows, intents, world.store.objects, world.store.uploads))


# -- uploads


def test_uploads_older_than_24_hours_are_aborted(world: World) -> None:
    old, young, elsewhere = (
        MultipartUpload(key, "1") for key in ("users/u/jobs/j/video-1703123456789.mp4", "users/u/b", "source/a")
    )
    world.store.uploads = {old: world.clock.now(), elsewhere: world.clock.now()}
    world.clock.advance(2 * HOUR)
    world.store.uploads[young] = world.clock.now()
    world.clock.advance(22 * HOUR + 1)
    assert run(world, dry_run=True) == {"uploads_aborted": 1}
    assert old in world.store.uploads
    assert run(world) == {"uploads_aborted": 1}
    assert world.store.uploads.keys() == {young, elsewhere}


# -- intents


def test_an_old_intent_with_an_object_becomes_the_row(world: World) -> None:
    intent = intend(world, JobStatus.SUCCEEDED)
    hold(world, intent.output.oss_path)
    world.clock.advance(HOUR + 1)
    assert run(world) == {"intents_completed": 1}
    assert list(world.outputs.of_job("job0")) == [intent.output]
    assert list(world.outputs.intents_of_job("job0")) == []
    assert run(world) == {}


def test_an_old_intent_of_an_unknown_job_becomes_the_row(world: World) -> None:
    intent = intend(world, JobStatus.SUCCEEDED)
    world.jobs._rows.clear()
    hold(world, intent.output.oss_path)
    world.clock.advance(HOUR + 1)
    assert run(world) == {"intents_completed": 1}
    assert list(world.outputs.of_job("job0")) == [intent.output]


@pytest.mark.parametrize("status", DEAD, ids=str)
def test_the_object_of_a_failed_job_is_deleted(world: World, status: JobStatus) -> None:
    intent = intend(world, status)
    hold(world, intent.output.oss_path)
    world.clock.advance(HOUR + 1)
    assert run(world) == {"objects_deleted": 1, "intents_removed": 1}
    assert world.store.objects == {}
    assert list(world.outputs.intents_of_job("job0")) == []
    assert run(world) == {}


@pytest.mark.parametrize("status", DEAD, ids=str)
@pytest.mark.parametrize("data", [make_png(), DATA[:-1] + b"!"], ids=["other-size", "other-crc"])
def test_an_object_that_differs_from_its_intent_stays_and_is_indexed(
    world: World, status: JobStatus, data: bytes
) -> None:
    intent = intend(world, status)
    hold(world, intent.output.oss_path, data)
    world.clock.advance(HOUR + 1)
    assert run(world) == {"intents_removed": 1, "intents_of_other_bytes": 1, "rows_added": 1}
    assert world.store.objects[intent.output.oss_path].data == data
    assert run(world) == {}


def test_an_object_with_a_row_is_not_deleted(world: World) -> None:
    intent = intend(world, JobStatus.FAILED)
    world.outputs._rows[intent.output.id] = intent.output
    hold(world, intent.output.oss_path)
    world.clock.advance(HOUR + 1)
    assert run(world) == {"intents_removed": 1}
    assert list(world.store.objects) == [intent.output.oss_path]


def test_an_object_without_a_checksum_is_not_removed(world: World) -> None:
    intent = intend(world, JobStatus.FAILED)
    hold(world, intent.output.oss_path)
    head = world.store.head
    world.store.head = lambda key: (found := head(key)) and replace(found, crc64=None)
    world.clock.advance(HOUR + 1)
    counts = run(world)
    assert "objects_deleted" not in counts
    assert list(world.store.objects) == [intent.output.oss_path]


@pytest.mark.parametrize("status", [*DEAD, JobStatus.SUCCEEDED], ids=str)
def test_an_old_intent_without_an_object_is_removed(world: World, status: JobStatus) -> None:
    intend(world, status)
    world.clock.advance(HOUR + 1)
    assert run(world) == {"intents_removed": 1}
    assert list(world.outputs.intents_of_job("job0")) == []


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.STORING], ids=str)
@pytest.mark.parametrize("data", [None, DATA, make_png()], ids=["absent", "equal", "other"])
def test_a_running_job_keeps_its_intent(world: World, status: JobStatus, data: bytes | None) -> None:
    intent = intend(world, status)
    if data is not None:
        hold(world, intent.output.oss_path, data)
    world.clock.advance(HOUR + 1)
    assert run(world) == {}
    assert list(world.outputs.intents_of_job("job0")) == [intent]


@pytest.mark.parametrize("status", list(JobStatus), ids=str)
def test_a_young_intent_stays(world: World, status: JobStatus) -> None:
    intent = intend(world, status)
    if status in DEAD:
        hold(world, intent.output.oss_path)
    world.clock.advance(HOUR - 1)
    before = state(world)
    assert run(world) == {}
    assert state(world) == before


# -- jobs


def test_an_object_without_a_row_gets_one_after_an_hour(world: World) -> None:
    job = add_job(world)
    key = output_of(world, job).oss_path
    hold(world, key)
    world.clock.advance(HOUR)
    assert run(world) == {}
    world.clock.advance(1)
    assert run(world) == {"rows_added": 1}
    assert [row.oss_path for row in world.outputs.of_job(job.id)] == [key]
    assert run(world) == {}


def test_a_row_of_another_size_is_updated(world: World) -> None:
    job = add_job(world)
    row = output_of(world, job)
    world.outputs.put(row)
    hold(world, row.oss_path, make_png(noise=range(99)))
    world.clock.advance(HOUR + 1)
    assert run(world) == {"rows_added": 1}
    (new,) = world.outputs.of_job(job.id)
    assert new.size == len(make_png(noise=range(99)))
    assert run(world) == {}


def test_a_row_without_an_object_is_removed_after_an_hour(world: World) -> None:
    job = add_job(world)
    world.outputs.put(output_of(world, job))
    world.clock.advance(HOUR)
    assert run(world) == {}
    world.clock.advance(1)
    assert run(world) == {"rows_removed": 1}
    assert list(world.outputs.of_job(job.id)) == []


def test_a_row_stays_if_its_object_is_only_missing_in_the_list(world: World) -> None:
    job = add_job(world)
    row = output_of(world, job)
    world.outputs.put(row)
    hold(world, row.oss_path)
    world.clock.advance(HOUR + 1)

    def empty(prefix: str) -> Iterator[ListedObject]:
        return iter(())

    world.store.list = empty
    assert run(world) == {}
    assert list(world.outputs.of_job(job.id)) == [row]


@pytest.mark.parametrize("listed", [0, 1])
def test_a_list_that_breaks_off_changes_nothing(world: World, listed: int) -> None:
    job = add_job(world)
    gone = output_of(world, job, position=1)
    world.outputs.put(gone)
    hold(world, output_of(world, job).oss_path)
    world.clock.advance(HOUR + 1)
    world.store.list_breaks_after = listed
    before = state(world)
    assert run(world) == {"skipped": 1}
    assert state(world) == before
    world.store.list_breaks_after = None
    assert run(world) == {"rows_added": 1, "rows_removed": 1}


def test_only_jobs_of_the_last_48_hours_are_checked(world: World) -> None:
    job = add_job(world)
    world.outputs.put(output_of(world, job))
    world.clock.advance(49 * HOUR)
    assert run(world) == {}
    add_job(world, 1, created_at=job.created_at, finished_at=world.clock.now() - timedelta(hours=2))
    hold(world, output_of(world, world.job("job1")).oss_path)
    world.clock.advance(HOUR + 1)
    assert run(world) == {"rows_added": 1}


def test_the_objects_of_a_running_job_are_ignored(world: World) -> None:
    job = add_job(world, status=JobStatus.STORING)
    hold(world, output_of(world, job).oss_path)
    world.clock.advance(HOUR + 1)
    assert run(world) == {}


def test_more_jobs_than_one_page_are_checked(world: World) -> None:
    for number in range(250):
        job = add_job(world, number)
        hold(world, output_of(world, job).oss_path)
    world.clock.advance(HOUR + 1)
    assert run(world) == {"rows_added": 250}
    assert run(world) == {}


# -- safety


def make_dead(world: World, rows: int, objects: int, sound: int = 0) -> None:
    """Make rows without objects, objects of failed jobs, and correct outputs."""
    for number in range(rows + sound):
        job = add_job(world, number)
        world.outputs.put(output_of(world, job))
        if number >= rows:
            hold(world, output_of(world, job).oss_path)
    for number in range(rows + sound, rows + sound + objects):
        intent = intend(world, JobStatus.FAILED, number)
        hold(world, intent.output.oss_path)
    world.clock.advance(HOUR + 1)


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_run_stops_after_ten_deletions(world: World, dry_run: bool, caplog: pytest.LogCaptureFixture) -> None:
    make_dead(world, rows=8, objects=7)
    counts = run(world, dry_run=dry_run)
    assert counts == {
        "objects_deleted": 7,
        "intents_removed": 7,
        "rows_removed": 3,
        "deletions_withheld": 5,
    }
    left = [row for number in range(8) for row in world.outputs.of_job(f"job{number}")]
    assert (len(world.store.objects), len(left)) == ((7, 8) if dry_run else (0, 5))
    assert [record.levelname for record in caplog.records if "suspiciously many deletions" in record.message] == [
        "ERROR"
    ]
    if not dry_run:
        # The next run has its own limit.
        assert run(world) == {"rows_removed": 5}


def test_the_objects_of_many_failed_jobs_are_not_deleted_in_one_run(world: World) -> None:
    make_dead(world, rows=0, objects=13)
    assert run(world) == {"objects_deleted": 10, "intents_removed": 10, "deletions_withheld": 3}
    assert len(world.store.objects) == 3


def test_the_limit_of_deletions_grows_with_the_number_of_checks(world: World) -> None:
    # 300 correct outputs count 600 in looked_at before the rows without objects, whose jobs are younger.
    for number in range(300):
        job = add_job(world, number)
        world.outputs.put(output_of(world, job))
        hold(world, output_of(world, job).oss_path)
    for number in range(300, 340):
        world.outputs.put(output_of(world, add_job(world, number)))
    world.clock.advance(HOUR + 1)
    # 5 % of 601 are 30; while these rows are removed, looked_at grows by 40, so the limit becomes 32.
    assert run(world) == {"rows_removed": 31, "deletions_withheld": 9}


def test_a_dry_run_counts_the_changes_and_makes_none(world: World) -> None:
    make_dead(world, rows=2, objects=3, sound=4)
    hold(world, output_of(world, add_job(world, 99)).oss_path)
    completed = intend(world, JobStatus.SUCCEEDED, 100)
    hold(world, completed.output.oss_path)
    world.store.uploads[MultipartUpload("users/u/a", "1")] = world.clock.now() - timedelta(days=2)
    world.clock.advance(HOUR + 1)
    before = state(world)
    planned = run(world, dry_run=True)
    assert state(world) == before
    # In a real run the row of the intent exists when its job is checked, so the run does not count it twice.
    assert planned.pop("rows_added") == 2
    assert planned == {
        "uploads_aborted": 1,
        "intents_completed": 1,
        "intents_removed": 3,
        "objects_deleted": 3,
        "rows_removed": 2,
    }
    assert run(world) == {**planned, "rows_added": 1}
    assert run(world) == {}


@pytest.mark.parametrize("steps", range(1, 8))
def test_a_run_stops_in_time_and_the_next_run_continues(world: World, steps: int) -> None:
    make_dead(world, rows=2, objects=2, sound=2)
    world.store.uploads[MultipartUpload("users/u/a", "1")] = world.clock.now() - timedelta(days=2)
    now, asked = world.clock.now, 0

    def ticking() -> datetime:
        nonlocal asked
        asked += 1
        return now() + timedelta(seconds=asked)

    world.clock.now = ticking
    assert run(world, for_s=steps + 0.5).get("incomplete") == 1
    world.clock.now = now
    run(world)
    assert run(world) == {}
    assert len(world.store.objects) == 2


@pytest.mark.parametrize("what", ["upload", "intent", "row"])
def test_a_run_does_nothing_after_its_time_is_over(world: World, what: str) -> None:
    if what == "upload":
        world.store.uploads[MultipartUpload("users/u/a", "1")] = world.clock.now() - timedelta(days=2)
    else:
        make_dead(world, rows=int(what == "row"), objects=int(what == "intent"))
    before = state(world)
    assert run(world, for_s=0) == {"incomplete": 1}
    assert state(world) == before


def test_a_run_leaves_a_large_prefix_when_its_time_is_over(world: World) -> None:
    job = add_job(world)
    for position in range(20):
        hold(world, output_of(world, job, position=position).oss_path)
    world.clock.advance(HOUR + 1)
    probe = world.probe.probe

    def slow_probe(source: Path | BinaryIO, format_name: str) -> MediaFacts:
        world.clock.advance(10)
        return probe(source, format_name)

    world.probe.probe = slow_probe
    assert run(world, for_s=45) == {"rows_added": 5, "incomplete": 1}


def test_while_oss_is_unavailable_nothing_changes(world: World) -> None:
    make_dead(world, rows=2, objects=2)
    before = state(world)
    world.store.away = True
    assert run(world) == {"skipped": 1 + 2 + 4}
    world.store.away = False
    assert state(world) == before


@pytest.mark.parametrize("away", ["jobs", "outputs"])
def test_an_unavailable_database_ends_the_reconcile_with_an_error(world: World, away: str) -> None:
    make_dead(world, rows=2, objects=2)
    getattr(world, away).away = True
    with pytest.raises(DatabaseUnavailableError):
        run(world)


def test_objects_without_an_intent_are_never_deleted(world: World) -> None:
    for number, status in enumerate(JobStatus):
        hold(world, output_of(world, add_job(world, number, status=status)).oss_path)
    hold(world, f"users/{USER}/jobs/job0/notes.txt", b"mine")
    hold(world, f"users/{USER}/jobs/job0/image-1703123456700.png", b"<html>")
    before = dict(world.store.objects)
    world.clock.advance(HOUR + 1)
    run(world)
    run(world)
    assert world.store.objects == before
