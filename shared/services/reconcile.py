"""Repair differences between the bucket and the tables after an event, an invocation or an answer was lost.

The reconcile must not be able to destroy anything. So it ignores young objects and rows, changes nothing after a list
that broke off, and confirms with HEAD before it removes a row. It deletes an object only if an intent proves that one
of our jobs uploaded it (equal size and CRC-64) and this job has ended without success. It stops deleting when the
number of deletions is suspiciously high.
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
_SHARE = timedelta(seconds=60)  # of the time of one run, each for uploads and for intents; jobs have the rest
_COUNTS = (
    *("uploads_aborted", "intents_completed", "intents_removed", "intents_of_other_bytes"),
    *("rows_added", "rows_removed", "objects_deleted"),
    *("looked_at", "skipped", "deletions_withheld"),
)


def reconcile(*, ports: IndexingPorts, until: datetime, dry_run: bool = False) -> dict[str, int | bool]:
    """Check uploads, intents and recent jobs, as many as possible until ``until``, and return the counts.

    ``looked_at`` counts uploads, intents, objects and rows; ``skipped`` counts failures, which the next run repeats;
    ``deletions_withheld`` counts deletions that were not done because there were too many. ``complete`` is whether the
    run reached its end in time. A dry run changes nothing, and counts the changes that it would make in the present
    state: an object of an intent counts in ``intents_completed`` and in ``rows_added``. Raises
    DatabaseUnavailableError.
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
        log.error("suspiciously many deletions; the reconcile stopped deleting", extra={"counts": dict(counts)})
    return {**{name: counts[name] for name in _COUNTS}, "complete": complete, "dry_run": dry_run}


@dataclass
class _Run:
    """One run of one part. Each part returns whether it reached its end in time."""

    ports: IndexingPorts
    until: datetime
    dry_run: bool
    counts: Counter[str]

    def abort_uploads(self) -> bool:
        """Abort multipart uploads that nobody will complete: OSS bills their parts, and no list shows them."""
        with self._skipping("the list of uploads"):
            for upload in self.ports.store.multipart_uploads(_PREFIX, UPLOAD_MAX_AGE):
                if self._late:
                    return False
                self._look_at(1)
                with self._skipping(upload.upload_id):
                    self._abort(upload)
        return True

    def settle_intents(self) -> bool:
        """Write the rows of intents whose object has arrived, and remove intents whose object will not arrive."""
        before = self._now - GRACE
        for intent in pages(lambda last: self.ports.outputs.intents_before(before, limit=_PAGE, after=last)):
            if self._late:
                return False
            self._look_at(1)
            with self._skipping(intent.output.id):
                self._settle(intent)
        return True

    def reconcile_jobs(self) -> bool:
        """Compare the rows of recent jobs with their objects.

        The oldest jobs come first: if there are too many for one run, each is still checked before it is too old.
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
            return  # the job's next attempt writes the row, or replaces the intent
        stored = self.ports.store.head(output.oss_path)
        if stored is not None and is_same(output, stored):
            if not is_unwanted(job):
                self._do("intents_completed", lambda: self.ports.outputs.put(output))
            elif self.ports.outputs.get(output.id) is not None or self._delete_object(output):
                # An object with a row may have been shown to its user, so it stays.
                self._do("intents_removed", lambda: self.ports.outputs.remove_intent(intent))
            return
        if stored is not None:
            self.counts["intents_of_other_bytes"] += 1
            log.warning("an object differs from its intent; it stays unchanged", extra={"job_id": output.job_id})
        self._do("intents_removed", lambda: self.ports.outputs.remove_intent(intent))

    def _reconcile_job(self, job: Job) -> None:
        # The whole list comes first: if it breaks off, it raises before anything is done.
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
        # Only HEAD proves that an object does not exist: the list may have had a wrong prefix.
        if self.ports.store.head(row.oss_path) is None and self._write(RowToRemove(row.id)):
            follow_object(row.oss_path, ports=self.ports, write=self._write)

    def _write(self, change: Change) -> bool:
        """Make a change if it is allowed, and return whether it was made."""
        match change:
            case ObjectToRemove():
                return False  # ``settle_intents`` removes the object once its intent is old
            case RowToPut():
                name = "rows_added"
            case RowToRemove():
                name = "rows_removed"
                if not self._may_delete():
                    return False
        return self._do(name, lambda: write_change(change, outputs=self.ports.outputs))

    def _delete_object(self, output: JobOutput) -> bool:
        """Delete an object of a job that ended without success, and return whether its intent may be removed."""
        if not self._may_delete():
            return False
        self._do("objects_deleted", lambda: self.ports.store.delete(output.oss_path))
        return True

    def _abort(self, upload: MultipartUpload) -> None:
        self._do("uploads_aborted", lambda: self.ports.store.abort_upload(upload))

    def _may_delete(self) -> bool:
        ceiling = max(FEWEST_DELETIONS, self.counts["looked_at"] * DELETIONS_IN_PERCENT // 100)
        # A stop is final, although the ceiling rises with the number of checked objects and rows.
        stopped = self.counts["deletions_withheld"] > 0
        if not stopped and self.counts["rows_removed"] + self.counts["objects_deleted"] < ceiling:
            return True
        self.counts["deletions_withheld"] += 1
        return False

    def _do(self, name: str, action: Callable[[], object]) -> bool:
        """Count an action under ``name``, and do it unless this is a dry run; return whether it was done."""
        if not self.dry_run:
            action()
        self.counts[name] += 1
        return not self.dry_run

    def _look_at(self, number: int) -> None:
        self.counts["looked_at"] += number

    def _skipping(self, what: str) -> AbstractContextManager[None]:
        """Skip a failure: the next run repeats the work."""
        return error_boundary(what, self.counts, counted_as="skipped")

    @property
    def _now(self) -> datetime:
        return self.ports.clock.now()

    @property
    def _late(self) -> bool:
        return self._now >= self.until
