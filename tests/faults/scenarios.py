"""What is played: a course of events from its first request to rest, and the look at what is left of it."""

import io
import json
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from tests.faults.function_compute import FINAL, Run

_CONTENT_TYPES = {"png": "image/png", "mp4": "video/mp4"}
_DAY_S = 25 * 3600
# What a job may fail for when its process ended between asking the provider and writing the answer down.
_REASONS = ("submission_unknown", "result_lost")


@dataclass(frozen=True)
class Scenario:
    """``play`` takes a run to rest and checks it; ``functions`` are those whose every step is a crash point."""

    name: str
    functions: frozenset[str]
    play: Callable[[Run], None]
    timeout_s: float | None = None

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Order:
    """A request to the API and its expected result."""

    path: str
    body: dict[str, Any]
    count: int
    ext: str

    def place(self, run: Run) -> str:
        """Ask for the job and return its id."""
        return run.post(self.path, self.body)


_PROMPT = "a lighthouse at dusk"
IMAGES = Order(
    "/ai/generate-image",
    {"prompt": _PROMPT, "model": "wan2.2-t2i-flash", "size": "512x512", "count": 2, "seed": 1},
    2,
    "png",
)
VIDEO = Order(
    "/ai/generate-video",
    {"prompt": _PROMPT, "model": "wan2.6-t2v", "size": "832x480", "duration": 2, "seed": 1},
    1,
    "mp4",
)
INLINE_IMAGES = Order(
    "/ai/generate-image", {"prompt": _PROMPT, "model": "gpt-image-1", "size": "1024x1024", "count": 2}, 2, "png"
)


def _play_job(order: Order) -> Callable[[Run], None]:
    def play(run: Run) -> None:
        job_id = order.place(run)
        run.settle()
        check_job(run, job_id, order)

    return play


def _play_lost_dispatch(run: Run) -> None:
    job_id = IMAGES.place(run)
    run.world.fc.accepted.clear()
    run.settle()
    check_job(run, job_id, IMAGES)


def _play_webhook(run: Run) -> None:
    """Cancel a job of which the provider knows nothing, and have its webhook delivered."""
    job_id = run.post(IMAGES.path, {**IMAGES.body, "webhookUrl": f"{run.world.receiver_url}/hook"})
    run.world.fc.accepted.clear()
    run.cancel(job_id)
    run.settle()
    job = run.world.database.job(job_id)
    assert job["status"] == "cancelled"
    (delivery,) = run.world.database.rows("SELECT * FROM webhook_deliveries")
    assert (delivery["job_id"], delivery["status"], delivery["event"]) == (job_id, "delivered", "job.cancelled")
    assert {id_ for id_, _ in run.world.receiver.got} == {delivery["id"]}, "one job, one message"
    assert {payload["data"]["id"] for _, payload in run.world.receiver.got} == {job_id}
    # Who was not struck is not repeated.
    assert len(run.world.receiver.got) <= (1 if run.struck is None else 2)
    assert run.charges() == []


class ForeignObject:
    """An object that somebody else keeps under an output's key, of whose job nothing is known here."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._key = f"users/{run.user}/jobs/{uuid.uuid4()}/image-1703123456789.png"

    def put(self) -> None:
        """Upload a picture."""
        self._upload(60)

    def replace(self) -> None:
        """Upload another picture over it."""
        self._upload(200)

    def delete(self) -> None:
        """Delete it."""
        self._run.world.bucket.delete_object(self._key)

    def check_row(self) -> None:
        """Check that there is a row for it if it is there, and none if it is not."""
        _check_rows_have_objects(self._run, len(self._run.objects()))

    def _upload(self, shade: int) -> None:
        file = io.BytesIO()
        Image.new("RGB", (shade, 32), (shade, shade, shade)).save(file, "PNG")
        self._run.world.bucket.put_object(self._key, file.getvalue(), headers={"Content-Type": "image/png"})


def _play_foreign_object(run: Run) -> None:
    there = ForeignObject(run)
    for deed in (there.put, there.replace, there.delete):
        deed()
        run.settle()
        there.check_row()


_IMAGE, _VIDEO, _API = frozenset({"generate-image"}), frozenset({"generate-video"}), frozenset({"api"})
IMAGE_JOB = Scenario("images", _IMAGE, _play_job(IMAGES))
VIDEO_JOB = Scenario("video", _VIDEO, _play_job(VIDEO))
# A function that may hardly take any time gives the job back after each look at the provider.
_STEPWISE = frozenset({"generate-video", "clean-up"})
PARKED_VIDEO_JOB = Scenario("video-parked", _STEPWISE, _play_job(VIDEO), timeout_s=0.001)
INLINE_JOB = Scenario("images-inline", _IMAGE, _play_job(INLINE_IMAGES))
POST = Scenario("post", _API, _play_job(IMAGES))
LOST_DISPATCH = Scenario("lost-dispatch", frozenset({"clean-up"}), _play_lost_dispatch)
INDEXING = Scenario("index-outputs", frozenset({"index-outputs"}), _play_foreign_object)
# A job that ends in the API, where no provider and no bucket multiply its steps.
WEBHOOK = Scenario("webhook", frozenset({"api", "deliver-webhooks"}), _play_webhook)
JOBS = (IMAGE_JOB, VIDEO_JOB, PARKED_VIDEO_JOB, INLINE_JOB)
ALL = (*JOBS, POST, LOST_DISPATCH, INDEXING, WEBHOOK)


# -- what is left


def check_job(run: Run, job_id: str, order: Order) -> None:
    """Check that the job has ended well, or for a stated reason, and that all is in its place."""
    rows = run.world.database.rows("SELECT * FROM jobs")
    assert [row["id"] for row in rows] == [job_id], "one request, one job"
    (job,) = rows
    assert run.world.database.rows("SELECT job_id FROM idempotency_keys") == [{"job_id": job_id}]
    assert run.world.database.rows("SELECT jobs FROM daily_usage") == [{"jobs": 1}], "counted once"
    assert job["status"] in FINAL and job["finished_at"] is not None
    assert (job["lease_expires_at"], job["next_attempt_at"]) == (None, None), "it is still to be worked on"
    charges = [charge["count"] for charge in run.charges()]
    if job["status"] == "succeeded":
        assert charges == [order.count], "paid once"
        stored = len(run.world.database.rows("SELECT id FROM job_outputs"))
        if stored < order.count:
            # What came inside an answer is lost with its process; what was stored by then is delivered.
            assert run.submission_unknown and json.loads(job["warnings"]), f"{stored} of {order.count} outputs"
        _check_rows_have_objects(run, stored)
        assert {path.rpartition(".")[2] for path in run.objects()} == {order.ext}
    else:
        assert job["status"] == "failed"
        error = json.loads(job["error"])
        assert run.submission_unknown and error["code"] in _REASONS, error
        assert charges in ([], [order.count]), "paid at most once"
        _check_rows_have_objects(run)
    _check_nothing_is_left(run)
    assert run.world.database.job(job_id)["status"] == job["status"]


def _check_rows_have_objects(run: Run, count: int | None = None) -> None:
    """Check that rows and objects are the same outputs, each once."""
    rows = {row["oss_path"]: row for row in run.world.database.rows("SELECT * FROM job_outputs")}
    objects = run.objects()
    for path, row in rows.items():
        meta = json.loads(row["meta"])
        extension = path.rpartition(".")[2]
        stated = {"size": row["size"], "crc64": meta["crc64"], "type": _CONTENT_TYPES[extension]}
        assert objects.get(path) == stated, f"the row of {path} does not tell what is in OSS"
        assert meta["format"] == extension
    if count is not None:
        assert len(rows) == count
        assert rows.keys() == objects.keys(), "objects without a row"


def _check_nothing_is_left(run: Run) -> None:
    """Let an hour pass, and a day for the temp disk, and check that no trace of the work remains.

    Cleaning up may add a row for an object that came late; doing it again may change nothing.
    """
    tables = run.world.database.tables
    if not run.platform.temp_files(0) and "output_intents" not in tables:
        return
    before = run.state()
    _clean_up(run)
    after = run.state()
    assert run.platform.temp_files(0) == set(), "temp files are left"
    if "output_intents" in tables:
        assert after["output_intents"] == [], "intents are left"
    for kind in ("job_outputs", "objects"):
        removed = [each for each in before[kind] if each not in after[kind]]
        assert removed == [], "the clean-up has removed what was to last"
    if after != before:
        _check_rows_have_objects(run)
        _clean_up(run)
        assert run.state() == after, "a second clean-up has changed something"


def _clean_up(run: Run) -> None:
    for path in run.platform.temp_files(0):
        then = path.stat().st_mtime - _DAY_S
        os.utime(path, (then, then))
    run.world.clock.advance(3600)
    run.world.database.let_an_hour_pass()
    for minutely in (False, True):
        run.fire(minutely=minutely)
    run.settle()
