"""The ports: the interfaces of every outside system that the services use.

An adapter in ``shared/adapters`` implements each port, and ``shared/bootstrap.py`` connects the two; tests use the
in-memory implementations of ``tests/fakes``. No port reveals an SDK, a driver or SQL. The order is: time; the tables;
the bucket; the temp folder and the probe of media files; the providers and the download of their results; our other
functions; webhooks.

Times are in UTC, to the millisecond. A method that returns a page of rows takes ``after``, the last row of the page
before (or ``before``, where the newest row comes first), and ``limit``, the largest number of rows.
"""

from __future__ import annotations  # a function loads the domain modules that it uses, not all that are named here

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from shared.domain.cursors import Place
    from shared.domain.deletions import Deletion, DeletionScope
    from shared.domain.deliveries import Delivery
    from shared.domain.idempotency import Answer, UsedKey
    from shared.domain.jobs import Job, JobOutput, JobStatus, OutputIntent
    from shared.domain.media import MediaFacts
    from shared.domain.media_type import MediaType
    from shared.domain.quotas import Quotas
    from shared.domain.usage import Usage


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """Return the current time."""

    def sleep(self, seconds: float) -> None:
        """Wait for this time."""


class JobStore(Protocol):
    """The table ``jobs``. Every method may raise DatabaseUnavailableError."""

    def add(self, job: Job) -> Job:
        """Add the job, without a look at quotas, and return it; if its id is taken, return the existing job."""

    def get(self, job_id: str) -> Job | None:
        """Return the job, or None if it does not exist."""

    def save(self, job: Job, *, over_attempt: int | None = None) -> None:
        """Write the job's state if its row is still at the attempt ``over_attempt`` (default: the job's own attempt).

        If the job has ended and names a webhook, the row of its delivery is written in the same transaction.
        ``cancel_requested_at`` is not written: only ``request_cancel`` does that. Raises LeaseLostError: a later
        attempt has begun, or the job has ended.
        """

    def request_cancel(self, job_id: str, now: datetime) -> None:
        """Record the request to cancel the job, unless the job has ended or the request is recorded already."""

    def to_dispatch(self, now: datetime, *, limit: int, after: Job | None = None) -> Sequence[Job]:
        """Return unfinished jobs that are due and free and do not wait for a provider's task, the longest due first.

        Such jobs did not begin in time, their attempt died, they are to be cancelled, or they are past their deadline.
        """

    def to_poll(self, now: datetime, *, limit: int, after: Job | None = None) -> Sequence[Job]:
        """Return unfinished jobs that are due and free and wait for a provider's task, the longest due first."""

    def postpone(self, job: Job, next_attempt_at: datetime) -> Job:
        """Make a free job due at ``next_attempt_at``, and return it with this change.

        Raises LeaseLostError: the row's attempt, or the time at which the row is due, is not that of ``job`` any more.
        """

    def recent(self, since: datetime, *, limit: int, after: Job | None = None) -> Sequence[Job]:
        """Return jobs that were created or finished at ``since`` or later, the oldest first."""

    def of_user(
        self,
        user_id: str,
        *,
        limit: int,
        before: Place | None = None,
        type: MediaType | None = None,
        status: JobStatus | None = None,
    ) -> Sequence[Job]:
        """Return a user's jobs behind the place ``before``, the newest first; only of this type and status if given."""


class StartStore(Protocol):
    """The tables ``idempotency_keys`` and ``daily_usage``. Every method may raise DatabaseUnavailableError."""

    def start(self, job: Job, key: UsedKey | None, quotas: Quotas) -> Usage | UsedKey:
        """Add the job and its key and count the job, in one transaction, and return the user's usage with this job.

        If the key has been used before, return that use and write nothing. When many requests run at once, no quota is
        exceeded, and each key begins one job. If the database's answer is lost, the result is read from the tables.
        Raises QuotaExceededError; then nothing is written.
        """

    def find_key(self, user_id: str, key: str) -> UsedKey | None:
        """Return the use of a user's key, or None if the key has not been used."""

    def keep_answer(self, used: UsedKey, answer: Answer) -> UsedKey | None:
        """Write the answer unless the key has one, and return the use with its answer; None if the row is gone."""

    def usage_of(self, user_id: str, now: datetime) -> Usage:
        """Return how much of each quota a user uses."""

    def forget_keys(self, before: datetime, *, limit: int) -> int:
        """Remove up to ``limit`` keys that were used before ``before``, and return their number."""

    def forget_usage(self, before: datetime, *, limit: int) -> int:
        """Remove up to ``limit`` counts of days before the day of ``before``, and return their number."""


class OutputStore(Protocol):
    """The tables ``job_outputs`` and ``output_intents``. Every method may raise DatabaseUnavailableError."""

    def intend(self, intent: OutputIntent, *, lease_expires_at: datetime) -> None:
        """Write the intent, which replaces an earlier one of its position, and renew the lease of its attempt.

        Both happen in one transaction. Raises LeaseLostError, as ``JobStore.save`` does; then nothing is written.
        """

    def commit(self, intent: OutputIntent, *, lease_expires_at: datetime) -> None:
        """Write the output's row, remove its intent and renew the lease of its attempt, in one transaction.

        If the database's answer is lost, the result is read from the tables. Raises LeaseLostError, as
        ``JobStore.save`` does; then nothing is written.
        """

    def put(self, output: JobOutput) -> None:
        """Insert or update the output's row, and remove its intent; a repeated call changes nothing."""

    def of_job(self, job_id: str) -> Sequence[JobOutput]:
        """Return the rows of a job, ordered by position."""

    def of_jobs(self, job_ids: Sequence[str]) -> Sequence[JobOutput]:
        """Return the rows of several jobs in one query; the rows of each job are ordered by position."""

    def of_user(
        self, user_id: str, *, limit: int, before: Place | None = None, type: MediaType | None = None
    ) -> Sequence[JobOutput]:
        """Return a user's rows behind the place ``before``, the newest first; only of this type if it is given."""

    def get(self, output_id: str) -> JobOutput | None:
        """Return the row, or None if it does not exist."""

    def remove(self, output_id: str) -> None:
        """Remove the row, if it exists."""

    def intents_of_job(self, job_id: str) -> Sequence[OutputIntent]:
        """Return the intents of a job, ordered by position."""

    def intents_before(
        self, moment: datetime, *, limit: int, after: OutputIntent | None = None
    ) -> Sequence[OutputIntent]:
        """Return intents that were written before ``moment``, the oldest first."""

    def remove_intent(self, intent: OutputIntent) -> None:
        """Remove the intent, unless another attempt has replaced it."""


class DeletionStore(Protocol):
    """The table ``deletions``. Every method may raise DatabaseUnavailableError."""

    def add(self, deletion: Deletion) -> None:
        """Record the deletion."""

    def get(self, deletion_id: str) -> Deletion | None:
        """Return the deletion, or None if it does not exist."""

    def newest_of(self, scope: DeletionScope, target_id: str) -> Deletion | None:
        """Return the deletion of this target that was requested last, or None."""

    def concerns(self, *, job_id: str, output_id: str) -> bool:
        """Return whether a deletion of this job or this output is recorded; it stays for an hour after its end."""

    def due(self, now: datetime, *, limit: int, after: Deletion | None = None) -> Sequence[Deletion]:
        """Return deletions that are due, the longest due first."""

    def save(self, deletion: Deletion, *, over: Deletion) -> None:
        """Write the failures and the next turn of the deletion if those of its row are still those of ``over``.

        Raises LeaseLostError: another run has changed the row.
        """

    def finish(self, deletion: Deletion, now: datetime) -> None:
        """Remove every row of the job or the output, and record the end of the deletion, in one transaction.

        A job's idempotency keys stay, without their answers. A repeated call keeps the time of the first end.
        """

    def tell(self, deletion_id: str, now: datetime) -> None:
        """Record that the user was told about the end of the deletion."""

    def remove(self, deletion_id: str) -> None:
        """Remove the row of the deletion, if it exists."""


@dataclass(frozen=True)
class StoredObject:
    """The facts of an object from OSS: its size in bytes and its CRC-64/XZ, None where OSS has no checksum."""

    size: int
    crc64: int | None


@dataclass(frozen=True)
class ListedObject:
    """An object in a list. ``age`` is the time since its last modification, by OSS's clock."""

    key: str
    size: int
    age: timedelta


@dataclass(frozen=True)
class MultipartUpload:
    """A multipart upload that was initiated, and neither completed nor aborted. OSS bills its parts."""

    key: str
    upload_id: str


class ObjectStore(Protocol):
    """The bucket. Every method may raise StorageRefusedError and StorageUnavailableError."""

    def put(
        self, key: str, path: Path, *, content_type: str, meta: dict[str, str], on_block: Callable[[], None]
    ) -> StoredObject:
        """Upload a file as a stream, and call ``on_block`` before every block; if ``on_block`` raises, the upload ends.

        Raises ObjectExistsError: an object of that key exists, and stays as it is.
        """

    def head(self, key: str) -> StoredObject | None:
        """Return what OSS reports about the object, or None if it does not exist."""

    def read_range(self, key: str, start: int, size_bytes: int) -> bytes:
        """Return up to ``size_bytes`` bytes from the offset ``start``, which must be inside the object."""

    def list(self, prefix: str) -> Iterator[ListedObject]:
        """Yield the objects below ``prefix``, ordered by key. A list that breaks off raises after its first part."""

    def delete(self, key: str) -> None:
        """Delete the object, if it exists."""

    def multipart_uploads(self, prefix: str, older_than: timedelta) -> Iterator[MultipartUpload]:
        """Yield the unfinished uploads below ``prefix`` that are older than ``older_than``, by OSS's clock."""

    def abort_upload(self, upload: MultipartUpload) -> None:
        """Abort the upload, which frees its parts; do nothing if the upload has ended in the meantime."""

    def url(self, key: str) -> str:
        """Return the object's public URL."""


@dataclass(frozen=True)
class TempFile:
    """A file in the temp folder. ``size`` is in bytes; ``crc64`` is the CRC-64/XZ of the bytes as they arrived."""

    path: Path
    size: int
    crc64: int


class TempFiles(Protocol):
    """The temp folder of this function instance."""

    def write(self, name: str, chunks: Iterable[bytes]) -> TempFile:
        """Write a file chunk by chunk. Raises TempDiskFullError. After any failure the file does not exist."""

    def remove_of_job(self, job_id: str) -> int:
        """Remove the files of a job and return their number; a file that cannot be removed is logged."""

    def remove_older(self, age: timedelta, now: datetime) -> int:
        """Remove the files whose last write was longer than ``age`` before ``now``, and return their number."""

    def remove_beyond(self, share: float) -> int:
        """Remove the oldest files until the rest takes at most ``share`` (0 to 1) of the disk; return their number."""


class MediaProbe(Protocol):
    """Reads the width, the height, the duration and other facts of media files."""

    def probe(self, source: Path | BinaryIO, format_name: str) -> MediaFacts:
        """Return the facts in the headers of a file, or of an object that is read like a file.

        Raises WrongMediaError: ``source`` is not readable as media, or not within the probe's limits of time and
        memory; ProbeUnavailableError: the probe itself failed, which proves nothing about ``source``.
        """


@dataclass(frozen=True)
class MediaUrl:
    """A result that has to be downloaded."""

    url: str


@dataclass(frozen=True)
class MediaBase64:
    """A result inside the provider's answer: ``text`` is the file in base64."""

    text: str


@dataclass(frozen=True)
class RefusedResult:
    """A result that the provider withheld, while it delivered others."""

    reason: str


Result = MediaUrl | MediaBase64 | RefusedResult


@dataclass(frozen=True)
class Pending:
    """The provider is working on the task ``task_id``."""

    task_id: str


@dataclass(frozen=True)
class Finished:
    """The provider has delivered. At least one of the results is not a RefusedResult."""

    results: tuple[Result, ...]


class Provider(Protocol):
    """An AI provider. ``poll_interval_s`` is the time between two polls of a task."""

    poll_interval_s: float

    def submit(self, job: Job) -> Pending | Finished:
        """Ask the provider to generate the outputs of the job.

        Raises ProviderRefusedError or ProviderUnavailableError: the provider has certainly not accepted the job;
        SubmissionUnknownError: it may have accepted the job; ProviderFailedError, only where the answer to the
        submission contains the results.
        """

    def poll(self, task_id: str) -> Pending | Finished:
        """Return the state of a task. Raises ProviderFailedError, ProviderUnavailableError or ResultLostError."""

    def cancel(self, task_id: str) -> bool:
        """Cancel a task; return False if it is too late for that. Raises ProviderUnavailableError."""


ProviderOf = Callable[[str], Provider]  # takes the name of a model; raises ProviderRefusedError for an unknown one


class Downloads(Protocol):
    """Downloads the results of providers, and checks the URLs that a provider is asked to download."""

    def check(self, url: str) -> None:
        """Check the URL of an input image. Raises DownloadRefusedError: its host is known not to be public."""

    def stream(self, url: str, *, max_bytes: int) -> Iterable[bytes]:
        """Yield the body in chunks.

        Raises DownloadRefusedError, DownloadInterruptedError, MediaTooLargeError or ResultLostError.
        """


class Dispatcher(Protocol):
    """Invokes our other functions."""

    def dispatch(self, job: Job) -> None:
        """Have the job advanced; a repeated dispatch of one attempt counts once. Raises DispatchError."""

    def announce(self, job: Job) -> None:
        """Have the webhook of a job that has ended delivered. Raises DispatchError."""

    def delete(self, deletion_id: str) -> None:
        """Have a deletion carried out, and wait for it. Raises DispatchError: it failed, or it takes too long."""


class DeliveryStore(Protocol):
    """The table ``webhook_deliveries``, to which ``JobStore.save`` adds rows.

    Every method may raise DatabaseUnavailableError.
    """

    def of_job(self, job_id: str) -> Sequence[Delivery]:
        """Return the deliveries of a job, the oldest first."""

    def due(self, now: datetime, *, limit: int, after: Delivery | None = None) -> Sequence[Delivery]:
        """Return pending deliveries that are due, the longest due first."""

    def count_begun(self, user_id: str, since: datetime) -> int:
        """Return the number of a user's pending deliveries whose last attempt began at ``since`` or later."""

    def save(self, delivery: Delivery, *, over_attempts: int | None = None) -> None:
        """Write the delivery if its row is pending and has ``over_attempts`` attempts (default: the delivery's own).

        Raises LeaseLostError: another attempt has begun, or the delivery has ended.
        """

    def is_disabled(self, user_id: str, url: str) -> bool:
        """Return whether a delivery of the user to exactly this URL ended as disabled."""

    def disable(self, user_id: str, url: str, error: str) -> None:
        """End the user's pending deliveries to exactly this URL as disabled."""

    def remove_before(self, moment: datetime, *, limit: int) -> int:
        """Remove up to ``limit`` rows that were created before ``moment``, the oldest first; return their number."""


@dataclass(frozen=True)
class WebhookMessage:
    """The message of one attempt. ``id`` is the same for every attempt; ``body`` is JSON; all but ``url`` is signed."""

    id: str
    url: str
    body: str
    sent_at: datetime


@dataclass(frozen=True)
class WebhookReply:
    """The answer of a receiver. ``retry_after_s`` is the delay in its header ``Retry-After``; 0 without the header."""

    status: int
    retry_after_s: float


class WebhookSender(Protocol):
    """Signs and posts webhooks. Threads may share a sender."""

    def send(self, message: WebhookMessage) -> WebhookReply:
        """Post the message. Raises AddressRefusedError (no host was contacted) or HostUnavailableError."""
