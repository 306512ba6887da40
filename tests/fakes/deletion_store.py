"""The port ``DeletionStore``, in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from shared.domain.deletions import Deletion, DeletionScope
from shared.domain.errors import LeaseLostError
from tests.fakes.job_store import InMemoryJobStore
from tests.fakes.output_store import InMemoryOutputStore


class InMemoryDeletionStore:
    """The table ``deletions``; ``jobs`` and ``outputs`` are the tables from which ``finish`` removes rows."""

    def __init__(self, jobs: InMemoryJobStore, outputs: InMemoryOutputStore) -> None:
        self._jobs = jobs
        self._outputs = outputs
        self._rows: dict[str, Deletion] = {}

    def add(self, deletion: Deletion) -> None:
        self._rows[deletion.id] = deletion

    def get(self, deletion_id: str) -> Deletion | None:
        return self._rows.get(deletion_id)

    def newest_of(self, scope: DeletionScope, target_id: str) -> Deletion | None:
        return max(self._of(scope, target_id), key=lambda row: (row.requested_at, row.id), default=None)

    def concerns(self, *, job_id: str, output_id: str) -> bool:
        return bool(self._of(DeletionScope.JOB, job_id) or self._of(DeletionScope.OUTPUT, output_id))

    def due(self, now: datetime, *, limit: int, after: Deletion | None = None) -> Sequence[Deletion]:
        def place(row: Deletion) -> tuple[datetime, str]:
            return row.due_at, row.id

        due = [row for row in self._rows.values() if row.due(now) and (after is None or place(row) > place(after))]
        return sorted(due, key=place)[:limit]

    def save(self, deletion: Deletion, *, over: Deletion) -> None:
        row = self._rows.get(over.id)
        if row is None or (row.failures, row.due_at) != (over.failures, over.due_at):
            raise LeaseLostError("another run has taken this deletion up")
        self._rows[row.id] = replace(row, failures=deletion.failures, next_attempt_at=deletion.next_attempt_at)

    def finish(self, deletion: Deletion, now: datetime) -> None:
        if (row := self._rows.get(deletion.id)) and row.finished_at is None:
            self._rows[row.id] = replace(row, finished_at=now, failures=0, next_attempt_at=None)
        match deletion.scope:
            case DeletionScope.JOB:
                self._jobs.remove(deletion.target_id)
                self._outputs.remove_of_job(deletion.target_id)
            case DeletionScope.OUTPUT:
                self._outputs.remove_with_intent(deletion.target_id)
            case DeletionScope.USER:
                pass

    def tell(self, deletion_id: str, now: datetime) -> None:
        self._rows[deletion_id] = replace(self._rows[deletion_id], told_at=now)

    def remove(self, deletion_id: str) -> None:
        self._rows.pop(deletion_id, None)

    def _of(self, scope: DeletionScope, target_id: str) -> list[Deletion]:
        return [row for row in self._rows.values() if (row.scope, row.target_id) == (scope, target_id)]
