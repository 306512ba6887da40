"""Jobs of the previous system, which has no rows in ``job_outputs``: the API shows them without an error."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.e2e.job_support import check_job_shape, check_problem, run
from tests.e2e.row_support import PICTURE, USER, add_job, key_of, row_of
from tests.local_cloud import LocalCloud, download

ELSEWHERE = "https://old.example.com/files/1.png"
UNKNOWN = {"width": None, "height": None, "format": None, "crc64": None}


def shown(api: httpx.Client, job_id: str) -> list[dict[str, Any]]:
    """Return the job's outputs, and check that both routes show the same."""
    job = api.get(f"/jobs/{job_id}")
    assert job.status_code == 200, job.text
    check_job_shape(job.json())
    outputs = api.get(f"/jobs/{job_id}/outputs")
    assert outputs.status_code == 200, outputs.text
    assert outputs.json()["data"] == job.json()["outputs"]
    found: list[dict[str, Any]] = job.json()["outputs"]
    return found


def put_unseen(cloud: LocalCloud, key: str) -> None:
    """Upload an object without an event, like the objects of the previous system."""
    cloud.arm("events", {"key": key}, {"lose": True})
    cloud.oss2_bucket().put_object(key, PICTURE)


@pytest.mark.parametrize("how", ["no url", "local path", "url"])
def test_objects_in_the_bucket_are_shown_at_the_first_read(cloud: LocalCloud, how: str) -> None:
    job_id = add_job(cloud, attempt=0)
    key = key_of(job_id)
    url = {
        "no url": None,
        "local path": f"/tmp/dream-factory/{job_id}.png",  # noqa: S108 - what a row may hold
        "url": f"{cloud.variables['OSS_ENDPOINT']}/{cloud.variables['OSS_BUCKET']}/{quote(key)}?Expires=1",
    }[how]
    cloud.execute("UPDATE jobs SET legacy_url = ? WHERE id = ?", url, job_id)
    put_unseen(cloud, key)
    put_unseen(cloud, key_of(job_id, 1))
    api = cloud.api(USER)
    first, second = shown(api, job_id)
    assert (first["size"], first["meta"]["width"], first["jobId"]) == (len(PICTURE), 64, job_id)
    assert download(first["ossUrl"]).content == PICTURE
    assert row_of(cloud, key) is not None and second["id"] != first["id"]
    before = len(cloud.invocations("index-outputs"))
    assert shown(api, job_id) == [first, second]
    assert len(cloud.invocations("index-outputs")) == before


def test_a_stored_url_of_another_host_is_shown(cloud: LocalCloud) -> None:
    job_id = add_job(cloud, legacy_url=ELSEWHERE)
    (output,) = shown(cloud.api(USER), job_id)
    assert (output["ossUrl"], output["size"], output["meta"]) == (ELSEWHERE, None, UNKNOWN)
    assert (output["jobId"], output["userId"], output["type"]) == (job_id, USER, "image")
    assert shown(cloud.api(USER), job_id) == [output]


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled", "queued"])
def test_a_job_without_objects_or_a_url_has_no_outputs(cloud: LocalCloud, status: str) -> None:
    assert shown(cloud.api(USER), add_job(cloud, status)) == []


def test_while_oss_is_unavailable_the_answer_is_empty_and_the_next_read_tries_again(cloud: LocalCloud) -> None:
    job_id = add_job(cloud)
    put_unseen(cloud, key_of(job_id))
    api = cloud.api(USER)
    cloud.arm("oss", {"operation": "ListObjectsV2"}, {"status": 503, "code": "ServiceUnavailable"}, times=1000)
    assert api.get(f"/jobs/{job_id}").json()["outputs"] == []
    log = (cloud.data_dir / "logs" / "api.log").read_text()
    assert "a job without rows could not be indexed" in log and job_id in log
    cloud.disarm()
    assert len(shown(api, job_id)) == 1


def test_an_old_job_of_another_user_is_not_found(cloud: LocalCloud) -> None:
    job_id = add_job(cloud, legacy_url=ELSEWHERE)
    for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/outputs"):
        check_problem(cloud.api("somebody.else").get(path), 404)


def test_rows_that_are_lost_come_back_from_the_objects_in_the_bucket(cloud: LocalCloud, prompt: str) -> None:
    job = run(cloud, USER, prompt, count=2, size="512x512")
    cloud.execute("DELETE FROM job_outputs WHERE job_id = ?", job["id"])
    api = cloud.api(USER)
    shown = api.get(f"/jobs/{job['id']}/outputs").json()["data"]
    assert [{**output, "createdAt": None} for output in shown] == [
        {**output, "createdAt": None} for output in job["outputs"]
    ]
    assert api.get(f"/jobs/{job['id']}").json() == {**job, "outputs": shown}
