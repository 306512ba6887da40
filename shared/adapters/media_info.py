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
        return MediaFacts(
            format=format_name,
            width=track.width or None,
            height=track.height or None,
            duration=_duration_s(info, track) if info.video_tracks else None,
            codec=_CODECS.get(track.format, track.format and track.format.lower()) if info.video_tracks else None,
            frame_rate=float(track.frame_rate) if info.video_tracks and track.frame_rate else None,
        )


def _duration_s(info: MediaInfo, track: Any) -> float | None:
    for candidate in (*info.general_tracks, track):
        if candidate.duration:
            return round(float(candidate.duration) / 1000, 3)
    return None
