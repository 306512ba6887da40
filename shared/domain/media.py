"""Media formats: recognized by the bytes themselves, never by a declared type."""

from codecs import getincrementaldecoder
from dataclasses import dataclass, replace
from typing import Any

from shared.domain.errors import WrongMediaError
from shared.domain.media_type import MediaType

SNIFF_BYTES = 512


@dataclass(frozen=True)
class MediaFormat:
    """A format that is stored: its name, the extension of its files and its Content-Type."""

    name: str
    type: MediaType
    ext: str
    content_type: str


PNG = MediaFormat("png", MediaType.IMAGE, "png", "image/png")
JPEG = MediaFormat("jpeg", MediaType.IMAGE, "jpg", "image/jpeg")
GIF = MediaFormat("gif", MediaType.IMAGE, "gif", "image/gif")
WEBP = MediaFormat("webp", MediaType.IMAGE, "webp", "image/webp")
AVIF = MediaFormat("avif", MediaType.IMAGE, "avif", "image/avif")
HEIC = MediaFormat("heic", MediaType.IMAGE, "heic", "image/heic")
MP4 = MediaFormat("mp4", MediaType.VIDEO, "mp4", "video/mp4")
MOV = MediaFormat("mov", MediaType.VIDEO, "mov", "video/quicktime")
WEBM = MediaFormat("webm", MediaType.VIDEO, "webm", "video/webm")

_STORED = "png, jpeg, gif, webp, avif, heic, mp4, mov or webm"
_IMAGE_BRANDS = {
    b"avif": AVIF,
    b"avis": AVIF,
    b"heic": HEIC,
    b"heix": HEIC,
    b"heim": HEIC,
    b"heis": HEIC,
    b"mif1": HEIC,
}


def sniff_format(head: bytes) -> MediaFormat:
    """Return the format of a file by its first 512 bytes, or by the whole file if it is shorter.

    Raises WrongMediaError, which names the kind of the bytes: HTML, SVG, XML, JSON, text, nothing, or unknown.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if head.startswith(b"\xff\xd8\xff"):
        return JPEG
    if head[:6] in {b"GIF87a", b"GIF89a"}:
        return GIF
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return MOV if brand == b"qt  " else _IMAGE_BRANDS.get(brand, MP4)
    if head.startswith(b"\x1a\x45\xdf\xa3") and b"webm" in head[:64]:
        return WEBM
    raise WrongMediaError(f"the file must be {_STORED}, got {_name_other(head)}")


def _name_other(head: bytes) -> str:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head:
        return "an empty body"
    if text.startswith((b"<!doctype html", b"<html")):
        return "HTML"
    if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text):
        return "SVG"
    if text.startswith(b"<"):
        return "XML"
    if text.startswith((b"{", b"[")):
        return "JSON"
    try:
        # The cut may be inside a character: an incremental decoder waits for the rest of the character.
        getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return f"an unknown format (its first bytes are {head[:8].hex(' ')})"
    return "text"


@dataclass(frozen=True)
class MediaFacts:
    """The known facts about a file. An unknown value is None, never a guess.

    ``width`` and ``height`` are in pixels, ``duration`` in seconds, ``frame_rate`` in frames per second.
    """

    format: str | None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    codec: str | None = None
    frame_rate: float | None = None
    crc64: str | None = None

    def with_crc64(self, crc64: int | None) -> "MediaFacts":
        """Return the facts with the CRC-64/XZ of the bytes as decimal text: a JavaScript number is too small for it."""
        return replace(self, crc64=None if crc64 is None else str(crc64))

    def to_meta(self, type: MediaType) -> dict[str, Any]:
        """Return the JSON of the ``meta`` column. Only a video has ``duration``, ``codec`` and ``frameRate``."""
        meta: dict[str, Any] = {"width": self.width, "height": self.height, "format": self.format}
        if type is MediaType.VIDEO:
            meta |= {"duration": self.duration, "codec": self.codec, "frameRate": self.frame_rate}
        return meta | {"crc64": self.crc64}


@dataclass(frozen=True)
class MediaLimits:
    """The largest media that are stored: the bytes of a file by type, and the pixels of a frame."""

    max_bytes: dict[MediaType, int]
    max_pixels: int
