"""Result links: their content, their lifetime and their faults; and the data that a restart keeps."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import ai_support
import httpx
import pytest
from ai_support import API_KEY, ServedEmulator, served
from PIL import Image

from devcloud.ai.landscapes import Scene, Subject
from devcloud.ai.rendering import render_image, render_video

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ai(tmp_path: Path) -> Iterator[ServedEmulator]:
    with served(tmp_path) as emulator:
        yield emulator


def test_a_link_has_oss_headers_and_accepts_head_and_ranges(ai: ServedEmulator) -> None:
    url = ai.finished_image_url()
    whole = ai.web.get(url)
    assert whole.headers["Content-Type"] == "image/png"
    assert whole.headers["Content-Length"] == str(len(whole.content))
    assert whole.headers["ETag"] == f'"{hashlib.md5(whole.content).hexdigest().upper()}"'  # noqa: S324 - OSS's ETag
    assert whole.headers["X-Fake-Provider"] == "true"
    head = ai.web.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(whole.content))
    part = ai.web.get(url, headers={"Range": "bytes=4-9"})
    assert (part.status_code, part.content) == (206, whole.content[4:10])
    assert part.headers["Content-Range"] == f"bytes 4-9/{len(whole.content)}"


def test_a_link_expires_after_a_day(ai: ServedEmulator) -> None:
    url = ai.finished_image_url()
    ai.advance(24 * 3600 - 60)
    assert ai.web.get(url).status_code == 200
    ai.advance(61)
    late = ai.web.get(url)
    assert (late.status_code, late.headers["Content-Type"]) == (403, "application/xml")
    assert "<Code>AccessDenied</Code>" in late.text
    assert "<Message>Request has expired.</Message>" in late.text


@pytest.mark.parametrize(
    ("part", "instead", "code"),
    [
        ("Expires=", "Expires=9", "SignatureDoesNotMatch"),
        ("Signature=", "Signature=x", "SignatureDoesNotMatch"),
        ("OSSAccessKeyId=", "OSSAccessKeyId=x", "SignatureDoesNotMatch"),
        ("-1.png", "-2.png", "SignatureDoesNotMatch"),
        ("?", "?&x=", "AccessDenied"),
    ],
)
def test_a_link_cannot_be_changed(ai: ServedEmulator, part: str, instead: str, code: str) -> None:
    url = ai.finished_image_url().replace(part, instead)
    answer = ai.web.get(url if code != "AccessDenied" else url.partition("?")[0])
    assert answer.status_code == 403
    assert f"<Code>{code}</Code>" in answer.text


def test_links_use_the_host_of_the_request(ai: ServedEmulator) -> None:
    task_id = ai.submit_image()
    ai.advance(1)
    answer = ai.http.get(f"/api/v1/tasks/{task_id}", headers={"Host": "media.test:8080"}).json()
    assert answer["output"]["results"][0]["url"].startswith("http://media.test:8080/results/")


def test_a_fault_makes_a_link_expire_once(ai: ServedEmulator) -> None:
    url = ai.finished_image_url()
    ai.arm({"expired": True}, operation="result", type="image")
    assert "Request has expired" in ai.web.get(url).text
    assert ai.web.get(url).status_code == 200


def test_a_fault_answers_with_its_status(ai: ServedEmulator) -> None:
    url = ai.finished_image_url()
    ai.arm({"status": 503}, operation="result")
    answer = ai.web.get(url)
    assert (answer.status_code, "<Code>ServiceUnavailable</Code>" in answer.text) == (503, True)


def test_a_fault_changes_the_content_type(ai: ServedEmulator) -> None:
    url = ai.finished_image_url()
    ai.arm({"contentType": "application/octet-stream"}, operation="result")
    answer = ai.web.get(url)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.content.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("body", "kind", "start"),
    [
        ("html", "text/html", b"<!doctype html>"),
        ("svg", "image/svg+xml", b"<svg"),
        ("text", "text/plain", b"upstream"),
        ("empty", "image/png", b""),
    ],
)
def test_a_fault_replaces_the_body(ai: ServedEmulator, body: str, kind: str, start: bytes) -> None:
    url = ai.finished_image_url()
    ai.arm({"body": body}, operation="result")
    answer = ai.web.get(url)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].partition(";")[0] == kind
    assert answer.content[: len(start) or None] == start


def test_a_fault_can_replace_the_body_and_keep_the_content_type(ai: ServedEmulator) -> None:
    url = ai.finished_image_url()
    ai.arm({"body": "html", "contentType": "image/png"}, operation="result")
    answer = ai.web.get(url)
    assert (answer.headers["Content-Type"], answer.text[:14]) == ("image/png", "<!doctype html")


def test_a_fault_truncates_the_body(ai: ServedEmulator) -> None:
    url = ai.finished_image_url()
    length = int(ai.web.head(url).headers["Content-Length"])
    ai.arm({"truncateBytes": 100}, operation="result")
    received = b""
    with ai.web.stream("GET", url) as answer, pytest.raises(httpx.RemoteProtocolError):
        assert int(answer.headers["Content-Length"]) == length
        for chunk in answer.iter_raw():
            received += chunk
    assert len(received) == 100


def test_a_fault_redirects_to_its_url(ai: ServedEmulator) -> None:
    url = ai.finished_image_url()
    ai.arm({"redirect": "http://169.254.169.254/"}, operation="result")
    answer = ai.web.get(url)
    assert (answer.status_code, answer.headers["Location"]) == (302, "http://169.254.169.254/")


def test_a_fault_drops_the_answer(ai: ServedEmulator) -> None:
    url = ai.finished_image_url()
    ai.arm({"drop": True}, operation="result")
    with pytest.raises(httpx.RemoteProtocolError):
        ai.web.get(url)


def test_a_restart_keeps_tasks_charges_and_links(tmp_path: Path) -> None:
    # A minute is longer than any machine takes from one line to the next, so the task is still pending.
    with served(tmp_path, image_after_s=60) as before:
        task_id, canceled = before.submit_image(), before.submit_image()
        assert before.http.post(f"/api/v1/tasks/{canceled}/cancel").status_code == 200
        assert before.poll(task_id)["output"]["task_status"] == "PENDING"
    with served(tmp_path) as after:
        after.advance(60)
        url = after.poll(task_id)["output"]["results"][0]["url"]
        assert after.poll(canceled)["output"]["task_status"] == "CANCELED"
        first = after.web.get(url)
        assert [charge["taskId"] for charge in after.emulator.charges()] == [task_id]
    with served(tmp_path) as again:
        again.advance(60)
        second = again.web.get(url)
        assert (second.content, second.headers["ETag"]) == (first.content, first.headers["ETag"])


def test_a_kill_keeps_tasks(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    program = [sys.executable, ai_support.__file__, str(tmp_path)]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    with process, process.stdout:
        url = process.stdout.readline().strip()
        answer = httpx.post(
            f"{url}{ai_support.VIDEO}",
            headers={"Authorization": f"Bearer {API_KEY}", "X-DashScope-Async": "enable"},
            json={"model": "wan2.6-t2v", "input": {"prompt": "a film"}, "parameters": {"duration": 15}},
        )
        process.send_signal(signal.SIGKILL)
    with served(tmp_path) as after:
        after.advance(2)
        done = after.poll(answer.json()["output"]["task_id"])
        assert done["output"]["task_status"] == "SUCCEEDED"
        assert [charge["prompt"] for charge in after.emulator.charges()] == ["a film"]


@pytest.mark.parametrize("prompt", ["a lake", "落日余晖下的西湖", "", "emoji 🦊", "x" * 2000, "word " * 400])
def test_any_prompt_at_any_size_makes_a_picture(prompt: str) -> None:
    for size in ((512, 512), (1440, 512), (480, 832)):
        assert Scene(Subject(prompt, 0, 0, *size)).frame(0).size == size


def test_pictures_depend_only_on_prompt_seed_and_position(tmp_path: Path) -> None:
    subject = Subject("a lake", 1, 0, 256, 256)
    others = [Subject("a sea", 1, 0, 256, 256), Subject("a lake", 2, 0, 256, 256), Subject("a lake", 1, 1, 256, 256)]
    contents = []
    for number, each in enumerate([subject, subject, *others]):
        render_image(each, tmp_path / f"{number}.png")
        contents.append((tmp_path / f"{number}.png").read_bytes())
    assert contents[0] == contents[1]
    assert len(set(contents)) == 4
    assert Image.open(io.BytesIO(contents[0])).size == (256, 256)


def test_videos_are_the_same_each_time_and_start_with_their_index(tmp_path: Path) -> None:
    one, other = tmp_path / "one.mp4", tmp_path / "other.mp4"
    for path in (one, other):
        render_video(Subject("a lake", 1, 0, 320, 180), 1, path, stop=threading.Event())
    content = one.read_bytes()
    assert content == other.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_closing_does_not_wait_for_a_long_video(tmp_path: Path) -> None:
    with served(tmp_path) as before:
        task_id = before.submit_video(size="1920*1080", duration=15)
    assert list((tmp_path / "media").iterdir()) == []
    with served(tmp_path) as after:
        after.advance(2)
        assert after.poll(task_id)["output"]["task_status"] == "SUCCEEDED"
