"""The API against its own description: thousands of requests that schemathesis makes of it, the wrong ones among them.

All of schemathesis' checks and phases: the examples, every boundary of every rule, random data, and sequences along
the links. What no schema can say is in ``hooks.py``. ``make test`` asks the same each time; ``make fuzz`` goes on at
random.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.job_support import run
from tests.local_cloud import ROOT, LocalCloud

USER = "fuzz@factory-buy.com"
EXAMPLES_AT_LEAST = 2000
FINISHED_JOBS = 3
NO_QUOTAS = {f"QUOTA_{name}": str(10**6) for name in ("CONCURRENT_JOBS", "JOBS_PER_DAY")}
CHECKS = {
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    *("response_schema_conformance", "negative_data_rejection", "positive_data_acceptance", "missing_required_header"),
    *(
        "unsupported_method",
        "allow_header_conformance",
        "use_after_free",
        "ensure_resource_availability",
        "ignored_auth",
    ),
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud whose user has a few finished jobs and starts no more: what is begun from now on stays queued.

    Valid requests are jobs, by the hundred, and drawing their images would be most of the work. It also makes the
    answers the same each time, whatever the machine is busy with.
    """
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        for number in range(FINISHED_JOBS):
            run(running, USER, f"a paper boat, {number}", size="512x512", count=2)
        running.arm("fc", {"function": "generate-*", "kind": "async"}, {"status": 500}, times=1_000_000)
        yield running


@contextmanager
def running_cloud(data_dir: Path) -> Iterator[LocalCloud]:
    running = LocalCloud(data_dir, env=NO_QUOTAS).start()
    try:
        yield running
    finally:
        running.stop()


@pytest.mark.timeout(7200)
def test_the_api_is_what_its_description_says(
    cloud: LocalCloud, tmp_path: Path, pytestconfig: pytest.Config, capfd: pytest.CaptureFixture[str]
) -> None:
    minutes = pytestconfig.getoption("--fuzz-minutes", default=None)
    report = tmp_path / "requests.har"
    if minutes is None:
        status = fuzz(cloud, report, "--generation-deterministic")
    else:
        with capfd.disabled():
            status = fuzz(cloud, report, "--max-time", str(minutes * 60))
    assert status == 0, capfd.readouterr().out[-20_000:]
    entries = json.loads(report.read_text())["log"]["entries"]
    for entry in entries:
        check_answer(cloud, entry)
    assert len(entries) >= EXAMPLES_AT_LEAST
    statuses = {entry["response"]["status"] for entry in entries}
    assert statuses >= {200, 202, 400, 401, 404, 405, 415, 422}, statuses


def fuzz(cloud: LocalCloud, report: Path, *options: str) -> int:
    """Run schemathesis and return its exit status."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", "tests/fuzz/schemathesis.toml"),
        *("run", "functions/api/openapi.json", "--url", cloud.variables["API_URL"]),
        *("--checks", ",".join(sorted(CHECKS)), "--report", "har", "--report-har-path", str(report)),
    ]
    environment = {**os.environ, "TOKEN": cloud.token(USER)}
    return subprocess.run([*command, *options], cwd=ROOT, env=environment, check=False).returncode


def check_answer(cloud: LocalCloud, entry: dict[str, Any]) -> None:
    """Let the answer pass through the checker that every answer passes through."""
    where, answer = f"{entry['request']['method']} {entry['request']['url']}", entry["response"]
    cloud.checker.check_text(where, answer["content"].get("text", ""))
    for header in answer["headers"]:
        cloud.checker.check_text(where, f"{header['name']}: {header['value']}")
