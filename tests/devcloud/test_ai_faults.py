"""Faults of submitting, polling and canceling."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from ai_support import TEXT2IMAGE, VIDEO, ServedEmulator, served

LAKE = {"prompt": "a lake"}


@pytest.fixture
def ai(tmp_path: Path) -> Iterator[ServedEmulator]:
    with served(tmp_path) as emulator:
        yield emulator


def test_submit_is_refused(ai: ServedEmulator) -> None:
    ai.arm({"status": 429, "code": "Throttling.BurstRate", "message": "Slow down."}, operation="submit")
    answer = ai.submit(TEXT2IMAGE, "wan2.2-t2i-flash", LAKE)
    assert answer.status_code == 429
    assert answer.json() == {
        "code": "Throttling.BurstRate",
        "message": "Slow down.",
        "request_id": answer.headers["X-Request-Id"],
    }
    ai.advance(1)
    assert ai.emulator.charges() == []


def test_an_accepted_task_fails(ai: ServedEmulator) -> None:
    ai.arm({"taskStatus": "FAILED", "code": "InternalError.Timeout", "message": "Too slow."}, operation="submit")
    task_id = ai.submit_image()
    ai.advance(1)
    output = ai.poll(task_id)["output"]
    assert (output["task_status"], output["code"], output["message"]) == (
        "FAILED",
        "InternalError.Timeout",
        "Too slow.",
    )
    assert ai.emulator.charges() == []


def test_a_lost_answer_leaves_a_task_that_is_billed(ai: ServedEmulator) -> None:
    ai.arm({"drop": True}, operation="submit", model="wan2.2-*", type="image", prompt="*lake*")
    with pytest.raises(httpx.RemoteProtocolError):
        ai.submit(TEXT2IMAGE, "wan2.2-t2i-flash", LAKE, n=1)
    ai.advance(1)
    (charge,) = ai.emulator.charges()
    (row,) = ai.http.get("/api/v1/tasks/").json()["data"]
    assert (charge["taskId"], row["status"]) == (row["task_id"], "SUCCEEDED")


def test_a_fault_of_a_poll_or_a_cancellation_applies_once(ai: ServedEmulator) -> None:
    task_id = ai.submit_image()
    ai.arm({"status": 500}, operation="poll", type="image")
    ai.arm({"status": 503}, operation="cancel")
    assert ai.http.get(f"/api/v1/tasks/{task_id}").json()["code"] == "InternalError"
    assert ai.http.post(f"/api/v1/tasks/{task_id}/cancel").json()["code"] == "ModelUnavailable"
    assert ai.poll(task_id)["output"]["task_status"] == "PENDING"


def test_a_fault_waits_for_a_matching_request(ai: ServedEmulator) -> None:
    ai.arm({"status": 500}, operation="submit", type="video", model="wan2.6-*")
    ai.submit_image()
    assert ai.submit(VIDEO, "wan2.6-t2v", LAKE).status_code == 500


def test_requests_beyond_the_quota_per_second_are_a_429(ai: ServedEmulator) -> None:
    ai.arm({"requestsPerSecond": 3}, times=100, operation="poll")
    answers = [ai.http.get("/api/v1/tasks/x") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429]
    assert answers[-1].json()["code"] == "Throttling.RateQuota"
    ai.advance(1)
    assert ai.http.get("/api/v1/tasks/x").status_code == 200


def test_a_late_answer_comes_with_the_clock(ai: ServedEmulator) -> None:
    ai.arm({"delayS": 3600}, operation="submit")
    with ThreadPoolExecutor(1) as waiting:
        task = waiting.submit(ai.submit_image)
        while not ai.http.get("/api/v1/tasks/").json()["total"]:
            pass
        assert not task.done()
        ai.advance(3600)
        assert ai.poll(task.result())["output"]["task_status"] == "SUCCEEDED"
