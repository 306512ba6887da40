"""The daily timer and the minute timer, by the clock of the emulators."""

import itertools
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.job_support import Case, check_main_job, check_nothing_stored, check_succeeded, generate
from tests.local_cloud import LocalCloud, eventually

USER = "test@factory-buy.com"
SMALL = Case("small", "/ai/generate-image", {"size": "512x512"}, (512, 512), "wan2.2-t2i-flash")
VIDEO = Case(
    "video", "/ai/generate-video", {"duration": 2, "size": "832x480"}, (832, 480), "wan2.6-t2v", 1, 2, ext="mp4"
)
TEMP_FILES = {"triggerName": "daily", "payload": '{"task": "temp-files"}'}


def timer_runs(cloud: LocalCloud) -> int:
    runs = [each for each in cloud.invocations("clean-up") if each["kind"] == "timer"]
    assert all(each["status"] in {"running", "succeeded"} for each in runs), runs
    return len([each for each in runs if each["status"] == "succeeded"])


def advance_to_the_daily_timer(cloud: LocalCloud, *, short_of_s: float) -> None:
    now = datetime.fromisoformat(cloud.advance(0))
    due = now.replace(hour=18, minute=0, second=0, microsecond=0)
    due += timedelta(days=1) if due <= now + timedelta(seconds=short_of_s) else timedelta()
    cloud.advance((due - now).total_seconds() - short_of_s)


def test_the_daily_timer_removes_old_temp_files(fresh_cloud: LocalCloud, prompt: str) -> None:
    cloud = fresh_cloud
    advance_to_the_daily_timer(cloud, short_of_s=30)
    # Two timers fire at 18:00, and each may use any idle instance: start enough of them.
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda _: cloud.invoke("clean-up", TEMP_FILES), range(3)))
    folders = [Path(instance["tempDir"]) for instance in cloud.instances("clean-up")]
    assert len(folders) >= 2
    for folder, (name, age_h) in itertools.product(folders, (("old", 24.1), ("young", 23.9))):
        folder.mkdir(exist_ok=True)
        file = folder / f"{name}-job.png"
        file.write_bytes(b"left behind")
        os.utime(file, (time.time() - age_h * 3600,) * 2)
    before = timer_runs(cloud)
    cloud.advance(40)
    eventually(lambda: timer_runs(cloud) >= before + 2)
    left = [path.name for path in cloud.temp_files()]
    # The daily timer sweeps, and so does the minute timer on its own instance: every invocation begins with a sweep.
    assert left.count("old-job.png") in {len(folders) - 1, len(folders) - 2}
    assert left.count("young-job.png") == len(folders)
    for path in cloud.temp_files():
        path.unlink()
    # A day later by the clock of the emulators, everything still works.
    check_main_job(cloud, USER, prompt, SMALL)


def test_the_minute_timer_fires_every_minute(cloud: LocalCloud) -> None:
    before = timer_runs(cloud)

    def ran(least: int) -> bool:
        return timer_runs(cloud) >= least

    for number in range(1, 4):
        cloud.advance(60)
        eventually(partial(ran, before + number))


@pytest.mark.parametrize("effect", [{"status": 500}, {"status": 429}], ids=str)
def test_a_job_whose_dispatch_was_refused_is_dispatched_again(
    cloud: LocalCloud, prompt: str, effect: dict[str, int]
) -> None:
    cloud.arm("fc", {"function": "generate-image", "kind": "async"}, effect)
    api = cloud.api(USER)
    job = generate(api, prompt, size="512x512")
    assert job["status"] == "queued"
    cloud.age(job["id"])
    check_succeeded(cloud, USER, cloud.finish(api, job["id"]), SMALL)
    assert len(cloud.charges(prompt)) == 1


def test_a_dispatch_whose_answer_was_lost_starts_the_job_once(cloud: LocalCloud, prompt: str) -> None:
    cloud.arm("fc", {"function": "generate-image", "kind": "async"}, {"drop": True})
    api = cloud.api(USER)
    job = generate(api, prompt, size="512x512")
    due = "UPDATE jobs SET next_attempt_at = '2020-01-01 00:00:00' WHERE id = ? AND lease_expires_at IS NULL"
    cloud.execute(due + " AND status = 'queued'", job["id"])
    cloud.advance(60)
    check_succeeded(cloud, USER, cloud.finish(api, job["id"]), SMALL)
    cloud.advance(60)
    assert len(cloud.charges(prompt)) == 1


def test_a_job_past_its_deadline_fails(cloud: LocalCloud, prompt: str) -> None:
    cloud.arm("fc", {"function": "generate-image", "kind": "async"}, {"status": 500})
    api = cloud.api(USER)
    job = generate(api, prompt, size="512x512")
    cloud.execute("UPDATE jobs SET created_at = '2020-01-01 00:00:00' WHERE id = ?", job["id"])
    cloud.age(job["id"])
    failed = cloud.finish(api, job["id"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "deadline_exceeded")
    check_nothing_stored(cloud, USER, failed)
    assert cloud.charges(prompt) == []


def test_a_finished_job_does_not_change(cloud: LocalCloud, prompt: str) -> None:
    api = cloud.api(USER)
    job = cloud.finish(api, generate(api, prompt, size="512x512")["id"])
    cloud.age(job["id"])
    before = timer_runs(cloud)
    cloud.advance(60)
    eventually(lambda: timer_runs(cloud) > before)
    assert api.get(f"/jobs/{job['id']}").json() == job and len(cloud.charges(prompt)) == 1


def test_a_video_job_waits_without_an_instance(
    start_cloud: Callable[..., LocalCloud], tmp_path: Path, prompt: str
) -> None:
    cloud = start_cloud(tmp_path / "data", env={"PATIENCE_S": "0.3"})
    api, slow = cloud.api(USER), f"[slow] {prompt}"
    job = generate(api, slow, path=VIDEO.path, **VIDEO.body)
    eventually(lambda: cloud.rows("SELECT id FROM jobs WHERE id = ? AND provider_task_id IS NOT NULL", job["id"]))
    eventually(lambda: not any(each["busy"] for each in cloud.instances("generate-video")))
    polled = len(cloud.invocations("generate-video"))
    # Only the minute timer polls; the function is not invoked before the video is finished.
    cloud.execute("UPDATE jobs SET next_attempt_at = '2020-01-01 00:00:00' WHERE id = ?", job["id"])
    cloud.invoke("clean-up", {"triggerName": "every-minute", "payload": '{"task": "jobs"}'})
    assert len(cloud.invocations("generate-video")) == polled
    assert not cloud.rows("SELECT id FROM jobs WHERE next_attempt_at < '2021-01-01 00:00:00'")
    cloud.advance(61)
    check_succeeded(cloud, USER, cloud.finish(api, job["id"]), VIDEO)
    assert len(cloud.charges(slow)) == 1
