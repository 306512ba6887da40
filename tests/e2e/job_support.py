"""Checks of a whole job, from the API's answer to the bytes in OSS."""

import io
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
from fastcrc import crc64
from PIL import Image
from pymediainfo import MediaInfo

from tests.local_cloud import LocalCloud, crc64_of, download

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"
_JOB_FIELDS = {
    *("id", "type", "status", "prompt", "model", "createdAt", "startedAt", "finishedAt", "error"),
    *("warnings", "outputs"),
}
_OUTPUT_FIELDS = {"id", "jobId", "userId", "type", "ossUrl", "thumbnailUrl", "size", "meta", "createdAt"}
_CONTENT_TYPES = {"png": "image/png", "mp4": "video/mp4"}


@dataclass(frozen=True)
class Case:
    """A request and its expected result."""

    name: str
    path: str
    body: dict[str, Any]
    size: tuple[int, int]
    model: str
    count: int = 1
    duration_s: int = 0
    ext: str = field(default="png")

    @property
    def type(self) -> str:
        return "video" if self.duration_s else "image"


def generate(api: httpx.Client, prompt: str, *, path: str = "/ai/generate-image", **body: object) -> dict[str, Any]:
    """Start a job, check the 202 to the letter and return the job."""
    answer = api.post(path, json={"prompt": prompt, **body}, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    check_job_shape(job)
    assert job["status"] in {"queued", "running", "storing"} and job["outputs"] == [] and job["error"] is None
    assert job["finishedAt"] is None and job["prompt"] == prompt
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["cache-control"] == "no-store"
    return job


def run(cloud: LocalCloud, user: str, prompt: str, **body: Any) -> dict[str, Any]:
    """Start a job and return it once it has ended."""
    api = cloud.api(user)
    return cloud.finish(api, generate(api, prompt, **body)["id"])


def check_job_shape(job: dict[str, Any]) -> None:
    """Check the names and forms of a job in an answer."""
    assert job.keys() == _JOB_FIELDS, job.keys() ^ _JOB_FIELDS
    assert re.fullmatch(_UUID, job["id"])
    for name in ("createdAt", "startedAt", "finishedAt"):
        assert job[name] is None or re.fullmatch(_TIME, job[name]), (name, job[name])
    for output in job["outputs"]:
        assert output.keys() == _OUTPUT_FIELDS, output.keys() ^ _OUTPUT_FIELDS
        assert re.fullmatch(_UUID, output["id"]) and re.fullmatch(_TIME, output["createdAt"])


def check_main_job(cloud: LocalCloud, user: str, prompt: str, case: Case) -> dict[str, Any]:
    """Run a job and compare the answer, the objects, the rows, the charges and the temp folders."""
    job = run(cloud, user, prompt, path=case.path, **case.body)
    check_succeeded(cloud, user, job, case)
    charges = cloud.charges(prompt)
    assert [(charge["model"], charge["count"]) for charge in charges] == [(case.model, case.count)]
    for output, position in zip(job["outputs"], range(1, case.count + 1), strict=True):
        provided = cloud.data_dir / "ai" / "media" / f"{charges[0]['taskId']}-{position}.{case.ext}"
        assert download(output["ossUrl"]).content == provided.read_bytes()
        assert output["thumbnailUrl"].partition("?x-oss-process=")[0] == output["ossUrl"]
        check_thumbnail(output["thumbnailUrl"], case)
    return job


def check_succeeded(cloud: LocalCloud, user: str, job: dict[str, Any], case: Case) -> None:
    """Check a job that has succeeded, and everything that it stored."""
    check_job_shape(job)
    assert job["status"] == "succeeded", job["error"]
    assert (job["type"], job["model"], job["error"]) == (case.type, case.model, None)
    assert job["createdAt"] <= job["startedAt"] <= job["finishedAt"]
    assert len(job["outputs"]) == case.count
    rows = cloud.output_rows(job["id"])
    assert len(rows) == case.count
    assert sorted(found.key for found in cloud.objects(user, job["id"])) == [row["oss_path"] for row in rows]
    for position, (output, row) in enumerate(zip(job["outputs"], rows, strict=True)):
        _check_output(user, job, output, row, case)
        _check_object(cloud, user, job, output, row, case, position)
    assert cloud.temp_files() == []


def _check_output(user: str, job: dict[str, Any], output: dict[str, Any], row: dict[str, Any], case: Case) -> None:
    assert (output["jobId"], output["userId"], output["type"]) == (job["id"], user, case.type)
    assert (row["id"], row["job_id"], row["user_id"], row["type"]) == (output["id"], job["id"], user, case.type)
    key = rf"users/{re.escape(user)}/jobs/{job['id']}/{case.type}-(\d{{13}})\.{case.ext}"
    assert re.fullmatch(key, row["oss_path"]), row["oss_path"]
    assert row["oss_url"] == output["ossUrl"] and output["ossUrl"].endswith("/" + quote(row["oss_path"]))
    assert (row["size"], row["meta"]) == (output["size"], output["meta"])
    meta = row["meta"]
    assert (meta["width"], meta["height"], meta["format"]) == (*case.size, case.ext)
    if case.duration_s:
        assert abs(meta["duration"] - case.duration_s) < 0.1 and meta["codec"] == "h264"


def _check_object(
    cloud: LocalCloud,
    user: str,
    job: dict[str, Any],
    output: dict[str, Any],
    row: dict[str, Any],
    case: Case,
    position: int,
) -> None:
    answer = download(output["ossUrl"])
    assert answer.status_code == 200, answer.text
    headers, content = answer.headers, answer.content
    assert headers["content-type"] == _CONTENT_TYPES[case.ext]
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["content-disposition"] == "inline"
    stated = {name: headers[f"x-oss-meta-{name}"] for name in ("user", "job", "position")}
    assert stated == {"user": quote(user, safe="@"), "job": job["id"], "position": str(position)}
    assert len(content) == row["size"] > 0
    assert str(crc64.xz(content)) == str(crc64_of(headers)) == row["meta"]["crc64"]
    head = cloud.oss2_bucket().head_object(row["oss_path"])
    assert (head.content_length, head.server_crc) == (row["size"], crc64_of(headers))
    check_media(content, case)


def check_thumbnail(url: str, case: Case) -> None:
    """Check that OSS makes a picture of the output, 512 pixels wide or as wide as the output is."""
    answer = download(url)
    name = "JPEG" if case.type == "video" else "PNG"
    assert (answer.status_code, answer.headers["content-type"]) == (200, f"image/{name.lower()}"), answer.text
    width = min(512, case.size[0])
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert (picture.format, picture.width) == (name, width)
        assert abs(picture.height - case.size[1] * width / case.size[0]) <= 1


def check_media(content: bytes, case: Case) -> None:
    """Check that the bytes have the requested format and size."""
    if case.type == "image":
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            assert (image.format, image.size) == ("PNG", case.size)
        return
    info = MediaInfo.parse(io.BytesIO(content))
    (track,) = info.video_tracks
    assert (track.width, track.height, track.format) == (*case.size, "AVC")
    assert abs(float(track.duration) / 1000 - case.duration_s) < 0.1


def check_nothing_stored(cloud: LocalCloud, user: str, job: dict[str, Any]) -> None:
    """Check that a failed job left neither row nor object nor temp file, and shows no output."""
    check_job_shape(job)
    assert job["outputs"] == [] and job["finishedAt"] is not None
    assert cloud.output_rows(job["id"]) == []
    assert [found.key for found in cloud.objects(user, job["id"])] == []
    assert cloud.temp_files() == []


def check_problem(answer: httpx.Response, status: int, *fields: str) -> dict[str, Any]:
    """Check an RFC 9457 problem and return it; ``fields`` are those that its ``errors`` must name."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status and body["title"] and body["detail"] and body["type"]
    assert re.fullmatch(r"[a-z_]+", body["code"])
    assert body["requestId"] == answer.headers["x-fc-request-id"]
    if fields:
        assert {error["field"] for error in body["errors"]} == set(fields), body["errors"]
        assert all(error["message"] for error in body["errors"])
    return body
