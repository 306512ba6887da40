"""The facts that MediaInfo reads from real files, complete or only their first bytes."""

import io
import itertools
import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import av
import psutil
import pytest
from PIL import Image

from shared.adapters import media_info
from shared.adapters.media_info import MediaInfoProbe
from shared.adapters.media_info_process import CPU_S, MEMORY_BYTES
from shared.domain.errors import ProbeUnavailableError, StorageUnavailableError, WrongMediaError
from shared.domain.media import sniff_format
from shared.services.indexing import index_object
from tests.fakes import MP4_HEAD, USER, HeldObject, StubProbe, World, make_png

ROOT = Path(__file__).resolve().parents[2]
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
def test_a_video_has_all_facts(tmp_path: Path, ext: str) -> None:
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
    """A large video is read in two pieces, wherever its ``moov`` is, and gives the same facts as the whole file."""
    data = make_video(tmp_path / "x.mp4").read_bytes()
    moov = data.index(b"moov") - 4
    filler = (size + 8).to_bytes(4, "big") + b"mdat" + b"\x55" * size
    # As PyAV writes it, moov comes last. Nothing in it points behind the first mdat.
    large = data[:28] + (data[moov:] + data[28:moov] + filler if moov_first else data[28:moov] + filler + data[moov:])
    world, key = World(tmp_path), f"users/{USER}/jobs/abc123/video-1703123456789.mp4"
    world.store.objects[key] = HeldObject(large)
    index_object(key, ports=replace(world.indexing, probe=PROBE))
    (row,) = world.outputs.of_job("abc123")
    whole = PROBE.probe(io.BytesIO(data), "mp4")
    expected = (64, 48, whole.duration, "mpeg4", 10.0)
    assert tuple(row.meta[name] for name in ("width", "height", "duration", "codec", "frameRate")) == expected
    assert len(world.store.ranges) == (1 if moov_first or not size else 2)


def test_the_stub_returns_the_same_facts_for_a_png() -> None:
    data = make_png(4, 3)
    assert PROBE.probe(io.BytesIO(data), "png") == StubProbe().probe(io.BytesIO(data), "png")


def make_runaway() -> bytes:
    """Return an AVIF that declares properties of 4278190081 items, for which MediaInfo searches for minutes."""
    data = bytearray(make_image("avif"))
    data[data.index(b"ipma") + 8] = 0xFF
    return bytes(data)


def test_a_file_that_keeps_the_parser_busy_is_wrong_media_and_the_next_one_is_read() -> None:
    with pytest.raises(
        WrongMediaError, match="begins like avif but cannot be read: reading it takes too much CPU time"
    ):
        PROBE.probe(io.BytesIO(make_runaway()), "avif")
    assert PROBE.probe(io.BytesIO(make_image("avif")), "avif").width == 64
    assert parsers() == []


def parsers() -> list[psutil.Process]:
    found = []
    for each in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if any("libmediainfo" in word for word in each.cmdline()):
                found.append(each)
    return found


class LookingFile(io.BytesIO):
    """A file that inspects the process that reads it."""

    def read(self, size: int | None = -1) -> bytes:
        (process,) = parsers()
        self.variables = process.environ()
        self.descriptors = sorted(int(each.name) for each in Path(f"/proc/{process.pid}/fd").iterdir())
        self.limits = {
            each: process.rlimit(each) for each in (psutil.RLIMIT_AS, psutil.RLIMIT_CPU, psutil.RLIMIT_NOFILE)
        }
        return super().read(size)


def test_the_parser_has_limits_and_no_access(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSS_SECRET", "secret")
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    file = LookingFile(make_image("png"))
    with Path(__file__).open("rb") as ours:
        os.set_inheritable(ours.fileno(), True)
        PROBE.probe(file, "png")
    assert file.variables.keys() <= {"LC_CTYPE"}  # Python sets this variable itself
    assert file.descriptors == [0, 1, 2]
    assert list(file.limits.values()) == [(MEMORY_BYTES, MEMORY_BYTES), (CPU_S, CPU_S + 1), (0, 0)]


def test_a_parser_dies_with_its_instance(tmp_path: Path) -> None:
    path = tmp_path / "x.avif"
    path.write_bytes(make_runaway())
    code = "from pathlib import Path; from shared.adapters.media_info import MediaInfoProbe as P; import sys; "
    code += "P().probe(Path(sys.argv[1]), 'avif')"
    instance = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT)
    parser = find_busy_child(instance)
    ended = os.pidfd_open(parser.pid)
    instance.kill()
    instance.wait()
    # The time limit of the parser would end it later.
    assert select.select([ended], [], [], CPU_S / 2)[0]
    os.close(ended)


def find_busy_child(instance: "subprocess.Popen[bytes]") -> psutil.Process:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        for child in psutil.Process(instance.pid).children():
            if child.cpu_times().user > 0.1:  # the start of the parser takes less time
                return child
    raise AssertionError("nothing is busy")


def test_a_frozen_instance_loses_one_slice_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    an_hour_between_two_looks = itertools.count(step=3600)
    monkeypatch.setattr(media_info, "time", SimpleNamespace(monotonic=lambda: next(an_hour_between_two_looks)))
    assert PROBE.probe(io.BytesIO(make_image("png")), "png").width == 64


@pytest.mark.parametrize("python", ["/bin/false", "/nowhere/python"])
def test_a_parser_that_does_not_start_is_not_wrong_media(monkeypatch: pytest.MonkeyPatch, python: str) -> None:
    monkeypatch.setattr(sys, "executable", python)
    with pytest.raises(ProbeUnavailableError) as caught:
        PROBE.probe(io.BytesIO(make_image("png")), "png")
    assert caught.value.retryable


class UnreadableFile(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise StorageUnavailableError("OSS did not answer")


def test_an_object_that_cannot_be_read_is_not_wrong_media() -> None:
    with pytest.raises(StorageUnavailableError):
        PROBE.probe(UnreadableFile(make_image("png")), "png")
    assert parsers() == []


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ("b'nonsense\\n'", "answer is not valid"),
        ("b'video\\t64\\t48\\n'", "answer is not valid"),
        ("b'audio\\t64\\t48\\t1\\tAVC\\t25\\n'", "answer is not valid"),
        ("b'\\xff\\t64\\t48\\t1\\tAVC\\t25\\n'", "answer is not valid"),
        ("b'image\\t-1\\t48\\t\\t\\t\\n'", "whole numbers of pixels"),
        ("b'image\\t64\\t4294967296\\t\\t\\t\\n'", "whole numbers of pixels"),
        ("b'image\\t' + b'9' * 4000 + b'\\t48\\t\\t\\t\\n'", "whole numbers of pixels"),
        ("b'image' * 2000", "more than 4096 bytes"),
        ("b'9' * 4000 + b'\\n'", "crashed"),  # an offset behind the end: the parser gets an error and ends
        ("b''", "crashed"),
    ],
)
def test_an_invalid_answer_of_the_parser_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, message: str
) -> None:
    """A file may take over the parser. This parser asks for the start of the file and then answers ``says``."""
    script = tmp_path / "parser.py"
    script.write_text(f"import os\nos.write(0, b'0\\n')\nos.read(0, 1 << 20)\nos.write(0, {says})\n")
    monkeypatch.setattr(media_info, "_SCRIPT", script)
    with pytest.raises(WrongMediaError, match=message):
        PROBE.probe(io.BytesIO(make_image("png")), "mp4")


@pytest.mark.parametrize("number", ["nan", "inf", "-1", "1e300", "0", "a lot", ""])
def test_an_impossible_number_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    script = tmp_path / "parser.py"
    script.write_text(f"import os\nos.write(0, b'video\\t64\\t48\\t{number}\\tA\\x07\\t{number}\\n')\n")
    monkeypatch.setattr(media_info, "_SCRIPT", script)
    facts = PROBE.probe(io.BytesIO(make_image("png")), "mp4")
    assert (facts.width, facts.height) == (64, 48)
    assert (facts.duration, facts.codec, facts.frame_rate) == (None, None, None)


def test_a_sleeping_parser_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "parser.py"
    script.write_text("import os\nos.write(0, b'0\\n')\nwhile os.read(0, 1 << 20): pass\n")
    monkeypatch.setattr(media_info, "_SCRIPT", script)
    monkeypatch.setattr(media_info, "WALL_S", 1.0)
    with pytest.raises(WrongMediaError, match="takes longer than 1 s"):
        PROBE.probe(io.BytesIO(make_image("png")), "mp4")
    assert parsers() == []
