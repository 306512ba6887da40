"""How jobs begin, with keys and within quotas: the same contract in memory, on SQLite and on MariaDB."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import peewee
import pytest
from pydantic import SecretStr

from shared.adapters.sql.database import Database
from shared.adapters.sql.jobs import SqlJobStore
from shared.adapters.sql.outputs import SqlOutputStore
from shared.adapters.sql.starts import SqlStartStore
from shared.domain.errors import DatabaseUnavailableError, QuotaExceededError
from shared.domain.idempotency import Answer, UsedKey
from shared.domain.jobs import Job
from shared.domain.quotas import Quotas
from shared.domain.usage import Usage
from shared.ports import JobStore, OutputStore, StartStore
from shared.settings import DatabaseSettings
from tests.contract.databases import KINDS, SQL_KINDS, database_url, open_database
from tests.contract.racing import race
from tests.fakes import (
    NOW,
    PLENTY,
    USER,
    InMemoryJobStore,
    InMemoryOutputStore,
    InMemoryStartStore,
    make_job,
    make_output,
)

DAY = timedelta(days=1)
ANSWER = Answer(
    202, {"Location": "/jobs/1", "Retry-After": "2"}, {"id": "1", "prompt": "灯塔 🌅 \" ' \\ \n", "x": None}
)


@dataclass
class Stores:
    starts: StartStore
    jobs: JobStore
    outputs: OutputStore

    def start(self, job_id: str, key: str | None = None, quotas: Quotas = PLENTY, **job: object) -> Usage | UsedKey:
        made = make_job(id=job_id, **job)
        return self.starts.start(made, use(made, key), quotas)

    def count(self, prefix: str, number: int) -> int:
        """Count the jobs that exist among the ids ``prefix`` + 0 to ``number`` - 1."""
        return sum(self.jobs.get(f"{prefix}{each}") is not None for each in range(number))


def use(job: Job, key: str | None, request_hash: str = "h" * 64) -> UsedKey | None:
    return None if key is None else UsedKey(job.user_id, key, request_hash, job.id, job.created_at)


@pytest.fixture(params=KINDS)
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    if request.param == "memory":
        jobs = InMemoryJobStore()
        outputs = InMemoryOutputStore(jobs)
        yield Stores(InMemoryStartStore(jobs, outputs), jobs, outputs)
        return
    database = open_database(database_url(request.param, request))
    yield Stores(SqlStartStore(database), SqlJobStore(database), SqlOutputStore(database))
    database.peewee.close()


# -- keys


def test_a_start_writes_the_job_its_key_and_its_count(stores: Stores) -> None:
    job = make_job(user_id="用" * 255)
    key = use(job, "~" * 255)
    assert stores.starts.start(job, key, PLENTY) == Usage(concurrent_jobs=1, jobs_today=1, stored_bytes=0)
    assert stores.jobs.get(job.id) == job
    assert stores.starts.find_key(job.user_id, "~" * 255) == key
    assert stores.starts.usage_of(job.user_id, NOW) == Usage(1, 1, 0)


def test_a_used_key_starts_no_job(stores: Stores) -> None:
    stores.start("1", "k")
    again = stores.start("2", "k", prompt="other", created_at=NOW + timedelta(hours=1))
    assert again == stores.starts.find_key(USER, "k") == use(make_job(id="1"), "k")
    assert stores.jobs.get("2") is None
    assert stores.starts.usage_of(USER, NOW) == Usage(1, 1, 0)


@pytest.mark.parametrize(("user", "key"), [(USER, "K"), (USER, " k"), ("other", "k"), (USER.upper(), "k")])
def test_keys_compare_byte_by_byte_and_belong_to_one_user(stores: Stores, user: str, key: str) -> None:
    stores.start("1", "k")
    assert isinstance(stores.start("2", key, user_id=user), Usage)
    assert stores.jobs.get("2") is not None


def test_starts_without_a_key_make_separate_jobs(stores: Stores) -> None:
    assert [stores.start(job_id) for job_id in "ab"] == [Usage(1, 1, 0), Usage(2, 2, 0)]


def test_the_first_answer_stays(stores: Stores) -> None:
    key = use(make_job(), "k")
    assert key is not None
    assert stores.starts.keep_answer(key, ANSWER) is None
    stores.start("abc123", "k")
    for answer in (ANSWER, replace(ANSWER, status=200)):
        assert stores.starts.keep_answer(key, answer) == replace(key, answer=ANSWER)
    assert stores.starts.find_key(USER, "k") == replace(key, answer=ANSWER)


def test_an_answer_is_kept_only_for_the_job_of_its_key(stores: Stores) -> None:
    stores.start("new", "k")
    old = use(make_job(id="old"), "k")
    assert old is not None
    assert stores.starts.keep_answer(old, ANSWER) == use(make_job(id="new"), "k")


def test_a_removed_key_starts_a_new_job(stores: Stores) -> None:
    for number in range(4):
        stores.start(str(number), f"k{number}", created_at=NOW + timedelta(hours=number))
    before = NOW + timedelta(hours=3)
    assert [stores.starts.forget_keys(before, limit=2) for _ in range(3)] == [2, 1, 0]
    assert stores.starts.find_key(USER, "k2") is None
    assert isinstance(stores.start("again", "k3"), UsedKey)
    assert isinstance(stores.start("again", "k2"), Usage)


# -- quotas


@pytest.mark.parametrize("change", [{"concurrent_jobs": 2}, {"jobs_per_day": 2}, {"stored_bytes": 12345}], ids=str)
def test_a_start_beyond_a_quota_is_refused_and_writes_nothing(stores: Stores, change: dict[str, int]) -> None:
    for number in range(2):
        stores.start(f"{number}", f"k{number}")
    stores.outputs.put(make_output())
    stores.start("x", user_id="other")
    with pytest.raises(QuotaExceededError) as caught:
        stores.start("2", "k2", replace(PLENTY, **change))
    assert caught.value.usage == Usage(2, 2, 12345)
    assert (stores.jobs.get("2"), stores.starts.find_key(USER, "k2")) == (None, None)
    assert stores.starts.usage_of(USER, NOW) == Usage(2, 2, 12345)
    assert stores.start("2", "k2") == Usage(3, 3, 12345)


def test_a_repeated_request_that_used_the_last_place_is_not_refused(stores: Stores) -> None:
    one = Quotas(1, 1, 1)
    stores.start("1", "k", one)
    assert stores.start("2", "k", one) == use(make_job(id="1"), "k")


def test_an_ended_job_counts_for_its_day_and_not_as_concurrent(stores: Stores) -> None:
    stores.start("1")
    stores.jobs.save(make_job(id="1").succeeded(NOW))
    assert stores.starts.usage_of(USER, NOW) == Usage(0, 1, 0)


def test_the_sum_of_sizes_may_exceed_32_bits(stores: Stores) -> None:
    for position in range(3):
        stores.outputs.put(make_output(position, size=2**40))
    stores.outputs.put(replace(make_output(), id="x", user_id="other", oss_path="x"))
    assert stores.starts.usage_of(USER, NOW).stored_bytes == 3 * 2**40


def test_the_count_of_jobs_begins_at_zero_each_day(stores: Stores) -> None:
    two = replace(PLENTY, jobs_per_day=2)
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0) + DAY

    def begin(job_id: str, moment: datetime) -> int:
        usage = stores.start(job_id, None, two, created_at=moment)
        assert isinstance(usage, Usage)
        return usage.jobs_today

    last = midnight - timedelta(milliseconds=1)
    assert [begin("1", NOW), begin("2", last)] == [1, 2]
    with pytest.raises(QuotaExceededError):
        begin("3", last)
    assert stores.starts.usage_of(USER, midnight).jobs_today == 0
    assert begin("4", midnight) == 1
    # A start of an instance whose clock is late still counts for the day that has begun.
    assert begin("5", last) == 2
    with pytest.raises(QuotaExceededError):
        begin("6", midnight)
    assert stores.starts.usage_of(USER, last).jobs_today == 2


def test_counts_of_earlier_days_are_removed(stores: Stores) -> None:
    for number, age in enumerate((3, 2, 1, 0)):
        stores.start(str(number), user_id=f"user-{number}", created_at=NOW - age * DAY)
    assert [stores.starts.forget_usage(NOW - DAY, limit=1) for _ in range(3)] == [1, 1, 0]
    assert stores.starts.usage_of("user-2", NOW - DAY).jobs_today == 1
    assert stores.starts.usage_of("user-1", NOW - 2 * DAY).jobs_today == 0


# -- races


@pytest.mark.parametrize(
    "quotas", [replace(PLENTY, concurrent_jobs=7), replace(PLENTY, jobs_per_day=7)], ids=["at once", "a day"]
)
def test_thirty_concurrent_starts_never_exceed_a_quota(stores: Stores, quotas: Quotas) -> None:
    found = race(30, lambda number: stores.start(f"job-{number}", f"k{number}", quotas), losing=QuotaExceededError)
    assert sum(isinstance(each, Usage) for each in found) == 7
    assert sum(isinstance(each, QuotaExceededError) for each in found) == 23
    assert stores.count("job-", 30) == 7
    assert stores.starts.usage_of(USER, NOW) == Usage(7, 7, 0)
    assert sum(stores.starts.find_key(USER, f"k{number}") is not None for number in range(30)) == 7


def test_no_quota_is_exceeded_around_midnight(stores: Stores) -> None:
    # The clocks of the instances differ: half of the starts already belong to the next day.
    quotas = replace(PLENTY, concurrent_jobs=7)
    found = race(
        16,
        lambda number: stores.start(f"job-{number}", None, quotas, created_at=NOW + number % 2 * DAY),
        losing=QuotaExceededError,
    )
    assert sum(isinstance(each, Usage) for each in found) == stores.count("job-", 16) == 7


def test_a_hundred_concurrent_starts_with_one_key_make_one_job_and_one_answer(stores: Stores) -> None:
    last_place = Quotas(1, 1, 1)

    def begin_and_answer(number: int) -> tuple[str, Answer | None]:
        job = make_job(id=f"job-{number}")
        key = use(job, "k")
        assert key is not None
        begun = stores.starts.start(job, key, last_place)
        used = begun if isinstance(begun, UsedKey) else key
        kept = stores.starts.keep_answer(used, replace(ANSWER, body={"by": number}))
        return used.job_id, None if kept is None else kept.answer

    found = race(100, begin_and_answer, losing=QuotaExceededError)
    assert len({str(each) for each in found}) == 1, found
    assert stores.count("job-", 100) == 1
    assert stores.starts.usage_of(USER, NOW) == Usage(1, 1, 0)


def test_concurrent_starts_of_several_users_all_finish(stores: Stores) -> None:
    found = race(
        30, lambda number: stores.start(f"job-{number}", "k", user_id=f"user-{number % 3}"), losing=QuotaExceededError
    )
    assert sum(isinstance(each, Usage) for each in found) == stores.count("job-", 30) == 3


# -- outages


class _LosingDatabase(Database):
    """Loses its connection in every transaction: after the COMMIT, or before it if ``committed`` is False."""

    committed = True

    @contextmanager
    def transaction(self) -> Iterator[peewee.Database]:
        with super().transaction() as db:
            yield db
            if not self.committed:
                raise DatabaseUnavailableError("the database did not answer")
        self.peewee.close()
        raise DatabaseUnavailableError("the database did not answer")


@pytest.mark.parametrize("kind", SQL_KINDS)
def test_after_a_lost_answer_to_commit_the_store_reads_whether_the_job_was_written(
    kind: str, request: pytest.FixtureRequest
) -> None:
    url = database_url(kind, request)
    sound, losing = open_database(url), _LosingDatabase(DatabaseSettings(SecretStr(url)))
    SqlStartStore(sound).start(make_job(id="before"), None, PLENTY)
    job = make_job(id="mine")
    assert SqlStartStore(losing).start(job, use(job, "k"), PLENTY) == Usage(2, 2, 0)
    losing.committed = False
    other = make_job(id="other")
    with pytest.raises(DatabaseUnavailableError):
        SqlStartStore(losing).start(other, use(other, "other"), PLENTY)
    for database in (losing, sound):
        database.peewee.close()
    stores = SqlJobStore(sound), SqlStartStore(sound)
    assert [stores[0].get(job_id) for job_id in ("mine", "other")] == [job, None]
    assert [stores[1].find_key(USER, key) for key in ("k", "other")] == [use(job, "k"), None]
    sound.peewee.close()
