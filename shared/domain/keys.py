r"""The object key of an output: ``users/{userId}/jobs/{jobId}/{type}-{timestamp}.{ext}``.

OSS's rule for keys: UTF-8, 1 to 1023 bytes, no leading ``/`` or ``\``
(https://www.alibabacloud.com/help/en/oss/user-guide/object-naming-conventions).
"""

import re
import unicodedata
import uuid
from dataclasses import dataclass
from datetime import datetime

from shared.domain.errors import ValidationError
from shared.domain.media_type import MediaType

MAX_KEY_BYTES = 1023
MAX_USER_ID_CHARACTERS = 255
MAX_USER_ID_BYTES = 900  # a job id and the rest of the longest key have room beside it
MAX_JOB_ID_CHARACTERS = 64
_KEY = re.compile(r"users/([^/]+)/jobs/([^/]+)/(image|video)-([0-9]{13})\.([a-z0-9]{2,5})")
_OUTPUTS = uuid.UUID("5f0c3f0e-6d7e-5f6e-9f55-0d1b0e1f7c11")


def check_segment(name: str, value: str, max_characters: int) -> str:
    """Return ``value`` if it is safe as one folder name of an object key.

    Raises ValidationError: it is empty, over-long, ``.`` or ``..``, ends in a space, or holds a slash, a backslash, a
    control character or half of a surrogate pair. An e-mail address is a good user id.
    """
    if not value:
        raise _refusal(name, "must not be empty")
    if len(value) > max_characters:
        raise _refusal(name, f"must have at most {max_characters} characters, this one has {len(value)}")
    if value.endswith(" "):
        # MySQL's utf8mb4_bin takes "a" and "a " for the same.
        raise _refusal(name, "must not end in a space")
    if value in {".", ".."}:
        raise _refusal(name, f"must not be {value!r}")
    for character in value:
        if character in "/\\" or unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
            raise _refusal(name, f"must not hold the character U+{ord(character):04X}")
    return value


def _refusal(name: str, rule: str) -> ValidationError:
    return ValidationError(f"{name} {rule}", errors=[{"field": name, "message": rule}])


def check_user_id(value: str) -> str:
    """Return ``value`` if it can be a user id in an object key, else raise ValidationError."""
    check_segment("userId", value, MAX_USER_ID_CHARACTERS)
    if (size := len(value.encode())) > MAX_USER_ID_BYTES:
        raise _refusal("userId", f"must have at most {MAX_USER_ID_BYTES} bytes, this one has {size}")
    return value


def check_job_id(value: str) -> str:
    """Return ``value`` if it can be a job id in an object key, else raise ValidationError."""
    return check_segment("jobId", value, MAX_JOB_ID_CHARACTERS)


@dataclass(frozen=True)
class ObjectKey:
    """An output's place in the bucket. ``timestamp_ms`` is Unix time in milliseconds, 13 digits."""

    user_id: str
    job_id: str
    type: MediaType
    timestamp_ms: int
    ext: str

    def __post_init__(self) -> None:
        check_user_id(self.user_id)
        check_job_id(self.job_id)
        if not _KEY.fullmatch(str(self)):
            raise _refusal(
                "key", f"must end in a 13-digit timestamp and an extension, got {self.timestamp_ms}.{self.ext}"
            )
        if len(str(self).encode()) > MAX_KEY_BYTES:
            raise _refusal("userId", f"is too long: the object key would exceed {MAX_KEY_BYTES} bytes")

    def __str__(self) -> str:
        return f"users/{self.user_id}/jobs/{self.job_id}/{self.type}-{self.timestamp_ms}.{self.ext}"

    @property
    def output_id(self) -> str:
        """The output's UUID. It is derived from the key, so that one object has one row, whoever writes it."""
        return str(uuid.uuid5(_OUTPUTS, str(self)))

    @classmethod
    def for_output(
        cls,
        *,
        user_id: str,
        job_id: str,
        type: MediaType,
        created_at: datetime,
        position: int,
        ext: str,
    ) -> "ObjectKey":
        """Return the key of a job's n-th output (from 0).

        It depends on the job's creation time and the position alone, so that a repeated attempt writes the same
        object, and two outputs of a job never share a name.
        """
        return cls(user_id, job_id, type, round(created_at.timestamp() * 1000) + position, ext)

    def position_in(self, created_at: datetime) -> int:
        """Return the position that ``for_output`` made this key of, for a job created then."""
        return self.timestamp_ms - round(created_at.timestamp() * 1000)

    @classmethod
    def parse(cls, key: str) -> "ObjectKey":
        """Read a key as OSS names it. Raises ValidationError: it is not the key of an output."""
        match = _KEY.fullmatch(key)
        if match is None:
            raise _refusal("key", "must be users/{userId}/jobs/{jobId}/{type}-{timestamp}.{ext}")
        user_id, job_id, kind, timestamp_ms, ext = match.groups()
        return cls(user_id, job_id, MediaType(kind), int(timestamp_ms), ext)


def prefix_of_user(user_id: str) -> str:
    """Return what all keys of a user begin with, and no other user's."""
    return f"users/{user_id}/"


def prefix_of_job(user_id: str, job_id: str) -> str:
    """Return what all keys of a job begin with, and no other job's."""
    return f"{prefix_of_user(user_id)}jobs/{job_id}/"


def temp_name(job_id: str, position: int, ext: str) -> str:
    """Return the temp file's name: ``{jobId}.{ext}``, ``{jobId}-{n}.{ext}`` from the second output on."""
    check_job_id(job_id)
    return f"{job_id}.{ext}" if position == 0 else f"{job_id}-{position + 1}.{ext}"
