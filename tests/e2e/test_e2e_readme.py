"""The examples of the README, run unchanged."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.answer_checker import ROOT
from tests.e2e.job_support import check_job_shape
from tests.local_cloud import LocalCloud, eventually

USER = "reader@factory-buy.com"
SECTION = re.search(r"^## Try the API\n(.*?)^## ", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
assert SECTION is not None
BLOCKS = {language: re.findall(rf"^```{language}\n(.*?)^```", SECTION[1], re.M | re.S) for language in ("sh", "json")}
# Each request goes through the real curl; this script only keeps the head of each answer.
CURL = """#!/bin/sh
exec {curl} -D "$(mktemp {heads}/$(date +%s%N)-XXXXXX)" "$@"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a ``curl`` that keeps the head of each answer in ``heads``."""
    (tmp_path / "heads").mkdir()
    shim = tmp_path / "bin" / "curl"
    shim.parent.mkdir()
    shim.write_text(CURL.format(curl=shutil.which("curl"), heads=tmp_path / "heads"))
    shim.chmod(0o755)
    return tmp_path


def run_examples(cloud: LocalCloud, folder: Path) -> "subprocess.CompletedProcess[str]":
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    given = {"API": cloud.variables["API_URL"], "TOKEN": cloud.token(USER)}
    given["SERVICE_TOKEN"] = cloud.token("the-back-end", scope="act-for-user")
    return subprocess.run(
        ["bash", "-eu", "-c", "\n".join(BLOCKS["sh"])],
        cwd=folder,
        env={**os.environ, **given, "PATH": path},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def drive(cloud: LocalCloud, done: "Future[subprocess.CompletedProcess[str]]") -> "subprocess.CompletedProcess[str]":
    """Advance the emulators' clock until the examples have ended, so that the test does not wait for a video."""

    def finished() -> bool:
        cloud.advance(1)
        return done.done()

    eventually(finished, timeout_s=90, interval_s=0.3)
    return done.result()


def answers(printed: str) -> Iterator[Any]:
    """The JSON documents that were printed one after the other."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(printed):
        value, at = decoder.raw_decode(printed, at)
        yield value


def shape(value: Any) -> Any:
    """Return the names of the fields at every depth."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else None


def test_the_examples_do_what_the_readme_says(cloud: LocalCloud, folder: Path) -> None:
    with ThreadPoolExecutor(1) as thread:
        done = drive(cloud, thread.submit(run_examples, cloud, folder))
    assert done.returncode == 0, done.stderr
    for answer in answers(done.stdout):
        cloud.checker.check_text("an example", json.dumps(answer))
    heads = [path.read_text() for path in sorted((folder / "heads").iterdir())]
    for head in heads:
        cloud.checker.check_text("an example's head", head)
    statuses = [int(head.split()[1]) for head in heads]
    assert statuses == [200, 202, 200, 200, 200, 200, 200, 200, 202, statuses[-3], 204, 200]
    image, video, outputs, first, again, jobs, gallery, cancelled, usage = answers(done.stdout)
    for job in (image, video, first, again, cancelled):
        check_job_shape(job)
    assert (image["type"], video["type"], image["status"], video["status"]) == ("image", "video", *["succeeded"] * 2)
    assert outputs == {"data": video["outputs"]}
    assert first == again and first["id"] != image["id"]
    assert (jobs, gallery) == ({"data": [first, image], "nextCursor": None}, {**outputs, "nextCursor": None})
    api = cloud.api(USER)
    assert cloud.finish(api, cancelled["id"])["status"] == "cancelled"
    assert api.get(f"/jobs/{video['id']}").status_code == 404 and list(cloud.objects(USER, video["id"])) == []
    assert usage.keys() == {"concurrentJobs", "jobsToday", "storedBytes"}
    (readme,) = map(json.loads, BLOCKS["json"])
    assert shape(readme) == shape(image)
