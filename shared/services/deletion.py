"""Deletion that holds: the wish is written down first, then the objects go, and the rows after them.

``api`` writes the wish and has ``clean-up`` carry it out at once, because only there is the object store at hand; what
remains, the minute timer goes on with. Every step can be repeated, so whoever comes next begins at the beginning and
finds less to do. An hour after its end a deletion is carried out a second time and forgotten: what an attempt put that
was slower than the deletion is gone then, too.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from shared.domain.cursors import Place
from shared.domain.deletions import (
    SECOND_LOOK_AFTER,
    Deletion,
    DeletionScope,
    deletion_of_job,
    deletion_of_output,
    deletion_of_user,
)
from shared.domain.errors import ConflictError, DispatchError, NotFoundError, StorageError, StorageUnavailableError
from shared.domain.jobs import Job
from shared.domain.keys import prefix_of_job, prefix_of_user
from shared.ports import (
    Clock,
    DeletionStore,
    Dispatcher,
    JobStore,
    ListedObject,
    MultipartUpload,
    ObjectStore,
    OutputStore,
)
from shared.services.jobs import cancel_job, get_job

log = logging.getLogger(__name__)
_PAGE = 100
_TIME_PER_MINUTE = timedelta(seconds=50)  # then the next minute's run goes on, and not two at once
_TO_THE_SECOND = timedelta(seconds=1)  # OSS tells times and ages no more exactly
_OF_ANY_AGE = timedelta(days=-1)
Found = TypeVar("Found", ListedObject, MultipartUpload)


# -- what api does


def delete_job(
    job_id: str,
    user_id: str,
    *,
    jobs: JobStore,
    deletions: DeletionStore,
    dispatcher: Dispatcher,
    clock: Clock,
) -> None:
    """Delete a user's job that has ended, with its objects and its rows.

    A crash before the wish leaves everything as it was; after it, a deletion that the minute timer carries out. A
    repeated request goes on with the one that is written down.
    Raises NotFoundError, for another user's as well; ConflictError: the job is still at work; StorageUnavailableError:
    it goes on, but not within this request.
    """
    job = get_job(job_id, user_id, jobs=jobs)
    _check_ended(job)
    deletion = _write_down(deletion_of_job(job, clock.now()), deletions=deletions)
    _delete_now(deletion, deletions=deletions, dispatcher=dispatcher)


def delete_output(
    output_id: str,
    user_id: str,
    *,
    jobs: JobStore,
    outputs: OutputStore,
    deletions: DeletionStore,
    dispatcher: Dispatcher,
    clock: Clock,
) -> None:
    """Delete one output of a user: the object first, then the row.

    Crashes and errors are as in ``delete_job``. A job that has not ended would store the output again.
    """
    deletion = _find_under_way(DeletionScope.OUTPUT, output_id, deletions=deletions)
    # The row of one that is under way may be gone: it follows the object.
    if deletion is None or deletion.user_id != user_id:
        output = outputs.get(output_id)
        if output is None or output.user_id != user_id:
            raise NotFoundError("there is no such output")
        job = jobs.get(output.job_id)
        if job is not None:
            _check_ended(job)
        deletion = deletion_of_output(output, clock.now())
        deletions.add(deletion)
    _delete_now(deletion, deletions=deletions, dispatcher=dispatcher)


def delete_user_data(user_id: str, *, deletions: DeletionStore, dispatcher: Dispatcher, clock: Clock) -> Deletion:
    """Delete everything that a user has now, as far as it gets while they wait, and return how far it is.

    Jobs at work are cancelled, so it may take longer than a request. A repeated one asks how far it is, and reaches no
    further than the first, until its end has been told; only the next one is a new deletion. Or else whoever repeats it
    until the end would lose what they have begun meanwhile.
    A crash before the wish leaves everything as it was; after it, the minute timer goes on; before the end is written
    down as told, it is told again.
    """
    deletion = deletions.newest_of(DeletionScope.USER, user_id)
    if deletion is None or deletion.told_at is not None:
        deletion = deletion_of_user(user_id, clock.now())
        deletions.add(deletion)
    if deletion.finished_at is None:
        deletion = _have_carried_out(deletion, deletions=deletions, dispatcher=dispatcher)
    if deletion.finished_at is not None:
        deletions.tell(deletion.id, clock.now())
    return deletion


def _check_ended(job: Job) -> None:
    if not job.status.final:
        raise ConflictError("the job is still at work: cancel it first", code="job_running")


def _write_down(wish: Deletion, *, deletions: DeletionStore) -> Deletion:
    """Return the deletion of the same target that is under way, or the wish once it is written down."""
    if earlier := _find_under_way(wish.scope, wish.target_id, deletions=deletions):
        return earlier
    deletions.add(wish)
    return wish


def _find_under_way(scope: DeletionScope, target_id: str, *, deletions: DeletionStore) -> Deletion | None:
    newest = deletions.newest_of(scope, target_id)
    return newest if newest is not None and newest.finished_at is None else None


def _delete_now(deletion: Deletion, *, deletions: DeletionStore, dispatcher: Dispatcher) -> None:
    if _have_carried_out(deletion, deletions=deletions, dispatcher=dispatcher).finished_at is None:
        raise StorageUnavailableError("the deletion is written down and goes on by itself")


def _have_carried_out(deletion: Deletion, *, deletions: DeletionStore, dispatcher: Dispatcher) -> Deletion:
    """Return the deletion as it is after ``clean-up`` has worked on it."""
    try:
        dispatcher.delete(deletion.id)
    except DispatchError:
        log.warning("the minute timer goes on with it", extra={"deletion_id": deletion.id}, exc_info=True)
    return deletions.get(deletion.id) or deletion


# -- what clean-up does


@dataclass(frozen=True)
class DeletionService:
    """What deletions are carried out with."""

    store: ObjectStore
    jobs: JobStore
    outputs: OutputStore
    deletions: DeletionStore
    dispatcher: Dispatcher
    clock: Clock


def carry_out_deletion(deletion_id: str, *, service: DeletionService, until: datetime) -> dict[str, int]:
    """Carry out one deletion, as far as it gets until ``until``; return whether it has ended, counted.

    Raises StorageUnavailableError, StorageRefusedError and DatabaseUnavailableError; then the minute timer goes on.
    """
    deletion = service.deletions.get(deletion_id)
    return {"deletions_ended": int(deletion is not None and _Run(service, until).carry_out(deletion))}


def resume_deletions(*, service: DeletionService, until: datetime) -> dict[str, int]:
    """Go on with every deletion that has not ended, and look again at those that ended an hour ago.

    What OSS does not answer for is left to the next minute. A crash in between leaves less to do for it.
    Raises DatabaseUnavailableError.
    """
    now = service.clock.now()
    run = _Run(service, min(until, now + _TIME_PER_MINUTE))
    unfinished = _pages(lambda last: service.deletions.unfinished(limit=_PAGE, after=last))
    ended = Counter(run.try_to(run.carry_out, deletion) for deletion in unfinished)
    before = now - SECOND_LOOK_AFTER
    for deletion in _pages(lambda last: service.deletions.finished_before(before, limit=_PAGE, after=last)):
        run.try_to(run.look_again, deletion)
    return {"deletions_ended": ended[True], "deletions_left": ended[False]}


def _pages(ask: Callable[[Deletion | None], Sequence[Deletion]]) -> Iterator[Deletion]:
    last: Deletion | None = None
    while page := ask(last):
        yield from page
        last = page[-1]


@dataclass(frozen=True)
class _Run:
    """One run. What returns bool tells whether it got to its end."""

    service: DeletionService
    until: datetime

    def try_to(self, work: Callable[[Deletion], bool], deletion: Deletion) -> bool:
        """Do the work unless it is late or OSS is away."""
        try:
            return not self._late and work(deletion)
        except StorageError:
            log.warning("left to the next minute", extra={"deletion_id": deletion.id}, exc_info=True)
            return False

    def carry_out(self, deletion: Deletion) -> bool:
        """Delete the objects; then the rows go, and the end is written down, in one transaction.

        A crash in between leaves rows whose objects are gone, and a deletion that has not ended.
        """
        match deletion.scope:
            case DeletionScope.OUTPUT:
                done = self._delete_object(deletion)
            case DeletionScope.JOB:
                done = self._empty_job(deletion)
            case DeletionScope.USER:
                done = self._empty_user(deletion)
        if done:
            self.service.deletions.finish(deletion, self._now)
        return done

    def look_again(self, deletion: Deletion) -> bool:
        """Carry the deletion out a second time, and forget it."""
        done = self.carry_out(deletion)
        if done:
            self.service.deletions.remove(deletion.id)
        return done

    def _delete_object(self, deletion: Deletion) -> bool:
        if deletion.oss_path is not None:
            self.service.store.delete(deletion.oss_path)
        return True

    def _empty_job(self, deletion: Deletion) -> bool:
        return self._empty(prefix_of_job(deletion.user_id, deletion.target_id), _OF_ANY_AGE, lambda _: True)

    def _empty_user(self, deletion: Deletion) -> bool:
        """Delete a user's jobs; then what lies below the prefix of no job; then the rows of no object."""
        prefix = prefix_of_user(deletion.user_id)
        jobs_gone = self._delete_jobs(deletion)
        younger = self._now - deletion.requested_at - _TO_THE_SECOND
        rest_gone = self._empty(prefix, younger, lambda key: not self._is_of_job(key, prefix, deletion.user_id))
        return self._remove_rows(deletion.user_id) and rest_gone and jobs_gone

    def _empty(self, prefix: str, older_than: timedelta, is_ours: Callable[[str], bool]) -> bool:
        """Abort uploads and delete objects below the prefix that are older, and ours.

        The uploads come first: one that was completed just before is among the objects then.
        """
        for upload in self._below(prefix, self.service.store.multipart_uploads(prefix, older_than), is_ours):
            if self._late:
                return False
            self.service.store.abort_upload(upload)
        for found in self._below(prefix, self.service.store.list(prefix), is_ours):
            if self._late:
                return False
            if found.age > older_than:
                self.service.store.delete(found.key)
        return True

    @staticmethod
    def _below(prefix: str, found: Iterable[Found], is_ours: Callable[[str], bool]) -> Iterator[Found]:
        # A list that is of another prefix must not delete what belongs to somebody else.
        return (each for each in found if each.key.startswith(prefix) and is_ours(each.key))

    def _delete_jobs(self, deletion: Deletion) -> bool:
        """Delete every job created up to the request; return whether none of them is left."""
        gone, place = True, Place(deletion.requested_at + timedelta(milliseconds=1), "")
        while page := self.service.jobs.of_user(deletion.user_id, before=place, limit=_PAGE):
            for job in page:
                if self._late:
                    return False
                gone = self._delete_job(job) and gone
            place = Place(page[-1].created_at, page[-1].id)
        return gone

    def _delete_job(self, job: Job) -> bool:
        """Delete a job that has ended; ask one that has not for its end."""
        job = self._with_wish_to_end(job)
        if not job.status.final:
            return False
        wish = deletion_of_job(job, self._now)
        return self.try_to(self.carry_out, _write_down(wish, deletions=self.service.deletions))

    def _with_wish_to_end(self, job: Job) -> Job:
        if job.status.final or job.cancel_requested_at is not None:
            return job
        try:
            return cancel_job(
                job.id,
                job.user_id,
                jobs=self.service.jobs,
                dispatcher=self.service.dispatcher,
                clock=self.service.clock,
            )
        except NotFoundError:
            return job  # another run has just deleted it; the next look does not find it

    def _is_of_job(self, key: str, prefix: str, user_id: str) -> bool:
        """Tell whether a key below the user's prefix is of a job that there is: then it goes with it, or stays."""
        folder, _, rest = key.removeprefix(prefix).partition("/")
        job = self.service.jobs.get(rest.partition("/")[0]) if folder == "jobs" else None
        return job is not None and job.user_id == user_id

    def _remove_rows(self, user_id: str) -> bool:
        """Remove the user's rows whose objects are gone, without those of jobs that there are."""
        place: Place | None = None
        while page := self.service.outputs.of_user(user_id, before=place, limit=_PAGE):
            for row in page:
                if self._late:
                    return False
                if self.service.jobs.get(row.job_id) is None and self.service.store.head(row.oss_path) is None:
                    self.service.outputs.remove(row.id)
            place = Place(page[-1].created_at, page[-1].id)
        return True

    @property
    def _now(self) -> datetime:
        return self.service.clock.now()

    @property
    def _late(self) -> bool:
        return self._now >= self.until
