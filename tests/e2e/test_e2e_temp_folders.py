"""Each instance keeps its own temp folder clean."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.job_support import Case, check_main_job
from tests.local_cloud import LocalCloud, eventually

USER = "test@factory-buy.com"
SMALL = Case("small", "/ai/generate-image", {"size": "512x512"}, (512, 512), "wan2.2-t2i-flash")


def leave_behind(folder: Path, name: str, age_h: float) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(b"left behind")
    os.utime(path, (time.time() - age_h * 3600,) * 2)
    return path


def folder_of(cloud: LocalCloud, function: str) -> Path:
    (instance,) = cloud.instances(function)
    return Path(instance["tempDir"])


def logged(cloud: LocalCloud, function: str, message: str) -> list[dict[str, Any]]:
    lines = (cloud.data_dir / "logs" / f"{function}.log").read_text().splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{")]
    return [record for record in records if record["message"] == message]


def test_a_generating_function_sweeps_before_each_job_and_when_it_ends(fresh_cloud: LocalCloud, prompt: str) -> None:
    cloud = fresh_cloud
    check_main_job(cloud, USER, prompt, SMALL)
    folder = folder_of(cloud, "generate-image")
    old, young = leave_behind(folder, "old-job.png", 24.1), leave_behind(folder, "young-job.png", 0.1)
    api = cloud.api(USER)
    answer = api.post("/ai/generate-image", json={"prompt": f"{prompt} again", "size": "512x512"})
    assert answer.json()["status"] == "succeeded", answer.text
    assert folder_of(cloud, "generate-image") == folder
    assert (old.exists(), young.exists()) == (False, True)
    assert [record["removed"] for record in logged(cloud, "generate-image", "temp folder swept")] == [1]
    cloud.advance(301)  # an instance that is idle for this time is ended
    emptied = eventually(lambda: logged(cloud, "generate-image", "temp folder emptied"))
    assert [record["removed"] for record in emptied] == [1]


@pytest.mark.parametrize("function", ["api", "index-outputs"])
def test_every_function_sweeps_its_own_temp_folder(start_cloud: Callable[..., LocalCloud], function: str) -> None:
    cloud = start_cloud()
    event = {"jobId": "unknown"} if function == "index-outputs" else {"rawPath": "/healthz"}
    cloud.invoke(function, event)
    old = leave_behind(folder_of(cloud, function), "old-job.png", 24.1)
    cloud.invoke(function, event)
    assert not old.exists()
