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
MAX_USER_ID_BYTES = 900  # leaves room for a job id and the rest of the longest key
MAX_JOB_ID_CHARACTERS = 64
_KEY = re.compile(r"users/([^/]+)/jobs/([^/]+)/(image|video)-([0-9]{13})\.([a-z0-9]{2,5})")
_OUTPUTS = uuid.UUID("5f0c3f0e-6d7e-5f6e-9f55-0d1b0e1f7c11")


def check_segment(name: str, value: str, max_characters: int) -> str:
    """Return ``value`` if it is safe as one folder name of an object key. An e-mail address is safe, for example.

    Raises ValidationError: the value is empty, too long, ``.`` or ``..``, ends with a space, or contains a slash, a
    backslash, a control character or half of a surrogate pair.
    """
    if not value:
        raise _refusal(name, "must not be empty")
    if len(value) > max_characters:
        raise _refusal(name, f"must have at most {max_characters} characters, got {len(value)}")
    if value.endswith(" "):
        # For MySQL's utf8mb4_bin, "a" and "a " are equal.
        raise _refusal(name, "must not end with a space")
    if value in {".", ".."}:
        raise _refusal(name, f'must not be "{value}"')
    for character in value:
        if character in "/\\" or unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
            raise _refusal(name, f"must not contain the character U+{ord(character):04X}")
    return value


def _refusal(name: str, rule: str) -> ValidationError:
    return ValidationError(f"{name} {rule}", errors=[{"field": name, "message": rule}])


def check_user_id(value: str) -> str:
    """Return ``value`` if it can be a user id in an object key, else raise ValidationError."""
    check_segment("userId", value, MAX_USER_ID_CHARACTERS)
    if (size := len(value.encode())) > MAX_USER_ID_BYTES:
        raise _refusal("userId", f"must have at most {MAX_USER_ID_BYTES} bytes of UTF-8, got {size}")
    return value


def check_job_id(value: str) -> str:
    """Return ``value`` if it can be a job id in an object key, else raise ValidationError."""
    return check_segment("jobId", value, MAX_JOB_ID_CHARACTERS)


@dataclass(frozen=True)
class ObjectKey:
    """The key of an output in the bucket. ``timestamp_ms`` is Unix time in milliseconds, 13 digits."""

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
                "key", f"must end with a 13-digit timestamp and an extension, got {self.timestamp_ms}.{self.ext}"
            )
        if len(str(self).encode()) > MAX_KEY_BYTES:
            raise _refusal("userId", f"is too long: the object key would have more than {MAX_KEY_BYTES} bytes")

    def __str__(self) -> str:
        return f"users/{self.user_id}/jobs/{self.job_id}/{self.type}-{self.timestamp_ms}.{self.ext}"

    @property
    def output_id(self) -> str:
        """The output's UUID, derived from the key, so that each object has one row, whatever function writes it."""
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

        The timestamp depends only on the job's creation time and the position. So a repeated attempt writes the same
        object, and two outputs of a job never have the same name.
        """
        return cls(user_id, job_id, type, round(created_at.timestamp() * 1000) + position, ext)

    def position_in(self, created_at: datetime) -> int:
        """Return the position of this key's output in a job that was created then; the inverse of ``for_output``."""
        return self.timestamp_ms - round(created_at.timestamp() * 1000)

    @classmethod
    def parse(cls, key: str) -> "ObjectKey":
        """Read an object key. Raises ValidationError: the key is not that of an output."""
        match = _KEY.fullmatch(key)
        if match is None:
            raise _refusal("key", "must be users/{userId}/jobs/{jobId}/{type}-{timestamp}.{ext}")
        user_id, job_id, kind, timestamp_ms, ext = match.groups()
        return cls(user_id, job_id, MediaType(kind), int(timestamp_ms), ext)


def prefix_of_user(user_id: str) -> str:
    """Return the prefix of all keys of a user, and of no other user's keys."""
    return f"users/{user_id}/"


def prefix_of_job(user_id: str, job_id: str) -> str:
    """Return the prefix of all keys of a job, and of no other job's keys."""
    return f"{prefix_of_user(user_id)}jobs/{job_id}/"


def temp_name(job_id: str, position: int, ext: str) -> str:
    """Return the temp file's name: ``{jobId}.{ext}``, or ``{jobId}-{n}.{ext}`` from the second output on."""
    check_job_id(job_id)
    return f"{job_id}.{ext}" if position == 0 else f"{job_id}-{position + 1}.{ext}"
