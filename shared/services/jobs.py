"""Read and cancel a job, and wait for its end."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from shared.domain.errors import DispatchError, LeaseLostError, NotFoundError
from shared.domain.jobs import DISPATCH_GRACE_S, Job
from shared.ports import Clock, Dispatcher, JobStore
from shared.services.job_endings import announce_end

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
            again = job.dispatched_again(clock.now())
            jobs.save(again, over_attempt=job.attempt)
            dispatcher.dispatch(again)
    except LeaseLostError:
        log.info("an attempt has just begun; it honours the wish", extra={"job_id": job.id})
    except DispatchError:
        log.warning("dispatch failed; the minute timer repeats it", extra={"job_id": job.id}, exc_info=True)
    return get_job(job_id, user_id, jobs=jobs)


def first_attempt_due(created: Job) -> Job:
    """Return a new job with the time at which the minute timer looks after it."""
    return created.parked(created.created_at + timedelta(seconds=DISPATCH_GRACE_S))
