"""The use of an idempotency key: the request that used it first, the job that it started, and its first answer.

Source: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

KEY_LIFETIME = timedelta(hours=24)


@dataclass(frozen=True)
class Answer:
    """An answer about a job: the HTTP status, the headers and the JSON of the job."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    def with_outputs(self, outputs: list[Any]) -> "Answer":
        """Return the answer with other outputs. A stored answer is without outputs, because signed URLs expire."""
        return replace(self, body={**self.body, "outputs": outputs})


@dataclass(frozen=True)
class UsedKey:
    """A row of ``idempotency_keys``: the user sent this key with a request of this hash, which started this job.

    ``answer`` is the first answer, without outputs. It is None before the first answer, and once the job is deleted.
    """

    user_id: str
    key: str
    request_hash: str
    job_id: str
    created_at: datetime
    answer: Answer | None = None
