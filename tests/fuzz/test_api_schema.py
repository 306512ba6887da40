"""The API against its own description: thousands of requests that schemathesis derives from it, valid and invalid.

They pass all of schemathesis' checks and phases: the examples, every boundary of every rule, random data, and sequences
along the links. Rules that a schema cannot express are in ``hooks.py``. ``make test`` sends the same requests each
time; ``make fuzz`` continues with random requests.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.answer_checker import ROOT
from tests.e2e.job_support import run
from tests.local_cloud import LocalCloud

USER = "fuzz@factory-buy.com"
EXAMPLES_AT_LEAST = 2000
FINISHED_JOBS = 3
SPARE_S = 600
_A_FEW = ("--generation-deterministic", "--max-examples", "5", "--phases", "coverage,fuzzing")
NO_QUOTAS = {f"QUOTA_{name}": str(10**6) for name in ("CONCURRENT_JOBS", "JOBS_PER_DAY")}
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    *("response_schema_conformance", "negative_data_rejection", "positive_data_acceptance", "ignored_auth"),
    *("missing_required_header", "unsupported_method", "allow_header_conformance"),
    *("use_after_free", "ensure_resource_availability"),
)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[LocalCloud]:
    """A local cloud without quotas."""
    running = LocalCloud(tmp_path / "data", env=NO_QUOTAS).start()
    yield running
    running.stop()


@pytest.mark.timeout(0)  # schemathesis has its own time limit
def test_the_api_agrees_with_its_description(
    cloud: LocalCloud, tmp_path: Path, pytestconfig: pytest.Config, capfd: pytest.CaptureFixture[str]
) -> None:
    minutes = pytestconfig.getoption("--fuzz-minutes", default=None)
    jobs = finished_jobs(cloud)
    # Jobs that start now stay queued: drawing the images of hundreds of jobs would be most of the work, and the answers
    # of queued jobs are the same each time, whatever the load of the machine.
    cloud.arm("fc", {"function": "generate-*", "kind": "async"}, {"status": 500}, times=10**6)
    cloud.arm("fc", {"function": "deliver-webhooks"}, {"throttle": True}, times=10**6)  # to invented addresses
    kind = ["--generation-deterministic"] if minutes is None else ["--max-time", str(minutes * 60)]
    limit_s = (minutes or 0) * 60 + SPARE_S
    with nullcontext() if minutes is None else capfd.disabled():
        # deleteData deletes the data of the other operations, so it comes last.
        status = fuzz(cloud, jobs, tmp_path / "1.har", [*kind, "--exclude-operation-id", "deleteData"], limit_s)
        status |= fuzz(cloud, jobs, tmp_path / "2.har", [*_A_FEW, "--include-operation-id", "deleteData"], SPARE_S)
    assert status == 0, capfd.readouterr().out[-20_000:]
    entries = [entry for report in tmp_path.glob("*.har") for entry in requests_in(report)]
    for entry in entries:
        check_answer(cloud, entry)
    assert len(entries) >= EXAMPLES_AT_LEAST or minutes is not None
    statuses = {entry["response"]["status"] for entry in entries}
    assert statuses >= {200, 202, 400, 401, 404, 405, 415, 422}, statuses


def requests_in(report: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(report.read_text())["log"]["entries"]
    return entries


def finished_jobs(cloud: LocalCloud) -> list[str]:
    found = [run(cloud, USER, f"a paper boat, {n}", size="512x512", count=2) for n in range(FINISHED_JOBS)]
    assert all(job["status"] == "succeeded" for job in found)
    return [job["id"] for job in found]


def fuzz(cloud: LocalCloud, jobs: Sequence[str], report: Path, options: Sequence[str], timeout_s: float) -> int:
    """Run schemathesis and return its exit status."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", "tests/fuzz/schemathesis.toml"),
        *("run", "functions/api/openapi.json", "--url", cloud.variables["API_URL"]),
        *("--checks", ",".join(CHECKS), "--report", "har", "--report-har-path", str(report)),
    ]
    known = {"TOKEN": cloud.token(USER), **{f"JOB_{number}": job for number, job in enumerate(jobs)}}
    return subprocess.run(
        [*command, *options], cwd=ROOT, env={**os.environ, **known}, timeout=timeout_s, check=False
    ).returncode


def check_answer(cloud: LocalCloud, entry: dict[str, Any]) -> None:
    """Let the answer pass through the checker that every answer passes through."""
    where, answer = f"{entry['request']['method']} {entry['request']['url']}", entry["response"]
    cloud.checker.check_text(where, answer["content"].get("text", ""))
    for header in answer["headers"]:
        cloud.checker.check_text(where, f"{header['name']}: {header['value']}")
