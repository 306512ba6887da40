"""Cursors: opaque names of the place from which a list continues.

A cursor is base64url of ``[version, list, microseconds, id]`` in JSON. A cursor is not signed: it contains the time and
the id of a row that the user has already seen, and an invented cursor shows only the user's own rows, from another
place on. Cursors are read strictly: anything other than the output of ``write_cursor`` for this list is refused.
"""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.domain.errors import BadRequestError

_VERSION = 1
_MAX_CHARACTERS = 512  # the longest job id has 64 characters of four bytes
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Place:
    """A row's place in a list. Lists are sorted by time and then by id, the newest first."""

    created_at: datetime
    id: str


def write_cursor(place: Place, *, of: str) -> str:
    """Return the cursor after ``place`` in the list named ``of``. The list's name includes its filters."""
    content = [_VERSION, of, (place.created_at - _EPOCH) // timedelta(microseconds=1), place.id]
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str, *, of: str) -> Place:
    """Return the place that a cursor names. Raises BadRequestError: the list named ``of`` has no such cursor."""
    try:
        place = _parse(cursor)
        canonical = write_cursor(place, of=of)
    except (ValueError, TypeError, OverflowError) as error:
        raise _refusal() from error
    if canonical != cursor:
        raise _refusal()
    return place


def _parse(cursor: str) -> Place:
    if len(cursor) > _MAX_CHARACTERS:
        raise ValueError("too long")
    _, _, microseconds, row_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    if not isinstance(row_id, str):
        raise TypeError("the id is not a string")
    return Place(_EPOCH + timedelta(microseconds=microseconds), row_id)


def _refusal() -> BadRequestError:
    return BadRequestError(
        "invalid cursor: it must be a nextCursor of this list with the same filters; start again without a cursor",
        code="bad_cursor",
    )
