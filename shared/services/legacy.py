"""Outputs of jobs without rows in ``job_outputs``, above all jobs of the previous system.

The outputs come from the URL that the previous system stored, or from the objects below the job's prefix in the bucket.
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
from shared.domain.keys import ObjectKey
from shared.domain.media import MediaFacts
from shared.domain.media_type import MediaType
from shared.ports import OutputStore

log = logging.getLogger(__name__)
KeyOf = Callable[[str], ObjectKey | None]


@dataclass(frozen=True)
class LegacyOutput:
    """An output known only by its URL: ``size`` and every value of ``meta`` are None."""

    id: str
    job_id: str
    user_id: str
    type: MediaType
    oss_url: str
    meta: dict[str, Any]
    created_at: datetime
    size: None = None


@dataclass(frozen=True)
class OutputPorts:
    """The ports that finding a job's outputs uses.

    ``key_of`` reads the object key from a URL of the bucket, None for any other URL. ``index`` has the objects below a
    job's prefix indexed and waits for the end; it raises DreamFactoryError.
    """

    outputs: OutputStore
    key_of: KeyOf
    index: Callable[[Job], None]


def find_outputs(job: Job, *, ports: OutputPorts) -> Sequence[JobOutput | LegacyOutput]:
    """Return the outputs of a job: its rows, or the outputs that can be found for a succeeded job without rows.

    A stored URL outside the bucket is returned unchanged. If the stored URL is this job's own object in the bucket, or
    no URL is stored, the job's prefix is indexed, and its rows exist from then on. If indexing fails, the result is
    empty, and the next call tries again. Raises DatabaseUnavailableError and no other error.
    """
    known = find_known_outputs(job, ports.outputs.of_job(job.id), key_of=ports.key_of)
    if known or job.status is not JobStatus.SUCCEEDED:
        return known
    try:
        ports.index(job)
    except DreamFactoryError:
        log.warning("a job without rows could not be indexed", extra={"job_id": job.id}, exc_info=True)
        return []
    return ports.outputs.of_job(job.id)


def find_known_outputs(job: Job, rows: Sequence[JobOutput], *, key_of: KeyOf) -> Sequence[JobOutput | LegacyOutput]:
    """Return the outputs that the database knows: the job's ``rows``, or a stored URL outside the bucket."""
    if rows or job.status is not JobStatus.SUCCEEDED:
        return rows
    if job.legacy_url and _is_public(job.legacy_url) and not _is_of_job(key_of(job.legacy_url), job):
        return [_make_legacy_output(job, job.legacy_url)]
    return []


def _is_public(url: str) -> bool:
    """Return whether a stored text is a web address and not a local path, a ``file:`` URL or anything else."""
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
