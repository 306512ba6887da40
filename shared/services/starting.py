"""Start jobs: each idempotency key once, and within the quotas of its user."""

import logging
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.domain.errors import ConflictError, DispatchError, ValidationError
from shared.domain.idempotency import KEY_LIFETIME, Answer, UsedKey
from shared.domain.jobs import Job
from shared.domain.quotas import Quotas, Usage
from shared.ports import Clock, Dispatcher, JobStore, StartStore
from shared.services.jobs import look_until, wait_for_end

log = logging.getLogger(__name__)
# Of an earlier day nobody asks; one more allows for clocks that differ.
_USAGE_LIFETIME = timedelta(days=1)


@dataclass(frozen=True)
class Start:
    """What came of a request for ``job``.

    ``key`` is the use of its idempotency key, None if it has none. ``usage`` is what the user takes up, with the job;
    None if an earlier request of that key began it.
    """

    job: Job
    key: UsedKey | None
    usage: Usage | None


def start_job(
    job: Job, key: UsedKey | None, quotas: Quotas, *, starts: StartStore, jobs: JobStore, dispatcher: Dispatcher
) -> Start:
    """Write the job down and have it begun, or find the one that an earlier request of the same key began.

    A crash after the transaction leaves a job that nobody works on, with its key and its count; the minute timer
    dispatches it, and a repeated request finds it. So a dispatch that fails is no error to the caller.
    Raises ValidationError: the key was used with another request; ConflictError: its job was deleted;
    QuotaExceededError, which uses up neither the key nor a place.
    """
    # A repetition is mostly answered without a lock.
    earlier = None if key is None else starts.find_key(key.user_id, key.key)
    begun = earlier or starts.start(job, key, quotas)
    if isinstance(begun, UsedKey):
        return _repeat(begun, key, jobs=jobs)
    try:
        dispatcher.dispatch(job)
    except DispatchError:
        log.warning("dispatch failed; the minute timer repeats it", extra={"job_id": job.id}, exc_info=True)
    return Start(job, key, begun)


def _repeat(used: UsedKey, asked: UsedKey | None, *, jobs: JobStore) -> Start:
    if asked is None or used.request_hash != asked.request_hash:
        raise ValidationError(
            "this Idempotency-Key was used with another request; use a new key for a new request",
            code="idempotency_key_reused",
        )
    return Start(_job_of(used, jobs), used, None)


def _job_of(used: UsedKey, jobs: JobStore) -> Job:
    job = jobs.get(used.job_id)
    if job is None:
        raise ConflictError(
            "the job of this Idempotency-Key was deleted; use a new key for a new job", code="job_deleted"
        )
    return job


def wait_for_answer(start: Start, seconds: float, *, starts: StartStore, jobs: JobStore, clock: Clock) -> Start:
    """Return the start once its job has ended or its key has an answer, or as it is after ``seconds``.

    Raises ConflictError: a job with a key was deleted meanwhile.
    """
    if start.key is None:
        return replace(start, job=wait_for_end(start.job, seconds, jobs=jobs, clock=clock))
    return look_until(
        lambda seen: seen.job.status.final or _answer_of(seen) is not None,
        lambda seen: _look_again(seen, starts=starts, jobs=jobs),
        start,
        seconds,
        clock=clock,
    )


def _look_again(start: Start, *, starts: StartStore, jobs: JobStore) -> Start:
    # The key first: a job read after the answer is not older than it.
    key = start.key and (starts.find_key(start.key.user_id, start.key.key) or start.key)
    return replace(start, key=key, job=start.job if key is None else _job_of(key, jobs))


def _answer_of(start: Start) -> Answer | None:
    return None if start.key is None else start.key.answer


def keep_answer(used: UsedKey, job: Job, answer: Answer, *, starts: StartStore, jobs: JobStore) -> tuple[Answer, Job]:
    """Write down what the key's first request is answered about ``job``; somebody else may have come before.

    Return the answer that was first, and the job as it was then or later. A crash before leaves the key without an
    answer; whoever repeats the request gives and keeps one. Raises ConflictError: the job was deleted meanwhile.
    """
    kept = starts.keep_answer(used, answer)
    if kept is None or kept.answer is None or kept.answer == answer:
        return answer, job
    return kept.answer, _job_of(kept, jobs)


def forget_starts(*, starts: StartStore, clock: Clock, until: datetime, batch: int = 1000) -> dict[str, int]:
    """Remove keys over 24 hours old and counts of days gone by, until ``until``, and return their numbers.

    Batches are transactions of their own; a crash leaves the rest to the next time.
    """
    now = clock.now()
    counts = Counter({"keys_forgotten": 0, "days_forgotten": 0})
    for name, forget, before in (
        ("keys_forgotten", starts.forget_keys, now - KEY_LIFETIME),
        ("days_forgotten", starts.forget_usage, now - _USAGE_LIFETIME),
    ):
        while clock.now() < until and (removed := forget(before, limit=batch)):
            counts[name] += removed
    return dict(counts)
