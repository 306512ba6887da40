"""Media facts by MediaInfo, whose library comes in the wheel."""

from pathlib import Path
from typing import Any, BinaryIO

from pymediainfo import MediaInfo

from shared.domain.errors import WrongMediaError
from shared.domain.media import MediaFacts

_CODECS = {"AVC": "h264", "HEVC": "hevc", "AV1": "av1", "VP8": "vp8", "VP9": "vp9", "MPEG-4 Visual": "mpeg4"}


class MediaInfoProbe:
    """Reads the header of a file; 3 to 25 ms each."""

    def probe(self, source: Path | BinaryIO, format_name: str) -> MediaFacts:
        """Return what the header tells. Raises WrongMediaError: there is no picture in it."""
        info = MediaInfo.parse(str(source) if isinstance(source, Path) else source)
        pictures = info.image_tracks + info.video_tracks
        if not pictures:
            raise WrongMediaError(f"the file begins like {format_name} and holds no picture that can be read")
        track = pictures[0]
        width, height = track.width or None, track.height or None
        if format_name == "webp" and not (width and height):
            width, height = _webp_size(source)
        return MediaFacts(
            format=format_name,
            width=width,
            height=height,
            duration=_duration_s(info, track) if info.video_tracks else None,
            codec=_CODECS.get(track.format, track.format and track.format.lower()) if info.video_tracks else None,
            frame_rate=float(track.frame_rate) if info.video_tracks and track.frame_rate else None,
        )


def _webp_size(source: Path | BinaryIO) -> tuple[int | None, int | None]:
    """Read what MediaInfo leaves out: width and height of a WebP file (RFC 9649 §§ 2.5 to 2.7)."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            head = file.read(30)
    else:
        source.seek(0)
        head = source.read(30)
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


def _duration_s(info: MediaInfo, track: Any) -> float | None:
    for candidate in (*info.general_tracks, track):
        if candidate.duration:
            return round(float(candidate.duration) / 1000, 3)
    return None
