"""Jobs, outputs and media that tests use."""

import zlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from shared.domain.jobs import Job, JobOutput
from shared.domain.keys import ObjectKey
from shared.domain.media_type import MediaType
from shared.domain.quotas import Quotas

NOW = datetime(2023, 12, 21, 1, 50, 56, 789000, tzinfo=UTC)
USER = "test@factory-buy.com"
PLENTY = Quotas(concurrent_jobs=1000, jobs_per_day=1000, stored_bytes=10**12)
MP4_HEAD = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2" + b"\0" * 64


def make_job(**changes: Any) -> Job:
    """Return an image job of USER, created NOW."""
    values: dict[str, Any] = {
        "id": "abc123",
        "user_id": USER,
        "type": MediaType.IMAGE,
        "prompt": "a lake at dawn",
        "model": "wan2.2-t2i-flash",
        "size": "1024x1024",
        "created_at": NOW,
    }
    return Job(**{**values, **changes})


def make_output(position: int = 0, **changes: Any) -> JobOutput:
    """Return the row of an output of the image job."""
    key = ObjectKey.for_output(
        user_id=USER, job_id="abc123", type=MediaType.IMAGE, created_at=NOW, position=position, ext="png"
    )
    output = JobOutput(
        id=key.output_id,
        job_id="abc123",
        user_id=USER,
        type=MediaType.IMAGE,
        oss_url=f"https://media.example.com/{key}",
        oss_path=str(key),
        size=12345,
        meta={"width": 4, "height": 3, "format": "png", "crc64": str(2**64 - 1)},
        created_at=NOW,
    )
    return replace(output, **changes)


def make_video_job(**changes: Any) -> Job:
    """Return a video job of USER, created NOW."""
    video = {"type": MediaType.VIDEO, "model": "wan2.6-t2v", "size": "1280x720", "duration": 5}
    return make_job(**{**video, **changes})


def _chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def make_png(width: int = 4, height: int = 3, *, noise: Iterable[int] = (0,)) -> bytes:
    """Return a real PNG; PNGs with different ``noise`` differ."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    pixels = zlib.compress((b"\0" + b"\x80" * width) * height)
    parts = (
        _chunk(b"IHDR", header),
        _chunk(b"tEXt", b"n\0" + bytes(noise)),
        _chunk(b"IDAT", pixels),
        _chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
