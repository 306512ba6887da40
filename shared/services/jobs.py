"""The jobs service: begin, read and end a job."""

import logging
from datetime import timedelta

from shared.domain.errors import DispatchError, LeaseLostError, NotFoundError, ValidationError
from shared.domain.jobs import DISPATCH_GRACE_S, Job, JobError
from shared.ports import Clock, Dispatcher, JobStore, TempFiles
from shared.services.storage import cleanup_job_temp_files

log = logging.getLogger(__name__)
_READ_INTERVAL_S = 0.25


def start_job(job: Job, *, jobs: JobStore, dispatcher: Dispatcher) -> Job:
    """Write the job down and have it begun; return it, or the earlier one of the same idempotency key.

    A crash after the row leaves a job that nobody works on; the minute timer dispatches it. So a dispatch that fails
    is no error to the caller. Raises ValidationError: the key was used with another request.
    """
    stored = jobs.add(job)
    if stored.id != job.id:
        if stored.request_hash != job.request_hash:
            raise ValidationError(
                "this Idempotency-Key was used with another request; use a new key for a new request",
                code="idempotency_key_reused",
            )
        return stored
    try:
        dispatcher.dispatch(stored)
    except DispatchError:
        log.warning("dispatch failed; the minute timer repeats it", extra={"job_id": job.id}, exc_info=True)
    return stored


def get_job(job_id: str, user_id: str, *, jobs: JobStore) -> Job:
    """Return a user's job. Raises NotFoundError, for another user's as well."""
    job = jobs.get(job_id)
    if job is None or job.user_id != user_id:
        raise NotFoundError("there is no such job")
    return job


def wait_for_end(job: Job, seconds: float, *, jobs: JobStore, clock: Clock) -> Job:
    """Return the job once it has ended, or as it is after ``seconds``."""
    until = clock.now() + timedelta(seconds=seconds)
    while not job.status.final and (rest := (until - clock.now()).total_seconds()) > 0:
        clock.sleep(min(_READ_INTERVAL_S, rest))
        job = jobs.get(job.id) or job
    return job


def complete(job: Job, warnings: tuple[str, ...] = (), *, jobs: JobStore, temp: TempFiles, clock: Clock) -> Job:
    """End the job as succeeded and remove its temp files at once."""
    done = job.succeeded(clock.now(), warnings)
    jobs.save(done)
    cleanup_job_temp_files(job.id, temp=temp)
    return done


def fail(job: Job, error: JobError, *, jobs: JobStore, temp: TempFiles, clock: Clock) -> Job:
    """End the job as failed and remove its temp files at once."""
    done = job.failed(error, clock.now())
    jobs.save(done)
    cleanup_job_temp_files(job.id, temp=temp)
    return done


def revive_waiting_jobs(*, jobs: JobStore, dispatcher: Dispatcher, clock: Clock, limit: int = 200) -> dict[str, int]:
    """Dispatch unfinished jobs that nobody works on, and fail those past their deadline; return the counts.

    It is the safety net under every lost invocation: one that was never accepted, that died with its instance, or
    whose repetitions are used up.
    """
    counts = {"dispatched": 0, "failed": 0}
    for job in jobs.waiting(clock.now(), limit=limit):
        try:
            if job.deadline <= clock.now():
                late = JobError("deadline_exceeded", "the job did not finish in its time", retryable=True)
                jobs.save(job.failed(late, clock.now()))
                counts["failed"] += 1
            else:
                again = job.dispatched_again(clock.now())
                jobs.save(again, over_attempt=job.attempt)
                dispatcher.dispatch(again)
                counts["dispatched"] += 1
        except LeaseLostError:
            continue  # somebody has just taken it up: all the better
        except DispatchError:
            log.warning("dispatch failed; repeated in a minute", extra={"job_id": job.id}, exc_info=True)
    return counts


def first_attempt_due(created: Job) -> Job:
    """Return a new job with the time at which the minute timer looks after it."""
    return created.parked(created.created_at + timedelta(seconds=DISPATCH_GRACE_S))
