"""The tables ``idempotency_keys`` and ``daily_usage``, and the transaction in which a job begins."""

from dataclasses import asdict
from datetime import datetime

import peewee

from shared.adapters.sql.database import Database
from shared.adapters.sql.statements import UNFINISHED, insert_job
from shared.adapters.sql.tables import JobRow, KeyRow, OutputRow, UsageRow
from shared.domain.errors import DatabaseUnavailableError
from shared.domain.idempotency import Answer, UsedKey
from shared.domain.jobs import Job
from shared.domain.quotas import Quotas, check_quotas, day_of
from shared.domain.usage import Usage


class SqlStartStore:
    """The tables ``idempotency_keys`` and ``daily_usage``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, job: Job, key: UsedKey | None, quotas: Quotas) -> Usage | UsedKey:
        """Add the job, its key and its count in one transaction; or return the earlier use of the key."""
        try:
            return self._start(job, key, quotas)
        except DatabaseUnavailableError:
            # Perhaps the transaction succeeded and only the answer to COMMIT was lost.
            with self._database.session() as db:
                if JobRow.select().where(JobRow.id == job.id).get_or_none(db) is None:
                    raise
            return self.usage_of(job.user_id, job.created_at)

    def _start(self, job: Job, key: UsedKey | None, quotas: Quotas) -> Usage | UsedKey:
        day = day_of(job.created_at)
        while True:
            with self._database.transaction() as db:
                if _lock_user(db, job.user_id, day):
                    return _begin(db, job, key, quotas)
            # Outside the transaction: if the transaction inserted the row and were rolled back, the transactions that
            # wait for the row would deadlock.
            with self._database.session() as db:
                UsageRow.insert(user_id=job.user_id, day=day, jobs=0).on_conflict_ignore().execute(db)

    def find_key(self, user_id: str, key: str) -> UsedKey | None:
        """Return the use of a user's key, or None."""
        with self._database.session() as db:
            return _find_key(db, user_id, key)

    def keep_answer(self, used: UsedKey, answer: Answer) -> UsedKey | None:
        """Write the answer if the use has no answer yet; return the use as it is then, or None if it was removed."""
        with self._database.session() as db:
            KeyRow.update(answer=asdict(answer)).where(
                (KeyRow.user_id == used.user_id)
                & (KeyRow.idempotency_key == used.key)
                & (KeyRow.job_id == used.job_id)
                & KeyRow.answer.is_null()
            ).execute(db)
            return _find_key(db, used.user_id, used.key)

    def usage_of(self, user_id: str, now: datetime) -> Usage:
        """Return the part of the quotas that a user has used."""
        with self._database.session() as db:
            return _usage_of(db, user_id, day_of(now))

    def forget_keys(self, before: datetime, *, limit: int) -> int:
        """Remove keys that were used before that time, and return their number."""
        with self._database.session() as db:
            # A job has at most one key. MySQL supports no LIMIT in a subquery of this kind, SQLite none in a DELETE.
            old = KeyRow.select(KeyRow.job_id).where(KeyRow.created_at < before).limit(limit)
            job_ids = [row.job_id for row in old.execute(db)]
            return int(KeyRow.delete().where(KeyRow.job_id.in_(job_ids)).execute(db)) if job_ids else 0

    def forget_usage(self, before: datetime, *, limit: int) -> int:
        """Remove the counts of days before the day of ``before``, and return their number."""
        is_old = UsageRow.day < day_of(before)
        old = UsageRow.select(UsageRow.user_id).where(is_old).limit(limit)
        with self._database.session() as db:
            user_ids = [row.user_id for row in old.execute(db)]
            # The condition is repeated because a job that begins in the meantime moves its user's row to a new day.
            return int(UsageRow.delete().where(is_old & UsageRow.user_id.in_(user_ids)).execute(db)) if user_ids else 0


def _lock_user(db: peewee.Database, user_id: str, day: str) -> bool:
    """Move the user's count to the day, which locks the row until the transaction ends; False if no row exists.

    A count never goes back to an earlier day, because the clock of another instance may still be at that day.
    """
    turned = {
        UsageRow.jobs: peewee.Case(None, [(UsageRow.day < day, 0)], UsageRow.jobs),
        UsageRow.day: peewee.Case(None, [(UsageRow.day < day, day)], UsageRow.day),
    }
    return bool(UsageRow.update(turned).where(UsageRow.user_id == user_id).execute(db))


def _begin(db: peewee.Database, job: Job, key: UsedKey | None, quotas: Quotas) -> Usage | UsedKey:
    # Before the quotas, so that the repetition of a request that used the last place is not refused.
    if key is not None and (earlier := _find_key(db, key.user_id, key.key)):
        return earlier
    usage = _usage_of(db, job.user_id, day_of(job.created_at))
    check_quotas(usage, quotas, job.type, job.created_at)
    if key is not None:
        KeyRow.insert(
            user_id=key.user_id,
            idempotency_key=key.key,
            request_hash=key.request_hash,
            job_id=key.job_id,
            created_at=key.created_at,
        ).execute(db)
    insert_job(db, job)
    UsageRow.update(jobs=UsageRow.jobs + 1).where(UsageRow.user_id == job.user_id).execute(db)
    return usage.with_one_job_more()


def _usage_of(db: peewee.Database, user_id: str, day: str) -> Usage:
    today = UsageRow.select().where((UsageRow.user_id == user_id) & (UsageRow.day >= day)).get_or_none(db)
    unfinished = JobRow.select().where((JobRow.user_id == user_id) & JobRow.status.in_(UNFINISHED))
    sizes = OutputRow.select(peewee.fn.SUM(OutputRow.size)).where(OutputRow.user_id == user_id)
    return Usage(
        concurrent_jobs=unfinished.count(db),
        jobs_today=0 if today is None else today.jobs,
        stored_bytes=int(sizes.scalar(db) or 0),
    )


def _find_key(db: peewee.Database, user_id: str, key: str) -> UsedKey | None:
    row = KeyRow.select().where((KeyRow.user_id == user_id) & (KeyRow.idempotency_key == key)).get_or_none(db)
    if row is None:
        return None
    answer = None if row.answer is None else Answer(**row.answer)
    return UsedKey(row.user_id, row.idempotency_key, row.request_hash, row.job_id, row.created_at, answer)
