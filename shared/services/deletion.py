"""Carry out deletions: first the deletion is recorded, then its objects are deleted, and then its rows.

``api`` records the deletion and has ``clean-up`` carry it out at once, because only ``clean-up`` loads the object
store. The minute timer continues deletions that have not ended. Every step can be repeated, so each turn begins at the
start and finds less to do. An hour after its end a deletion is carried out a second time and then forgotten. The second
run deletes the objects of attempts that were slower than the deletion.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, takewhile
from typing import TypeVar

from shared.domain.cursors import Place
from shared.domain.deletions import Deletion, DeletionScope, deletion_of_job
from shared.domain.errors import LeaseLostError, NotFoundError
from shared.domain.jobs import Job, JobOutput
from shared.domain.keys import prefix_of_job, prefix_of_user
from shared.ports import (
    Clock,
    DeletionStore,
    JobStore,
    ListedObject,
    MultipartUpload,
    ObjectStore,
    OutputStore,
)
from shared.services.batches import do_each, error_boundary, pages
from shared.services.deletion_requests import record_deletion
from shared.services.jobs import JobPorts, cancel_job

log = logging.getLogger(__name__)
_PAGE = 100
_TURN = timedelta(seconds=10)
_TO_THE_SECOND = timedelta(seconds=1)  # the precision of OSS's times
_OF_ANY_AGE = timedelta(days=-1)
T = TypeVar("T")
Found = TypeVar("Found", ListedObject, MultipartUpload)


@dataclass(frozen=True)
class DeletionPorts:
    """The ports that carry out deletions."""

    store: ObjectStore
    jobs: JobStore
    outputs: OutputStore
    deletions: DeletionStore
    clock: Clock
    cancelling: JobPorts


def carry_out_deletion(deletion_id: str, *, ports: DeletionPorts, until: datetime) -> dict[str, int]:
    """Carry out one deletion, as far as possible until ``until``; return ``deletions_ended``, 1 or 0.

    Raises StorageUnavailableError, StorageRefusedError and DatabaseUnavailableError; then the minute timer continues
    the deletion, even if it had given the deletion up before.
    """
    deletion = ports.deletions.get(deletion_id)
    if deletion is None:
        return {"deletions_ended": 0}
    with suppress(LeaseLostError):  # the minute timer has just begun with it; two runs at once do no harm
        ports.deletions.save(deletion.begun_again(), over=deletion)
    return {"deletions_ended": int(_Run(ports, until).carry_out(deletion))}


def resume_deletions(*, ports: DeletionPorts, until: datetime) -> dict[str, int]:
    """Carry out every deletion that is due, also a second time an hour after its end, and return the counts.

    Each deletion has a turn. A deletion that needs longer gets further turns, after all others, as long as there is
    time. A deletion that fails is postponed, and given up after some days of failures. After a crash, the next turn
    continues. Raises DatabaseUnavailableError.
    """
    rounds = _Rounds(ports, until)
    while rounds.take_turns():
        pass
    return {**rounds.counts, "deletions_left": len(rounds.left)}


@dataclass(frozen=True)
class _Rounds:
    ports: DeletionPorts
    until: datetime
    counts: Counter[str] = field(default_factory=lambda: Counter(deletions_ended=0, failed=0))
    left: set[str] = field(default_factory=set)

    def take_turns(self) -> bool:
        """Give a turn to each deletion that is due now, and return whether one of them needs another turn at once."""
        began, again = self.ports.clock.now(), False
        for deletion in pages(lambda last: self.ports.deletions.due(began, limit=_PAGE, after=last)):
            now = self.ports.clock.now()
            if now >= self.until:
                return False
            self.left.add(deletion.id)
            turn = _Turn(deletion, _Run(self.ports, min(self.until, now + _TURN)))
            with error_boundary(deletion.id, self.counts, turn.charge):
                again = self._take(turn) or again
        return again

    def _take(self, turn: "_Turn") -> bool:
        deletion = turn.deletion
        if turn.take():
            self.left.discard(deletion.id)
            self.counts["deletions_ended"] += deletion.finished_at is None
            return False
        return turn.interrupt()


class _Turn:
    """One turn of a deletion; ``deletion`` is its last recorded state."""

    def __init__(self, deletion: Deletion, run: "_Run") -> None:
        self.deletion = deletion
        self._run = run

    def take(self) -> bool:
        """Carry the deletion out as far as possible, and return whether it reached its end."""
        # No other run begins with the deletion before the time of this turn is over.
        self._save(self.deletion.postponed(self._run.now))
        if self.deletion.finished_at is None:
            return self._run.carry_out(self.deletion)
        return self._run.repeat(self.deletion)

    def interrupt(self) -> bool:
        """Return whether the turn ended because its time was over; then another turn is due at once."""
        if not self._run.is_late:
            return False  # the deletion waits for running jobs
        self._save(self.deletion.interrupted(self._run.now))
        return True

    def charge(self, error: Exception) -> None:
        """Postpone the deletion, or give it up."""
        self._save(self.deletion.failed(self._run.now))
        if self.deletion.given_up:
            log.error("the deletion is given up", extra={"deletion_id": self.deletion.id})

    def _save(self, deletion: Deletion) -> None:
        self._run.ports.deletions.save(deletion, over=self.deletion)
        self.deletion = deletion


def _remove(remove: Callable[[], object]) -> bool:
    remove()
    return True


@dataclass(frozen=True)
class _Run:
    """One run. A method that returns bool returns whether it reached its end."""

    ports: DeletionPorts
    until: datetime

    def carry_out(self, deletion: Deletion) -> bool:
        """Delete the objects; then remove the rows and record the end, in one transaction.

        A crash between the two leaves rows without objects, and a deletion that has not ended.
        """
        match deletion.scope:
            case DeletionScope.OUTPUT:
                done = self._delete_object(deletion)
            case DeletionScope.JOB:
                done = self._empty_job(deletion)
            case DeletionScope.USER:
                done = self._empty_user(deletion)
        if done:
            self.ports.deletions.finish(deletion, self.now)
        return done

    def repeat(self, deletion: Deletion) -> bool:
        """Carry the deletion out a second time, and remove its row."""
        done = self.carry_out(deletion)
        if done:
            self.ports.deletions.remove(deletion.id)
        return done

    def _delete_object(self, deletion: Deletion) -> bool:
        if deletion.oss_path is not None:
            self.ports.store.delete(deletion.oss_path)
        return True

    def _empty_job(self, deletion: Deletion) -> bool:
        prefix = prefix_of_job(deletion.user_id, deletion.target_id)
        return self._empty(deletion, prefix, _OF_ANY_AGE, lambda _: True)

    def _empty_user(self, deletion: Deletion) -> bool:
        """Delete a user's jobs, then the objects that belong to no job, then the rows without objects."""
        prefix = prefix_of_user(deletion.user_id)
        younger = self.now - deletion.requested_at - _TO_THE_SECOND
        parts: list[Callable[[], bool]] = [
            lambda: self._delete_jobs(deletion),
            lambda: self._empty(
                deletion, prefix, younger, lambda key: not self._is_of_job(key, prefix, deletion.user_id)
            ),
            lambda: self._remove_rows(deletion),
        ]
        return self._each(deletion, parts, lambda part: part())

    def _empty(self, deletion: Deletion, prefix: str, older_than: timedelta, is_ours: Callable[[str], bool]) -> bool:
        """Abort uploads and delete objects below the prefix, if they are older than ``older_than`` and ``is_ours``.

        The uploads come first: an upload that has just been completed is then in the list of objects.
        """
        store = self.ports.store
        uploads = self._below(prefix, store.multipart_uploads(prefix, older_than), is_ours)
        objects = (found for found in self._below(prefix, store.list(prefix), is_ours) if found.age > older_than)
        return self._each(
            deletion,
            chain(
                (partial(store.abort_upload, upload) for upload in uploads),
                (partial(store.delete, found.key) for found in objects),
            ),
            _remove,
        )

    def _each(self, deletion: Deletion, found: Iterable[T], work: Callable[[T], bool]) -> bool:
        """Do the work for each item until the time is over, and return whether nothing is left.

        If the work fails for some items, the first failure is raised after the last item. So an object that OSS refuses
        to delete keeps its deletion from ending, but does not stop the other work.
        """
        done: list[bool] = []
        in_time = takewhile(lambda _: not self.is_late, found)
        do_each(in_time, lambda each: done.append(work(each)), id_of=lambda _: deletion.id)
        return all(done) and not self.is_late

    @staticmethod
    def _below(prefix: str, found: Iterable[Found], is_ours: Callable[[str], bool]) -> Iterator[Found]:
        # Even if a list has a wrong prefix, objects of other users are not deleted.
        return (each for each in found if each.key.startswith(prefix) and is_ours(each.key))

    def _delete_jobs(self, deletion: Deletion) -> bool:
        """Delete every job that was created before the request; return whether none of them is left."""
        return self._each(deletion, self._jobs_up_to(deletion), self._delete_job)

    def _jobs_up_to(self, deletion: Deletion) -> Iterator[Job]:
        end = Place(deletion.requested_at + timedelta(milliseconds=1), "")

        def page(last: Job | None) -> Sequence[Job]:
            before = end if last is None else Place(last.created_at, last.id)
            return self.ports.jobs.of_user(deletion.user_id, before=before, limit=_PAGE)

        return pages(page)

    def _delete_job(self, job: Job) -> bool:
        """Delete a job that has ended, and request the cancellation of any other job."""
        job = self._request_end(job)
        if not job.status.final:
            return False
        deletion = deletion_of_job(job, self.now)
        return self.carry_out(record_deletion(deletion, deletions=self.ports.deletions))

    def _request_end(self, job: Job) -> Job:
        if job.status.final or job.cancel_requested_at is not None:
            return job
        try:
            return cancel_job(job.id, job.user_id, ports=self.ports.cancelling)
        except NotFoundError:
            return job  # another run has just deleted the job; the next run does not find it

    def _is_of_job(self, key: str, prefix: str, user_id: str) -> bool:
        """Return whether a key belongs to an existing job of the user: then the object is deleted with the job only."""
        folder, _, rest = key.removeprefix(prefix).partition("/")
        job = self.ports.jobs.get(rest.partition("/")[0]) if folder == "jobs" else None
        return job is not None and job.user_id == user_id

    def _remove_rows(self, deletion: Deletion) -> bool:
        """Remove the user's rows without objects, except the rows of existing jobs."""
        return self._each(deletion, self._rows_of(deletion.user_id), self._remove_row)

    def _rows_of(self, user_id: str) -> Iterator[JobOutput]:
        def page(last: JobOutput | None) -> Sequence[JobOutput]:
            before = None if last is None else Place(last.created_at, last.id)
            return self.ports.outputs.of_user(user_id, before=before, limit=_PAGE)

        return pages(page)

    def _remove_row(self, row: JobOutput) -> bool:
        if self.ports.jobs.get(row.job_id) is None and self.ports.store.head(row.oss_path) is None:
            self.ports.outputs.remove(row.id)
        return True

    @property
    def now(self) -> datetime:
        return self.ports.clock.now()

    @property
    def is_late(self) -> bool:
        return self.now >= self.until
