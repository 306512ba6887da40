"""The rows of ``job_outputs`` follow the objects in the bucket."""

import random
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import pytest
from fastcrc import crc64

from shared.domain.errors import StorageRefusedError, StorageUnavailableError, WrongMediaError
from shared.domain.jobs import JobOutput, JobStatus, OutputIntent
from shared.domain.keys import ObjectKey
from shared.domain.media import MediaFacts
from shared.ports import StoredObject
from shared.services.indexing import follow_late_objects, index_job, index_object
from shared.services.storage import make_output
from tests.fakes import USER, HeldObject, World, make_job, make_png

KEY = f"users/{USER}/jobs/abc123/image-1703123456789.png"
OUTPUT = ObjectKey.parse(KEY).output_id
MIB = 1024 * 1024


def index(world: World, key: str = KEY) -> None:
    index_object(key, ports=world.indexing)


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


def test_the_row_of_the_job_does_not_change(world: World) -> None:
    intent = intend(world)
    world.outputs.commit(intent, lease_expires_at=world.clock.now())
    hold(world, INTENDED)
    index(world)
    assert list(world.outputs.of_job("abc123")) == [intent.output]
    assert world.store.ranges == []


def test_the_row_of_a_deleted_object_is_removed(world: World) -> None:
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


def test_the_row_of_a_running_job_does_not_change(world: World) -> None:
    world.jobs.add(make_job(status=JobStatus.STORING))
    hold(world, make_png())
    index(world)
    assert world.outputs.get(OUTPUT) is None
    world.jobs.save(make_job(status=JobStatus.SUCCEEDED))
    index(world)
    assert world.outputs.get(OUTPUT) is not None


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING])
def test_an_object_of_a_running_job_gets_no_row(world: World, status: JobStatus) -> None:
    world.jobs.add(make_job(status=status))
    hold(world, make_png())
    index(world)
    assert world.outputs.get(OUTPUT) is None


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED])
def test_an_object_that_others_upload_for_a_failed_job_is_indexed(world: World, status: JobStatus) -> None:
    world.jobs.add(make_job(status=status))
    hold(world, make_png())
    index(world)
    assert world.outputs.get(OUTPUT) is not None


@pytest.mark.parametrize("user", ["test@factory-buy.com", "用户 1", "a+b"])
def test_a_percent_encoded_key_is_indexed(world: World, user: str) -> None:
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
def test_keys_that_are_not_keys_of_outputs_are_ignored(world: World, key: str) -> None:
    hold(world, make_png(), key)
    index(world, key)
    assert world.probe.probed == []


def test_an_object_that_is_not_media_gets_no_row(world: World) -> None:
    hold(world, b"<!doctype html>")
    index(world)
    assert world.outputs.get(OUTPUT) is None
    world.probe.error = WrongMediaError("no picture")
    hold(world, make_png())
    index(world)
    assert world.outputs.get(OUTPUT) is None


def test_the_row_is_removed_when_its_object_is_not_media_any_more(world: World) -> None:
    hold(world, make_png())
    index(world)
    hold(world, b"<!doctype html>")
    index(world)
    assert world.outputs.get(OUTPUT) is None


@pytest.mark.parametrize("away", ["store", "outputs", "jobs"])
def test_an_outage_of_oss_raises_its_error(world: World, away: str) -> None:
    hold(world, make_png())
    getattr(world, away).away = True
    with pytest.raises(Exception, match="did not answer"):
        index(world)


def test_only_the_first_mebibyte_of_a_new_object_is_read(world: World) -> None:
    hold(world, make_png() + b"x" * 2_000_000)
    index(world)
    assert world.store.ranges == [(0, MIB)]
    assert not isinstance(world.probe.probed[0], Path)


def test_an_object_that_changes_between_head_and_read_is_indexed_correctly(world: World) -> None:
    hold(world, make_png())
    head = world.store.head

    def head_before_the_change(key: str) -> StoredObject | None:
        found = head(key)
        hold(world, b"")
        return found

    world.store.head = head_before_the_change
    with pytest.raises(StorageRefusedError):
        index(world)


class LeapingProbe:
    """Reads the given places, as MediaInfo does when it looks for ``moov``."""

    def __init__(self, *places: int) -> None:
        self.places = places
        self.read: list[bytes] = []
        self.size = 0

    def probe(self, source: Path | BinaryIO, format_name: str) -> MediaFacts:
        assert not isinstance(source, Path)
        self.size = source.seek(0, 2)
        for place in self.places:
            source.seek(place)
            self.read.append(source.read(4))
        return MediaFacts(format_name)


@pytest.mark.parametrize(
    ("size", "places", "ranges"),
    [
        (100, (0, 96), [(0, 100)]),
        (MIB, (0, MIB - 4), [(0, MIB)]),
        (MIB + 500_000, (0, MIB, MIB + 499_996), [(0, MIB), (500_000, MIB)]),
        (5 * MIB, (0, MIB - 4, 4 * MIB, 5 * MIB - 4), [(0, MIB), (4 * MIB, MIB)]),
    ],
)
def test_both_ends_of_an_object_are_read_once(
    world: World, size: int, places: tuple[int, ...], ranges: list[tuple[int, int]]
) -> None:
    data = make_png() + random.Random(7).randbytes(size - len(make_png()))
    probe = LeapingProbe(*places)
    hold(world, data)
    index_object(KEY, ports=replace(world.indexing, probe=probe))
    assert probe.read == [data[place : place + 4] for place in places]
    assert (probe.size, world.store.ranges) == (size, ranges)


def test_the_middle_of_an_object_is_not_read(world: World) -> None:
    probe = LeapingProbe(MIB, 3 * MIB, 4 * MIB - 1, 5 * MIB)
    hold(world, make_png().ljust(5 * MIB, b"x"))
    index_object(KEY, ports=replace(world.indexing, probe=probe))
    assert probe.read == [b""] * 4
    assert world.store.ranges == [(0, MIB)]


INTENDED = make_png(noise=range(5))


def intend(world: World, data: bytes = INTENDED, status: JobStatus = JobStatus.STORING) -> OutputIntent:
    """Let a job record its intent to upload ``data``, and then reach ``status``."""
    job = make_job(status=JobStatus.STORING)
    world.jobs.add(job)
    facts = MediaFacts("png", width=77, height=55).with_crc64(crc64.xz(data))
    output = make_output(ObjectKey.parse(KEY), len(data), facts, store=world.store, now=world.clock.now())
    intent = OutputIntent(output, 0, job.attempt)
    world.outputs.intend(intent, lease_expires_at=world.clock.now())
    if status is not JobStatus.STORING:
        world.jobs.save(replace(job, status=status))
    return intent


def test_the_intent_of_an_object_that_arrived_late_becomes_the_row(world: World) -> None:
    intent = intend(world, status=JobStatus.SUCCEEDED)
    hold(world, INTENDED)
    world.clock.advance(60)
    for _ in range(2):
        index(world)
        assert list(world.outputs.of_job("abc123")) == [intent.output]
        assert list(world.outputs.intents_of_job("abc123")) == []
    assert world.store.ranges == []  # the intent has the facts, so nothing is read


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.STORING], ids=str)
@pytest.mark.parametrize("data", [INTENDED, make_png()], ids=["equal", "other"])
def test_the_objects_of_a_running_job_are_left_to_its_attempts(world: World, status: JobStatus, data: bytes) -> None:
    intent = intend(world, status=status)
    hold(world, data)
    index(world)
    assert list(world.outputs.of_job("abc123")) == []
    assert list(world.outputs.intents_of_job("abc123")) == [intent]


def test_after_a_success_the_object_that_replaced_an_output_is_indexed(world: World) -> None:
    intend(world, status=JobStatus.SUCCEEDED)
    hold(world, make_png())
    index(world)
    (row,) = world.outputs.of_job("abc123")
    assert row.size == len(make_png())


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED], ids=str)
@pytest.mark.parametrize("data", [INTENDED, make_png()], ids=["equal", "other"])
def test_a_late_object_of_a_failed_job_is_removed_if_it_is_ours_but_not_at_its_event(
    world: World, status: JobStatus, data: bytes
) -> None:
    intent = intend(world, status=status)
    hold(world, data)
    index(world)
    assert list(world.store.objects) == [KEY]
    for _ in range(2):
        follow_late_objects(make_job(status=status), ports=world.indexing)
        assert list(world.store.objects) == ([] if data == INTENDED else [KEY])
        assert list(world.outputs.of_job("abc123")) == []
        # The intent proves the origin of an object that arrives even later.
        assert list(world.outputs.intents_of_job("abc123")) == [intent]


def test_an_object_with_a_row_is_not_removed(world: World) -> None:
    intent = intend(world, status=JobStatus.CANCELLED)
    world.outputs._rows[intent.output.id] = replace(intent.output, size=1)
    hold(world, INTENDED)
    follow_late_objects(make_job(status=JobStatus.CANCELLED), ports=world.indexing)
    assert list(world.store.objects) == [KEY]


def test_an_object_without_a_checksum_is_not_removed(world: World) -> None:
    intend(world, status=JobStatus.FAILED)
    hold(world, INTENDED)
    head = world.store.head
    world.store.head = lambda key: (found := head(key)) and replace(found, crc64=None)
    follow_late_objects(make_job(status=JobStatus.FAILED), ports=world.indexing)
    assert list(world.store.objects) == [KEY]


def test_an_intent_outlives_the_deletion_of_its_object(world: World) -> None:
    intent = intend(world)
    index(world)
    assert list(world.outputs.intents_of_job("abc123")) == [intent]


def test_an_object_deleted_during_the_indexing_has_no_row(world: World) -> None:
    hold(world, make_png())
    put = world.outputs.put

    def put_after_the_deletion(output: JobOutput) -> None:
        # The object is deleted between the read and the write, and the event of the deletion is indexed first.
        world.store.objects.pop(KEY, None)
        index(world)
        put(output)

    world.outputs.put = put_after_the_deletion
    index(world)
    assert world.outputs.get(OUTPUT) is None


def test_an_object_uploaded_during_the_indexing_has_its_row(world: World) -> None:
    hold(world, make_png())
    index(world)
    del world.store.objects[KEY]
    remove = world.outputs.remove

    def remove_after_the_upload(output_id: str) -> None:
        hold(world, make_png())
        index(world)
        remove(output_id)

    world.outputs.remove = remove_after_the_upload
    index(world)
    assert world.outputs.get(OUTPUT) is not None


def test_all_objects_below_the_prefix_of_a_job_are_indexed(world: World) -> None:
    job = make_job(status=JobStatus.SUCCEEDED)
    world.jobs.add(job)
    other = KEY.replace("789", "790")
    for key in (
        KEY,
        other,
        f"users/{USER}/jobs/abc123/notes.txt",
        f"users/{USER}/jobs/abc1234/image-1703123456789.png",
    ):
        hold(world, make_png(), key)
    assert index_job("abc123", ports=world.indexing) == 3
    assert [row.oss_path for row in world.outputs.of_job("abc123")] == [KEY, other]
    assert list(world.outputs.of_job("abc1234")) == []
    assert index_job("unknown", ports=world.indexing) == 0


def test_a_list_that_breaks_off_indexes_nothing(world: World) -> None:
    world.jobs.add(make_job(status=JobStatus.SUCCEEDED))
    hold(world, make_png())
    world.store.list_breaks_after = 1
    with pytest.raises(StorageUnavailableError):
        index_job("abc123", ports=world.indexing)
    assert list(world.outputs.of_job("abc123")) == []
