"""The demonstration: an image and a video through the HTTP API, and the four checks that a person would make.

The demonstration is an ordinary client: it uses only the addresses and keys of a running local cloud.
"""

import argparse
import json
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastcrc
import httpx
import oss2
from pymediainfo import MediaInfo

from devcloud.cloud import RunningCloud, find_running

_PROJECT_DIR = Path(__file__).resolve().parent.parent
_USER = "test@factory-buy.com"
_PORT = 9000
_SETTLE_S = 10
_IMAGE = {"prompt": "A lighthouse above the clouds at dawn", "size": "1024x1024"}
_VIDEO = {"prompt": "Waves rolling onto a beach in the evening", "size": "1280x720", "duration": 4}


class DemoError(Exception):
    """The demonstration cannot continue; the message says why."""


@dataclass
class Report:
    """Prints steps with the elapsed time, and the results of checks below each step."""

    started: float
    failures: int = 0

    def step(self, text: str) -> None:
        """Print a headline."""
        print(f"\n[{time.monotonic() - self.started:5.1f} s] {text}", flush=True)

    def note(self, text: str) -> None:
        """Print a line below a headline."""
        print(f"          {text}", flush=True)

    def check(self, holds: bool, text: str) -> None:
        """Print the result of a check, and count the check if it failed."""
        self.failures += not holds
        print(f"        {'✓' if holds else '✗'} {text}", flush=True)


def main() -> int:
    """Run the demonstration and return the exit status: 0 only if every check passes."""
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--exit", action="store_true", help="stop the local cloud after the checks")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = Report(time.monotonic())
    report.step("start the local cloud: OSS, Function Compute and the AI providers, emulated on this machine")
    with subprocess.Popen(
        [sys.executable, "-m", "devcloud", "up", "--port", str(_free_port())],
        cwd=_PROJECT_DIR,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            _await_ready(process)
            report.note(f"the API is ready at {_cloud_of(process.pid).variables['API_URL']}")
            _show(_cloud_of(process.pid), report)
            status = _conclude(report)
            if not options.exit:
                _stay(process, _cloud_of(process.pid))
        except (DemoError, httpx.HTTPError, oss2.exceptions.OssError) as error:
            print(f"\ndemo failed: {error}", file=sys.stderr)
            status = 1
        except KeyboardInterrupt:
            status = 130
        finally:
            process.send_signal(signal.SIGTERM)
    return status


def _free_port() -> int:
    """Return 9000 if the ports 9000 to 9002 are free, else 0, which chooses free ports."""
    for port in range(_PORT, _PORT + 3):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return 0
    return _PORT


def _await_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None  # noqa: S101 - Popen was called with a pipe
    for line in process.stdout:
        if line.startswith("ready "):
            return
    raise DemoError("the local cloud did not start; its message above says why")


def _cloud_of(pid: int) -> RunningCloud:
    cloud = find_running(_PROJECT_DIR, None)
    if cloud.pid != pid:
        raise DemoError("another local cloud has started in the meantime; stop the other one and try again")
    return cloud


def _show(cloud: RunningCloud, report: Report) -> None:
    token = subprocess.run(
        [sys.executable, "-m", "devcloud", "token", "--data", cloud.data_dir, "--user", _USER],
        cwd=_PROJECT_DIR,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    with httpx.Client(
        base_url=cloud.variables["API_URL"], headers={"Authorization": f"Bearer {token}"}, timeout=90, trust_env=False
    ) as api:
        jobs = [_generate(api, "image", _IMAGE, report), _generate(api, "video", _VIDEO, report)]
    outputs = [output for job in jobs for output in job["outputs"]]

    report.step("check 1: each output has an OSS URL that anyone can open")
    bodies = {output["id"]: _check_download(output, cloud, report) for output in outputs}
    report.step("check 2: OSS stores the objects under users/{userId}/jobs/{jobId}/")
    _check_objects(jobs, bodies, cloud, report)
    report.step("check 3: the temp folders of the function instances are empty")
    _check_temp_folders(cloud, report)
    report.step("check 4: the table job_outputs has one row per output, with the right ossUrl and ossPath")
    _check_rows(outputs, cloud, report)


def _generate(api: httpx.Client, kind: str, request: dict[str, Any], report: Report) -> dict[str, Any]:
    report.step(f"POST /ai/generate-{kind}  {json.dumps(request)}")
    response = api.post(f"/ai/generate-{kind}", json=request)
    report.note(f"HTTP {response.status_code}")
    job: dict[str, Any] = response.json()
    if response.status_code == 202:
        location = response.headers["Location"]
        report.note(f"GET {location}  Prefer: wait=60")
        job = api.get(location, headers={"Prefer": "wait=60"}).json()
    if job.get("status") != "succeeded":
        raise DemoError(f"the {kind} job did not succeed: {json.dumps(job)}")
    for output in job["outputs"]:
        report.note(output["ossUrl"])
    return job


def _check_download(output: dict[str, Any], cloud: RunningCloud, report: Report) -> bytes:
    body = httpx.get(output["ossUrl"], trust_env=False).raise_for_status().content
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        info = MediaInfo.parse(file.name)
    track = (info.video_tracks + info.image_tracks)[0]
    found, asked = f"{track.width}x{track.height}", (_IMAGE if output["type"] == "image" else _VIDEO)["size"]
    holds = output["ossUrl"].startswith(cloud.variables["OSS_ENDPOINT"]) and found == asked
    seconds = ""
    if output["type"] == "video":
        duration = float(info.general_tracks[0].duration) / 1000
        holds = holds and abs(duration - float(str(_VIDEO["duration"]))) < 0.1
        seconds = f", {duration:g} s"
    report.check(holds, f"{output['type']}: {track.format} {found}{seconds}, {len(body):,} bytes")
    return body


def _check_objects(jobs: list[dict[str, Any]], bodies: dict[str, bytes], cloud: RunningCloud, report: Report) -> None:
    variables = cloud.variables
    auth = oss2.AuthV4(variables["OSS_ACCESS_KEY"], variables["OSS_SECRET"])
    bucket = oss2.Bucket(
        auth, variables["OSS_ENDPOINT"], variables["OSS_BUCKET"], region=variables["OSS_REGION"].removeprefix("oss-")
    )
    for job in jobs:
        prefix = f"users/{_USER}/jobs/{job['id']}/"
        listed = [item.key for item in oss2.ObjectIterator(bucket, prefix=prefix)]
        report.check(len(listed) == len(job["outputs"]), f"objects under {prefix}: {len(listed)}")
        for key, output in zip(listed, job["outputs"], strict=False):
            head = bucket.head_object(key)
            crc64 = fastcrc.crc64.xz(bodies[output["id"]])
            equal = head.server_crc == crc64 and str(crc64) == output["meta"]["crc64"]
            equal = equal and head.content_length == len(bodies[output["id"]]) == output["size"]
            name = key.removeprefix(prefix)
            report.check(equal, f"{name}: size and CRC-64 {crc64} are the same in the row, in OSS and in the download")


def _check_temp_folders(cloud: RunningCloud, report: Report) -> None:
    instances = _get(f"{cloud.variables['CONTROL_URL']}/instances")
    left = _wait_until_empty(lambda: [path for item in instances for path in _files(Path(item["tempDir"]))])
    report.check(not left, f"files in the temp folders of {len(instances)} instances: {len(left)}")


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _wait_until_empty(read: Callable[[], list[Path]]) -> list[Path]:
    """Wait until ``read`` returns nothing, because an event may still be in progress; return what is left."""
    ends_at = time.monotonic() + _SETTLE_S
    while (left := read()) and time.monotonic() < ends_at:
        time.sleep(0.1)
    return left


def _check_rows(outputs: list[dict[str, Any]], cloud: RunningCloud, report: Report) -> None:
    with closing(sqlite3.connect(cloud.variables["DATABASE_URL"].removeprefix("sqlite:///"))) as database:
        rows = database.execute("SELECT id, job_id, type, oss_url, oss_path, size, meta FROM job_outputs").fetchall()
    report.check(len(rows) == len(outputs), f"rows in job_outputs: {len(rows)}; outputs of both jobs: {len(outputs)}")
    by_id = {row[0]: row for row in rows}
    for output in outputs:
        row = by_id.get(output["id"])
        if row is None:
            report.check(False, f"job_outputs has no row for the output {output['id']}")
            continue
        _, job_id, kind, oss_url, oss_path, size, meta = row
        prefix = f"users/{_USER}/jobs/{job_id}/{kind}-"
        holds = oss_url == output["ossUrl"] and oss_path.startswith(prefix) and size == output["size"]
        report.check(holds, f"{kind}: {oss_path}")
        report.note(f"  {size:,} bytes  {meta}")


def _conclude(report: Report) -> int:
    report.step("all checks passed" if not report.failures else f"failed checks: {report.failures}")
    return 1 if report.failures else 0


def _stay(process: subprocess.Popen[str], cloud: RunningCloud) -> None:
    api = cloud.variables["API_URL"]
    print(
        f"""
The local cloud keeps running; Ctrl-C stops it. Try:

  TOKEN=$(.venv/bin/python -m devcloud token --user {_USER})
  curl {api}/ai/generate-image -H "Authorization: Bearer $TOKEN" \\
    -H 'Content-Type: application/json' -d '{{"prompt": "a paper boat", "count": 2}}'
""",
        flush=True,
    )
    process.wait()


def _get(url: str) -> Any:
    return httpx.get(url, trust_env=False).raise_for_status().json()


if __name__ == "__main__":
    sys.exit(main())
