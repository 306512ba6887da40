"""The largest texts that the API accepts fit the columns and are read back unchanged."""

from collections.abc import Iterator
from dataclasses import replace

import peewee
import pytest

from shared.adapters.sql.database import Database
from shared.adapters.sql.deliveries import SqlDeliveryStore
from shared.adapters.sql.jobs import SqlJobStore
from shared.adapters.sql.starts import SqlStartStore
from shared.domain.errors import ProviderFailedError
from shared.domain.idempotency import Answer, UsedKey
from shared.domain.jobs import MAX_TASK_ID_CHARACTERS, MAX_WARNINGS, Job, JobError
from shared.domain.models import MODELS
from shared.domain.quotas import Quotas
from shared.domain.web_addresses import read_web_address
from shared.presentation import job_json
from shared.settings import read_web_policy
from tests.contract.databases import SQL_KINDS, database_url, open_database
from tests.fakes import NOW, make_video_job

LONG_URL = "https://example.com/" + "é" * 2028  # the limit is 2048 characters
LARGEST = make_video_job(
    id="j" * 64,
    user_id="用" * 255,
    prompt="😀" * 4000,
    negative_prompt="😀" * 4000,
    model=max(MODELS, key=len),
    size="99999x99999",
    seed=2_147_483_647,
    image_url=LONG_URL,
    webhook_url=LONG_URL,
    attempt=1,
)
# Characters that JSON escapes, characters of four bytes, and a character that UTF-8 cannot encode.
HOSTILE = ['"' * 80_000, "\x01" * 80_000, "😀" * 80_000, "\ud800" * 80_000]


@pytest.fixture(params=SQL_KINDS)
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    database = open_database(database_url(request.param, request))
    yield database
    database.peewee.close()


def test_the_longest_request_is_kept(database: Database) -> None:
    assert read_web_address(LONG_URL, read_web_policy()).host == "example.com"
    jobs = SqlJobStore(database)
    jobs.add(LARGEST)
    submitted = LARGEST.submitting(NOW).submitted("号" * MAX_TASK_ID_CHARACTERS, NOW)
    jobs.save(submitted)
    assert jobs.get(LARGEST.id) == submitted


def ends_of(job: Job, message: str) -> tuple[Job, Job]:
    """Return the job as it ends with ``message``: as its error, and as its warnings."""
    failed = job.failed(JobError.of(ProviderFailedError(message)), NOW)
    return failed, job.succeeded(NOW, (message,) * 2 * MAX_WARNINGS)


def test_the_longest_end_of_a_job_is_kept(database: Database) -> None:
    jobs, deliveries = SqlJobStore(database), SqlDeliveryStore(database)
    every = [(message, ended) for message in HOSTILE for ended in ends_of(LARGEST, message)]
    for number, (message, end) in enumerate(every):
        ended = replace(end, id=f"job-{number}")
        jobs.add(replace(LARGEST, id=ended.id))
        jobs.save(ended)
        assert jobs.get(ended.id) == ended
        (delivery,) = deliveries.of_job(ended.id)
        settled = delivery.claimed(NOW).answered(999).failed(message)
        deliveries.save(settled, over_attempts=0)
        assert deliveries.of_job(ended.id) == [settled]


def test_the_longest_answer_of_an_idempotency_key_is_kept(database: Database) -> None:
    starts = SqlStartStore(database)
    every = [ended for message in HOSTILE for ended in ends_of(LARGEST, message)]
    for number, end in enumerate(every):
        ended = replace(end, id=f"job-{number}")
        used = UsedKey(LARGEST.user_id, "😀" * 250 + f"-{number:04}", "h" * 64, ended.id, NOW)
        starts.start(replace(LARGEST, id=ended.id), used, Quotas(99, 99, 99))
        answer = Answer(202, {"Location": f"/jobs/{ended.id}"}, job_json(ended, []).model_dump(by_alias=True))
        kept = starts.keep_answer(used, answer)
        assert kept is not None
        assert kept.answer == answer


def test_a_text_that_is_too_long_is_refused_and_not_cut(request: pytest.FixtureRequest) -> None:
    database = open_database(database_url("mariadb", request))
    jobs = SqlJobStore(database)
    with pytest.raises(peewee.DataError, match="Data too long"):
        jobs.add(replace(LARGEST, model="m" * 65))
    assert jobs.get(LARGEST.id) is None
    database.peewee.close()
