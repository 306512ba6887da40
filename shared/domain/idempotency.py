"""The use of an idempotency key: which request began which job, and what was answered first.

Source: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

KEY_LIFETIME = timedelta(hours=24)


@dataclass(frozen=True)
class Answer:
    """What was answered: the HTTP status, the headers and the JSON, without outputs, whose URLs would not last."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class UsedKey:
    """A row of ``idempotency_keys``: with this key its user began this job, by a request with this hash.

    ``answer`` is the first one that was given; None as long as there is none, and when the job was deleted.
    """

    user_id: str
    key: str
    request_hash: str
    job_id: str
    created_at: datetime
    answer: Answer | None = None
