"""The jobs service: read and end a job, and look after those that wait."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from shared.domain.errors import (
    DeadlineExceededError,
    DispatchError,
    DreamFactoryError,
    LeaseLostError,
    NotFoundError,
    ProviderError,
    ProviderUnavailableError,
)
from shared.domain.jobs import DISPATCH_GRACE_S, Job, JobError
from shared.ports import (
    Clock,
    Dispatcher,
    JobStore,
    OutputStore,
    Pending,
    Provider,
    ProviderOf,
    TempFiles,
)
from shared.services.storage import cleanup_job_temp_files

log = logging.getLogger(__name__)
T = TypeVar("T")
_READ_INTERVAL_S = 0.25


def get_job(job_id: str, user_id: str, *, jobs: JobStore) -> Job:
    """Return a user's job. Raises NotFoundError, for another user's as well."""
    job = jobs.get(job_id)
    if job is None or job.user_id != user_id:
        raise NotFoundError("there is no such job")
    return job


def wait_for_end(job: Job, seconds: float, *, jobs: JobStore, clock: Clock) -> Job:
    """Return the job once it has ended, or as it is after ``seconds``."""
    return look_until(lambda seen: seen.status.final, lambda seen: jobs.get(seen.id) or seen, job, seconds, clock=clock)


def look_until(done: Callable[[T], bool], look: Callable[[T], T], seen: T, seconds: float, *, clock: Clock) -> T:
    """Return what was seen once it is ``done``, or after ``seconds``; ``look`` returns it as it is then."""
    until = clock.now() + timedelta(seconds=seconds)
    while not done(seen) and (rest := (until - clock.now()).total_seconds()) > 0:
        clock.sleep(min(_READ_INTERVAL_S, rest))
        seen = look(seen)
    return seen


def complete(job: Job, warnings: tuple[str, ...] = (), *, jobs: JobStore, temp: TempFiles, clock: Clock) -> Job:
    """End the job as succeeded and remove its temp files at once."""
    done = job.succeeded(clock.now(), warnings)
    jobs.save(done)
    cleanup_job_temp_files(job.id, temp=temp)
    return done


def give_up(
    job: Job, error: DreamFactoryError, *, jobs: JobStore, outputs: OutputStore, temp: TempFiles, clock: Clock
) -> Job:
    """End the job that ``error`` stopped and remove its temp files: failed, or succeeded with what there is.

    Outputs that are stored were paid for, so their job succeeds and a warning says what is missing.
    """
    stored = len(outputs.of_job(job.id))
    if stored:
        return complete(job, (f"stored {stored} of {job.count} outputs: {error}",), jobs=jobs, temp=temp, clock=clock)
    done = job.failed(JobError.of(error), clock.now())
    jobs.save(done)
    cleanup_job_temp_files(job.id, temp=temp)
    return done


def announce_end(job: Job, *, dispatcher: Dispatcher) -> None:
    """Have the webhook of a job that has just ended delivered at once.

    A crash before, and an invocation that does not come about, leave it to the minute timer.
    """
    if job.webhook_url is None or not job.status.final:
        return
    try:
        dispatcher.announce(job)
    except DispatchError:
        log.warning("a webhook is left to the minute timer", extra={"job_id": job.id}, exc_info=True)


def cancel_job(job_id: str, user_id: str, *, jobs: JobStore, dispatcher: Dispatcher, clock: Clock) -> Job:
    """Wish that a user's job be cancelled, and return it as it is then; a job that has ended stays as it is.

    The attempt at work honours the wish at its next step. Where none is at work, a job of which the provider knows
    nothing ends here, and any other is dispatched, so that the provider hears of it.
    A crash in between leaves the wish, which the minute timer's next dispatch honours.
    """
    job = get_job(job_id, user_id, jobs=jobs)
    jobs.request_cancel(job.id, clock.now())
    job = get_job(job_id, user_id, jobs=jobs)
    if not job.free(clock.now()):
        return job
    try:
        if job.submitted_at is None:
            cancelled = job.cancelled(clock.now())
            jobs.save(cancelled)
            announce_end(cancelled, dispatcher=dispatcher)
        else:
            _dispatch_again(job, jobs=jobs, dispatcher=dispatcher, clock=clock)
    except LeaseLostError:
        log.info("an attempt has just begun; it honours the wish", extra={"job_id": job.id})
    except DispatchError:
        log.warning("dispatch failed; the minute timer repeats it", extra={"job_id": job.id}, exc_info=True)
    return get_job(job_id, user_id, jobs=jobs)


@dataclass(frozen=True)
class RevivalService:
    """What the minute timer works with."""

    jobs: JobStore
    outputs: OutputStore
    temp: TempFiles
    provider_of: ProviderOf
    dispatcher: Dispatcher
    clock: Clock


def revive_waiting_jobs(*, service: RevivalService, until: datetime, batch: int = 200) -> dict[str, int]:
    """Look after unfinished jobs that nobody works on, until ``until``, and return the counts of what was done.

    Those past their deadline end. Of those that wait for a provider's task, the task is polled here, one after the
    other, so that waiting costs no instance per job, and only when it has ended, the job is dispatched. All others are
    dispatched: it is the safety net under every lost invocation, be it one that was never accepted, that died with its
    instance, or whose repetitions are used up.
    """
    counts = Counter({"polled": 0, "dispatched": 0, "ended": 0})
    seen: set[str] = set()
    # What was looked after is due later, so that the same question brings the next ones.
    while fresh := [job for job in service.jobs.waiting(service.clock.now(), limit=batch) if job.id not in seen]:
        for job in fresh:
            if service.clock.now() >= until:
                log.warning("no time for all waiting jobs", extra=dict(counts))
                return dict(counts)
            seen.add(job.id)
            _revive(job, service, counts)
    return dict(counts)


def _revive(job: Job, service: RevivalService, counts: Counter[str]) -> None:
    now = service.clock.now()
    try:
        if job.deadline <= now:
            late = DeadlineExceededError("the job did not finish in its time")
            done = give_up(
                job, late, jobs=service.jobs, outputs=service.outputs, temp=service.temp, clock=service.clock
            )
            announce_end(done, dispatcher=service.dispatcher)
            counts["ended"] += 1
            return
        if job.provider_task_id is not None and job.cancel_requested_at is None:
            provider = service.provider_of(job.model)
            counts["polled"] += 1
            if _is_pending(provider, job.provider_task_id):
                service.jobs.save(job.parked(now + timedelta(seconds=provider.poll_interval_s)))
                return
        _dispatch_again(job, jobs=service.jobs, dispatcher=service.dispatcher, clock=service.clock)
        counts["dispatched"] += 1
    except LeaseLostError:
        return  # somebody has just taken it up: all the better
    except DispatchError:
        log.warning("dispatch failed; repeated in a minute", extra={"job_id": job.id}, exc_info=True)


def _is_pending(provider: Provider, task_id: str) -> bool:
    try:
        return isinstance(provider.poll(task_id), Pending)
    except ProviderUnavailableError:
        return True  # the task goes on at the provider whether or not it can be asked just now
    except ProviderError:
        return False  # the job's own attempt meets the same, and ends it


def _dispatch_again(job: Job, *, jobs: JobStore, dispatcher: Dispatcher, clock: Clock) -> None:
    again = job.dispatched_again(clock.now())
    jobs.save(again, over_attempt=job.attempt)
    dispatcher.dispatch(again)


def first_attempt_due(created: Job) -> Job:
    """Return a new job with the time at which the minute timer looks after it."""
    return created.parked(created.created_at + timedelta(seconds=DISPATCH_GRACE_S))
