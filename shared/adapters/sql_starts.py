"""The tables ``idempotency_keys`` and ``daily_usage``, and the transaction in which a job begins."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

import peewee

from shared.adapters.database import Database, JsonField, UtcField
from shared.adapters.sql_jobs import JobRow, count_unfinished, insert_job
from shared.adapters.sql_outputs import OutputRow, sum_of_sizes
from shared.domain.errors import DatabaseUnavailableError
from shared.domain.idempotency import Answer, UsedKey
from shared.domain.jobs import Job
from shared.domain.quotas import Quotas, check_quotas, day_of
from shared.domain.usage import Usage


class KeyRow(peewee.Model):
    """A row of ``idempotency_keys``."""

    user_id = peewee.CharField()
    idempotency_key = peewee.CharField()
    request_hash = peewee.CharField()
    job_id = peewee.CharField()
    created_at = UtcField()
    answer = JsonField(null=True)

    class Meta:
        table_name = "idempotency_keys"
        primary_key = peewee.CompositeKey("user_id", "idempotency_key")


class _UsageRow(peewee.Model):
    user_id = peewee.CharField(primary_key=True)
    # Ahead of the day, for an UPDATE of MySQL sets one column after the other, in this order.
    jobs = peewee.IntegerField()
    day = peewee.CharField()

    class Meta:
        table_name = "daily_usage"


class SqlStartStore:
    """The tables ``idempotency_keys`` and ``daily_usage``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.peewee.bind([JobRow, OutputRow, KeyRow, _UsageRow])

    def start(self, job: Job, key: UsedKey | None, quotas: Quotas) -> Usage | UsedKey:
        """Add the job, its key and its count in one transaction; or return the earlier use of the key."""
        try:
            return self._start(job, key, quotas)
        except DatabaseUnavailableError:
            # The answer to COMMIT may be all that was lost.
            with self._database.session():
                if JobRow.get_or_none(id=job.id) is None:
                    raise
            return self.usage_of(job.user_id, job.created_at)

    def _start(self, job: Job, key: UsedKey | None, quotas: Quotas) -> Usage | UsedKey:
        day = day_of(job.created_at)
        while True:
            with self._database.transaction():
                if _lock_user(job.user_id, day):
                    return _begin(job, key, quotas)
            # By itself: a row that is made in the transaction, and unmade with it, lets those who wait for it deadlock.
            with self._database.session():
                _UsageRow.insert(user_id=job.user_id, day=day, jobs=0).on_conflict_ignore().execute()

    def find_key(self, user_id: str, key: str) -> UsedKey | None:
        """Return the use of a user's key, or None."""
        with self._database.session():
            return _find_key(user_id, key)

    def keep_answer(self, used: UsedKey, answer: Answer) -> UsedKey | None:
        """Write the answer if there is none yet, and return the use as it is then, or None if it is gone."""
        with self._database.session():
            KeyRow.update(answer=asdict(answer)).where(
                (KeyRow.user_id == used.user_id)
                & (KeyRow.idempotency_key == used.key)
                & (KeyRow.job_id == used.job_id)
                & KeyRow.answer.is_null()
            ).execute()
            return _find_key(used.user_id, used.key)

    def usage_of(self, user_id: str, now: datetime) -> Usage:
        """Return what a user takes up."""
        with self._database.session():
            return _usage_of(user_id, day_of(now))

    def forget_keys(self, before: datetime, *, limit: int) -> int:
        """Remove keys that were used before that time, and return their number."""
        with self._database.session():
            # A job has one key at most. MySQL knows no LIMIT in a subquery of this kind, SQLite none in a DELETE.
            old = KeyRow.select(KeyRow.job_id).where(KeyRow.created_at < before).limit(limit)
            job_ids = [row.job_id for row in old]
            return int(KeyRow.delete().where(KeyRow.job_id.in_(job_ids)).execute()) if job_ids else 0

    def forget_usage(self, before: datetime, *, limit: int) -> int:
        """Remove the counts of earlier days than that of ``before``, and return their number."""
        is_old = _UsageRow.day < day_of(before)
        with self._database.session():
            user_ids = [row.user_id for row in _UsageRow.select(_UsageRow.user_id).where(is_old).limit(limit)]
            # Whoever begins a job meanwhile turns the row to another day.
            return int(_UsageRow.delete().where(is_old & _UsageRow.user_id.in_(user_ids)).execute()) if user_ids else 0


def _lock_user(user_id: str, day: str) -> bool:
    """Turn the user's count to the day, which locks the row until the transaction ends; False if there is none.

    A count never goes back to an earlier day, which another instance's clock may show.
    """
    turned = {
        _UsageRow.jobs: peewee.Case(None, [(_UsageRow.day < day, 0)], _UsageRow.jobs),
        _UsageRow.day: peewee.Case(None, [(_UsageRow.day < day, day)], _UsageRow.day),
    }
    return bool(_UsageRow.update(turned).where(_UsageRow.user_id == user_id).execute())


def _begin(job: Job, key: UsedKey | None, quotas: Quotas) -> Usage | UsedKey:
    # Ahead of the quotas: the repetition of a request that took the last place is not refused.
    if key is not None and (earlier := _find_key(key.user_id, key.key)):
        return earlier
    usage = _usage_of(job.user_id, day_of(job.created_at))
    check_quotas(usage, quotas, job.type, job.created_at)
    if key is not None:
        KeyRow.insert(
            user_id=key.user_id,
            idempotency_key=key.key,
            request_hash=key.request_hash,
            job_id=key.job_id,
            created_at=key.created_at,
        ).execute()
    insert_job(job)
    _UsageRow.update(jobs=_UsageRow.jobs + 1).where(_UsageRow.user_id == job.user_id).execute()
    return usage.with_one_job_more()


def _usage_of(user_id: str, day: str) -> Usage:
    row = _UsageRow.get_or_none((_UsageRow.user_id == user_id) & (_UsageRow.day >= day))
    return Usage(
        concurrent_jobs=count_unfinished(user_id),
        jobs_today=0 if row is None else row.jobs,
        stored_bytes=sum_of_sizes(user_id),
    )


def _find_key(user_id: str, key: str) -> UsedKey | None:
    row = KeyRow.get_or_none((KeyRow.user_id == user_id) & (KeyRow.idempotency_key == key))
    return None if row is None else _to_used_key(row)


def _to_used_key(row: Any) -> UsedKey:
    answer = None if row.answer is None else Answer(**row.answer)
    return UsedKey(row.user_id, row.idempotency_key, row.request_hash, row.job_id, row.created_at, answer)
