"""Start jobs: an idempotency key starts one job, and no user exceeds a quota."""

import hashlib
import json
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from shared.domain.errors import ConflictError, DispatchError, ValidationError
from shared.domain.idempotency import Answer, UsedKey
from shared.domain.jobs import Job, JobStatus
from shared.domain.media_type import MediaType
from shared.domain.models import DEFAULT_DURATION_S, Model, Size, choose_model
from shared.domain.quotas import Quotas, QuotaStatus
from shared.domain.usage import Usage
from shared.ports import Clock, Dispatcher, JobStore, StartStore
from shared.services.jobs import first_attempt_due, look_until, wait_for_end

log = logging.getLogger(__name__)


def new_job_id() -> str:
    """Return the id of a new job: a random UUID."""
    return str(uuid.uuid4())


@dataclass(frozen=True)
class StartPorts:
    """The ports that starting a job uses, and the limits of each user."""

    starts: StartStore
    jobs: JobStore
    dispatcher: Dispatcher
    clock: Clock
    quotas: Quotas
    new_id: Callable[[], str] = new_job_id


@dataclass(frozen=True)
class JobOrder:
    """The job that a user orders. None leaves the choice to the model; ``duration`` is in seconds."""

    type: MediaType
    prompt: str
    negative_prompt: str | None = None
    model: str | None = None
    seed: int | None = None
    size: str | None = None
    count: int = 1
    duration: int | None = None
    image_url: str | None = None
    webhook_url: str | None = None

    @property
    def hash(self) -> str:
        """A hash of the order's meaning: white space, the order of fields and written-out defaults do not change it."""
        meaning = {each.name: value for each in fields(self) if (value := getattr(self, each.name)) != each.default}
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class StartCommand:
    """A user's request to start a job and to wait up to ``wait_s`` seconds for its end."""

    user_id: str
    order: JobOrder
    wait_s: float
    idempotency_key: str | None = None


@dataclass(frozen=True)
class Started:
    """The answer to a request, and the user's quotas with the new job; None if an earlier request started the job."""

    answer: Answer
    quota: QuotaStatus | None


def start_job(command: StartCommand, answer_about: Callable[[Job], Answer], *, ports: StartPorts) -> Started:
    """Start a job, or find the job that an earlier request with the same idempotency key started, and answer.

    ``answer_about`` makes an answer from a job's present state.
    Raises ValidationError: the model does not take the order, or the key was used with another request; ConflictError:
    the key's job was deleted; QuotaExceededError: neither the key nor a place in a quota is used up then.
    """
    # A crash up to here leaves nothing. The model, the size and the duration are chosen and checked before any cost.
    job = _make_job(command, ports)
    # One transaction for the job, its key and its count: a crash leaves all of them or none.
    start = _find_or_add(job, _key_of(command, job), ports)
    # A crash before the dispatch leaves a queued job: the minute timer dispatches it, and a repeated request finds it.
    if start.usage is not None:
        _dispatch(start.job, ports)
    # A crash while waiting leaves a job at work without an answer: a repeated request waits for the same job.
    start = _wait_for_answer(start, command.wait_s, ports)
    # A crash before the first answer is stored leaves the key without one: a repeated request makes and stores it.
    # A crash after that loses only the connection: a repeated request gets the stored answer.
    answer = _answer_once(start, answer_about, ports)
    quota = None if start.usage is None else QuotaStatus(ports.quotas, start.usage, job.created_at)
    return Started(answer, quota)


# -- the new job


def _make_job(command: StartCommand, ports: StartPorts) -> Job:
    order = command.order
    model = choose_model(order.model, order.type, from_image=order.image_url is not None)
    duration = _duration_of(order, model)
    return first_attempt_due(
        Job(
            id=ports.new_id(),
            user_id=command.user_id,
            type=model.type,
            prompt=order.prompt,
            model=model.name,
            size=str(_size_of(order, model)),
            created_at=ports.clock.now(),
            negative_prompt=order.negative_prompt,
            seed=order.seed,
            count=order.count,
            duration=duration,
            image_url=order.image_url,
            webhook_url=order.webhook_url,
            warnings=model.warnings(order.prompt, order.negative_prompt, order.seed),
        )
    )


def _duration_of(order: JobOrder, model: Model) -> int | None:
    if model.type is MediaType.IMAGE:
        return None
    duration = DEFAULT_DURATION_S if order.duration is None else order.duration
    model.check_duration(duration)
    return duration


def _size_of(order: JobOrder, model: Model) -> Size:
    size = model.default_size if order.size is None else Size.parse(order.size)
    model.sizes.check(size)
    return size


def _key_of(command: StartCommand, job: Job) -> UsedKey | None:
    if command.idempotency_key is None:
        return None
    return UsedKey(job.user_id, command.idempotency_key, command.order.hash, job.id, job.created_at)


# -- once for each key


@dataclass(frozen=True)
class _Start:
    """A job, the use of its key (None without a key), and the user's usage if this request started the job."""

    job: Job
    key: UsedKey | None
    usage: Usage | None = None


def _find_or_add(job: Job, key: UsedKey | None, ports: StartPorts) -> _Start:
    # Most repetitions are answered here, without a lock.
    earlier = None if key is None else ports.starts.find_key(key.user_id, key.key)
    added = earlier or ports.starts.start(job, key, ports.quotas)
    return _repeat(added, key, ports) if isinstance(added, UsedKey) else _Start(job, key, added)


def _repeat(used: UsedKey, requested: UsedKey | None, ports: StartPorts) -> _Start:
    if requested is None or used.request_hash != requested.request_hash:
        raise ValidationError(
            "this Idempotency-Key was used with another request; use a new key for a new request",
            code="idempotency_key_reused",
        )
    return _Start(_job_of(used, ports), used)


def _job_of(used: UsedKey, ports: StartPorts) -> Job:
    job = ports.jobs.get(used.job_id)
    if job is None:
        raise ConflictError(
            "the job of this Idempotency-Key was deleted; use a new key for a new job", code="job_deleted"
        )
    return job


def _dispatch(job: Job, ports: StartPorts) -> None:
    # A failed dispatch is not an error for the caller: the job is stored.
    try:
        ports.dispatcher.dispatch(job)
    except DispatchError:
        log.warning("dispatch failed; the minute timer repeats it", extra={"job_id": job.id}, exc_info=True)


# -- the wait


def _wait_for_answer(start: _Start, seconds: float, ports: StartPorts) -> _Start:
    """Return the start once its job has ended or its key has an answer, or after ``seconds``."""
    if start.key is None:
        return replace(start, job=wait_for_end(start.job, seconds, jobs=ports.jobs, clock=ports.clock))
    return look_until(
        lambda seen: seen.job.status.final or (seen.key is not None and seen.key.answer is not None),
        lambda seen: _look_again(seen, ports),
        start,
        seconds,
        clock=ports.clock,
    )


def _look_again(start: _Start, ports: StartPorts) -> _Start:
    # The key comes first: a job that is read after the answer is not older than the answer.
    key = start.key and (ports.starts.find_key(start.key.user_id, start.key.key) or start.key)
    return replace(start, key=key, job=start.job if key is None else _job_of(key, ports))


# -- the answer


def _answer_once(start: _Start, answer_about: Callable[[Job], Answer], ports: StartPorts) -> Answer:
    """Return the first answer that the key's requests get: a stored one, or this request's own."""
    if start.key is None:
        return answer_about(start.job)
    if start.key.answer is not None:
        return _replay(start.key.answer, start.job, answer_about)
    own = answer_about(start.job)
    stored = ports.starts.keep_answer(start.key, own.with_outputs([]))
    if stored is None or stored.answer is None or stored.answer == own.with_outputs([]):
        return own
    return _replay(stored.answer, _job_of(stored, ports), answer_about)


def _replay(first: Answer, job: Job, answer_about: Callable[[Job], Answer]) -> Answer:
    # Only a job that was answered as succeeded has outputs; their URLs are signed again.
    succeeded = first.body["status"] == JobStatus.SUCCEEDED
    return first.with_outputs(answer_about(job).body["outputs"] if succeeded else [])
