"""Rows that follow the objects in the bucket."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from fastcrc import crc64

from shared.domain.errors import StorageUnavailableError, WrongMediaError
from shared.domain.jobs import JobStatus
from shared.domain.keys import ObjectKey
from shared.ports import MediaUrl
from shared.services.indexing import index_object
from shared.services.storage import upload_job_output_from_source
from tests.fakes import USER, HeldObject, World, make_job, make_png

KEY = f"users/{USER}/jobs/abc123/image-1703123456789.png"
OUTPUT = ObjectKey.parse(KEY).output_id


def index(world: World, key: str = KEY) -> None:
    index_object(key, store=world.store, outputs=world.outputs, jobs=world.jobs, probe=world.probe, clock=world.clock)


def hold(world: World, data: bytes, key: str = KEY) -> None:
    world.store.objects[key] = HeldObject(data)


def test_an_object_without_a_row_gets_one(world: World) -> None:
    png = make_png()
    hold(world, png)
    index(world)
    row = world.outputs.get(OUTPUT)
    assert row is not None
    assert (row.oss_path, row.size, row.user_id, row.job_id) == (KEY, len(png), USER, "abc123")
    assert row.meta == {"width": 4, "height": 3, "format": "png", "crc64": str(crc64.xz(png))}


def test_repeating_changes_nothing(world: World) -> None:
    hold(world, make_png())
    index(world)
    row = world.outputs.get(OUTPUT)
    world.clock.advance(60)
    index(world)
    assert world.outputs.get(OUTPUT) == row
    assert len(world.probe.probed) == 1


def test_the_row_that_the_job_wrote_is_left_as_it_is(world: World) -> None:
    world.downloads.bodies["https://r.example.com/1"] = make_png()
    world.jobs.add(make_job())
    written = upload_job_output_from_source(make_job(), 0, MediaUrl("https://r.example.com/1"), storage=world.storage)
    index(world)
    assert list(world.outputs.of_job("abc123")) == [written]


def test_an_object_that_is_gone_takes_its_row_with_it(world: World) -> None:
    hold(world, make_png())
    index(world)
    del world.store.objects[KEY]
    index(world)
    index(world)
    assert world.outputs.get(OUTPUT) is None


def test_a_changed_object_changes_its_row(world: World) -> None:
    hold(world, make_png())
    index(world)
    other = make_png(noise=range(9))
    hold(world, other)
    index(world)
    row = world.outputs.get(OUTPUT)
    assert row is not None
    assert (row.size, row.meta["crc64"]) == (len(other), str(crc64.xz(other)))


def test_while_its_job_is_at_work_the_row_is_the_jobs(world: World) -> None:
    world.jobs.add(make_job(status=JobStatus.STORING))
    hold(world, make_png())
    index(world)
    assert world.outputs.get(OUTPUT) is None
    world.jobs.save(make_job(status=JobStatus.SUCCEEDED))
    index(world)
    assert world.outputs.get(OUTPUT) is not None


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.FAILED, JobStatus.CANCELLED])
def test_a_job_that_did_not_succeed_gets_no_row(world: World, status: JobStatus) -> None:
    world.jobs.add(make_job(status=status))
    hold(world, make_png())
    index(world)
    assert world.outputs.get(OUTPUT) is None


@pytest.mark.parametrize("user", ["test@factory-buy.com", "用户 1", "a+b"])
def test_a_key_may_come_percent_encoded(world: World, user: str) -> None:
    key = f"users/{user}/jobs/abc123/image-1703123456789.png"
    hold(world, make_png(), key)
    index(world, quote(key))
    (row,) = world.outputs.of_job("abc123")
    assert (row.user_id, row.oss_path) == (user, key)
    del world.store.objects[key]
    index(world, quote(key))
    assert list(world.outputs.of_job("abc123")) == []


@pytest.mark.parametrize(
    "key", ["", "source/a.png", "users/u/jobs/j/notes.txt", "users/../jobs/j/image-1703123456789.png"]
)
def test_other_keys_are_passed_over(world: World, key: str) -> None:
    hold(world, make_png(), key)
    index(world, key)
    assert world.probe.probed == []


def test_what_is_no_media_gets_no_row(world: World) -> None:
    hold(world, b"<!doctype html>")
    index(world)
    assert world.outputs.get(OUTPUT) is None
    world.probe.error = WrongMediaError("no picture")
    hold(world, make_png())
    index(world)
    assert world.outputs.get(OUTPUT) is None


def test_a_row_does_not_outlive_the_media_it_spoke_of(world: World) -> None:
    hold(world, make_png())
    index(world)
    hold(world, b"<!doctype html>")
    index(world)
    assert world.outputs.get(OUTPUT) is None


@pytest.mark.parametrize("away", ["store", "outputs", "jobs"])
def test_an_outage_lets_the_error_out(world: World, away: str) -> None:
    hold(world, make_png())
    getattr(world, away).away = True
    with pytest.raises(Exception, match="did not answer"):
        index(world)


def test_a_new_object_is_read_no_further_than_its_first_megabyte(world: World) -> None:
    asked: list[int] = []
    read_start: Callable[[str, int], bytes] = world.store.read_start
    world.store.read_start = lambda key, size: (asked.append(size), read_start(key, size))[1]
    hold(world, make_png() + b"x" * 2_000_000)
    index(world)
    assert asked == [1024 * 1024]
    assert not isinstance(world.probe.probed[0], Path)


def test_a_read_that_fails_lets_the_error_out(world: World) -> None:
    hold(world, make_png())

    def read_start(key: str, size_bytes: int) -> bytes:
        raise StorageUnavailableError("the connection to OSS broke off")

    world.store.read_start = read_start
    with pytest.raises(StorageUnavailableError):
        index(world)
