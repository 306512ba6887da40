"""Bring bucket and tables together again where an event, an invocation or an answer was lost.

It must not be able to destroy anything. So it leaves alone what is young, changes nothing by a list that broke off,
confirms by HEAD before it removes a row, deletes an object only where an intent proves that a job of ours put it (equal
size and CRC-64) and that job has ended without success, and stops deleting when there is suspiciously much to delete.
"""

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.jobs import Job, JobOutput, OutputIntent
from shared.ports import MultipartUpload
from shared.services.batches import Kind, do_kinds, error_boundary, pages
from shared.services.indexing import (
    Change,
    IndexingPorts,
    ObjectToRemove,
    RowToPut,
    RowToRemove,
    follow_object,
    is_same,
    is_unwanted,
    job_prefix,
    write_change,
)

log = logging.getLogger(__name__)
UPLOAD_MAX_AGE = timedelta(hours=24)
GRACE = timedelta(hours=1)
RECENT = timedelta(hours=48)
FEWEST_DELETIONS = 10
DELETIONS_IN_PERCENT = 5
_PREFIX = "users/"
_PAGE = 100
_SHARE = timedelta(seconds=60)  # of the time of one run, for uploads and for intents; jobs have the rest
_COUNTS = (
    *("uploads_aborted", "intents_completed", "intents_removed", "intents_of_other_bytes"),
    *("rows_added", "rows_removed", "objects_deleted"),
    *("looked_at", "skipped", "deletions_withheld"),
)


def reconcile(*, ports: IndexingPorts, until: datetime, dry_run: bool = False) -> dict[str, int | bool]:
    """Settle uploads, intents and recent jobs, as far as it gets until ``until``, and return the counts.

    ``looked_at`` counts uploads, intents, objects and rows; ``skipped`` what failed, and is left to the next run;
    ``deletions_withheld`` what was left for lack of trust in so many; ``complete`` says whether nothing was left for
    lack of time. A dry run changes nothing and counts what it would do, each step as things are now: an intent's object
    counts in ``intents_completed`` and in ``rows_added``. Raises DatabaseUnavailableError.
    """
    counts: Counter[str] = Counter()

    def part(work: Callable[["_Run"], bool]) -> Callable[[datetime], dict[str, int]]:
        return lambda until: {"parts": int(work(_Run(ports, until, dry_run, counts)))}

    kinds = (
        Kind("uploads", part(_Run.abort_uploads), _SHARE),
        Kind("intents", part(_Run.settle_intents), _SHARE),
        Kind("jobs", part(_Run.reconcile_jobs)),
    )
    complete = do_kinds(kinds, until=until, clock=ports.clock)["parts"] == len(kinds)
    if counts["deletions_withheld"]:
        log.error("more to delete than is believable; stopped deleting", extra={"counts": dict(counts)})
    return {**{name: counts[name] for name in _COUNTS}, "complete": complete, "dry_run": dry_run}


@dataclass
class _Run:
    """One run of one part. Each part returns whether it got to its end in time."""

    ports: IndexingPorts
    until: datetime
    dry_run: bool
    counts: Counter[str]

    def abort_uploads(self) -> bool:
        """Abort multipart uploads that nobody will complete: their parts are billed and never listed."""
        with self._skipping("the list of uploads"):
            for upload in self.ports.store.multipart_uploads(_PREFIX, UPLOAD_MAX_AGE):
                if self._late:
                    return False
                self._look_at(1)
                with self._skipping(upload.upload_id):
                    self._abort(upload)
        return True

    def settle_intents(self) -> bool:
        """Make rows of intents whose object has arrived, and remove those whose object will not."""
        before = self._now - GRACE
        for intent in pages(lambda last: self.ports.outputs.intents_before(before, limit=_PAGE, after=last)):
            if self._late:
                return False
            self._look_at(1)
            with self._skipping(intent.output.id):
                self._settle(intent)
        return True

    def reconcile_jobs(self) -> bool:
        """Hold rows and objects of recent jobs against one another.

        The oldest come first: when there are more than one run can look at, each is looked at before it is too old.
        """
        since = self._now - RECENT
        for job in pages(lambda last: self.ports.jobs.recent(since, limit=_PAGE, after=last)):
            if self._late:
                return False
            with self._skipping(job.id):
                self._reconcile_job(job)
        return not self._late

    def _settle(self, intent: OutputIntent) -> None:
        output = intent.output
        job = self.ports.jobs.get(output.job_id)
        if job is not None and not job.status.final:
            return  # the job's next attempt makes the row, or writes another intent in its place
        stored = self.ports.store.head(output.oss_path)
        if stored is not None and is_same(output, stored):
            if not is_unwanted(job):
                self._do("intents_completed", lambda: self.ports.outputs.put(output))
            elif self.ports.outputs.get(output.id) is not None or self._delete_object(output):
                # A row says that somebody was shown the object: then it is no longer only the dead job's.
                self._do("intents_removed", lambda: self.ports.outputs.remove_intent(intent))
            return
        if stored is not None:
            self.counts["intents_of_other_bytes"] += 1
            log.warning("an object is not the one that was intended; left alone", extra={"job_id": output.job_id})
        self._do("intents_removed", lambda: self.ports.outputs.remove_intent(intent))

    def _reconcile_job(self, job: Job) -> None:
        # The whole list first: one that breaks off raises, and nothing is done by half of it.
        objects = {each.key: each for each in self.ports.store.list(job_prefix(job))}
        rows = {row.oss_path: row for row in self.ports.outputs.of_job(job.id)}
        self._look_at(len(objects) + len(rows))
        for key, found in objects.items():
            if self._late:
                return
            row = rows.get(key)
            if found.age > GRACE and (row is None or row.size != found.size):
                with self._skipping(job.id):
                    follow_object(key, ports=self.ports, write=self._write)
        for key, row in rows.items():
            if key not in objects and row.created_at < self._now - GRACE:
                with self._skipping(job.id):
                    self._remove_row(row)

    def _remove_row(self, row: JobOutput) -> None:
        # Only HEAD proves that an object is gone; a list may have been of another user's prefix.
        if self.ports.store.head(row.oss_path) is None and self._write(RowToRemove(row.id)):
            follow_object(row.oss_path, ports=self.ports, write=self._write)

    def _write(self, change: Change) -> bool:
        """Make a change, if it may be; return whether it was made."""
        match change:
            case ObjectToRemove():
                return False  # its intent settles that, once it is old
            case RowToPut():
                name = "rows_added"
            case RowToRemove():
                name = "rows_removed"
                if not self._may_delete():
                    return False
        return self._do(name, lambda: write_change(change, outputs=self.ports.outputs))

    def _delete_object(self, output: JobOutput) -> bool:
        """Delete an object that a dead job of ours put, and return whether an intent of it has become void."""
        if not self._may_delete():
            return False
        self._do("objects_deleted", lambda: self.ports.store.delete(output.oss_path))
        return True

    def _abort(self, upload: MultipartUpload) -> None:
        self._do("uploads_aborted", lambda: self.ports.store.abort_upload(upload))

    def _may_delete(self) -> bool:
        ceiling = max(FEWEST_DELETIONS, self.counts["looked_at"] * DELETIONS_IN_PERCENT // 100)
        # Once it has stopped it does not begin again, though the ceiling rises with what is looked at.
        stopped = self.counts["deletions_withheld"] > 0
        if not stopped and self.counts["rows_removed"] + self.counts["objects_deleted"] < ceiling:
            return True
        self.counts["deletions_withheld"] += 1
        return False

    def _do(self, name: str, action: Callable[[], object]) -> bool:
        """Do what is counted under ``name`` and return True; in a dry run count it, and return False."""
        if not self.dry_run:
            action()
        self.counts[name] += 1
        return not self.dry_run

    def _look_at(self, number: int) -> None:
        self.counts["looked_at"] += number

    def _skipping(self, what: str) -> AbstractContextManager[None]:
        """Leave to the next run what fails in this one."""
        return error_boundary(what, self.counts, counted_as="skipped")

    @property
    def _now(self) -> datetime:
        return self.ports.clock.now()

    @property
    def _late(self) -> bool:
        return self._now >= self.until
