"""DashScope's emulator: the official SDK, the wire format, states, limits and charges."""

import io
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dashscope
import pytest
from ai_support import API_KEY, IMAGE_GENERATION, MULTIMODAL, TEXT2IMAGE, VIDEO, ServedEmulator, served
from dashscope import ImageSynthesis, VideoSynthesis
from dashscope.aigc.image_generation import ImageGeneration
from dashscope.api_entities.dashscope_response import ImageGenerationResponse, Message
from PIL import Image
from pymediainfo import MediaInfo

LAKE = {"prompt": "a lake"}
LAKE_MESSAGES = {"messages": [{"role": "user", "content": [{"text": "a lake"}]}]}
BEIJING_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}")


@pytest.fixture
def ai(tmp_path: Path) -> Iterator[ServedEmulator]:
    with served(tmp_path) as emulator:
        yield emulator


@pytest.fixture
def ai_at_once(tmp_path: Path) -> Iterator[ServedEmulator]:
    """An emulator without delays, for requests that are answered at once."""
    with served(tmp_path, image_after_s=0) as emulator:
        yield emulator


@pytest.fixture
def sdk(ai: ServedEmulator, monkeypatch: pytest.MonkeyPatch) -> ServedEmulator:
    monkeypatch.setattr(dashscope, "base_http_api_url", f"{ai.url}/api/v1")
    monkeypatch.setattr(dashscope, "api_key", API_KEY)
    return ai


def image_size(ai: ServedEmulator, url: str) -> tuple[int, int]:
    picture = Image.open(io.BytesIO(ai.web.get(url).content))
    assert picture.format == "PNG"
    return picture.size


def video_track(ai: ServedEmulator, url: str) -> Any:
    return MediaInfo.parse(io.BytesIO(ai.web.get(url).content)).video_tracks[0]


def test_sdk_makes_images(sdk: ServedEmulator) -> None:
    submitted = ImageSynthesis.async_call("wan2.5-t2i-preview", "a lake", n=2, size="1280*1280")
    assert (submitted.status_code, submitted.output.task_status) == (200, "PENDING")
    assert submitted.request_id.startswith("fake-")
    sdk.advance(0.5)
    assert ImageSynthesis.fetch(submitted).output.task_status == "RUNNING"
    sdk.advance(0.5)
    done = ImageSynthesis.wait(submitted)
    assert done.output.task_status == "SUCCEEDED"
    assert done.usage.image_count == 2
    assert [image_size(sdk, result.url) for result in done.output.results] == [(1280, 1280)] * 2


def test_sdk_makes_a_video(sdk: ServedEmulator) -> None:
    submitted = VideoSynthesis.async_call("wan2.5-t2v-preview", "a lake", size="832*480", duration=5)
    sdk.advance(2)
    done = VideoSynthesis.wait(submitted)
    assert dict(done.usage) == {"video_duration": 5, "video_ratio": "832*480", "video_count": 1}
    track = video_track(sdk, done.output.video_url)
    assert (track.format, track.width, track.height, track.duration) == ("AVC", 832, 480, 5000)


def test_sdk_makes_a_video_from_an_image(sdk: ServedEmulator) -> None:
    submitted = VideoSynthesis.async_call(
        "wan2.6-i2v", "a lake", img_url="https://example.com/lake.png", resolution="720P", duration=2
    )
    sdk.advance(2)
    track = video_track(sdk, VideoSynthesis.wait(submitted).output.video_url)
    assert (track.width, track.height, track.duration, track.frame_rate) == (1280, 720, 2000, "24.000")


def test_sdk_makes_images_with_choices(sdk: ServedEmulator) -> None:
    message = Message(role="user", content=[{"text": "a lake"}])
    submitted = ImageGeneration.async_call(model="wan2.6-t2i", messages=[message], n=2, size="1280*1280")
    sdk.advance(1)
    assert isinstance(submitted, ImageGenerationResponse)
    done = ImageGeneration.wait(submitted)
    assert [choice.finish_reason for choice in done.output.choices] == ["stop", "stop"]


def test_sdk_v2_makes_images(ai: ServedEmulator) -> None:
    with dashscope.Client(api_key=API_KEY, base_url=f"{ai.url}/api/v1") as client:
        job = client.images.jobs.create(model="wan2.6-t2i", prompt="a lake", n=1, size="1280*1280")
        ai.advance(1)
        done = client.images.jobs.wait(job.task_id)
    assert done.succeeded
    assert image_size(ai, done.image_urls[0]) == (1280, 1280)


def test_sdk_cancels_and_lists(sdk: ServedEmulator) -> None:
    synthesis: Any = ImageSynthesis  # the SDK's types lack cancel and list
    first, second = (ImageSynthesis.async_call("wan2.2-t2i-flash", "a lake", n=1) for _ in range(2))
    assert synthesis.cancel(first).status_code == 200
    assert ImageSynthesis.fetch(first).output.task_status == "CANCELED"
    refused = synthesis.cancel(first)
    assert (refused.status_code, refused.code) == (400, "UnsupportedOperation")
    page = synthesis.list(page_size=1).output
    assert (page["total"], page["total_page"], len(page["data"])) == (2, 2, 1)
    assert page["data"][0]["task_id"] == second.output.task_id
    assert [row["task_id"] for row in synthesis.list(status="CANCELED").output["data"]] == [first.output.task_id]
    assert sdk.emulator.charges() == []


def test_an_image_task_has_the_documented_states_and_bodies(ai: ServedEmulator) -> None:
    answer = ai.submit(TEXT2IMAGE, "wan2.2-t2i-flash", LAKE, n=1, size="512*768", seed=7)
    assert answer.headers["X-Fake-Provider"] == "true"
    task_id = answer.json()["output"]["task_id"]
    assert answer.json() == {
        "request_id": answer.headers["X-Request-Id"],
        "output": {"task_status": "PENDING", "task_id": task_id},
    }
    assert ai.poll(task_id)["output"]["task_status"] == "PENDING"
    ai.advance(0.3)
    running = ai.poll(task_id)
    assert running["output"] == {
        "task_id": task_id,
        "task_status": "RUNNING",
        "task_metrics": {"TOTAL": 1, "SUCCEEDED": 0, "FAILED": 0},
    }
    ai.advance(0.7)
    done = ai.poll(task_id)
    output = done["output"]
    assert all(BEIJING_TIME.fullmatch(output[f"{step}_time"]) for step in ("submit", "scheduled", "end"))
    assert done["usage"] == {"image_count": 1}
    assert output["task_metrics"] == {"TOTAL": 1, "SUCCEEDED": 1, "FAILED": 0}
    (result,) = output["results"]
    assert (result["orig_prompt"], result["actual_prompt"]) == ("a lake", "a lake")
    assert result["url"].startswith(f"{ai.url}/results/")
    assert image_size(ai, result["url"]) == (512, 768)
    assert ai.poll(task_id)["output"] == output


def test_times_are_in_beijing_time(ai: ServedEmulator) -> None:
    submitted = ai.poll(ai.submit_image("[slow] a lake"))
    assert submitted["output"]["task_status"] == "PENDING"
    row = ai.http.get("/api/v1/tasks/").json()["data"][0]
    created = datetime.strptime(row["gmt_create"], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=timezone(timedelta(hours=8)))
    assert abs(created.timestamp() - ai.clock.now()) < 60


def test_expired_and_unknown_task_ids_have_the_status_unknown(ai: ServedEmulator) -> None:
    task_id = ai.submit_image()
    ai.advance(24 * 3600 - 60)
    assert ai.poll(task_id)["output"]["task_status"] == "SUCCEEDED"
    ai.advance(120)
    assert ai.poll(task_id)["output"] == {"task_id": task_id, "task_status": "UNKNOWN"}
    assert ai.poll("no-such-task")["output"] == {"task_id": "no-such-task", "task_status": "UNKNOWN"}


def test_running_and_finished_tasks_cannot_be_canceled(ai: ServedEmulator) -> None:
    task_id = ai.submit_image()
    for _ in range(2):
        ai.advance(0.5)
        answer = ai.http.post(f"/api/v1/tasks/{task_id}/cancel")
        assert (answer.status_code, answer.json()["code"]) == (400, "UnsupportedOperation")


def test_qwen_answers_without_a_task(ai_at_once: ServedEmulator) -> None:
    del ai_at_once.http.headers["X-DashScope-Async"]
    answer = ai_at_once.submit(MULTIMODAL, "qwen-image-plus", LAKE_MESSAGES, size="1328*1328").json()
    assert answer["usage"] == {"width": 1328, "height": 1328, "image_count": 1}
    assert answer["output"]["task_metric"] == {"TOTAL": 1, "SUCCEEDED": 1, "FAILED": 0}
    (choice,) = answer["output"]["choices"]
    assert image_size(ai_at_once, choice["message"]["content"][0]["image"]) == (1328, 1328)
    (charge,) = ai_at_once.emulator.charges()
    assert (charge["taskId"], charge["count"]) == (answer["request_id"], 1)
    assert ai_at_once.poll(answer["request_id"])["output"]["task_status"] == "UNKNOWN"


def test_wan26_answers_without_a_task(ai_at_once: ServedEmulator) -> None:
    del ai_at_once.http.headers["X-DashScope-Async"]
    answer = ai_at_once.submit(MULTIMODAL, "wan2.6-t2i", LAKE_MESSAGES, n=2).json()
    assert answer["usage"]["size"] == "1280*1280"
    assert answer["usage"]["image_count"] == len(answer["output"]["choices"]) == 2


def test_n_is_four_by_default(ai: ServedEmulator) -> None:
    ai.submit(TEXT2IMAGE, "wanx2.1-t2i-turbo", LAKE, size="512*512")
    ai.advance(1)
    assert ai.emulator.charges()[0]["count"] == 4


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"Authorization": ""}, "No API-key provided."),
        ({"Authorization": "Bearer sk-wrong"}, "Invalid API-key provided."),
    ],
)
def test_keys_are_checked(ai: ServedEmulator, headers: dict[str, str], message: str) -> None:
    answer = ai.http.post(TEXT2IMAGE, json={}, headers=headers)
    assert answer.status_code == 401
    assert answer.json() == {
        "code": "InvalidApiKey",
        "message": message,
        "request_id": answer.headers["X-Request-Id"],
    }
    assert ai.http.get("/api/v1/tasks/x", headers=headers).status_code == 401


@pytest.mark.parametrize("path", [TEXT2IMAGE, IMAGE_GENERATION, VIDEO])
def test_a_task_endpoint_refuses_synchronous_calls(ai: ServedEmulator, path: str) -> None:
    answer = ai.http.post(path, json={}, headers={"X-DashScope-Async": ""})
    assert (answer.status_code, answer.json()["code"]) == (403, "AccessDenied")
    assert answer.json()["message"] == "current user api does not support synchronous calls."


def test_a_synchronous_endpoint_refuses_background_work(ai: ServedEmulator) -> None:
    answer = ai.submit(MULTIMODAL, "qwen-image", LAKE_MESSAGES)
    assert (answer.status_code, answer.json()["code"]) == (403, "AccessDenied")


@pytest.mark.parametrize(
    ("path", "model", "input_", "parameters", "code"),
    [
        (TEXT2IMAGE, "", LAKE, {}, "BadRequest.EmptyModel"),
        (TEXT2IMAGE, "wan2.2-t2i-flash", {}, {}, "BadRequest.EmptyInput"),
        (TEXT2IMAGE, "wan9", LAKE, {}, "ModelNotFound"),
        (TEXT2IMAGE, "wan2.2-t2i-flash", {"prompt": ""}, {}, "InvalidParameter"),
        (TEXT2IMAGE, "wan2.2-t2i-flash", LAKE, {"n": 5}, "InvalidParameter"),
        (TEXT2IMAGE, "wan2.2-t2i-flash", LAKE, {"n": True}, "InvalidParameter"),
        (TEXT2IMAGE, "wan2.2-t2i-flash", LAKE, {"size": "511*1024"}, "InvalidParameter"),
        (TEXT2IMAGE, "wan2.2-t2i-flash", LAKE, {"size": "1024x1024"}, "InvalidParameter"),
        (TEXT2IMAGE, "wan2.2-t2i-flash", LAKE, {"seed": 2**31}, "InvalidParameter"),
        (TEXT2IMAGE, "wan2.5-t2i-preview", LAKE, {"size": "1024*1024"}, "InvalidParameter"),
        (TEXT2IMAGE, "wan2.6-t2i", LAKE, {}, "InvalidParameter"),
        (TEXT2IMAGE, "wan2.6-t2v", LAKE, {}, "InvalidParameter"),
        (IMAGE_GENERATION, "wan2.6-t2i", {"messages": []}, {}, "InvalidParameter"),
        (IMAGE_GENERATION, "wan2.7-image", LAKE_MESSAGES, {"size": "8K"}, "InvalidParameter"),
        (VIDEO, "wan2.5-t2v-preview", LAKE, {"duration": 7}, "InvalidParameter"),
        (VIDEO, "wan2.6-t2v", LAKE, {"duration": 16}, "InvalidParameter"),
        (VIDEO, "wan2.6-t2v", LAKE, {"size": "1281*720"}, "InvalidParameter"),
        (VIDEO, "wan2.6-i2v", LAKE, {"resolution": "720P"}, "InvalidParameter"),
        (VIDEO, "wan2.6-i2v", {**LAKE, "img_url": "file:///etc/passwd"}, {}, "InvalidURL"),
        (VIDEO, "wan2.6-i2v", {**LAKE, "img_url": "https://x/y.png"}, {"resolution": "4320P"}, "InvalidParameter"),
    ],
)
def test_parameters_are_checked(
    ai: ServedEmulator, path: str, model: str, input_: dict[str, Any], parameters: dict[str, Any], code: str
) -> None:
    answer = ai.submit(path, model, input_, **parameters)
    assert answer.json()["code"] == code
    assert answer.status_code == (404 if code == "ModelNotFound" else 400)
    assert answer.json()["request_id"].startswith("fake-")


@pytest.mark.parametrize("body", [b"", b"no json", b"[]"])
def test_a_body_that_is_not_an_object_is_refused(ai: ServedEmulator, body: bytes) -> None:
    assert ai.http.post(TEXT2IMAGE, content=body).json()["code"] == "InvalidParameter"


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({"resolution": "480P"}, (832, 480)),
        ({"resolution": "720P", "ratio": "9:16"}, (720, 1280)),
        ({"size": "960*960"}, (960, 960)),
    ],
)
def test_a_video_has_the_requested_size(ai: ServedEmulator, parameters: dict[str, str], size: tuple[int, int]) -> None:
    answer = ai.submit(VIDEO, "wan2.7-t2v", LAKE, duration=2, **parameters)
    ai.advance(2)
    done = ai.poll(answer.json()["output"]["task_id"])
    track = video_track(ai, done["output"]["video_url"])
    assert (track.width, track.height, track.duration) == (*size, 2000)
    assert done["usage"]["size"] == "{}*{}".format(*size)


def test_a_long_prompt_is_cut_silently(ai: ServedEmulator) -> None:
    task_id = ai.submit_image("x" * 600)
    ai.advance(1)
    assert ai.poll(task_id)["output"]["results"][0]["orig_prompt"] == "x" * 500


def test_a_prompt_with_fail_fails_the_task_without_a_charge(ai: ServedEmulator) -> None:
    task_id = ai.submit_image("a lake [fail]")
    ai.advance(1)
    output = ai.poll(task_id)["output"]
    assert (output["task_status"], output["code"]) == ("FAILED", "InternalError.Algo")
    assert "results" not in output
    assert ai.emulator.charges() == []


def test_a_prompt_with_refuse_is_refused_without_a_charge(ai: ServedEmulator) -> None:
    answer = ai.submit(TEXT2IMAGE, "wan2.2-t2i-flash", {"prompt": "[refuse]"})
    assert (answer.status_code, answer.json()["code"]) == (400, "DataInspectionFailed")
    ai.advance(1)
    assert ai.emulator.charges() == []


def test_a_prompt_with_partial_charges_only_the_delivered_images(ai: ServedEmulator) -> None:
    task_id = ai.submit_image("a lake [partial]", n=3)
    ai.advance(1)
    done = ai.poll(task_id)
    assert done["output"]["task_status"] == "SUCCEEDED"
    *good, bad = done["output"]["results"]
    assert all("url" in result for result in good)
    assert bad["code"] == "DataInspectionFailed"
    assert done["output"]["task_metrics"] == {"TOTAL": 3, "SUCCEEDED": 2, "FAILED": 1}
    assert done["usage"]["image_count"] == ai.emulator.charges()[0]["count"] == 2


def test_a_prompt_with_slow_takes_a_minute(ai: ServedEmulator) -> None:
    task_id = ai.submit_image("a lake [slow]")
    ai.advance(20)
    assert ai.poll(task_id)["output"]["task_status"] == "RUNNING"
    ai.advance(40)
    assert ai.poll(task_id)["output"]["task_status"] == "SUCCEEDED"


def test_tasks_are_listed_by_time_model_and_page(ai: ServedEmulator) -> None:
    for _ in range(3):
        ai.submit_image()
    ai.submit_video()
    videos = ai.http.get("/api/v1/tasks/", params={"model_name": "wan2.6-t2v"}).json()
    assert (videos["total"], videos["data"][0]["model_name"]) == (1, "wan2.6-t2v")
    second = ai.http.get("/api/v1/tasks/", params={"page_no": 2, "page_size": 3}).json()
    assert (second["page_no"], second["page_size"], len(second["data"])) == (2, 3, 1)
    before = {"start_time": "20200101000000", "end_time": "20200102000000"}
    assert ai.http.get("/api/v1/tasks/", params=before).json()["total"] == 0
    wrong: list[dict[str, Any]] = [before | {"end_time": "20200103000000"}, {"start_time": "now"}, {"page_no": 0}]
    assert [ai.http.get("/api/v1/tasks/", params=query).status_code for query in wrong] == [400] * 3


def test_charges_name_task_model_prompt_and_time(ai: ServedEmulator) -> None:
    image, video = ai.submit_image("a lake", n=2), ai.submit_video("a film")
    assert ai.emulator.charges() == []
    ai.advance(2)
    first, second = ai.emulator.charges()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("at"))
    assert first == {
        "taskId": image,
        "type": "image",
        "model": "wan2.2-t2i-flash",
        "prompt": "a lake",
        "count": 2,
    }
    assert (second["taskId"], second["type"], second["count"]) == (video, "video", 1)
