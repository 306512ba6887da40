"""In-memory twins of the ports that really work, and what tests make jobs and media of."""

import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote

from fastcrc import crc64

from shared.adapters.temp_folder import TempFolder
from shared.domain.cursors import Place
from shared.domain.deletions import Deletion, DeletionScope
from shared.domain.errors import (
    DatabaseUnavailableError,
    LeaseLostError,
    MediaTooLargeError,
    ObjectExistsError,
    StorageRefusedError,
    StorageUnavailableError,
)
from shared.domain.idempotency import Answer, UsedKey
from shared.domain.jobs import LEASE_S, Job, JobOutput, JobStatus, OutputIntent
from shared.domain.keys import MediaType, ObjectKey
from shared.domain.media import MediaFacts
from shared.domain.quotas import Quotas, Usage, check_quotas, day_of
from shared.domain.webhooks import Delivery, DeliveryStatus, delivery_of
from shared.ports import (
    Finished,
    Limits,
    ListedObject,
    MultipartUpload,
    Pending,
    StoredObject,
    WebhookMessage,
    WebhookReply,
)
from shared.services.deletion import DeletionService
from shared.services.generation import GenerationService
from shared.services.indexing import IndexingService
from shared.services.revival import RevivalService
from shared.services.storage import StorageService
from shared.services.upkeep import UpkeepService
from shared.services.webhooks import WebhookService

NOW = datetime(2023, 12, 21, 1, 50, 56, 789000, tzinfo=UTC)
USER = "test@factory-buy.com"
PLENTY = Quotas(concurrent_jobs=1000, jobs_per_day=1000, stored_bytes=10**12)


class FakeClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self, now: datetime = NOW) -> None:
        self._now = now
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._now += timedelta(seconds=seconds)


class InMemoryDeliveryStore:
    """The table ``webhook_deliveries``; while ``away`` it does not answer."""

    def __init__(self) -> None:
        self.away = False
        self._rows: dict[str, Delivery] = {}
        self._lock = threading.Lock()

    def add(self, delivery: Delivery) -> None:
        with self._session():
            assert delivery.id not in self._rows
            self._rows[delivery.id] = delivery

    def of_job(self, job_id: str) -> Sequence[Delivery]:
        with self._session():
            return [row for row in self._rows.values() if row.job_id == job_id]

    def due(self, now: datetime, *, limit: int, after: Delivery | None = None) -> Sequence[Delivery]:
        def place(row: Delivery) -> tuple[datetime, str]:
            return row.next_attempt_at or now, row.id

        with self._session():
            due = [row for row in self._rows.values() if row.due(now) and (after is None or place(row) > place(after))]
        return sorted(due, key=place)[:limit]

    def count_begun(self, user_id: str, since: datetime) -> int:
        with self._session():
            pending = [row for row in self._rows.values() if row.status is DeliveryStatus.PENDING]
        return sum(
            row.user_id == user_id and row.last_attempt_at is not None and row.last_attempt_at >= since
            for row in pending
        )

    def save(self, delivery: Delivery, *, over_attempts: int | None = None) -> None:
        with self._session():
            row = self._rows.get(delivery.id)
            attempts = delivery.attempts if over_attempts is None else over_attempts
            if row is None or row.attempts != attempts or row.status is not DeliveryStatus.PENDING:
                raise LeaseLostError("the delivery has gone on without this attempt")
            self._rows[delivery.id] = delivery

    def is_disabled(self, user_id: str, url: str) -> bool:
        with self._session():
            return any(row.status is DeliveryStatus.DISABLED for row in self._to(user_id, url))

    def disable(self, user_id: str, url: str, error: str) -> None:
        with self._session():
            for row in self._to(user_id, url):
                if row.status is DeliveryStatus.PENDING:
                    self._rows[row.id] = row.disabled(error)

    def remove_before(self, moment: datetime, *, limit: int) -> int:
        with self._session():
            rows = sorted(self._rows.values(), key=lambda row: row.created_at)
            old = [row.id for row in rows if row.created_at < moment][:limit]
            for id_ in old:
                del self._rows[id_]
        return len(old)

    def _to(self, user_id: str, url: str) -> list[Delivery]:
        return [row for row in self._rows.values() if (row.user_id, row.url) == (user_id, url)]

    def _session(self) -> threading.Lock:
        if self.away:
            raise DatabaseUnavailableError("the database did not answer")
        return self._lock


class InMemoryJobStore:
    """The table ``jobs``; while ``away`` it does not answer. ``history`` holds every state that was written.

    What ends there and names a webhook is added to ``deliveries``.
    """

    def __init__(self) -> None:
        self.deliveries = InMemoryDeliveryStore()
        self.away = False
        self.history: list[Job] = []
        self._rows: dict[str, Job] = {}
        self._lock = threading.Lock()

    def add(self, job: Job) -> Job:
        with self._session():
            if job.id not in self._rows:
                self._write(job)
            return self._rows[job.id]

    def get(self, job_id: str) -> Job | None:
        with self._session():
            return self._rows.get(job_id)

    def save(self, job: Job, *, over_attempt: int | None = None) -> None:
        with self._session():
            row = self._held(job.id, job.attempt if over_attempt is None else over_attempt)
            if delivery := delivery_of(job):
                self.deliveries.add(delivery)
            self._write(replace(job, cancel_requested_at=row.cancel_requested_at))

    def renew(self, job_id: str, attempt: int, lease_expires_at: datetime) -> None:
        with self._session():
            self._write(replace(self._held(job_id, attempt), lease_expires_at=lease_expires_at))

    def request_cancel(self, job_id: str, now: datetime) -> None:
        with self._session():
            row = self._rows.get(job_id)
            if row is not None and not row.status.final and row.cancel_requested_at is None:
                self._write(replace(row, cancel_requested_at=now))

    def to_dispatch(self, now: datetime, *, limit: int, after: Job | None = None) -> Sequence[Job]:
        return self._due(now, lambda row: not row.awaits_task(now), limit, after)

    def to_poll(self, now: datetime, *, limit: int, after: Job | None = None) -> Sequence[Job]:
        return self._due(now, lambda row: row.awaits_task(now), limit, after)

    def _due(self, now: datetime, wanted: Callable[[Job], bool], limit: int, after: Job | None) -> Sequence[Job]:
        def place(row: Job) -> tuple[datetime, str]:
            return row.due_at or now, row.id

        with self._session():
            due = [
                row
                for row in self._rows.values()
                if not row.status.final
                and row.due_at is not None
                and row.due_at <= now
                and wanted(row)
                and (after is None or place(row) > place(after))
            ]
        return sorted(due, key=place)[:limit]

    def postpone(self, job: Job, next_attempt_at: datetime) -> Job:
        with self._session():
            row = self._held(job.id, job.attempt)
            if row.due_at != job.due_at:
                raise LeaseLostError("the job has gone on since it was read")
            postponed = job.parked(next_attempt_at)
            self._write(replace(postponed, cancel_requested_at=row.cancel_requested_at))
            return postponed

    def recent(self, since: datetime, *, limit: int, after: Job | None = None) -> Sequence[Job]:
        with self._session():
            found = [
                row
                for row in self._rows.values()
                if (row.created_at >= since or (row.finished_at is not None and row.finished_at >= since))
                and (after is None or (row.created_at, row.id) > (after.created_at, after.id))
            ]
        return sorted(found, key=lambda row: (row.created_at, row.id))[:limit]

    def unfinished_of(self, user_id: str) -> int:
        with self._session():
            return sum(row.user_id == user_id and not row.status.final for row in self._rows.values())

    def of_user(
        self,
        user_id: str,
        *,
        limit: int,
        before: Place | None = None,
        type: MediaType | None = None,
        status: JobStatus | None = None,
    ) -> Sequence[Job]:
        with self._session():
            found = [row for row in self._rows.values() if row.user_id == user_id and status in {None, row.status}]
        return _page(found, type, before, limit)

    def remove(self, job_id: str) -> None:
        with self._session():
            self._rows.pop(job_id, None)

    def _session(self) -> threading.Lock:
        if self.away:
            raise DatabaseUnavailableError("the database did not answer")
        return self._lock

    def _held(self, job_id: str, attempt: int) -> Job:
        row = self._rows.get(job_id)
        if row is None or row.attempt != attempt or row.status.final:
            raise LeaseLostError("the job has gone on without this attempt")
        return row

    def _write(self, job: Job) -> None:
        self._rows[job.id] = job
        self.history.append(job)


Row = TypeVar("Row", Job, JobOutput)


def _page(rows: list[Row], type: MediaType | None, before: Place | None, limit: int) -> Sequence[Row]:
    wanted = [
        row
        for row in rows
        if type in {None, row.type} and (before is None or (row.created_at, row.id) < (before.created_at, before.id))
    ]
    return sorted(wanted, key=lambda row: (row.created_at, row.id), reverse=True)[:limit]


class InMemoryOutputStore:
    """The tables ``job_outputs`` and ``output_intents`` beside ``jobs``; while ``away`` they do not answer."""

    def __init__(self, jobs: InMemoryJobStore) -> None:
        self.away = False
        self._jobs = jobs
        self._rows: dict[str, JobOutput] = {}
        self._intents: dict[tuple[str, int], OutputIntent] = {}

    def intend(self, intent: OutputIntent, *, lease_expires_at: datetime) -> None:
        self._answering()
        self._jobs.renew(intent.output.job_id, intent.attempt, lease_expires_at)
        self._intents[intent.output.job_id, intent.position] = intent

    def commit(self, intent: OutputIntent, *, lease_expires_at: datetime) -> None:
        self._answering()
        self._jobs.renew(intent.output.job_id, intent.attempt, lease_expires_at)
        self.put(intent.output)

    def put(self, output: JobOutput) -> None:
        rows = self._answering()
        row = rows.setdefault(output.id, output)
        rows[output.id] = replace(row, oss_url=output.oss_url, size=output.size, meta=output.meta)
        self._intents = {place: each for place, each in self._intents.items() if each.output.id != output.id}

    def of_job(self, job_id: str) -> Sequence[JobOutput]:
        rows = self._answering().values()
        return sorted((row for row in rows if row.job_id == job_id), key=lambda row: row.oss_path)

    def of_jobs(self, job_ids: Sequence[str]) -> Sequence[JobOutput]:
        return [row for job_id in sorted(set(job_ids)) for row in self.of_job(job_id)]

    def of_user(
        self, user_id: str, *, limit: int, before: Place | None = None, type: MediaType | None = None
    ) -> Sequence[JobOutput]:
        rows = self._answering().values()
        return _page([row for row in rows if row.user_id == user_id], type, before, limit)

    def get(self, output_id: str) -> JobOutput | None:
        return self._answering().get(output_id)

    def bytes_of(self, user_id: str) -> int:
        return sum(row.size for row in self._answering().values() if row.user_id == user_id)

    def remove(self, output_id: str) -> None:
        self._answering().pop(output_id, None)

    def remove_of_job(self, job_id: str) -> None:
        for row in self.of_job(job_id):
            self.remove(row.id)
        self._intents = {place: each for place, each in self._intents.items() if each.output.job_id != job_id}

    def remove_with_intent(self, output_id: str) -> None:
        self.remove(output_id)
        self._intents = {place: each for place, each in self._intents.items() if each.output.id != output_id}

    def intents_of_job(self, job_id: str) -> Sequence[OutputIntent]:
        self._answering()
        return [each for _, each in sorted(self._intents.items()) if each.output.job_id == job_id]

    def intents_before(
        self, moment: datetime, *, limit: int, after: OutputIntent | None = None
    ) -> Sequence[OutputIntent]:
        def place(intent: OutputIntent) -> tuple[datetime, str]:
            return intent.output.created_at, intent.output.id

        self._answering()
        old = [each for each in self._intents.values() if each.output.created_at < moment]
        return sorted((each for each in old if after is None or place(each) > place(after)), key=place)[:limit]

    def remove_intent(self, intent: OutputIntent) -> None:
        self._answering()
        place = intent.output.job_id, intent.position
        if place in self._intents and self._intents[place].attempt == intent.attempt:
            del self._intents[place]

    def _answering(self) -> dict[str, JobOutput]:
        if self.away:
            raise DatabaseUnavailableError("the database did not answer")
        return self._rows


class InMemoryStartStore:
    """The tables ``idempotency_keys`` and ``daily_usage`` beside ``jobs`` and ``job_outputs``."""

    def __init__(self, jobs: InMemoryJobStore, outputs: InMemoryOutputStore) -> None:
        self._jobs = jobs
        self._outputs = outputs
        self._keys: dict[tuple[str, str], UsedKey] = {}
        self._days: dict[str, tuple[str, int]] = {}
        self._lock = threading.Lock()

    def start(self, job: Job, key: UsedKey | None, quotas: Quotas) -> Usage | UsedKey:
        with self._lock:
            if key is not None and (earlier := self._keys.get((key.user_id, key.key))):
                return earlier
            usage = self.usage_of(job.user_id, job.created_at)
            check_quotas(usage, quotas, job.type, job.created_at)
            self._jobs.add(job)
            if key is not None:
                self._keys[key.user_id, key.key] = key
            day, _ = self._days.get(job.user_id, ("", 0))
            self._days[job.user_id] = max(day, day_of(job.created_at)), usage.jobs_today + 1
            return usage.with_one_job_more()

    def find_key(self, user_id: str, key: str) -> UsedKey | None:
        return self._keys.get((user_id, key))

    def keep_answer(self, used: UsedKey, answer: Answer) -> UsedKey | None:
        with self._lock:
            row = self._keys.get((used.user_id, used.key))
            if row is not None and row.job_id == used.job_id and row.answer is None:
                row = self._keys[used.user_id, used.key] = replace(row, answer=answer)
            return row

    def usage_of(self, user_id: str, now: datetime) -> Usage:
        day, jobs = self._days.get(user_id, ("", 0))
        today = jobs if day >= day_of(now) else 0
        return Usage(self._jobs.unfinished_of(user_id), today, self._outputs.bytes_of(user_id))

    def forget_keys(self, before: datetime, *, limit: int) -> int:
        old = [place for place, row in self._keys.items() if row.created_at < before][:limit]
        for place in old:
            del self._keys[place]
        return len(old)

    def forget_usage(self, before: datetime, *, limit: int) -> int:
        old = [user_id for user_id, (day, _) in self._days.items() if day < day_of(before)][:limit]
        for user_id in old:
            del self._days[user_id]
        return len(old)


class InMemoryDeletionStore:
    """The table ``deletions`` beside those that it takes rows out of."""

    def __init__(self, jobs: InMemoryJobStore, outputs: InMemoryOutputStore) -> None:
        self._jobs = jobs
        self._outputs = outputs
        self._rows: dict[str, Deletion] = {}

    def add(self, deletion: Deletion) -> None:
        self._rows[deletion.id] = deletion

    def get(self, deletion_id: str) -> Deletion | None:
        return self._rows.get(deletion_id)

    def newest_of(self, scope: DeletionScope, target_id: str) -> Deletion | None:
        return max(self._of(scope, target_id), key=lambda row: (row.requested_at, row.id), default=None)

    def concerns(self, *, job_id: str, output_id: str) -> bool:
        return bool(self._of(DeletionScope.JOB, job_id) or self._of(DeletionScope.OUTPUT, output_id))

    def due(self, now: datetime, *, limit: int, after: Deletion | None = None) -> Sequence[Deletion]:
        def place(row: Deletion) -> tuple[datetime, str]:
            return row.due_at, row.id

        due = [row for row in self._rows.values() if row.due(now) and (after is None or place(row) > place(after))]
        return sorted(due, key=place)[:limit]

    def save(self, deletion: Deletion, *, over: Deletion) -> None:
        row = self._rows.get(over.id)
        if row is None or (row.failures, row.due_at) != (over.failures, over.due_at):
            raise LeaseLostError("another run has taken this deletion up")
        self._rows[row.id] = replace(row, failures=deletion.failures, next_attempt_at=deletion.next_attempt_at)

    def finish(self, deletion: Deletion, now: datetime) -> None:
        if (row := self._rows.get(deletion.id)) and row.finished_at is None:
            self._rows[row.id] = replace(row, finished_at=now, failures=0, next_attempt_at=None)
        match deletion.scope:
            case DeletionScope.JOB:
                self._jobs.remove(deletion.target_id)
                self._outputs.remove_of_job(deletion.target_id)
            case DeletionScope.OUTPUT:
                self._outputs.remove_with_intent(deletion.target_id)
            case DeletionScope.USER:
                pass

    def tell(self, deletion_id: str, now: datetime) -> None:
        self._rows[deletion_id] = replace(self._rows[deletion_id], told_at=now)

    def remove(self, deletion_id: str) -> None:
        self._rows.pop(deletion_id, None)

    def _of(self, scope: DeletionScope, target_id: str) -> list[Deletion]:
        return [row for row in self._rows.values() if (row.scope, row.target_id) == (scope, target_id)]


@dataclass(frozen=True)
class HeldObject:
    """One object of the in-memory bucket."""

    data: bytes
    content_type: str = "application/octet-stream"
    meta: tuple[tuple[str, str], ...] = ()
    modified_at: datetime = NOW


class InMemoryObjectStore:
    """The bucket. Each put takes the next of ``failures`` first; ``spoil`` changes what arrives.

    A list breaks off behind ``list_breaks_after`` objects. ``uploads`` holds when each unfinished upload was initiated.
    """

    def __init__(self, base_url: str = "https://media.example.com", clock: FakeClock | None = None) -> None:
        self.away = False
        self.clock = clock or FakeClock()
        self.list_breaks_after: int | None = None
        self.uploads: dict[MultipartUpload, datetime] = {}
        self.ranges: list[tuple[int, int]] = []
        self.objects: dict[str, HeldObject] = {}
        self.puts: list[str] = []
        self.failures: list[Exception | None] = []
        self.spoil: Callable[[bytes], bytes] = bytes
        self._base_url = base_url

    def put(
        self, key: str, path: Path, *, content_type: str, meta: dict[str, str], on_block: Callable[[], None]
    ) -> StoredObject:
        self._answer()
        on_block()
        self.puts.append(key)
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
        if key in self.objects:
            raise ObjectExistsError("there is an object of that key")
        data = self.spoil(path.read_bytes())
        held = HeldObject(data, content_type, tuple(sorted(meta.items())), self.clock.now())
        self.objects[key] = held
        return StoredObject(len(held.data), crc64.xz(held.data))

    def head(self, key: str) -> StoredObject | None:
        self._answer()
        held = self.objects.get(key)
        return None if held is None else StoredObject(len(held.data), crc64.xz(held.data))

    def read_range(self, key: str, start: int, size_bytes: int) -> bytes:
        self._answer()
        self.ranges.append((start, size_bytes))
        data = self.objects[key].data
        if start >= len(data):
            raise StorageRefusedError("OSS refused: 416 (InvalidRange)")
        return data[start : start + size_bytes]

    def list(self, prefix: str) -> Iterator[ListedObject]:
        found = sorted((key, held) for key, held in self.objects.items() if key.startswith(prefix))
        for number, (key, held) in enumerate(found):
            self._answer()
            if number == self.list_breaks_after:
                break
            yield ListedObject(key, len(held.data), self.clock.now() - held.modified_at)
        self._answer()
        if self.list_breaks_after is not None:
            raise StorageUnavailableError("the connection to OSS broke off")

    def delete(self, key: str) -> None:
        self._answer()
        self.objects.pop(key, None)

    def multipart_uploads(self, prefix: str, older_than: timedelta) -> Iterator[MultipartUpload]:
        self._answer()
        for upload, initiated_at in sorted(self.uploads.items(), key=lambda item: item[0].key):
            if upload.key.startswith(prefix) and self.clock.now() - initiated_at > older_than:
                yield upload

    def abort_upload(self, upload: MultipartUpload) -> None:
        self._answer()
        self.uploads.pop(upload, None)

    def url(self, key: str) -> str:
        return f"{self._base_url}/{quote(key)}"

    def _answer(self) -> None:
        if self.away:
            raise StorageUnavailableError("OSS did not answer")


State = Pending | Finished
Step = State | Exception | Callable[[], State]


def play(step: Step) -> State:
    """Return, raise or call one step of a script."""
    if isinstance(step, Exception):
        raise step
    return step if isinstance(step, Pending | Finished) else step()


class FakeProvider:
    """Answers ``submit`` and ``poll`` by scripts; the last step of ``polls`` is repeated for ever."""

    def __init__(self, submit: Step, *polls: Step, poll_interval_s: float = 5.0) -> None:
        self.poll_interval_s = poll_interval_s
        self.submitted: list[Job] = []
        self.polled: list[str] = []
        self.cancelled: list[str] = []
        self._submit = submit
        self._polls = list(polls)
        self._lock = threading.Lock()

    def submit(self, job: Job) -> State:
        self.submitted.append(job)
        return play(self._submit)

    def poll(self, task_id: str) -> State:
        with self._lock:
            self.polled.append(task_id)
            step = self._polls.pop(0) if len(self._polls) > 1 else self._polls[0]
        return play(step)

    def cancel(self, task_id: str) -> bool:
        self.cancelled.append(task_id)
        return True


Chunk = bytes | Exception | Callable[[], bytes]


class FakeDownloads:
    """Hands out what is put under each URL: bytes, or a list of chunks, errors and functions.

    ``check`` keeps what it is asked and raises what ``refusals`` holds for the URL.
    """

    def __init__(self, bodies: dict[str, bytes | list[Chunk]] | None = None) -> None:
        self.bodies = bodies or {}
        self.fetched: list[str] = []
        self.checked: list[str] = []
        self.refusals: dict[str, Exception] = {}

    def check(self, url: str) -> None:
        self.checked.append(url)
        if url in self.refusals:
            raise self.refusals[url]

    def stream(self, url: str, *, max_bytes: int) -> Iterator[bytes]:
        self.fetched.append(url)
        body = self.bodies[url]
        received = 0
        for chunk in [body] if isinstance(body, bytes) else body:
            if isinstance(chunk, Exception):
                raise chunk
            data = chunk if isinstance(chunk, bytes) else chunk()
            received += len(data)
            if received > max_bytes:
                raise MediaTooLargeError(f"the result has more than {max_bytes} bytes")
            yield data


class StubProbe:
    """Says of every file what it was told to say."""

    def __init__(self, facts: MediaFacts | None = None, error: Exception | None = None) -> None:
        self.facts = facts or MediaFacts("?", width=4, height=3)
        self.error = error
        self.probed: list[Path | BinaryIO] = []

    def probe(self, source: Path | BinaryIO, format_name: str) -> MediaFacts:
        self.probed.append(source)
        if self.error:
            raise self.error
        return replace(self.facts, format=format_name)


class RecordingDispatcher:
    """Keeps what was handed over, each attempt once, and what was announced; ``failures`` come first.

    ``on_delete`` carries deletions out.
    """

    def __init__(self, *failures: Exception, on_delete: Callable[[str], object] = str) -> None:
        self.failures = list(failures)
        self.on_delete = on_delete
        self.task_ids: list[str] = []
        self.announced: list[str] = []

    def delete(self, deletion_id: str) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.on_delete(deletion_id)

    def dispatch(self, job: Job) -> None:
        if self.failures:
            raise self.failures.pop(0)
        if job.task_id not in self.task_ids:
            self.task_ids.append(job.task_id)

    def announce(self, job: Job) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.announced.append(job.id)


class FakeWebhookSender:
    """Keeps the messages and answers each with the next of ``answers``, the last one for ever."""

    def __init__(self, *answers: int | WebhookReply | Exception) -> None:
        self.messages: list[WebhookMessage] = []
        self._answers = list(answers)
        self._lock = threading.Lock()

    def send(self, message: WebhookMessage) -> WebhookReply:
        with self._lock:
            self.messages.append(message)
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return WebhookReply(answer, 0.0) if isinstance(answer, int) else answer


class World:
    """Every port of the services in memory, with the temp folder in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.jobs = InMemoryJobStore()
        self.outputs = InMemoryOutputStore(self.jobs)
        self.starts = InMemoryStartStore(self.jobs, self.outputs)
        self.deletions = InMemoryDeletionStore(self.jobs, self.outputs)
        self.store = InMemoryObjectStore(clock=self.clock)
        self.temp = TempFolder(str(folder))
        self.probe = StubProbe()
        self.downloads = FakeDownloads()
        self.dispatcher = RecordingDispatcher()
        self.patience_s = 3600.0
        self.limits = Limits({MediaType.IMAGE: 10_000, MediaType.VIDEO: 20_000}, max_pixels=1_000_000)

    @property
    def storage(self) -> StorageService:
        return StorageService(
            store=self.store,
            outputs=self.outputs,
            temp=self.temp,
            probe=self.probe,
            downloads=self.downloads,
            limits=self.limits,
            clock=self.clock,
        )

    @property
    def indexing(self) -> IndexingService:
        return IndexingService(
            store=self.store,
            outputs=self.outputs,
            jobs=self.jobs,
            deletions=self.deletions,
            probe=self.probe,
            clock=self.clock,
        )

    @property
    def deletion(self) -> DeletionService:
        return DeletionService(
            store=self.store,
            jobs=self.jobs,
            outputs=self.outputs,
            deletions=self.deletions,
            dispatcher=self.dispatcher,
            clock=self.clock,
        )

    def generation(self, provider: FakeProvider) -> GenerationService:
        return GenerationService(
            jobs=self.jobs,
            provider_of=lambda _: provider,
            storage=self.storage,
            indexing=self.indexing,
            dispatcher=self.dispatcher,
            patience_s=self.patience_s,
        )

    def webhooks(self, sender: FakeWebhookSender, *, factor: float = 1.0) -> WebhookService:
        return WebhookService(
            jobs=self.jobs,
            deliveries=self.jobs.deliveries,
            sender=sender,
            show=lambda job: {"id": job.id, "status": job.status.value, "finishedAt": "2023-12-21T01:50:56.789Z"},
            clock=self.clock,
            jitter=lambda: factor,
        )

    def revival(self, provider: FakeProvider) -> RevivalService:
        return RevivalService(
            jobs=self.jobs,
            outputs=self.outputs,
            temp=self.temp,
            provider_of=lambda _: provider,
            dispatcher=self.dispatcher,
            indexing=self.indexing,
            clock=self.clock,
        )

    def leave_an_intent(self) -> OutputIntent:
        """Be an attempt that got make_png() in the answer and wrote its intent, and of which nothing more is heard."""
        job = make_job().claimed(NOW).submitting(NOW).storing(NOW)
        self.jobs.add(job)
        output = make_output(size=len(make_png()), meta={"crc64": str(crc64.xz(make_png()))})
        intent = OutputIntent(output, 0, job.attempt)
        self.outputs.intend(intent, lease_expires_at=NOW)
        self.clock.advance(LEASE_S)
        return intent

    def upkeep(self, provider: FakeProvider) -> UpkeepService:
        return UpkeepService(
            revival=self.revival(provider),
            deletion=self.deletion,
            starts=self.starts,
            deliveries=self.jobs.deliveries,
            temp=self.temp,
            clock=self.clock,
        )

    def temp_files(self) -> list[str]:
        """Return the names of the files in the temp folder."""
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []

    def job(self, job_id: str = "abc123") -> Job:
        """Return the job as it is written down."""
        job = self.jobs.get(job_id)
        assert job is not None
        return job


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
    """Return a real PNG; ``noise`` tells one from another."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    pixels = zlib.compress((b"\0" + b"\x80" * width) * height)
    parts = (
        _chunk(b"IHDR", header),
        _chunk(b"tEXt", b"n\0" + bytes(noise)),
        _chunk(b"IDAT", pixels),
        _chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


MP4_HEAD = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2" + b"\0" * 64
