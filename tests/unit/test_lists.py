"""Lists: pages of any size, while rows are added and removed."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import BadRequestError
from shared.domain.jobs import Job, JobStatus
from shared.domain.keys import ObjectKey
from shared.domain.media_type import MediaType
from shared.services.reading import ListQuery, Page, list_jobs, list_outputs
from tests.fakes import NOW, USER, World, make_job, make_output, make_video_job

# Few times and few ids, because rows with the same time are the hard case.
ROWS = st.builds(lambda ms, n: (ms, f"job{n}"), st.integers(0, 3), st.integers(0, 9))
CHANGES = st.lists(st.tuples(st.booleans(), ROWS), max_size=3)


def add(world: World, row: tuple[int, str], **changes: Any) -> Job:
    milliseconds, job_id = row
    return world.jobs.add(make_job(id=job_id, created_at=NOW + timedelta(milliseconds=milliseconds), **changes))


def page(world: World, **wanted: Any) -> Page[Any]:
    query = ListQuery(**{"user_id": USER, "limit": 20, **wanted})
    return list_jobs(query, ports=world.reading())


def ids(found: Page[Any]) -> list[str]:
    return [listed.job.id for listed in found.rows]


@given(st.lists(ROWS, unique_by=lambda row: row[1]), st.lists(CHANGES, max_size=8), st.integers(1, 5))
def test_pages_show_every_row_that_stays_exactly_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[int, str]],
    changes: list[list[tuple[bool, tuple[int, str]]]],
    limit: int,
) -> None:
    world = World(tmp_path_factory.getbasetemp())
    for row in rows:
        add(world, row)
    world.jobs.add(make_job(id="a stranger's", user_id="other"))
    constant, shown, cursor, more = set(rows), list[tuple[int, str]](), None, list(changes)
    while True:
        found = page(world, limit=limit, cursor=cursor)
        assert len(found.rows) <= limit
        jobs = [listed.job for listed in found.rows]
        shown += [((job.created_at - NOW) // timedelta(milliseconds=1), job.id) for job in jobs]
        cursor = found.next_cursor
        if cursor is None:
            break
        assert len(found.rows) == limit
        for adds, row in more.pop(0) if more else ():
            constant = {each for each in constant if each[1] != row[1]}
            world.jobs.remove(row[1])
            if adds:
                add(world, row)
    assert shown == sorted(set(shown), reverse=True)
    assert [row for row in shown if row in constant] == sorted(constant, reverse=True)


def test_pages_end_where_the_rows_end(world: World) -> None:
    for number in range(4):
        add(world, (number, f"job{number}"))
    first = page(world, limit=2)
    second = page(world, limit=2, cursor=first.next_cursor)
    assert (ids(first), ids(second), second.next_cursor) == (["job3", "job2"], ["job1", "job0"], None)
    assert page(world, limit=4).next_cursor is None
    assert page(world, user_id="nobody") == Page([], None)


def test_a_cursor_is_valid_only_with_the_same_filters(world: World) -> None:
    for number in range(6):
        status = JobStatus.FAILED if number % 2 else JobStatus.SUCCEEDED
        world.jobs.add(make_video_job(id=f"video{number}", status=status) if number < 4 else make_job(id=str(number)))
    wanted = {"type": MediaType.VIDEO, "status": JobStatus.FAILED, "limit": 1}
    first = page(world, **wanted)
    second = page(world, cursor=first.next_cursor, **wanted)
    assert (ids(first), ids(second), second.next_cursor) == (["video3"], ["video1"], None)
    for other in ({"type": None}, {"status": None}, {"type": MediaType.IMAGE}):
        with pytest.raises(BadRequestError):
            page(world, cursor=first.next_cursor, **{**wanted, **other})
    with pytest.raises(BadRequestError):
        list_outputs(ListQuery(USER, 1, first.next_cursor, MediaType.VIDEO), ports=world.reading())


def test_succeeded_jobs_have_their_outputs_in_order_of_position(world: World) -> None:
    for job_id, status in (("good", JobStatus.SUCCEEDED), ("bad", JobStatus.STORING), ("none", JobStatus.SUCCEEDED)):
        add(world, (0, job_id), status=status)
    for position, job_id in ((1, "good"), (0, "good"), (2, "bad")):
        world.outputs.put(make_output(position, job_id=job_id))
    shown = {listed.job.id: [output.id for output in listed.outputs] for listed in page(world).rows}
    assert shown == {"good": [make_output(0).id, make_output(1).id], "bad": [], "none": []}


def test_a_list_shows_urls_outside_the_bucket_and_indexes_nothing(world: World) -> None:
    elsewhere, ours = "https://old.example.com/1.png", "https://media.example.com/ours.png"
    key = ObjectKey(USER, "ours", MediaType.IMAGE, 1703123456789, "png")
    add(world, (2, "elsewhere"), status=JobStatus.SUCCEEDED, legacy_url=elsewhere)
    add(world, (1, "ours"), status=JobStatus.SUCCEEDED, legacy_url=ours)
    add(world, (0, "local"), status=JobStatus.SUCCEEDED, legacy_url="/tmp/dream-factory/1.png")  # noqa: S108 - what a row may hold
    found = list_jobs(ListQuery(USER, 9), ports=world.reading(lambda url: key if url == ours else None))
    assert [[output.oss_url for output in listed.outputs] for listed in found.rows] == [[elsewhere], [], []]


def test_outputs_are_listed_by_the_time_of_their_rows(world: World) -> None:
    rows: Sequence[Any] = [make_output(n, created_at=NOW + timedelta(milliseconds=n // 2)) for n in range(5)]
    for row in rows:
        world.outputs.put(row)
    world.outputs.put(make_output(7, user_id="other"))
    world.outputs.put(make_output(8, type=MediaType.VIDEO))
    shown, cursor = list[Any](), None
    while True:
        found = list_outputs(ListQuery(USER, 2, cursor, MediaType.IMAGE), ports=world.reading())
        shown += found.rows
        cursor = found.next_cursor
        if cursor is None:
            break
    assert shown == sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)
