"""One small file of every format that is stored, in each layout for which MediaInfo has separate code."""

import io
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import av
from PIL import Image

SIDE = (64, 48)
FRAMES = 10


@dataclass(frozen=True)
class MediaFile:
    """A valid file: the name of its format, and the codec that the probe must find."""

    format: str
    data: bytes
    codec: str | None = None


def make_image(format_: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", SIDE, "teal").save(buffer, format_, **options)
    return buffer.getvalue()


def make_video(container: str, codec: str, movflags: str = "") -> bytes:
    # A file and not a buffer: to put moov first, FFmpeg opens its output again by its name.
    with tempfile.NamedTemporaryFile() as file:
        options = {"fflags": "+bitexact"} | ({"movflags": movflags} if movflags else {})
        with av.open(file.name, "w", format=container, options=options) as output:
            stream = output.add_stream(
                codec, rate=10, options={"threads": "1", "x265-params": "log-level=none:pools=1"}
            )
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height = SIDE
            stream.pix_fmt = "yuv420p"
            stream.codec_context.flags |= av.codec.context.Flags.bitexact
            for _ in range(FRAMES):
                frame = av.VideoFrame(*SIDE, "yuv420p")
                for plane in frame.planes:
                    plane.update(bytes(plane.buffer_size))
                output.mux(stream.encode(frame))
            output.mux(stream.encode())
        return Path(file.name).read_bytes()


def make_heic() -> bytes:
    """Write the boxes of a HEIC file (ISO/IEC 23008-12) around a picture of HEVC; no library here writes HEIC."""
    video = make_video("mp4", "libx265")
    at = video.index(b"hvcC") - 4
    configuration = video[at : at + int.from_bytes(video[at : at + 4], "big")]
    picture = b"\x00" * 100
    width, height = (side.to_bytes(4, "big") for side in SIDE)
    properties = _box(b"ispe", bytes(4) + width + height) + configuration
    kinds = _box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")

    def meta(offset: int) -> bytes:
        item = bytes(4) + b"\x00\x01" + b"\x00\x01\x00\x00" + b"\x00\x01"
        extent = offset.to_bytes(4, "big") + len(picture).to_bytes(4, "big")
        return _box(
            b"meta",
            bytes(4)
            + _box(b"hdlr", bytes(8) + b"pict" + bytes(13))
            + _box(b"pitm", bytes(4) + b"\x00\x01")
            + _box(b"iloc", bytes(4) + b"\x44\x00" + item[4:6] + b"\x00\x01" + bytes(2) + b"\x00\x01" + extent)
            + _box(b"iinf", bytes(4) + b"\x00\x01" + _box(b"infe", b"\x02" + bytes(3) + b"\x00\x01\x00\x00hvc1\x00"))
            + _box(
                b"iprp",
                _box(b"ipco", properties) + _box(b"ipma", bytes(4) + (1).to_bytes(4, "big") + b"\x00\x01\x02\x01\x82"),
            ),
        )

    return kinds + meta(len(kinds) + len(meta(0)) + 8) + _box(b"mdat", picture)


def _box(name: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + name + body


def make_webp_extended() -> bytes:
    """Put a lossy picture into the extended layout: VP8X, which states the canvas, before it."""
    picture = make_image("webp")[12:]
    canvas = bytes(4) + b"".join((side - 1).to_bytes(3, "little") for side in SIDE)
    body = b"WEBPVP8X" + (10).to_bytes(4, "little") + canvas + picture
    return b"RIFF" + len(body).to_bytes(4, "little") + body


_FRAGMENTED = "frag_keyframe+empty_moov+default_base_moof"
_MORE = [Image.new("RGB", SIDE, "navy")]
_MAKERS: Mapping[str, tuple[str, str | None, Callable[[], bytes]]] = {
    "png": ("png", None, lambda: make_image("png")),
    "jpeg": ("jpeg", None, lambda: make_image("jpeg")),
    "gif": ("gif", None, lambda: make_image("gif", save_all=True, append_images=_MORE)),
    "webp-lossy": ("webp", None, lambda: make_image("webp")),
    "webp-lossless": ("webp", None, lambda: make_image("webp", lossless=True)),
    "webp-extended": ("webp", None, make_webp_extended),
    "webp-animated": ("webp", None, lambda: make_image("webp", save_all=True, append_images=_MORE)),
    "avif": ("avif", None, lambda: make_image("avif")),
    "heic": ("heic", None, make_heic),
    "mp4-moov-last": ("mp4", "h264", lambda: make_video("mp4", "libx264")),
    "mp4-moov-first": ("mp4", "mpeg4", lambda: make_video("mp4", "mpeg4", "faststart")),
    "mp4-fragmented": ("mp4", "h264", lambda: make_video("mp4", "libx264", _FRAGMENTED)),
    "mp4-hevc": ("mp4", "hevc", lambda: make_video("mp4", "libx265")),
    "mov": ("mov", "h264", lambda: make_video("mov", "libx264")),
    "webm": ("webm", "vp8", lambda: make_video("webm", "libvpx")),
}


def make_all() -> dict[str, MediaFile]:
    return {name: MediaFile(format_, make(), codec) for name, (format_, codec, make) in _MAKERS.items()}
