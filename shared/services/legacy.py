"""Outputs of jobs that have no rows in ``job_outputs``: those of the former system, above all.

They are answered for from the URL that was stored then, or from what lies below the job's prefix in the bucket.
"""

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from shared.domain.errors import DreamFactoryError
from shared.domain.jobs import Job, JobOutput, JobStatus
from shared.domain.keys import MediaType, ObjectKey
from shared.domain.media import MediaFacts
from shared.ports import OutputStore
from shared.services.storage import get_job_outputs

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LegacyOutput:
    """An output of which the URL is all that is known: it has no size, and every value of ``meta`` is None."""

    id: str
    job_id: str
    user_id: str
    type: MediaType
    oss_url: str
    meta: dict[str, Any]
    created_at: datetime
    size: None = None


def find_outputs(
    job: Job, *, outputs: OutputStore, key_of: Callable[[str], ObjectKey | None], index: Callable[[Job], None]
) -> Sequence[JobOutput | LegacyOutput]:
    """Return the outputs of a job: its rows, or what can be found out about a job that succeeded and has none.

    A stored URL of elsewhere is shown as it is. One that is this job's own key in the bucket, and none at all, have the
    job's prefix indexed, so that the rows are there from now on. ``key_of`` reads a key from a URL of the bucket;
    ``index`` has a job's prefix indexed and waits for it. When that fails the answer is empty, and the next one tries
    again. Raises DatabaseUnavailableError, and nothing else.
    """
    known = find_known_outputs(job, get_job_outputs(job.id, outputs=outputs), key_of=key_of)
    if known or job.status is not JobStatus.SUCCEEDED:
        return known
    try:
        index(job)
    except DreamFactoryError:
        log.warning("a job without rows could not be indexed", extra={"job_id": job.id}, exc_info=True)
        return []
    return get_job_outputs(job.id, outputs=outputs)


def find_known_outputs(
    job: Job, rows: Sequence[JobOutput], *, key_of: Callable[[str], ObjectKey | None]
) -> Sequence[JobOutput | LegacyOutput]:
    """Return what the database knows of a job's outputs: its ``rows``, or a stored URL of elsewhere."""
    if rows or job.status is not JobStatus.SUCCEEDED:
        return rows
    if job.legacy_url and _is_public(job.legacy_url) and not _is_of_job(key_of(job.legacy_url), job):
        return [_make_legacy_output(job, job.legacy_url)]
    return []


def _is_public(url: str) -> bool:
    """Tell a web address from a local path, a ``file:`` and whatever else may have been stored."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc and url.isprintable()
        )
    except ValueError:
        return False


def _is_of_job(key: ObjectKey | None, job: Job) -> bool:
    return key is not None and (key.user_id, key.job_id) == (job.user_id, job.id)


def _make_legacy_output(job: Job, url: str) -> LegacyOutput:
    return LegacyOutput(
        id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{url}#{job.id}")),
        job_id=job.id,
        user_id=job.user_id,
        type=job.type,
        oss_url=url,
        meta=MediaFacts(None).to_meta(job.type),
        created_at=job.finished_at or job.created_at,
    )
