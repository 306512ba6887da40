"""What MediaInfo reads of real files, whole and from their first bytes alone."""

import io
from dataclasses import replace
from pathlib import Path

import av
import pytest
from PIL import Image

from shared.adapters.media_info import MediaInfoProbe
from shared.domain.errors import WrongMediaError
from shared.domain.media import sniff_format
from shared.services.indexing import index_object
from tests.fakes import MP4_HEAD, USER, HeldObject, StubProbe, World, make_png

PROBE = MediaInfoProbe()


def make_image(format_: str, size: tuple[int, int] = (64, 48)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, format_)
    return buffer.getvalue()


def make_video(path: Path, *, seconds: int = 2) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10 * seconds):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("name", ["png", "jpeg", "gif", "webp", "avif"])
@pytest.mark.parametrize("how", ["file", "stream"])
def test_an_image_has_a_size_and_no_duration(tmp_path: Path, name: str, how: str) -> None:
    data = make_image(name)
    assert sniff_format(data).name == name
    path = tmp_path / "x"
    path.write_bytes(data)
    facts = PROBE.probe(path if how == "file" else io.BytesIO(data), name)
    assert (facts.format, facts.width, facts.height) == (name, 64, 48)
    assert (facts.duration, facts.codec, facts.frame_rate) == (None, None, None)


@pytest.mark.parametrize("ext", ["mp4", "mov"])
def test_a_video_has_everything(tmp_path: Path, ext: str) -> None:
    path = make_video(tmp_path / f"x.{ext}")
    assert sniff_format(path.read_bytes()).name == ext
    facts = PROBE.probe(path, ext)
    assert (facts.width, facts.height, facts.codec, facts.frame_rate) == (64, 48, "mpeg4", 10.0)
    assert facts.duration == pytest.approx(2.0, abs=0.11)


@pytest.mark.parametrize("data", [b"", MP4_HEAD, b"\x1a\x45\xdf\xa3webm", b"<html></html>"])
def test_a_header_without_a_picture_is_refused(data: bytes) -> None:
    with pytest.raises(WrongMediaError, match="no picture"):
        PROBE.probe(io.BytesIO(data), "mp4")


@pytest.mark.parametrize("moov_first", [True, False])
@pytest.mark.parametrize("size", [0, 1_500_000, 3_000_000])
def test_an_object_is_probed_by_its_two_ends(tmp_path: Path, size: int, moov_first: bool) -> None:
    """A large video is read in two pieces, wherever its ``moov`` is, and says the same as the whole file."""
    data = make_video(tmp_path / "x.mp4").read_bytes()
    moov = data.index(b"moov") - 4
    filler = (size + 8).to_bytes(4, "big") + b"mdat" + b"\x55" * size
    # As PyAV writes it, moov comes last. Nothing in it points behind the first mdat.
    large = data[:28] + (data[moov:] + data[28:moov] + filler if moov_first else data[28:moov] + filler + data[moov:])
    world, key = World(tmp_path), f"users/{USER}/jobs/abc123/video-1703123456789.mp4"
    world.store.objects[key] = HeldObject(large)
    index_object(key, service=replace(world.indexing, probe=PROBE))
    (row,) = world.outputs.of_job("abc123")
    whole = PROBE.probe(io.BytesIO(data), "mp4")
    expected = (64, 48, whole.duration, "mpeg4", 10.0)
    assert tuple(row.meta[name] for name in ("width", "height", "duration", "codec", "frameRate")) == expected
    assert len(world.store.ranges) == (1 if moov_first or not size else 2)


def test_the_stub_says_the_same_of_a_png() -> None:
    data = make_png(4, 3)
    assert PROBE.probe(io.BytesIO(data), "png") == StubProbe().probe(io.BytesIO(data), "png")
