"""The storage functions: temp file, object in OSS, row, removal of the temp file."""

import base64
import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastcrc import crc64

from shared.domain.errors import (
    ChecksumMismatchError,
    DatabaseUnavailableError,
    DownloadInterruptedError,
    DreamFactoryError,
    LeaseLostError,
    MediaTooLargeError,
    ProviderRefusedError,
    StorageUnavailableError,
    ValidationError,
    WrongMediaError,
)
from shared.domain.media import MP4, PNG, MediaFacts
from shared.domain.media_type import MediaType
from shared.ports import MediaBase64, MediaUrl, RefusedResult, StoredObject
from shared.services.storage import (
    cleanup_job_temp_files,
    cleanup_old_temp_files,
    get_job_outputs,
    save_temp_file,
    upload_job_output,
    upload_job_output_from_source,
)
from tests.fakes import MP4_HEAD, NOW, USER, World, make_job, make_png, make_video_job

URL = "https://results.example.com/1.png"
KEY = f"users/{USER}/jobs/abc123/image-1703123456789.png"
PUT: dict[str, Any] = {"content_type": "image/png", "meta": {}, "on_block": lambda: None}


@pytest.fixture(autouse=True)
def held_job(world: World) -> None:
    world.jobs.add(make_job())


def pieces(data: bytes, size: int = 7) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def test_a_temp_file_is_named_after_its_job_and_its_bytes(world: World) -> None:
    png = make_png()
    file, format_ = save_temp_file(make_job(), 0, pieces(png), ports=world.storage)
    assert format_ is PNG
    assert (file.path, file.size, file.crc64) == (world.folder / "abc123.png", len(png), crc64.xz(png))
    assert file.path.read_bytes() == png


def test_each_output_of_a_job_has_its_own_temp_file(world: World) -> None:
    for position in range(3):
        save_temp_file(make_job(), position, [make_png()], ports=world.storage)
    assert world.temp_files() == ["abc123-2.png", "abc123-3.png", "abc123.png"]


def test_on_chunk_is_called_for_each_chunk(world: World) -> None:
    calls: list[int] = []
    png = make_png(noise=range(200)) * 3
    save_temp_file(make_job(), 0, pieces(png, 100), ports=world.storage, on_chunk=lambda: calls.append(1))
    assert len(calls) > 1


@pytest.mark.parametrize("body", [b"", b"<!doctype html>", b'{"error": 1}', MP4_HEAD])
def test_bytes_that_are_not_an_image_never_reach_the_disk(world: World, body: bytes) -> None:
    with pytest.raises(WrongMediaError):
        save_temp_file(make_job(), 0, [body], ports=world.storage)
    assert not world.folder.exists()


def test_the_error_names_a_video_instead_of_an_image(world: World) -> None:
    with pytest.raises(WrongMediaError, match="expected an image, got mp4, which is a video"):
        save_temp_file(make_job(), 0, [MP4_HEAD], ports=world.storage)
    with pytest.raises(WrongMediaError, match="expected a video, got png, which is an image"):
        save_temp_file(make_video_job(), 0, [make_png()], ports=world.storage)


def test_too_many_bytes_stop_the_download(world: World) -> None:
    taken: list[int] = []

    def endless() -> Iterator[bytes]:
        yield make_png()
        while True:
            taken.append(1)
            yield b"x" * 1000

    with pytest.raises(MediaTooLargeError, match="larger than 10000 bytes"):
        save_temp_file(make_job(), 0, endless(), ports=world.storage)
    assert len(taken) == 10
    assert world.temp_files() == []


def test_exactly_the_limit_is_accepted(world: World) -> None:
    png = make_png()
    file, _ = save_temp_file(make_job(), 0, [png, b"x" * (10_000 - len(png))], ports=world.storage)
    assert file.size == 10_000


def test_a_job_id_that_could_leave_the_folder_is_refused(world: World) -> None:
    with pytest.raises(ValidationError):
        save_temp_file(make_job(id="../x"), 0, [make_png()], ports=world.storage)
    assert not list(world.folder.parent.iterdir())


def test_an_output_is_stored_verified_and_recorded(world: World) -> None:
    png = make_png()
    file, format_ = save_temp_file(make_job(), 0, [png], ports=world.storage)
    output = upload_job_output(make_job(), 0, file, format_, ports=world.storage)
    held = world.store.objects[KEY]
    assert (held.data, held.content_type) == (png, "image/png")
    assert dict(held.meta) == {"user": USER, "job": "abc123", "position": "0"}
    assert (output.oss_path, output.size, output.created_at) == (KEY, len(png), NOW)
    assert (
        output.oss_url
        == f"https://media.example.com/users/{USER.replace('@', '%40')}/jobs/abc123/image-1703123456789.png"
    )
    assert output.meta == {"width": 4, "height": 3, "format": "png", "crc64": str(crc64.xz(png))}
    assert get_job_outputs("abc123", outputs=world.outputs) == [output]


def test_storing_again_changes_nothing(world: World) -> None:
    world.downloads.bodies[URL] = make_png()
    first = upload_job_output_from_source(make_job(), 0, MediaUrl(URL), ports=world.storage)
    world.clock.advance(5)
    upload_job_output_from_source(make_job(), 0, MediaUrl(URL), ports=world.storage)
    assert list(world.store.objects) == [KEY]
    assert world.outputs.of_job("abc123") == [first]


def test_an_equal_object_of_an_earlier_attempt_is_used(world: World) -> None:
    world.downloads.bodies[URL] = make_png()
    world.store.failures = [StorageUnavailableError("away")]
    with pytest.raises(StorageUnavailableError):
        upload_job_output_from_source(make_job(), 0, MediaUrl(URL), ports=world.storage)
    (intent,) = world.outputs.intents_of_job("abc123")
    assert (intent.position, intent.attempt, intent.output.oss_path) == (0, 0, KEY)
    assert world.outputs.of_job("abc123") == []
    world.store.put(KEY, save_temp_file(make_job(), 0, [make_png()], ports=world.storage)[0].path, **PUT)
    upload_job_output_from_source(make_job(), 0, MediaUrl(URL), ports=world.storage)
    assert (len(world.outputs.of_job("abc123")), world.outputs.intents_of_job("abc123")) == (1, [])


def test_a_different_object_of_the_key_is_never_replaced(world: World) -> None:
    file, _ = save_temp_file(make_job(), 0, [make_png(noise=[1])], ports=world.storage)
    world.store.put(KEY, file.path, **PUT)
    world.downloads.bodies[URL] = make_png(noise=[2])
    with pytest.raises(ChecksumMismatchError):
        upload_job_output_from_source(make_job(), 0, MediaUrl(URL), ports=world.storage)
    assert world.store.objects[KEY].data == make_png(noise=[1])
    assert world.outputs.of_job("abc123") == []


def test_a_stale_attempt_writes_neither_intent_nor_object_nor_row(world: World) -> None:
    world.downloads.bodies[URL] = make_png()
    with pytest.raises(LeaseLostError):
        upload_job_output_from_source(make_job(attempt=7), 0, MediaUrl(URL), ports=world.storage)
    assert (world.store.puts, world.outputs.intents_of_job("abc123"), world.outputs.of_job("abc123")) == ([], [], [])


def test_a_result_inside_the_answer_is_stored_in_the_same_way(world: World) -> None:
    png = make_png(noise=bytes(range(256)) * 4)
    text = base64.b64encode(png).decode()
    output = upload_job_output_from_source(make_job(), 0, MediaBase64(text), ports=world.storage)
    assert world.store.objects[output.oss_path].data == png


def test_long_base64_is_decoded_in_slices(world: World) -> None:
    world.limits = replace(world.limits, max_bytes={MediaType.IMAGE: 10**7, MediaType.VIDEO: 1})
    png = make_png() + os.urandom(1_000_001)
    chunks: list[int] = []
    output = upload_job_output_from_source(
        make_job(),
        0,
        MediaBase64(base64.b64encode(png).decode()),
        ports=world.storage,
        on_chunk=lambda: chunks.append(1),
    )
    assert world.store.objects[output.oss_path].data == png
    assert len(chunks) > 3


@pytest.mark.parametrize("text", ["no base64!", "iVBORw0KGgo", "iVBORw0KGgo=\n", "😀"])
def test_a_result_that_is_not_base64_is_refused(world: World, text: str) -> None:
    with pytest.raises(WrongMediaError, match="not valid base64"):
        upload_job_output_from_source(make_job(), 0, MediaBase64(text), ports=world.storage)
    assert world.temp_files() == []


def test_a_refused_result_is_an_error_with_its_reason(world: World) -> None:
    with pytest.raises(ProviderRefusedError, match="DataInspectionFailed"):
        upload_job_output_from_source(make_job(), 0, RefusedResult("DataInspectionFailed: no"), ports=world.storage)


def test_a_download_that_breaks_off_leaves_no_file(world: World) -> None:
    world.downloads.bodies[URL] = [make_png(), b"x" * 600, DownloadInterruptedError("it broke off")]
    with pytest.raises(DownloadInterruptedError):
        upload_job_output_from_source(make_job(), 0, MediaUrl(URL), ports=world.storage)
    assert world.temp_files() == []
    assert world.store.puts == []


def test_too_many_pixels_are_not_uploaded(world: World) -> None:
    world.probe.facts = MediaFacts("png", width=1001, height=1000)
    world.downloads.bodies[URL] = make_png()
    with pytest.raises(MediaTooLargeError, match="1001x1000 exceeds the limit of 1000000 pixels"):
        upload_job_output_from_source(make_job(), 0, MediaUrl(URL), ports=world.storage)
    assert world.store.puts == []


def test_an_object_that_differs_from_the_file_is_an_error(world: World) -> None:
    world.downloads.bodies[URL] = make_png()
    for spoil in (lambda data: data[:-1], lambda data: data[:-1] + b"?"):
        world.store.spoil = spoil
        with pytest.raises(ChecksumMismatchError):
            upload_job_output_from_source(make_job(), 0, MediaUrl(URL), ports=world.storage)
    assert world.outputs.of_job("abc123") == []


def test_without_a_checksum_in_oss_the_size_is_compared(world: World) -> None:
    world.downloads.bodies[URL] = png = make_png()
    put = world.store.put

    def put_without_checksum(size: int, *args: Any, **kwargs: Any) -> StoredObject:
        put(*args, **kwargs)
        return StoredObject(size, None)

    for size, error in ((len(png) - 1, ChecksumMismatchError), (len(png), None)):
        world.store.put = partial(put_without_checksum, size)
        world.store.objects.clear()
        with pytest.raises(error) if error else nullcontext():
            upload_job_output_from_source(make_job(), 0, MediaUrl(URL), ports=world.storage)
    assert len(world.outputs.of_job("abc123")) == 1


@pytest.mark.parametrize("error", [StorageUnavailableError("away"), DatabaseUnavailableError("away")])
def test_a_failed_step_leaves_no_row(world: World, error: DreamFactoryError) -> None:
    world.downloads.bodies[URL] = make_png()
    if isinstance(error, StorageUnavailableError):
        world.store.failures = [error]
    else:
        world.outputs.away = True
    with pytest.raises(type(error)):
        upload_job_output_from_source(make_job(), 0, MediaUrl(URL), ports=world.storage)
    world.outputs.away = False
    assert world.outputs.of_job("abc123") == []


def test_the_lease_is_renewed_right_before_the_probe(world: World) -> None:
    file, format_ = save_temp_file(make_job(), 0, [make_png()], ports=world.storage)
    probed: list[int] = []
    upload_job_output(
        make_job(), 0, file, format_, ports=world.storage, on_chunk=lambda: probed.append(len(world.probe.probed))
    )
    assert probed[:2] == [0, 1]


def test_a_video_is_stored_in_the_same_way(world: World) -> None:
    world.probe.facts = MediaFacts("?", width=4, height=3, duration=5.0, codec="h264", frame_rate=24.0)
    file, format_ = save_temp_file(make_video_job(), 0, [MP4_HEAD], ports=world.storage)
    assert format_ is MP4
    assert file.path.name == "abc123.mp4"
    output = upload_job_output(make_video_job(), 0, file, format_, ports=world.storage)
    assert output.oss_path.endswith("/video-1703123456789.mp4")
    assert output.meta["duration"] == 5.0


def test_a_job_of_the_previous_system_has_no_outputs(world: World) -> None:
    assert list(get_job_outputs("old", outputs=world.outputs)) == []


def test_cleanup_removes_the_files_of_one_job(world: World) -> None:
    for name in ("abc123.png", "abc123-2.png", "abc1234.png", "abc123x.png", "other.mp4"):
        world.temp.write(name, [b"x"])
    assert cleanup_job_temp_files("abc123", temp=world.temp) == 2
    assert world.temp_files() == ["abc1234.png", "abc123x.png", "other.mp4"]


def test_cleanup_without_files_removes_nothing(world: World) -> None:
    assert cleanup_job_temp_files("abc123", temp=world.temp) == 0


def test_cleanup_never_raises(world: World, tmp_path: Path) -> None:
    (tmp_path / "dream-factory").write_text("a file where the folder should be", encoding="utf-8")
    assert cleanup_job_temp_files("abc123", temp=world.temp) == 0


def test_files_older_than_24_hours_are_removed(world: World) -> None:
    for name, age in (("old.png", timedelta(hours=24, seconds=1)), ("young.png", timedelta(hours=23, minutes=59))):
        file = world.temp.write(name, [b"x"])
        written = (NOW - age).timestamp()
        os.utime(file.path, (written, written))
    assert cleanup_old_temp_files(temp=world.temp, now=NOW) == 1
    assert world.temp_files() == ["young.png"]
    assert cleanup_old_temp_files(temp=world.temp, now=NOW, max_age=timedelta(hours=1)) == 1
