"""How a job ends: as succeeded, as failed, and with the delivery of its webhook."""

import logging
from dataclasses import dataclass

from shared.domain.errors import DeadlineExceededError, DispatchError, DreamFactoryError
from shared.domain.jobs import Job, JobError
from shared.ports import Clock, Dispatcher, JobStore, OutputStore, TempFiles
from shared.services.storage import cleanup_job_temp_files

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobEndingPorts:
    """The ports that are needed to end a job."""

    jobs: JobStore
    outputs: OutputStore
    temp: TempFiles
    clock: Clock


def complete_job(job: Job, warnings: tuple[str, ...] = (), *, ports: JobEndingPorts) -> Job:
    """End the job as succeeded, remove its temp files at once, and return it.

    Raises LeaseLostError or DatabaseUnavailableError.
    """
    return _end(job.succeeded(ports.clock.now(), warnings), ports)


def give_up_job(job: Job, error: DreamFactoryError, *, ports: JobEndingPorts) -> Job:
    """End the job that ``error`` stopped, remove its temp files, and return it: failed, or succeeded in part.

    The outputs that are stored were paid for. So a job with at least one of them succeeds, and a warning says how many
    are missing. Raises LeaseLostError or DatabaseUnavailableError.
    """
    stored = len(ports.outputs.of_job(job.id))
    if stored:
        return complete_job(job, (f"stored {stored} of {job.count} outputs: {error}",), ports=ports)
    return fail_job(job, error, ports=ports)


def fail_job(job: Job, error: DreamFactoryError, *, ports: JobEndingPorts) -> Job:
    """End the job as failed, whatever is stored of it, remove its temp files, and return it.

    Raises LeaseLostError or DatabaseUnavailableError.
    """
    return _end(job.failed(JobError.of(error), ports.clock.now()), ports)


def _end(ended: Job, ports: JobEndingPorts) -> Job:
    ports.jobs.save(ended)
    cleanup_job_temp_files(ended.id, temp=ports.temp)
    return ended


def deadline_exceeded(job: Job) -> DreamFactoryError:
    """Return the failure of a job that is past its deadline."""
    hours = (job.deadline - job.created_at).total_seconds() / 3600
    return DeadlineExceededError(f"the job did not finish within {hours:g} h of its creation")


def unexpected_failure(cause: Exception) -> DreamFactoryError:
    """Return the failure that the user of a job sees when ``cause`` is a bug: it reveals nothing internal."""
    failure = DreamFactoryError("an unexpected internal error occurred", retryable=True)
    failure.__cause__ = cause
    return failure


def announce_end(job: Job, *, dispatcher: Dispatcher) -> None:
    """Have the webhook of a job that has just ended delivered at once; do nothing for any other job.

    After a crash before this call, and when the invocation fails, the minute timer delivers the webhook.
    """
    if job.webhook_url is None or not job.status.final:
        return
    try:
        dispatcher.announce(job)
    except DispatchError:
        log.warning("webhook not sent at once; the minute timer sends it", extra={"job_id": job.id}, exc_info=True)
