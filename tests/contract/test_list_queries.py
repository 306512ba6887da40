"""The lists on every kind of database, and what they cost."""

import logging
from datetime import timedelta
from typing import Any

import pytest

from shared.adapters.sql_jobs import SqlJobStore
from shared.adapters.sql_outputs import SqlOutputStore
from shared.domain.cursors import Place
from shared.domain.jobs import JobStatus
from shared.ports import JobStore
from shared.services.lists import ListQuery, list_jobs, list_outputs
from tests.contract.databases import database_url, open_database
from tests.fakes import NOW, USER, make_job, make_output

# Of one time the id decides, compared byte by byte.
IDS = ["B", "a", "b", "c", "z", "é", "用"]


def place(row: Any) -> Place:
    return Place(row.created_at, row.id)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_of_jobs_follow_one_another(jobs: JobStore, limit: int) -> None:
    added = [
        jobs.add(make_job(id=job_id, created_at=NOW + timedelta(milliseconds=number // 3)))
        for number, job_id in enumerate(IDS)
    ]
    jobs.add(make_job(id="A", user_id="other"))
    seen, last = list[Any](), None
    while page := jobs.of_user(USER, before=last and place(last), limit=limit):
        assert len(page) <= limit
        seen += page
        last = page[-1]
        # What comes while somebody walks is newer, so it is on no page that follows.
        jobs.add(make_job(id=f"new{len(seen)}", created_at=NOW + timedelta(hours=1)))
    assert seen == sorted(added, key=lambda job: (job.created_at, job.id), reverse=True)


@pytest.mark.parametrize("limit", [1, 50, 100])
def test_a_page_takes_two_statements_whatever_its_size(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture, limit: int
) -> None:
    database = open_database(database_url("sqlite", request))
    job_store, output_store = SqlJobStore(database), SqlOutputStore(database)
    with database.peewee.atomic():
        for number in range(101):
            job_store.add(make_job(id=str(number), status=JobStatus.SUCCEEDED, legacy_url="/gone"))
            output_store.put(make_output(number, job_id=str(number)))
    with caplog.at_level(logging.DEBUG, logger="peewee"):
        page = list_jobs(ListQuery(USER, limit), jobs=job_store, outputs=output_store, key_of=lambda _: None)
    assert len(page.rows) == limit and all(len(listed.outputs) == 1 for listed in page.rows)
    assert len(statements(caplog)) == 2
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="peewee"):
        assert len(list_outputs(ListQuery(USER, limit), outputs=output_store).rows) == limit
    assert len(statements(caplog)) == 1
    database.peewee.close()


def statements(caplog: pytest.LogCaptureFixture) -> list[tuple[str, list[Any]]]:
    return [record.msg for record in caplog.records if record.name == "peewee"]  # type: ignore[misc]  # (sql, values)


def test_mariadb_reads_a_page_from_the_index(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> None:
    database = open_database(database_url("mariadb", request))
    job_store, output_store = SqlJobStore(database), SqlOutputStore(database)
    with database.peewee.atomic():
        for number in range(300):
            job_store.add(make_job(id=str(number), user_id=USER if number % 3 else "other"))
            output_store.put(make_output(number))
    database.peewee.execute_sql("ANALYZE TABLE jobs, job_outputs").fetchall()
    before = Place(NOW, "150")
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="peewee"):
        job_store.of_user(USER, limit=21)
        job_store.of_user(USER, limit=21, before=before)
        output_store.of_user(USER, limit=21, before=before)
    for (sql, values), index in zip(statements(caplog), ["jobs_of_user"] * 2 + ["job_outputs_of_user"], strict=True):
        (plan,) = database.peewee.execute_sql(f"EXPLAIN {sql}", values).fetchall()
        assert index in plan and "filesort" not in plan[-1], plan
    database.peewee.close()
