"""Read and cancel a job, and wait for its end."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from shared.domain.errors import DispatchError, LeaseLostError, NotFoundError
from shared.domain.jobs import DISPATCH_GRACE_S, Job
from shared.ports import Clock, Dispatcher, JobStore
from shared.services.job_endings import announce_end

log = logging.getLogger(__name__)
T = TypeVar("T")
_READ_INTERVAL_S = 0.25


@dataclass(frozen=True)
class JobPorts:
    """The ports that cancelling a job uses."""

    jobs: JobStore
    dispatcher: Dispatcher
    clock: Clock


def get_job(job_id: str, user_id: str, *, jobs: JobStore) -> Job:
    """Return a user's job. Raises NotFoundError: the job does not exist, or it is another user's."""
    job = jobs.get(job_id)
    if job is None or job.user_id != user_id:
        raise NotFoundError("this job does not exist")
    return job


def wait_for_end(job: Job, seconds: float, *, jobs: JobStore, clock: Clock) -> Job:
    """Return the job once it has ended, or its state after ``seconds``."""
    return look_until(lambda seen: seen.status.final, lambda seen: jobs.get(seen.id) or seen, job, seconds, clock=clock)


def look_until(done: Callable[[T], bool], look: Callable[[T], T], seen: T, seconds: float, *, clock: Clock) -> T:
    """Call ``look`` again and again until ``done`` or for ``seconds``; return its last value."""
    until = clock.now() + timedelta(seconds=seconds)
    while not done(seen) and (rest := (until - clock.now()).total_seconds()) > 0:
        clock.sleep(min(_READ_INTERVAL_S, rest))
        seen = look(seen)
    return seen


def cancel_job(job_id: str, user_id: str, *, ports: JobPorts) -> Job:
    """Request the cancellation of a user's job, and return the job; a job that has ended does not change.

    A running attempt ends the job at its next step. Without a running attempt, a job that the provider does not know
    ends here; any other job is dispatched, so that its next attempt cancels the provider's task.
    After a crash in between, the request stays stored, and the minute timer's next dispatch carries it out.
    Raises NotFoundError: the job does not exist, or it is another user's.
    """
    job = get_job(job_id, user_id, jobs=ports.jobs)
    ports.jobs.request_cancel(job.id, ports.clock.now())
    job = get_job(job_id, user_id, jobs=ports.jobs)
    if not job.free(ports.clock.now()):
        return job
    try:
        if job.submitted_at is None:
            cancelled = job.cancelled(ports.clock.now())
            ports.jobs.save(cancelled)
            announce_end(cancelled, dispatcher=ports.dispatcher)
        else:
            again = job.dispatched_again(ports.clock.now())
            ports.jobs.save(again, over_attempt=job.attempt)
            ports.dispatcher.dispatch(again)
    except LeaseLostError:
        log.info("an attempt has just begun; it carries out the cancellation", extra={"job_id": job.id})
    except DispatchError:
        log.warning("dispatch failed; the minute timer repeats it", extra={"job_id": job.id}, exc_info=True)
    return get_job(job_id, user_id, jobs=ports.jobs)


def first_attempt_due(created: Job) -> Job:
    """Return a new job with the time at which the minute timer dispatches it if nothing else does."""
    return created.parked(created.created_at + timedelta(seconds=DISPATCH_GRACE_S))
