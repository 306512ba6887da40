"""Media facts by MediaInfo, which reads each file in a separate process (``media_info_process.py``).

The library is large and written in C++, and the files come from strangers: a file may make it loop, take all memory or
crash. In each case the file is refused, and this process continues.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, Self, TypeVar

from shared.domain.errors import ProbeUnavailableError, WrongMediaError
from shared.domain.media import MediaFacts

_T = TypeVar("_T")
_CODECS = {"AVC": "h264", "HEVC": "hevc", "AV1": "av1", "VP8": "vp8", "VP9": "vp9", "MPEG-4 Visual": "mpeg4"}
_SCRIPT = Path(__file__).with_name("media_info_process.py")
_READ_BYTES = 64 * 1024
_LINE_BYTES = 4096
# With a quarter of a vCPU, as in the smallest functions, the 2 s of CPU time that a file may take need 8 s.
WALL_S = 15.0
_SLICE_S = 0.1
_MAX_SIDE = 2**32 - 1  # the largest number in any format that is stored
_MAX_DURATION_S = 2**31
_MAX_FRAME_RATE = 10_000
_MAX_CODEC = 32


class MediaInfoProbe:
    """Reads the header of a file; 30 ms each, most of it the start of the process.

    ``environment`` has the variables that the process needs to run the interpreter, and no others.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = environment or {}

    def probe(self, source: Path | BinaryIO, format_name: str) -> MediaFacts:
        """Return the facts in the file's header.

        Raises WrongMediaError: the file has no picture, or cannot be read within the limits; ProbeUnavailableError: the
        process did not start, so that nothing is known about the file.
        """
        with source.open("rb", buffering=0) if isinstance(source, Path) else nullcontext(source) as file:
            facts = _parse(_read_header(file, format_name, self._environment), format_name)
            if format_name == "webp" and not (facts.width and facts.height):
                width, height = _webp_size(file)
                facts = replace(facts, width=width, height=height)
        return facts


def _read_header(file: BinaryIO, format_name: str, environment: Mapping[str, str]) -> str:
    """Return the last line from the process. Its earlier lines are questions: offsets in the file."""
    size = file.seek(0, os.SEEK_END)
    with _Process(size, environment) as process:
        try:
            line = process.question
            while line.isdigit():
                process.send(_read_at(file, int(line), size))
                line = process.receive()
        except _BrokenOffError as error:
            raise WrongMediaError(f"the file begins like {format_name} but cannot be read: {error}") from None
    return line.decode(errors="replace")


def _read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    if offset >= size:
        return b""
    file.seek(offset)
    return file.read(_READ_BYTES)


class _BrokenOffError(Exception):
    """The process ended, or took too long; the message says which."""


class _Process:
    """A process that reads one file. It gets no variables, no file descriptors and no credentials of this process.

    ``question`` is its first question, which shows that the process works. Raises ProbeUnavailableError without one.
    """

    def __init__(self, size: int, environment: Mapping[str, str]) -> None:
        arguments = [sys.executable, "-I", "-S", str(_SCRIPT), _library(), str(size)]
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(_SLICE_S)
        with theirs:
            try:
                # Errors of its start are written to our log (stderr); later the process cannot write anywhere else.
                self._process = subprocess.Popen(
                    arguments, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, cwd="/", env=environment
                )
            except OSError as error:
                self._channel.close()
                raise ProbeUnavailableError("the process that reads media could not be started") from error
        self._left_s = WALL_S
        try:
            self.question = self.receive()
        except _BrokenOffError as error:
            self._end()
            raise ProbeUnavailableError(f"the process that reads media did not start: {error}") from None
        self._left_s = WALL_S

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def send(self, data: bytes) -> None:
        """Answer a question."""
        left = len(data).to_bytes(4, "big") + data
        while left:
            left = left[self._wait(partial(self._channel.send, left)) :]

    def receive(self) -> bytes:
        """Return the next line from the process, without the line's end."""
        line = b""
        while not line.endswith(b"\n"):
            part = self._wait(partial(self._channel.recv, _LINE_BYTES))
            if not part:
                raise _BrokenOffError(self._cause())
            line += part
            if len(line) > _LINE_BYTES:
                raise _BrokenOffError(f"the parser's answer has more than {_LINE_BYTES} bytes")
        return line[:-1]

    def _wait(self, operation: Callable[[], _T]) -> _T:
        """Repeat an operation that waits at most a slice of time. A freeze of the instance counts as one slice only."""
        while self._left_s > 0:
            began = time.monotonic()
            try:
                return operation()
            except TimeoutError:
                pass
            except ConnectionError:
                raise _BrokenOffError(self._cause()) from None
            finally:
                self._left_s -= min(time.monotonic() - began, _SLICE_S)
        raise _BrokenOffError(f"reading it takes longer than {WALL_S:g} s")

    def _cause(self) -> str:
        self._end()
        if self._process.returncode == -signal.SIGXCPU:
            return "reading it takes too much CPU time"
        return f"the parser crashed (status {self._process.returncode})"

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._channel.close()


@cache
def _library() -> str:
    """Return the path of the library in the wheel; the wheel's Python code is not loaded."""
    spec = find_spec("pymediainfo")
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in Path(folder).glob("libmediainfo.*"):
            return str(path)
    raise ProbeUnavailableError("pymediainfo is not installed, or its library is missing")


def _parse(line: str, format_name: str) -> MediaFacts:
    """Read the facts. A malicious file may control the parser, so every value is checked."""
    fields = line.split("\t")
    if len(fields) != 6 or fields[0] not in {"", "image", "video"}:
        raise WrongMediaError(
            f"the file begins like {format_name} but its header cannot be read: the parser's answer is not valid"
        )
    kind, width, height, duration, codec, frame_rate = fields
    if not kind:
        raise WrongMediaError(f"the file begins like {format_name} but has no picture that can be read")
    size = MediaFacts(format_name, width=_side(width), height=_side(height))
    if kind == "image":
        return size
    milliseconds = _number(duration, _MAX_DURATION_S * 1000)
    return replace(
        size,
        duration=None if milliseconds is None else round(milliseconds / 1000, 3),
        codec=_codec(codec),
        frame_rate=_number(frame_rate, _MAX_FRAME_RATE),
    )


def _side(text: str) -> int | None:
    """Read a width or a height. An impossible value raises WrongMediaError: as "unknown" it would pass every limit."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text) <= _MAX_SIDE):
        raise WrongMediaError(
            f"the width and the height must be whole numbers of pixels up to {_MAX_SIDE}, got {text[:20]!r}"
        )
    return int(text) or None


def _number(text: str, limit: float) -> float | None:
    """Read a number above 0 and up to ``limit``; None for anything else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value <= limit else None


def _codec(name: str) -> str | None:
    known = _CODECS.get(name, name.lower())
    return known if known.isascii() and known.isprintable() and 0 < len(known) <= _MAX_CODEC else None


def _webp_size(file: BinaryIO) -> tuple[int | None, int | None]:
    """Read the width and the height of a WebP file, which MediaInfo does not read (RFC 9649 §§ 2.5 to 2.7)."""
    file.seek(0)
    head = file.read(30)
    if len(head) < 30:
        return None, None
    match head[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
        case b"VP8L":
            sizes = int.from_bytes(head[21:25], "little")
            return 1 + (sizes & 0x3FFF), 1 + (sizes >> 14 & 0x3FFF)
        case b"VP8 ":
            return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
        case _:
            return None, None
