"""The lists of jobs and outputs through the API: pages, filters and invalid queries."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.e2e.job_support import check_job_shape, check_problem, run
from tests.e2e.row_support import add_job, insert
from tests.local_cloud import LocalCloud

BEGIN = datetime(2024, 2, 29, 23, 59, 59, 999000, tzinfo=UTC)


@pytest.fixture
def user(prompt: str) -> str:
    """A user of this test only, so that the lists do not contain the work of other tests."""
    return f"{prompt[-40:]}@example.com"


def add_jobs(cloud: LocalCloud, user: str, number: int, status: str = "failed", type_: str = "image") -> list[str]:
    """Add jobs, three in each millisecond, and return their ids in the order of the list."""
    found = []
    for n in range(number):
        created = str((BEGIN + timedelta(milliseconds=n // 3)).replace(tzinfo=None))  # as the functions write it
        job_id = add_job(cloud, status, user_id=user, type=type_, created_at=created)
        found.append((created, job_id))
    return [job_id for _, job_id in sorted(found, reverse=True)]


def add_outputs(cloud: LocalCloud, user: str, job_id: str, number: int) -> list[str]:
    """Add rows of outputs, all with the same time, and return their ids in the order of the list."""
    ids = sorted((f"{job_id[:-2]}{n:02}" for n in range(number)), reverse=True)
    for n, output_id in enumerate(ids):
        key = f"users/{user}/jobs/{job_id}/{'video' if n % 2 else 'image'}-{1703123456789 + n}.x"
        values = {
            "id": output_id,
            "job_id": job_id,
            "user_id": user,
            "type": "video" if n % 2 else "image",
            "oss_url": f"https://media.example.com/{key}",
            "oss_path": key,
            "size": n,
            "meta": json.dumps({"width": n}),
            "created_at": BEGIN.strftime("%Y-%m-%d %H:%M:%S"),
        }
        insert(cloud, "job_outputs", values)
    return ids


def page(api: httpx.Client, path: str, **query: Any) -> tuple[list[dict[str, Any]], str | None]:
    answer = api.get(path, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body.keys() == {"data", "nextCursor"}
    return body["data"], body["nextCursor"]


def walk(api: httpx.Client, path: str, **query: Any) -> list[str]:
    """Return the ids on all pages."""
    ids, cursor, pages = list[str](), None, 0
    while True:
        data, cursor = page(api, path, **query, **({"cursor": cursor} if cursor else {}))
        ids += [row["id"] for row in data]
        pages += 1
        assert pages < 100
        if cursor is None:
            return ids


@pytest.mark.parametrize("limit", [None, 1, 7, 100])
def test_pages_contain_each_job_once_the_newest_first(cloud: LocalCloud, user: str, limit: int | None) -> None:
    ids = add_jobs(cloud, user, 23)
    query = {} if limit is None else {"limit": limit}
    data, cursor = page(cloud.api(user), "/jobs", **query)
    assert len(data) == min(limit or 20, 23) and (cursor is None) == (limit == 100)
    for job in data:
        check_job_shape(job)
    assert walk(cloud.api(user), "/api/jobs", **query) == ids


def test_new_and_deleted_jobs_do_not_disturb_the_pages(cloud: LocalCloud, user: str) -> None:
    api, ids = cloud.api(user), add_jobs(cloud, user, 6)
    first, cursor = page(api, "/jobs", limit=3)
    add_job(cloud, user_id=user)  # newer than all of them
    cloud.execute("DELETE FROM jobs WHERE id IN (?, ?)", ids[2], ids[3])
    second, _ = page(api, "/jobs", limit=3, cursor=cursor)
    assert [job["id"] for job in (*first, *second)] == [*ids[:3], *ids[4:]]


def test_jobs_are_filtered_by_type_and_status(cloud: LocalCloud, user: str) -> None:
    api = cloud.api(user)
    failed = add_jobs(cloud, user, 4)
    cancelled = add_jobs(cloud, user, 2, "cancelled")
    videos = add_jobs(cloud, user, 3, "failed", "video")
    assert walk(api, "/jobs", status="failed", type="image", limit=3) == failed
    assert walk(api, "/jobs", status="cancelled", limit=1) == cancelled
    assert walk(api, "/jobs", type="video", limit=2) == videos
    assert len(walk(api, "/jobs")) == 9 and walk(api, "/jobs", status="storing") == []


def test_a_listed_job_is_equal_to_the_job(cloud: LocalCloud, user: str, prompt: str) -> None:
    job = run(cloud, user, prompt, count=2, size="512x512")
    elsewhere = add_job(cloud, user_id=user, legacy_url="https://old.example.com/1.png")
    nothing = add_job(cloud, user_id=user, legacy_url="/tmp/dream-factory/1.png")  # noqa: S108 - what a row may hold
    api, invocations = cloud.api(user), len(cloud.invocations("index-outputs"))
    data, cursor = page(api, "/jobs")
    found = {listed["id"]: listed for listed in data}
    assert cursor is None and found.keys() == {job["id"], elsewhere, nothing}
    assert len(cloud.invocations("index-outputs")) == invocations, "a list has something indexed"
    for job_id, outputs in ((job["id"], 2), (elsewhere, 1), (nothing, 0)):
        assert len(found[job_id]["outputs"]) == outputs
        assert found[job_id] == api.get(f"/jobs/{job_id}").json()
    gallery, _ = page(api, "/outputs")
    assert gallery == sorted(job["outputs"], key=lambda row: (row["createdAt"], row["id"]), reverse=True)


def test_pages_contain_each_output_once(cloud: LocalCloud, user: str) -> None:
    job_id = add_job(cloud, user_id=user)
    ids = add_outputs(cloud, user, job_id, 11)
    api = cloud.api(user)
    for limit in (1, 4, 100):
        assert walk(api, "/outputs", limit=limit) == ids
        assert walk(api, "/outputs", limit=limit, type="video") == ids[1::2]
    (first, *_), _ = page(api, "/outputs", type="image")
    assert (
        first["jobId"] == job_id
        and first["userId"] == user
        and first["ossUrl"].startswith(cloud.variables["OSS_ENDPOINT"])
    )
    assert walk(cloud.api(f"not {user}"), "/outputs") == walk(cloud.api(f"not {user}"), "/jobs") == []


@pytest.mark.parametrize("path", ["/jobs", "/outputs"])
@pytest.mark.parametrize(
    ("query", "field", "named"),
    [
        ({"limit": 0}, "limit", "1"),
        ({"limit": 101}, "limit", "100"),
        ({"limit": "many"}, "limit", "integer"),
        ({"limit": ""}, "limit", "integer"),
        ({"type": "audio"}, "type", '"image" or "video"'),
        ({"type": "Image"}, "type", '"image" or "video"'),
        ({"state": "failed"}, "state", ""),
    ],
    ids=str,
)
def test_an_invalid_query_parameter_is_a_422_that_names_it(
    cloud: LocalCloud, user: str, path: str, query: dict[str, Any], field: str, named: str
) -> None:
    problem = check_problem(cloud.api(user).get(path, params=query), 422, field)
    assert named in problem["errors"][0]["message"]


def test_an_unknown_status_is_a_422_that_names_every_status(cloud: LocalCloud, user: str) -> None:
    problem = check_problem(cloud.api(user).get("/jobs", params={"status": "done"}), 422, "status")
    for status in ("queued", "running", "storing", "succeeded", "failed", "cancelled"):
        assert f'"{status}"' in problem["errors"][0]["message"]
    check_problem(cloud.api(user).get("/outputs", params={"status": "failed"}), 422, "status")


def test_a_cursor_of_another_list_is_a_400(cloud: LocalCloud, user: str) -> None:
    add_jobs(cloud, user, 2)
    api = cloud.api(user)
    _, cursor = page(api, "/jobs", limit=1)
    assert cursor
    refused = [
        api.get("/outputs", params={"cursor": cursor}),
        api.get("/jobs", params={"cursor": cursor, "type": "image"}),
        api.get("/jobs", params={"cursor": cursor, "status": "failed"}),
        *(api.get("/jobs", params={"cursor": bad}) for bad in ("", "x", "%%%", cursor[:-1], cursor + "A", "é" * 300)),
    ]
    for answer in refused:
        assert check_problem(answer, 400)["code"] == "bad_cursor"
    # A cursor is also valid with another limit.
    assert page(api, "/jobs", cursor=cursor, limit=5)[1] is None


def test_the_lists_need_a_token(cloud: LocalCloud) -> None:
    for path in ("/jobs", "/outputs"):
        check_problem(cloud.api(None).get(path), 401)
        assert cloud.api("somebody").head(path).status_code == 200
