"""Deletion through the API, checked with the official SDK and in the database."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import oss2
import psutil
import pytest

from tests.e2e.job_support import check_problem, generate, run
from tests.e2e.row_support import PICTURE, add_intent, add_job, count, insert, is_there, row_appears, settle
from tests.local_cloud import LocalCloud, eventually

TIMER = {"triggerName": "every-minute", "payload": '{"task": "jobs"}'}
EVERYTHING = "/users/me/data"
TABLES = ("jobs", "job_outputs", "output_intents", "webhook_deliveries")


@pytest.fixture
def user(prompt: str) -> str:
    """Return a user for one test."""
    return f"{prompt[-40:].strip()}@example.com"


def left_in_oss(cloud: LocalCloud, prefix: str) -> list[str]:
    """Return the keys of objects and of unfinished uploads below a prefix."""
    bucket = cloud.oss2_bucket()
    objects = [found.key for found in oss2.ObjectIteratorV2(bucket, prefix=prefix)]
    return objects + [found.key for found in oss2.MultipartUploadIterator(bucket, prefix=prefix)]


def left_in_tables(cloud: LocalCloud, user: str) -> dict[str, int]:
    """Return the number of a user's rows in each table."""
    return {table: len(cloud.rows(f"SELECT id FROM {table} WHERE user_id = ?", user)) for table in TABLES}


def unfinished(cloud: LocalCloud, user: str) -> int:
    return len(cloud.rows("SELECT id FROM deletions WHERE user_id = ? AND finished_at IS NULL", user))


def litter(cloud: LocalCloud, prefix: str) -> None:
    """Leave an object and an upload without rows below a prefix."""
    bucket = cloud.oss2_bucket()
    bucket.put_object(f"{prefix}notes a+b%2F.txt", b"text")
    bucket.init_multipart_upload(f"{prefix}video-1703123456789.mp4")


def add_delivery(cloud: LocalCloud, user: str, job_id: str) -> None:
    values = {
        "id": str(uuid.uuid4()),
        "job_id": job_id,
        "user_id": user,
        "event": "job.succeeded",
        "url": "https://example.com",
        "url_hash": "x",
        "status": "pending",
        "attempts": 0,
        "created_at": "2024-01-01 00:00:00",
    }
    insert(cloud, "webhook_deliveries", values)


def deleted(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.content) == (204, b""), answer.text


# -- a job


def test_a_job_is_deleted_with_its_objects_and_rows(cloud: LocalCloud, user: str, prompt: str) -> None:
    job, other = (run(cloud, user, f"{prompt} {n}", count=2, size="512x512") for n in range(2))
    prefix = f"users/{user}/jobs/{job['id']}/"
    litter(cloud, prefix)
    litter(cloud, f"users/{user}/jobs/{job['id']}0/")
    add_delivery(cloud, user, job["id"])
    api = cloud.api(user)
    assert len(left_in_oss(cloud, prefix)) == 4
    deleted(api.delete(f"/jobs/{job['id']}"))
    assert left_in_oss(cloud, prefix) == [] and len(left_in_oss(cloud, f"users/{user}/")) == 4
    assert left_in_tables(cloud, user) == {**dict.fromkeys(TABLES, 0), "jobs": 1, "job_outputs": 2}
    for answer in (api.delete(f"/jobs/{job['id']}"), api.get(f"/jobs/{job['id']}")):
        check_problem(answer, 404)
    assert [listed["id"] for listed in api.get("/jobs").json()["data"]] == [other["id"]]
    assert api.get(f"/jobs/{other['id']}").json() == other


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_failed_or_cancelled_job_is_deleted(cloud: LocalCloud, status: str) -> None:
    job_id = add_job(cloud, status)
    key = add_intent(cloud, job_id)
    cloud.oss2_bucket().put_object(key, PICTURE)
    deleted(cloud.api("test@factory-buy.com").delete(f"/jobs/{job_id}"))
    assert not is_there(cloud, key)
    assert cloud.rows("SELECT id FROM output_intents WHERE job_id = ?", job_id) == []


def test_the_deletion_of_a_running_job_is_a_409(cloud: LocalCloud, user: str, prompt: str) -> None:
    api = cloud.api(user)
    job = generate(api, f"[slow] {prompt}", size="512x512")
    problem = check_problem(api.delete(f"/jobs/{job['id']}"), 409)
    assert problem["code"] == "job_running" and "cancel it first" in problem["detail"]
    assert unfinished(cloud, user) == 0
    cloud.finish(api, job["id"])
    deleted(api.delete(f"/jobs/{job['id']}"))


def test_jobs_and_outputs_of_other_users_are_not_found(cloud: LocalCloud, user: str, prompt: str) -> None:
    job = run(cloud, user, prompt, size="512x512")
    stranger = cloud.api(f"not {user}")
    for mine, none in (
        (f"/jobs/{job['id']}", f"/jobs/{uuid.uuid4()}"),
        (f"/outputs/{job['outputs'][0]['id']}", f"/outputs/{uuid.uuid4()}"),
    ):
        answers = [check_problem(stranger.delete(path), 404) for path in (mine, none)]
        assert len({str({**answer, "requestId": ""}) for answer in answers}) == 1
        check_problem(cloud.api(None).delete(mine), 401)
    deleted(stranger.delete(EVERYTHING))
    assert cloud.api(user).get(f"/jobs/{job['id']}").json() == job and len(cloud.objects(user, job["id"])) == 1


# -- an output


def test_an_output_is_deleted_without_its_siblings(cloud: LocalCloud, user: str, prompt: str) -> None:
    job = run(cloud, user, prompt, count=2, size="512x512")
    api, (first, second) = cloud.api(user), job["outputs"]
    deleted(api.delete(f"/outputs/{first['id']}"))
    check_problem(api.delete(f"/outputs/{first['id']}"), 404)
    assert api.get("/outputs").json()["data"] == [second]
    assert api.get(f"/jobs/{job['id']}").json()["outputs"] == [second]
    (found,) = cloud.objects(user, job["id"])
    assert found.key == cloud.output_rows(job["id"])[0]["oss_path"]


# -- everything


def test_everything_of_a_user_is_deleted(cloud: LocalCloud, user: str, prompt: str) -> None:
    run(cloud, user, prompt, count=2, size="512x512")
    neighbour = user.removesuffix("m")
    kept = run(cloud, neighbour, f"{prompt} kept", size="512x512")
    alone = f"users/{user}/jobs/unknown/image-1703123456789.png"
    cloud.oss2_bucket().put_object(alone, PICTURE)
    row_appears(cloud, alone)
    litter(cloud, f"users/{user}/")
    litter(cloud, f"users/{neighbour}/")
    api = cloud.api(user)
    deleted(api.delete(EVERYTHING))
    assert left_in_oss(cloud, f"users/{user}/") == []
    assert left_in_tables(cloud, user) == dict.fromkeys(TABLES, 0)
    assert api.get("/jobs").json() == api.get("/outputs").json() == {"data": [], "nextCursor": None}
    deleted(api.delete(EVERYTHING))
    assert cloud.api(neighbour).get(f"/jobs/{kept['id']}").json() == kept
    assert len(left_in_oss(cloud, f"users/{neighbour}/")) == 3


def test_running_jobs_are_cancelled_first_and_newer_jobs_stay(cloud: LocalCloud, user: str, prompt: str) -> None:
    api = cloud.api(user)
    job = generate(api, f"[slow] {prompt}", size="512x512")
    eventually(lambda: cloud.rows("SELECT id FROM jobs WHERE id = ? AND submitted_at IS NOT NULL", job["id"]))
    answer = api.delete(EVERYTHING)
    assert answer.status_code == 202 and int(answer.headers["retry-after"]) > 0, answer.text
    assert answer.json()["status"] == "deleting" and answer.json()["requestedAt"]
    newer = run(cloud, user, f"{prompt} newer", size="512x512")

    def ended() -> bool:
        cloud.advance(2)
        return api.delete(EVERYTHING).status_code == 204

    eventually(ended, timeout_s=40)
    check_problem(api.get(f"/jobs/{job['id']}"), 404)
    assert cloud.objects(user, job["id"]) == []
    assert api.get(f"/jobs/{newer['id']}").json() == newer and len(cloud.objects(user, newer["id"])) == 1
    # The last answer reported the end, so the next request is a new deletion.
    deleted(api.delete(EVERYTHING))
    assert left_in_tables(cloud, user) == dict.fromkeys(TABLES, 0)


# -- interrupted


REQUESTS: list[Callable[[dict[str, Any]], str]] = [
    lambda job: f"/jobs/{job['id']}",
    lambda job: f"/outputs/{job['outputs'][0]['id']}",
    lambda job: EVERYTHING,
]


@pytest.mark.parametrize("path_of", REQUESTS, ids=["job", "output", "user"])
def test_the_timer_ends_a_deletion_that_oss_interrupted(
    cloud: LocalCloud, user: str, prompt: str, path_of: Callable[[dict[str, Any]], str]
) -> None:
    api, job = cloud.api(user), run(cloud, user, prompt, size="512x512")
    path = path_of(job)
    cloud.arm("oss", {"operation": "DeleteObject"}, {"status": 500, "code": "InternalError"}, times=1000)
    for _ in range(2):  # a repeated request continues the same deletion
        check_not_yet(api.delete(path))
    assert unfinished(cloud, user) == (
        2 if path == EVERYTHING else 1
    )  # the deletion of the job, beside the deletion of its user's data
    assert left_in_tables(cloud, user)["jobs"] == 1
    cloud.disarm()
    cloud.invoke("clean-up", TIMER)
    assert unfinished(cloud, user) == 0 and left_in_oss(cloud, f"users/{user}/") == []
    assert api.delete(path).status_code == (204 if path == EVERYTHING else 404)


def check_not_yet(answer: httpx.Response) -> None:
    assert int(answer.headers["retry-after"]) > 0
    if answer.request.url.path == EVERYTHING:
        assert answer.status_code == 202, answer.text
        return
    problem = check_problem(answer, 503)
    assert problem["code"] == "storage_unavailable" and "nothing was lost" in problem["detail"]


@pytest.mark.parametrize("path_of", REQUESTS, ids=["job", "output", "user"])
def test_a_repeated_request_ends_a_deletion_after_a_lost_answer_of_oss(
    cloud: LocalCloud, user: str, prompt: str, path_of: Callable[[dict[str, Any]], str]
) -> None:
    api, job = cloud.api(user), run(cloud, user, prompt, size="512x512")
    cloud.arm("oss", {"operation": "DeleteObject"}, {"drop": True})
    check_not_yet(api.delete(path_of(job)))
    deleted(api.delete(path_of(job)))
    assert left_in_oss(cloud, f"users/{user}/") == [] and unfinished(cloud, user) == 0
    assert left_in_tables(cloud, user)["job_outputs"] == 0


def test_the_timer_ends_a_deletion_whose_instance_was_killed(cloud: LocalCloud, user: str, prompt: str) -> None:
    job = run(cloud, user, prompt, count=2, size="512x512")
    first = cloud.output_rows(job["id"])[0]["oss_path"]
    cloud.invoke("clean-up", TIMER)  # starts an instance
    cloud.arm("oss", {"operation": "DeleteObject", "key": first}, {"drop": True, "delayS": 30})
    api = cloud.api(user)
    answer = _kill_while(cloud, "clean-up", lambda: api.delete(f"/jobs/{job['id']}"))
    check_problem(answer, 503)
    assert unfinished(cloud, user) == 1 and left_in_tables(cloud, user)["job_outputs"] == 2
    cloud.disarm()
    cloud.advance(60)
    eventually(lambda: unfinished(cloud, user) == 0)
    assert left_in_oss(cloud, f"users/{user}/") == [] and left_in_tables(cloud, user) == dict.fromkeys(TABLES, 0)


def _kill_while(cloud: LocalCloud, function: str, ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Send the request, kill the busy instance of ``function``, and return the answer."""
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(ask)
        busy = eventually(lambda: [each for each in cloud.instances(function) if each["busy"]])
        for instance in busy:
            psutil.Process(instance["pid"]).kill()
        return answer.result(timeout=40)


# -- late uploads


def test_an_object_uploaded_after_the_deletion_gets_no_row_and_is_deleted_within_the_hour(
    cloud: LocalCloud, user: str, prompt: str
) -> None:
    before = count(cloud)
    job = run(cloud, user, prompt, size="512x512")
    key = cloud.output_rows(job["id"])[0]["oss_path"]
    deleted(cloud.api(user).delete(f"/jobs/{job['id']}"))
    cloud.oss2_bucket().put_object(key, PICTURE)
    settle(cloud, 3, before)  # the job's upload, its removal and the late upload
    assert cloud.output_rows(job["id"]) == []
    cloud.invoke("clean-up", TIMER)
    assert is_there(cloud, key)
    cloud.execute("UPDATE deletions SET finished_at = '2020-01-01 00:00:00' WHERE user_id = ?", user)
    cloud.invoke("clean-up", TIMER)
    assert not is_there(cloud, key) and cloud.rows("SELECT id FROM deletions WHERE user_id = ?", user) == []
