"""The port ``StartStore``, in memory."""

import threading
from dataclasses import replace
from datetime import datetime

from shared.domain.idempotency import Answer, UsedKey
from shared.domain.jobs import Job
from shared.domain.quotas import Quotas, check_quotas, day_of
from shared.domain.usage import Usage
from tests.fakes.job_store import InMemoryJobStore
from tests.fakes.output_store import InMemoryOutputStore


class InMemoryStartStore:
    """The tables ``idempotency_keys`` and ``daily_usage``."""

    def __init__(self, jobs: InMemoryJobStore, outputs: InMemoryOutputStore) -> None:
        self._jobs = jobs
        self._outputs = outputs
        self._keys: dict[tuple[str, str], UsedKey] = {}
        self._days: dict[str, tuple[str, int]] = {}
        self._lock = threading.Lock()

    def start(self, job: Job, key: UsedKey | None, quotas: Quotas) -> Usage | UsedKey:
        with self._lock:
            if key is not None and (earlier := self._keys.get((key.user_id, key.key))):
                return earlier
            usage = self.usage_of(job.user_id, job.created_at)
            check_quotas(usage, quotas, job.type, job.created_at)
            self._jobs.add(job)
            if key is not None:
                self._keys[key.user_id, key.key] = key
            day, _ = self._days.get(job.user_id, ("", 0))
            self._days[job.user_id] = max(day, day_of(job.created_at)), usage.jobs_today + 1
            return usage.with_one_job_more()

    def find_key(self, user_id: str, key: str) -> UsedKey | None:
        return self._keys.get((user_id, key))

    def keep_answer(self, used: UsedKey, answer: Answer) -> UsedKey | None:
        with self._lock:
            row = self._keys.get((used.user_id, used.key))
            if row is not None and row.job_id == used.job_id and row.answer is None:
                row = self._keys[used.user_id, used.key] = replace(row, answer=answer)
            return row

    def usage_of(self, user_id: str, now: datetime) -> Usage:
        day, jobs = self._days.get(user_id, ("", 0))
        today = jobs if day >= day_of(now) else 0
        return Usage(self._jobs.unfinished_of(user_id), today, self._outputs.bytes_of(user_id))

    def forget_keys(self, before: datetime, *, limit: int) -> int:
        old = [place for place, row in self._keys.items() if row.created_at < before][:limit]
        for place in old:
            del self._keys[place]
        return len(old)

    def forget_usage(self, before: datetime, *, limit: int) -> int:
        old = [user_id for user_id, (day, _) in self._days.items() if day < day_of(before)][:limit]
        for user_id in old:
            del self._days[user_id]
        return len(old)
