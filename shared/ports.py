"""What the services need of the world."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol

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
    """Time."""

    def now(self) -> datetime:
        """Return the time, in UTC, to the millisecond."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""


class JobStore(Protocol):
    """The table ``jobs``. Every method may raise DatabaseUnavailableError."""

    def add(self, job: Job) -> Job:
        """Add the job, whatever its user's quotas, and return it; if there is one of that id, return that."""

    def get(self, job_id: str) -> Job | None:
        """Return the job, or None."""

    def save(self, job: Job, *, over_attempt: int | None = None) -> None:
        """Write the job's state if its row is still at ``over_attempt`` (left out: at the job's own attempt).

        The end of a job that names a webhook and the row of its delivery are written together or not at all.
        ``cancel_requested_at`` is not written: it is the user's. Raises LeaseLostError: the row is not; a later attempt
        has begun, or the job has ended.
        """

    def request_cancel(self, job_id: str, now: datetime) -> None:
        """Write down the wish to cancel, if the job has not ended and has none yet."""

    def to_dispatch(self, now: datetime, *, limit: int, after: Job | None = None) -> Sequence[Job]:
        """Return unfinished jobs that are due, free, and do not await a provider's task: the longest due first.

        They were not begun in time, their attempt died, they are to be cancelled, or they are past their deadline.
        ``after`` is the last one seen.
        """

    def to_poll(self, now: datetime, *, limit: int, after: Job | None = None) -> Sequence[Job]:
        """Return unfinished jobs that are due, free, and await a provider's task: the longest due first."""

    def postpone(self, job: Job, next_attempt_at: datetime) -> Job:
        """Have a job that is free be due at another time, and return it as it is then.

        Raises LeaseLostError: its row says something else than ``job`` of its attempt or of when it is due.
        """

    def recent(self, since: datetime, *, limit: int, after: Job | None = None) -> Sequence[Job]:
        """Return jobs created or finished at ``since`` or later, the oldest first; ``after`` is the last one seen."""

    def of_user(
        self,
        user_id: str,
        *,
        limit: int,
        before: Place | None = None,
        type: MediaType | None = None,
        status: JobStatus | None = None,
    ) -> Sequence[Job]:
        """Return a user's jobs behind the place ``before``, the newest first; of a type and a status if given."""


class StartStore(Protocol):
    """How jobs begin: ``idempotency_keys`` and ``daily_usage``. Every method may raise DatabaseUnavailableError."""

    def start(self, job: Job, key: UsedKey | None, quotas: Quotas) -> Usage | UsedKey:
        """Add the job, its key and its count in one transaction, and return what its user takes up then.

        If the key has been used, return its use and write nothing. However many start at once, no quota is passed and a
        key begins one job. When the database's answer is lost, what it did is read back. Raises QuotaExceededError;
        then nothing is written.
        """

    def find_key(self, user_id: str, key: str) -> UsedKey | None:
        """Return the use of a user's key, or None."""

    def keep_answer(self, used: UsedKey, answer: Answer) -> UsedKey | None:
        """Write the answer if there is none yet, and return the use as it is then, or None if it is gone."""

    def usage_of(self, user_id: str, now: datetime) -> Usage:
        """Return what a user takes up."""

    def forget_keys(self, before: datetime, *, limit: int) -> int:
        """Remove keys that were used before that time, and return their number."""

    def forget_usage(self, before: datetime, *, limit: int) -> int:
        """Remove the counts of earlier days than that of ``before``, and return their number."""


class OutputStore(Protocol):
    """The tables ``job_outputs`` and ``output_intents``. Every method may raise DatabaseUnavailableError."""

    def intend(self, intent: OutputIntent, *, lease_expires_at: datetime) -> None:
        """Write the intent in place of its position's earlier one and renew its attempt's lease, in one transaction.

        Raises LeaseLostError, as ``JobStore.save`` does; then nothing is written.
        """

    def commit(self, intent: OutputIntent, *, lease_expires_at: datetime) -> None:
        """Write the intent's row, remove the intent and renew its attempt's lease, in one transaction.

        When the database's answer is lost, what it did is read back. Raises LeaseLostError, as ``JobStore.save`` does;
        then nothing is written.
        """

    def put(self, output: JobOutput) -> None:
        """Write the row, or bring it up to date, and remove its intent; the same output again changes nothing."""

    def of_job(self, job_id: str) -> Sequence[JobOutput]:
        """Return the rows of a job by position."""

    def of_jobs(self, job_ids: Sequence[str]) -> Sequence[JobOutput]:
        """Return the rows of several jobs in one query, those of each by position."""

    def of_user(
        self, user_id: str, *, limit: int, before: Place | None = None, type: MediaType | None = None
    ) -> Sequence[JobOutput]:
        """Return a user's rows behind the place ``before``, the newest first; of one type if it is given."""

    def get(self, output_id: str) -> JobOutput | None:
        """Return the row, or None."""

    def remove(self, output_id: str) -> None:
        """Remove the row; nothing happens if there is none."""

    def intents_of_job(self, job_id: str) -> Sequence[OutputIntent]:
        """Return the intents of a job by position."""

    def intents_before(
        self, moment: datetime, *, limit: int, after: OutputIntent | None = None
    ) -> Sequence[OutputIntent]:
        """Return intents that were written before ``moment``, the oldest first; ``after`` is the last one seen."""

    def remove_intent(self, intent: OutputIntent) -> None:
        """Remove the intent if it is still that of its attempt; nothing happens otherwise."""


class DeletionStore(Protocol):
    """The table ``deletions``. Every method may raise DatabaseUnavailableError."""

    def add(self, deletion: Deletion) -> None:
        """Write the wish down."""

    def get(self, deletion_id: str) -> Deletion | None:
        """Return the deletion, or None."""

    def newest_of(self, scope: DeletionScope, target_id: str) -> Deletion | None:
        """Return the deletion of this target that was asked for last, or None."""

    def concerns(self, *, job_id: str, output_id: str) -> bool:
        """Tell whether this job or this output is being deleted, or was not long ago."""

    def due(self, now: datetime, *, limit: int, after: Deletion | None = None) -> Sequence[Deletion]:
        """Return deletions that are due, the longest due first; ``after`` is the last one seen."""

    def save(self, deletion: Deletion, *, over: Deletion) -> None:
        """Write the failures and the next turn of a deletion that is still as ``over`` says.

        Raises LeaseLostError: another run has taken it up.
        """

    def finish(self, deletion: Deletion, now: datetime) -> None:
        """Take away every row of the job or the output, and write down the end, in one transaction.

        A job's idempotency keys stay, without the answer that they hold. Repeated, it keeps the time of the first end.
        """

    def tell(self, deletion_id: str, now: datetime) -> None:
        """Write down that the user was told of the end."""

    def remove(self, deletion_id: str) -> None:
        """Forget the deletion; nothing happens if there is none."""


@dataclass(frozen=True)
class StoredObject:
    """What OSS says of an object. ``crc64`` is CRC-64/XZ; None where OSS keeps none."""

    size: int
    crc64: int | None


@dataclass(frozen=True)
class ListedObject:
    """An object in a list. ``age`` is the time since it was last modified, by OSS's own clock."""

    key: str
    size: int
    age: timedelta


@dataclass(frozen=True)
class MultipartUpload:
    """A multipart upload that was initiated and neither completed nor aborted; its parts are billed."""

    key: str
    upload_id: str


class ObjectStore(Protocol):
    """The bucket. Every method may raise StorageRefusedError and StorageUnavailableError."""

    def put(
        self, key: str, path: Path, *, content_type: str, meta: dict[str, str], on_block: Callable[[], None]
    ) -> StoredObject:
        """Upload a file, streaming, and call ``on_block`` before every block; what that raises ends the upload.

        Raises ObjectExistsError: there is an object of that key, which stays as it is.
        """

    def head(self, key: str) -> StoredObject | None:
        """Return what OSS has under the key, or None."""

    def read_range(self, key: str, start: int, size_bytes: int) -> bytes:
        """Return up to ``size_bytes`` bytes from ``start``, which must lie inside the object."""

    def list(self, prefix: str) -> Iterator[ListedObject]:
        """Yield the objects below ``prefix`` by key. A list that breaks off raises, after what came before."""

    def delete(self, key: str) -> None:
        """Delete the object; nothing happens if there is none."""

    def multipart_uploads(self, prefix: str, older_than: timedelta) -> Iterator[MultipartUpload]:
        """Yield the unfinished uploads below ``prefix`` that were initiated longer ago, by OSS's own clock."""

    def abort_upload(self, upload: MultipartUpload) -> None:
        """Abort the upload, which frees its parts; nothing happens if it has ended meanwhile."""

    def url(self, key: str) -> str:
        """Return the object's public URL."""


@dataclass(frozen=True)
class TempFile:
    """A file in the temp folder. ``crc64`` is the CRC-64/XZ of the bytes as they arrived."""

    path: Path
    size: int
    crc64: int


class TempFiles(Protocol):
    """The temp folder of this function instance."""

    def write(self, name: str, chunks: Iterable[bytes]) -> TempFile:
        """Write a file as the chunks come. Raises TempDiskFullError; a failure leaves no file behind."""

    def remove_of_job(self, job_id: str) -> int:
        """Remove the files of a job and return their number; a file that cannot be removed is logged."""

    def remove_older(self, age: timedelta, now: datetime) -> int:
        """Remove files not written to for ``age`` and return their number."""

    def remove_beyond(self, share: float) -> int:
        """Remove the oldest files until the rest takes at most ``share`` of the disk, and return their number."""


class MediaProbe(Protocol):
    """Reads width, height, duration and the like."""

    def probe(self, source: Path | BinaryIO, format_name: str) -> MediaFacts:
        """Return what the header of a file, or of its first bytes, tells.

        Raises WrongMediaError: it cannot be read as media, or not within the probe's limits of time and memory; and
        ProbeUnavailableError, which says nothing of the file.
        """


@dataclass(frozen=True)
class MediaUrl:
    """A result to be downloaded."""

    url: str


@dataclass(frozen=True)
class MediaBase64:
    """A result that came inside the answer."""

    text: str


@dataclass(frozen=True)
class RefusedResult:
    """A result that the provider withheld while it delivered others."""

    reason: str


Result = MediaUrl | MediaBase64 | RefusedResult


@dataclass(frozen=True)
class Pending:
    """The provider is at work on ``task_id``."""

    task_id: str


@dataclass(frozen=True)
class Finished:
    """The provider has delivered, at least one result that is not refused among them."""

    results: tuple[Result, ...]


class Provider(Protocol):
    """An AI provider."""

    poll_interval_s: float

    def submit(self, job: Job) -> Pending | Finished:
        """Ask for what the job wants.

        Raises ProviderRefusedError, ProviderUnavailableError (certainly not accepted), SubmissionUnknownError, or
        ProviderFailedError where the results come in the answer.
        """

    def poll(self, task_id: str) -> Pending | Finished:
        """Ask how far a task is. Raises ProviderFailedError, ProviderUnavailableError or ResultLostError."""

    def cancel(self, task_id: str) -> bool:
        """Ask for a task to be given up; False if it is too late for that. Raises ProviderUnavailableError."""


class Downloads(Protocol):
    """Fetches a provider's result, and vets what a provider is to fetch."""

    def check(self, url: str) -> None:
        """Refuse an image at ``url`` whose host is known not to be public. Raises DownloadRefusedError."""

    def stream(self, url: str, *, max_bytes: int) -> Iterable[bytes]:
        """Yield the body in chunks.

        Raises DownloadRefusedError, DownloadInterruptedError, MediaTooLargeError or ResultLostError.
        """


class Dispatcher(Protocol):
    """Invokes our other functions."""

    def dispatch(self, job: Job) -> None:
        """Have the job advanced; a repeated hand-over of one attempt counts once. Raises DispatchError."""

    def announce(self, job: Job) -> None:
        """Have the webhook of a job that has ended delivered. Raises DispatchError."""

    def delete(self, deletion_id: str) -> None:
        """Have a deletion carried out and wait for it. Raises DispatchError: it failed, or takes too long."""


class DeliveryStore(Protocol):
    """The table ``webhook_deliveries``; ``JobStore.save`` adds to it.

    Every method may raise DatabaseUnavailableError.
    """

    def of_job(self, job_id: str) -> Sequence[Delivery]:
        """Return the deliveries of a job, the oldest first."""

    def due(self, now: datetime, *, limit: int, after: Delivery | None = None) -> Sequence[Delivery]:
        """Return pending deliveries that are due, the longest due first; ``after`` is the last one seen."""

    def count_begun(self, user_id: str, since: datetime) -> int:
        """Count a user's pending deliveries whose last attempt began at ``since`` or later."""

    def save(self, delivery: Delivery, *, over_attempts: int | None = None) -> None:
        """Write the delivery if its row is pending and at ``over_attempts`` (left out: at the delivery's own).

        Raises LeaseLostError: the row is not; another attempt has begun, or the delivery has ended.
        """

    def is_disabled(self, user_id: str, url: str) -> bool:
        """Tell whether a delivery of the user to exactly this URL ended as disabled."""

    def disable(self, user_id: str, url: str, error: str) -> None:
        """End the user's pending deliveries to exactly this URL as disabled."""

    def remove_before(self, moment: datetime, *, limit: int) -> int:
        """Remove rows that were made before ``moment``, the oldest first, and return their number."""


@dataclass(frozen=True)
class WebhookMessage:
    """One attempt's message: ``id`` is the same for every attempt, ``body`` is JSON, ``sent_at`` is signed with it."""

    id: str
    url: str
    body: str
    sent_at: datetime


@dataclass(frozen=True)
class WebhookReply:
    """What a receiver answered. ``retry_after_s`` is how long it wishes to be left alone; 0 if it does not say."""

    status: int
    retry_after_s: float


class WebhookSender(Protocol):
    """Signs and posts webhooks; threads may share it."""

    def send(self, message: WebhookMessage) -> WebhookReply:
        """Post the message. Raises AddressRefusedError (nobody was contacted) or HostUnavailableError."""


ProviderOf = Callable[[str], Provider]


@dataclass(frozen=True)
class Limits:
    """What is accepted from a provider: bytes and seconds of a download, pixels of a frame."""

    max_bytes: dict[MediaType, int]
    max_pixels: int
