"""The API's side of deletions: record the deletion first, then have ``clean-up`` carry it out at once.

Only ``clean-up`` can reach the object store. The minute timer finishes every deletion that is still recorded.
"""

import logging
from dataclasses import dataclass

from shared.domain.deletions import (
    Deletion,
    DeletionScope,
    deletion_of_job,
    deletion_of_output,
    deletion_of_user,
)
from shared.domain.errors import ConflictError, DispatchError, NotFoundError, StorageUnavailableError
from shared.domain.jobs import Job
from shared.ports import Clock, DeletionStore, Dispatcher, JobStore, OutputStore
from shared.services.jobs import get_job

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeletionRequestPorts:
    """The ports that requests for deletions use."""

    jobs: JobStore
    outputs: OutputStore
    deletions: DeletionStore
    dispatcher: Dispatcher
    clock: Clock


def delete_job(job_id: str, user_id: str, *, ports: DeletionRequestPorts) -> None:
    """Delete a user's job that has ended, with its objects and its rows.

    A crash before the deletion is recorded changes nothing; after it, the minute timer carries the deletion out. A
    repeated request continues the recorded deletion.
    Raises NotFoundError: the job does not exist, or it is another user's; ConflictError: the job has not ended;
    StorageUnavailableError: the deletion continues, but not within this request.
    """
    job = get_job(job_id, user_id, jobs=ports.jobs)
    _check_ended(job)
    deletion = record_deletion(deletion_of_job(job, ports.clock.now()), deletions=ports.deletions)
    _delete_now(deletion, ports)


def delete_output(output_id: str, user_id: str, *, ports: DeletionRequestPorts) -> None:
    """Delete one output of a user: the object first, then the row.

    Crashes and errors are those of ``delete_job``. A job that has not ended would store the output again.
    """
    deletion = _find_unfinished(DeletionScope.OUTPUT, output_id, deletions=ports.deletions)
    # During a deletion the row may be gone already: the row follows the object.
    if deletion is None or deletion.user_id != user_id:
        output = ports.outputs.get(output_id)
        if output is None or output.user_id != user_id:
            raise NotFoundError("this output does not exist")
        job = ports.jobs.get(output.job_id)
        if job is not None:
            _check_ended(job)
        deletion = deletion_of_output(output, ports.clock.now())
        ports.deletions.add(deletion)
    _delete_now(deletion, ports)


def delete_user_data(user_id: str, *, ports: DeletionRequestPorts) -> Deletion:
    """Delete everything that a user has now, as far as possible within this request, and return the deletion.

    Unfinished jobs are cancelled, so the deletion may take longer than the request. A repeated request returns the
    state of the same deletion, with the same reach, until one request has reported its end; only the next request
    starts a new deletion. Otherwise a caller who repeats the request until the end would lose the jobs that they
    started in the meantime.
    A crash before the deletion is recorded changes nothing; after it, the minute timer continues; before the report of
    the end is recorded, the next request reports the end again.
    """
    deletion = ports.deletions.newest_of(DeletionScope.USER, user_id)
    if deletion is None or deletion.told_at is not None:
        deletion = deletion_of_user(user_id, ports.clock.now())
        ports.deletions.add(deletion)
    if deletion.finished_at is None:
        deletion = _have_carried_out(deletion, ports)
    if deletion.finished_at is not None:
        ports.deletions.tell(deletion.id, ports.clock.now())
    return deletion


def record_deletion(requested: Deletion, *, deletions: DeletionStore) -> Deletion:
    """Record a deletion and return it, or return the unfinished deletion of the same target."""
    if earlier := _find_unfinished(requested.scope, requested.target_id, deletions=deletions):
        return earlier
    deletions.add(requested)
    return requested


def _check_ended(job: Job) -> None:
    if not job.status.final:
        raise ConflictError("the job has not ended; cancel it first", code="job_running")


def _find_unfinished(scope: DeletionScope, target_id: str, *, deletions: DeletionStore) -> Deletion | None:
    newest = deletions.newest_of(scope, target_id)
    return newest if newest is not None and newest.finished_at is None else None


def _delete_now(deletion: Deletion, ports: DeletionRequestPorts) -> None:
    if _have_carried_out(deletion, ports).finished_at is None:
        raise StorageUnavailableError("the deletion is recorded and continues in the background")


def _have_carried_out(deletion: Deletion, ports: DeletionRequestPorts) -> Deletion:
    """Have ``clean-up`` carry the deletion out, and return the deletion's state afterwards."""
    try:
        ports.dispatcher.delete(deletion.id)
    except DispatchError:
        log.warning("clean-up failed; the minute timer continues", extra={"deletion_id": deletion.id}, exc_info=True)
    return ports.deletions.get(deletion.id) or deletion
