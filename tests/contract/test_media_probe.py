"""What MediaInfo reads of real files, whole and from their first bytes alone."""

import io
from pathlib import Path

import av
import pytest
from PIL import Image

from shared.adapters.media_info import MediaInfoProbe
from shared.domain.errors import WrongMediaError
from shared.domain.media import sniff_format
from tests.fakes import MP4_HEAD, StubProbe, make_png

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


def test_the_stub_says_the_same_of_a_png() -> None:
    data = make_png(4, 3)
    assert PROBE.probe(io.BytesIO(data), "png") == StubProbe().probe(io.BytesIO(data), "png")
