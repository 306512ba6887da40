"""The lists on every kind of database, and the number of statements and rows that they cost."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.adapters.sql.database import Database
from shared.adapters.sql.deliveries import SqlDeliveryStore
from shared.adapters.sql.jobs import SqlJobStore
from shared.adapters.sql.outputs import SqlOutputStore
from shared.adapters.sql.starts import SqlStartStore
from shared.domain.cursors import Place
from shared.domain.jobs import JobStatus
from shared.domain.media_type import MediaType
from shared.ports import JobStore
from shared.services.reading import ListQuery, ReadPorts, list_jobs, list_outputs
from tests.contract.databases import SQL_KINDS, database_url, open_database
from tests.fakes import NOW, PLENTY, USER, FakeClock, make_job, make_output

# Rows of the same time are ordered by their ids, compared byte by byte.
IDS = ["B", "a", "b", "c", "z", "é", "用"]


def place(row: Any) -> Place:
    return Place(row.created_at, row.id)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_of_jobs_are_complete_and_do_not_overlap(jobs: JobStore, limit: int) -> None:
    added = [
        jobs.add(make_job(id=job_id, created_at=NOW + timedelta(milliseconds=number // 3)))
        for number, job_id in enumerate(IDS)
    ]
    jobs.add(make_job(id="A", user_id="other"))
    seen, last = list[Any](), None
    while page := jobs.of_user(USER, before=place(last) if last else None, limit=limit):
        assert len(page) <= limit
        seen += page
        last = page[-1]
        # A job that is added between two pages is newer, so it is on no later page.
        jobs.add(make_job(id=f"new{len(seen)}", created_at=NOW + timedelta(hours=1)))
    assert seen == sorted(added, key=lambda job: (job.created_at, job.id), reverse=True)


@pytest.mark.parametrize("limit", [1, 50, 100])
def test_a_page_takes_two_statements_at_any_size(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture, limit: int
) -> None:
    database = open_database(database_url("sqlite", request))
    job_store, output_store = SqlJobStore(database), SqlOutputStore(database)
    ports = ReadPorts(
        jobs=job_store,
        outputs=output_store,
        deliveries=SqlDeliveryStore(database),
        starts=SqlStartStore(database),
        quotas=PLENTY,
        key_of=lambda _: None,
        clock=FakeClock(),
    )
    with database.peewee.atomic():
        for number in range(101):
            job_store.add(make_job(id=str(number), status=JobStatus.SUCCEEDED, legacy_url="/gone"))
            output_store.put(make_output(number, job_id=str(number)))
    with caplog.at_level(logging.DEBUG, logger="peewee"):
        page = list_jobs(ListQuery(USER, limit), ports=ports)
    assert len(page.rows) == limit and all(len(listed.outputs) == 1 for listed in page.rows)
    assert len(statements(caplog)) == 2
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="peewee"):
        assert len(list_outputs(ListQuery(USER, limit), ports=ports).rows) == limit
    assert len(statements(caplog)) == 1
    database.peewee.close()


def statements(caplog: pytest.LogCaptureFixture) -> list[tuple[str, list[Any]]]:
    return [record.msg for record in caplog.records if record.name == "peewee"]  # type: ignore[misc]  # (sql, values)


LIMIT = 20
LAST_OF_PAGE = NOW + timedelta(seconds=LIMIT)
FILTERS: list[dict[str, Any]] = [
    {},
    {"type": MediaType.VIDEO},
    {"status": JobStatus.CANCELLED},
    {"type": MediaType.VIDEO, "status": JobStatus.CANCELLED},
]


@pytest.fixture(params=SQL_KINDS, scope="module")
def crowded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """USER has a page of cancelled videos and, newer than these, 900 rows of another type or status.

    The user "small" has exactly one page, and another user has the newest rows of the table.
    """
    database = open_database(database_url(request.param, request, folder=tmp_path_factory.mktemp("crowded")))
    rare, common = (MediaType.VIDEO, JobStatus.CANCELLED), (MediaType.IMAGE, JobStatus.SUCCEEDED)
    rows = [rare] * (LIMIT + 1) + [(rare[0], common[1])] * 300 + [(common[0], rare[1])] * 300 + [common] * 300
    with database.peewee.atomic():
        for number, (kind, status) in enumerate(rows):
            add_rows(database, number, user_id=USER, type=kind, status=status)
        for number in range(len(rows), len(rows) + 600):
            user_id = "small" if number < len(rows) + LIMIT else "other"
            add_rows(database, number, user_id=user_id, type=rare[0], status=rare[1])
    if request.param == "mariadb":
        database.peewee.execute_sql("ANALYZE TABLE jobs, job_outputs").fetchall()
    yield database
    database.peewee.close()


def add_rows(database: Database, number: int, *, status: JobStatus, **both: Any) -> None:
    both["created_at"] = NOW + timedelta(seconds=number)
    SqlJobStore(database).add(make_job(id=str(number), status=status, **both))
    SqlOutputStore(database).put(make_output(number, **both))


@pytest.mark.parametrize("before", [None, LAST_OF_PAGE], ids=["first-page", "later-page"])
@pytest.mark.parametrize("wanted", FILTERS, ids=lambda wanted: "-and-".join(wanted) or "everything")
def test_a_page_of_jobs_reads_only_its_own_rows(
    crowded: Database, wanted: dict[str, Any], before: datetime | None
) -> None:
    store, place = SqlJobStore(crowded), Place(before, str(LIMIT)) if before else None
    found, work = measure(crowded, lambda: store.of_user(USER, limit=LIMIT, before=place, **wanted))
    _, least = measure(crowded, lambda: store.of_user("small", limit=LIMIT))
    assert len(found) == LIMIT and work < 2 * least


@pytest.mark.parametrize("before", [None, LAST_OF_PAGE], ids=["first-page", "later-page"])
@pytest.mark.parametrize("wanted", FILTERS[:2], ids=["everything", "type"])
def test_a_page_of_outputs_reads_only_its_own_rows(
    crowded: Database, wanted: dict[str, Any], before: datetime | None
) -> None:
    store, place = SqlOutputStore(crowded), Place(before, make_output(LIMIT).id) if before else None
    found, work = measure(crowded, lambda: store.of_user(USER, limit=LIMIT, before=place, **wanted))
    _, least = measure(crowded, lambda: store.of_user("small", limit=LIMIT))
    assert len(found) == LIMIT and work < 2 * least


def measure(database: Database, read: Callable[[], Any]) -> tuple[Any, int]:
    """Return the result of ``read`` and its work: steps of SQLite's virtual machine, or rows that MariaDB read."""
    with database.session():
        connection = database.peewee.connection()
    if not isinstance(connection, sqlite3.Connection):
        before = _rows_read(database)
        return read(), _rows_read(database) - before
    steps: list[None] = []
    connection.set_progress_handler(lambda: steps.append(None), 1)
    found = read()
    connection.set_progress_handler(None, 0)
    return found, len(steps)


def _rows_read(database: Database) -> int:
    # Handler_read_rnd_next is left out because SHOW itself increases it.
    rows = database.peewee.execute_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'").fetchall()
    return sum(int(value) for name, value in rows if name != "Handler_read_rnd_next")
