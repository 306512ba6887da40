"""Instances, and the whole local cloud, are killed during a job."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.job_support import Case, check_nothing_stored, check_succeeded, generate, run
from tests.local_cloud import LocalCloud, download, eventually, free_ports

USER = "test@factory-buy.com"
IMAGE = Case("image", "/ai/generate-image", {"size": "512x512"}, (512, 512), "wan2.2-t2i-flash")
VIDEO = Case(
    "video", "/ai/generate-video", {"duration": 2, "size": "832x480"}, (832, 480), "wan2.6-t2v", 1, 2, ext="mp4"
)
FOREVER_S = 100_000


def start(cloud: LocalCloud, api: httpx.Client, prompt: str, case: Case) -> dict[str, Any]:
    return generate(api, prompt, path=case.path, **case.body)


def job_row(cloud: LocalCloud, job: dict[str, Any]) -> dict[str, Any]:
    return cloud.rows("SELECT * FROM jobs WHERE id = ?", job["id"])[0]


def kill_instance(cloud: LocalCloud, function: str) -> None:
    """Kill the busy instance; a second instance may be busy until it sees that the job has an attempt."""
    pids = {each["pid"] for each in cloud.instances(function) if each["busy"]}
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not pids & {each["pid"] for each in cloud.instances(function)})


@pytest.mark.parametrize("case", [IMAGE, VIDEO], ids=lambda case: case.name)
def test_a_job_continues_after_its_instance_is_killed_during_the_generation(
    cloud: LocalCloud, prompt: str, case: Case
) -> None:
    api, prompt = cloud.api(USER), f"[slow] {prompt}"
    job = start(cloud, api, prompt, case)
    eventually(lambda: job_row(cloud, job)["provider_task_id"])
    kill_instance(cloud, f"generate-{case.type}")
    cloud.age(job["id"])
    check_succeeded(cloud, USER, cloud.finish(api, job["id"]), case)
    assert len(cloud.charges(prompt)) == 1


def test_a_job_continues_after_three_instances_are_killed(cloud: LocalCloud, prompt: str) -> None:
    api, prompt = cloud.api(USER), f"[slow] {prompt}"
    job = start(cloud, api, prompt, IMAGE)

    def submitted(attempt: int) -> bool:
        row = job_row(cloud, job)
        return row["attempt"] >= attempt and row["provider_task_id"] is not None

    for attempt in range(1, 4):
        eventually(lambda: any(each["busy"] for each in cloud.instances("generate-image")))
        eventually(partial(submitted, attempt))
        kill_instance(cloud, "generate-image")
        cloud.execute("UPDATE jobs SET lease_expires_at = '2020-01-01 00:00:00' WHERE id = ?", job["id"])
        # Function Compute repeats the invocation after 1, 2 and 4 seconds.
        cloud.advance(2**attempt)
    check_succeeded(cloud, USER, cloud.finish(api, job["id"]), IMAGE)
    assert len(cloud.charges(prompt)) == 1


@pytest.mark.parametrize("case", [IMAGE, VIDEO], ids=lambda case: case.name)
def test_a_job_continues_after_its_instance_is_killed_during_the_upload(
    cloud: LocalCloud, prompt: str, case: Case
) -> None:
    api = cloud.api(USER)
    cloud.arm("oss", {"operation": "PutObject", "key": "users/*"}, {"delayS": FOREVER_S})
    job = start(cloud, api, prompt, case)

    def uploading() -> bool:
        cloud.advance(1)
        return bool(cloud.temp_files())

    eventually(uploading, interval_s=0.1)
    kill_instance(cloud, f"generate-{case.type}")
    eventually(lambda: cloud.temp_files() == [])
    cloud.age(job["id"])
    check_succeeded(cloud, USER, cloud.finish(api, job["id"]), case)
    assert len(cloud.charges(prompt)) == 1


def test_a_submission_with_an_unknown_result_is_not_repeated(cloud: LocalCloud, prompt: str) -> None:
    api = cloud.api(USER)
    cloud.arm("provider", {"operation": "submit", "prompt": prompt}, {"delayS": FOREVER_S})
    job = start(cloud, api, prompt, IMAGE)
    eventually(lambda: job_row(cloud, job)["submitted_at"])
    cloud.advance(5)
    eventually(lambda: cloud.charges(prompt))
    assert job_row(cloud, job)["provider_task_id"] is None
    kill_instance(cloud, "generate-image")
    cloud.age(job["id"])
    failed = cloud.finish(api, job["id"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "submission_unknown")
    check_nothing_stored(cloud, USER, failed)
    assert len(cloud.charges(prompt)) == 1


def test_a_job_continues_after_the_api_instance_of_its_caller_is_killed(cloud: LocalCloud, prompt: str) -> None:
    api = cloud.api(USER)
    body, headers = {"prompt": f"[slow] {prompt}", **IMAGE.body}, {"Idempotency-Key": prompt, "Prefer": "wait=60"}
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(api.post, IMAGE.path, json=body, headers=headers)
        eventually(lambda: cloud.rows("SELECT id FROM jobs WHERE prompt = ?", body["prompt"]))
        (instance,) = [each for each in cloud.instances("api") if each["busy"]]
        os.kill(instance["pid"], signal.SIGKILL)
        broken = waiting.result(timeout=20)
    assert broken.status_code == 502 and "Traceback" not in broken.text
    again = api.post(IMAGE.path, json=body, headers={**headers, "Prefer": "respond-async"})
    check_succeeded(cloud, USER, cloud.finish(api, again.json()["id"]), IMAGE)
    assert len(cloud.charges(body["prompt"])) == 1


def test_a_killed_local_cloud_has_all_its_data_after_a_restart(
    start_cloud: Callable[..., LocalCloud], tmp_path: Path, prompt: str
) -> None:
    data, port = tmp_path / "data", free_ports()
    first = start_cloud(data, port=port)
    done = run(first, USER, prompt, **IMAGE.body)
    api, slow = first.api(USER), f"[slow] {prompt}"
    running = start(first, api, slow, IMAGE)
    eventually(lambda: job_row(first, running)["provider_task_id"])
    family = psutil.Process(first.process.pid).children(recursive=True)
    first.kill()
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive, "instances outlived the local cloud"

    second = start_cloud(data, port=port)
    api = second.api(USER)
    assert second.variables == first.variables
    assert api.get(f"/jobs/{done['id']}").json() == done
    check_succeeded(second, USER, done, IMAGE)
    assert len(download(done["outputs"][0]["ossUrl"]).content) == done["outputs"][0]["size"]
    second.age(running["id"])
    check_succeeded(second, USER, second.finish(api, running["id"]), IMAGE)
    assert [len(second.charges(each)) for each in (prompt, slow)] == [1, 1]


def test_sigterm_during_a_job_leaves_no_process_and_the_job_continues(
    start_cloud: Callable[..., LocalCloud], tmp_path: Path, prompt: str
) -> None:
    data, port, slow = tmp_path / "data", free_ports(), f"[slow] {prompt}"
    first = start_cloud(data, port=port)
    job = start(first, first.api(USER), slow, IMAGE)
    eventually(lambda: job_row(first, job)["provider_task_id"])
    first.stop()
    second = start_cloud(data, port=port)
    second.age(job["id"])
    check_succeeded(second, USER, second.finish(second.api(USER), job["id"]), IMAGE)
    assert len(second.charges(slow)) == 1
