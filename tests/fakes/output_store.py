"""The port ``OutputStore``, in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from shared.domain.cursors import Place
from shared.domain.errors import DatabaseUnavailableError
from shared.domain.jobs import JobOutput, OutputIntent
from shared.domain.media_type import MediaType
from tests.fakes.job_store import InMemoryJobStore
from tests.fakes.paging import page_of


class InMemoryOutputStore:
    """The tables ``job_outputs`` and ``output_intents``; they do not answer while ``away`` is True."""

    def __init__(self, jobs: InMemoryJobStore) -> None:
        self.away = False
        self._jobs = jobs
        self._rows: dict[str, JobOutput] = {}
        self._intents: dict[tuple[str, int], OutputIntent] = {}

    def intend(self, intent: OutputIntent, *, lease_expires_at: datetime) -> None:
        self._answering()
        self._jobs.renew(intent.output.job_id, intent.attempt, lease_expires_at)
        self._intents[intent.output.job_id, intent.position] = intent

    def commit(self, intent: OutputIntent, *, lease_expires_at: datetime) -> None:
        self._answering()
        self._jobs.renew(intent.output.job_id, intent.attempt, lease_expires_at)
        self.put(intent.output)

    def put(self, output: JobOutput) -> None:
        rows = self._answering()
        row = rows.setdefault(output.id, output)
        rows[output.id] = replace(row, oss_url=output.oss_url, size=output.size, meta=output.meta)
        self._intents = {place: each for place, each in self._intents.items() if each.output.id != output.id}

    def of_job(self, job_id: str) -> Sequence[JobOutput]:
        rows = self._answering().values()
        return sorted((row for row in rows if row.job_id == job_id), key=lambda row: row.oss_path)

    def of_jobs(self, job_ids: Sequence[str]) -> Sequence[JobOutput]:
        return [row for job_id in sorted(set(job_ids)) for row in self.of_job(job_id)]

    def of_user(
        self, user_id: str, *, limit: int, before: Place | None = None, type: MediaType | None = None
    ) -> Sequence[JobOutput]:
        rows = self._answering().values()
        return page_of([row for row in rows if row.user_id == user_id], type, before, limit)

    def get(self, output_id: str) -> JobOutput | None:
        return self._answering().get(output_id)

    def bytes_of(self, user_id: str) -> int:
        return sum(row.size for row in self._answering().values() if row.user_id == user_id)

    def remove(self, output_id: str) -> None:
        self._answering().pop(output_id, None)

    def remove_of_job(self, job_id: str) -> None:
        for row in self.of_job(job_id):
            self.remove(row.id)
        self._intents = {place: each for place, each in self._intents.items() if each.output.job_id != job_id}

    def remove_with_intent(self, output_id: str) -> None:
        self.remove(output_id)
        self._intents = {place: each for place, each in self._intents.items() if each.output.id != output_id}

    def intents_of_job(self, job_id: str) -> Sequence[OutputIntent]:
        self._answering()
        return [each for _, each in sorted(self._intents.items()) if each.output.job_id == job_id]

    def intents_before(
        self, moment: datetime, *, limit: int, after: OutputIntent | None = None
    ) -> Sequence[OutputIntent]:
        def place(intent: OutputIntent) -> tuple[datetime, str]:
            return intent.output.created_at, intent.output.id

        self._answering()
        old = [each for each in self._intents.values() if each.output.created_at < moment]
        return sorted((each for each in old if after is None or place(each) > place(after)), key=place)[:limit]

    def remove_intent(self, intent: OutputIntent) -> None:
        self._answering()
        place = intent.output.job_id, intent.position
        if place in self._intents and self._intents[place].attempt == intent.attempt:
            del self._intents[place]

    def _answering(self) -> dict[str, JobOutput]:
        if self.away:
            raise DatabaseUnavailableError("the database did not answer")
        return self._rows
