"""How a request starts a job and waits for its end: 200, 202, Prefer, Location and Retry-After."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.job_support import Case, check_job_shape, check_problem, check_succeeded
from tests.local_cloud import LocalCloud, eventually

IMAGE, VIDEO = "/ai/generate-image", "/ai/generate-video"
USER = "test@factory-buy.com"


def test_an_image_is_waited_for_and_answered_with_200(cloud: LocalCloud, prompt: str) -> None:
    answer = cloud.api(USER).post(f"/api{IMAGE}", json={"prompt": prompt, "size": "512x512"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["location"] == f"/jobs/{answer.json()['id']}"
    assert "retry-after" not in answer.headers and "preference-applied" not in answer.headers
    check_succeeded(cloud, USER, answer.json(), Case("", IMAGE, {}, (512, 512), "wan2.2-t2i-flash"))
    again = cloud.api(USER).get(f"/api/jobs/{answer.json()['id']}")
    assert (again.status_code, again.json()) == (200, answer.json())
    outputs = cloud.api(USER).get(f"/jobs/{answer.json()['id']}/outputs")
    assert (outputs.status_code, outputs.json()) == (200, {"data": answer.json()["outputs"]})


def test_a_video_is_answered_at_once_with_202(cloud: LocalCloud, prompt: str) -> None:
    api, began = cloud.api(USER), time.monotonic()
    answer = api.post(VIDEO, json={"prompt": f"[slow] {prompt}", "duration": 2, "size": "832x480"})
    assert answer.status_code == 202 and time.monotonic() - began < 5
    assert answer.json()["status"] in {"queued", "running"} and int(answer.headers["retry-after"]) > 0
    check_job_shape(answer.json())
    cloud.finish(api, answer.json()["id"])


def test_prefer_wait_ends_in_time_with_200_or_202(cloud: LocalCloud, prompt: str) -> None:
    api = cloud.api(USER)
    body = {"prompt": f"[slow] {prompt}", "size": "512x512"}
    began = time.monotonic()
    answer = api.post(IMAGE, json=body, headers={"Prefer": "wait=1"})
    assert answer.status_code == 202 and 0.9 < time.monotonic() - began < 8
    assert answer.headers["preference-applied"] == "wait=1"
    job = f"/jobs/{answer.json()['id']}"
    polled = api.get(job, headers={"Prefer": "wait=1"})
    assert polled.status_code == 200 and polled.json()["status"] in {"queued", "running"}
    assert polled.headers["preference-applied"] == "wait=1" and int(polled.headers["retry-after"]) > 0
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(api.get, job, headers={"Prefer": "wait=60"})
        eventually(lambda: any(each["busy"] for each in cloud.instances("api")))
        # The provider's minute begins with the submit, so the clock moves after the submit.
        eventually(lambda: cloud.rows(f"SELECT id FROM jobs WHERE id = '{job[6:]}' AND provider_task_id IS NOT NULL"))
        began = time.monotonic()
        cloud.advance(60)
        ended = waiting.result(timeout=30)
    assert ended.json()["status"] == "succeeded" and time.monotonic() - began < 15
    assert "retry-after" not in ended.headers


@pytest.mark.parametrize("value", ["wait=-1", "wait=", "wait=soon", "wait=1.5", "wait=99999999"])
def test_an_invalid_wait_is_a_400(cloud: LocalCloud, prompt: str, value: str) -> None:
    check_problem(cloud.api(USER).post(IMAGE, json={"prompt": prompt}, headers={"Prefer": value}), 400)
    assert cloud.charges(prompt) == []


def test_a_long_wait_is_shortened_to_a_minute(cloud: LocalCloud, prompt: str) -> None:
    answer = cloud.api(USER).post(IMAGE, json={"prompt": prompt, "size": "512x512"}, headers={"Prefer": "wait=600"})
    assert answer.status_code == 200 and answer.headers["preference-applied"] == "wait=60"
