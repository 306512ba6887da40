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
from pathlib import Path
from typing import Any

import pytest

from tests.local_cloud import ROOT, LocalCloud

USER = "fuzz@factory-buy.com"
EXAMPLES_AT_LEAST = 2000
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
    """A local cloud whose users have few jobs at a time: a valid request is one, and there are hundreds."""
    running = LocalCloud(tmp_path_factory.mktemp("cloud") / "data", env={"QUOTA_CONCURRENT_JOBS": "2"}).start()
    yield running
    running.stop()


@pytest.mark.timeout(7200)
def test_the_api_is_what_its_description_says(
    cloud: LocalCloud, tmp_path: Path, pytestconfig: pytest.Config, capfd: pytest.CaptureFixture[str]
) -> None:
    minutes = pytestconfig.getoption("--fuzz-minutes", default=None)
    report = tmp_path / "requests.har"
    if minutes is None:
        finished = fuzz(cloud, report, "--generation-deterministic")
    else:
        with capfd.disabled():
            finished = fuzz(cloud, report, "--max-time", str(minutes * 60))
    assert finished.returncode == 0, capfd.readouterr().out[-20_000:]
    entries = json.loads(report.read_text())["log"]["entries"]
    for entry in entries:
        check_answer(cloud, entry)
    assert len(entries) >= EXAMPLES_AT_LEAST
    statuses = {entry["response"]["status"] for entry in entries}
    assert statuses >= {200, 202, 401, 404, 405, 415, 422}, statuses


def fuzz(cloud: LocalCloud, report: Path, *options: str) -> "subprocess.CompletedProcess[bytes]":
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", "tests/fuzz/schemathesis.toml"),
        *("run", "functions/api/openapi.json", "--url", cloud.variables["API_URL"]),
        *("--checks", ",".join(sorted(CHECKS)), "--report", "har", "--report-har-path", str(report)),
    ]
    return subprocess.run([*command, *options], cwd=ROOT, env={**os.environ, "TOKEN": cloud.token(USER)}, check=False)


def check_answer(cloud: LocalCloud, entry: dict[str, Any]) -> None:
    """Let the answer pass through the checker that every answer passes through."""
    where, answer = f"{entry['request']['method']} {entry['request']['url']}", entry["response"]
    cloud.checker.check_text(where, answer["content"].get("text", ""))
    for header in answer["headers"]:
        cloud.checker.check_text(where, f"{header['name']}: {header['value']}")
