"""The providers' adapters over HTTP: against the emulators, and against a server with scripted answers."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from ai_support import API_KEY, ServedEmulator

from shared.adapters.dashscope import DashScope
from shared.adapters.openai_images import OpenAiImages
from shared.domain.errors import (
    ProviderError,
    ProviderFailedError,
    ProviderRefusedError,
    ProviderUnavailableError,
    ResultLostError,
    SubmissionUnknownError,
)
from shared.domain.jobs import Job
from shared.domain.media import MP4, PNG, sniff_format
from shared.ports import Finished, MediaBase64, MediaUrl, Pending, RefusedResult
from tests.contract.scripted_provider import KEY, Scripted, settings
from tests.fakes import make_job, make_video_job
from tests.serving import serving

DAY_S = 24 * 3600
IMAGE = make_job(size="512x512")
MESSAGES = make_job(model="wan2.6-t2i", size="1280x1280", negative_prompt="rain", seed=7)
VIDEO = make_video_job(duration=2)
FROM_IMAGE = make_video_job(model="wan2.6-i2v", duration=2, image_url="https://example.com/a.png")
OPENAI = make_job(model="gpt-image-1")


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=20, trust_env=False) as made:
        yield made


@pytest.fixture
def dashscope(ai: ServedEmulator, client: httpx.Client) -> DashScope:
    return DashScope(settings(f"{ai.url}/api/v1", API_KEY), client)


@pytest.fixture
def openai(ai: ServedEmulator, client: httpx.Client) -> OpenAiImages:
    return OpenAiImages(settings(f"{ai.url}/v1", API_KEY), client)


def pending(state: Pending | Finished) -> str:
    assert isinstance(state, Pending)
    return state.task_id


def finished(ai: ServedEmulator, dashscope: DashScope, job: Job) -> Finished:
    task_id = pending(dashscope.submit(job))
    assert dashscope.poll(task_id) == Pending(task_id)
    ai.advance(3)
    state = dashscope.poll(task_id)
    assert isinstance(state, Finished)
    return state


@pytest.mark.parametrize("job", [IMAGE, MESSAGES], ids=["results", "choices"])
@pytest.mark.parametrize("count", [1, 3])
def test_images_are_delivered_as_urls(
    ai: ServedEmulator, dashscope: DashScope, client: httpx.Client, job: Job, count: int
) -> None:
    results = finished(ai, dashscope, replace(job, count=count)).results
    assert len(results) == count
    for result in results:
        assert isinstance(result, MediaUrl)
        assert sniff_format(client.get(result.url).content) is PNG
    assert [charge["count"] for charge in ai.emulator.charges()] == [count]


@pytest.mark.parametrize("job", [VIDEO, FROM_IMAGE], ids=["text", "image"])
def test_a_video_is_delivered_as_a_url(
    ai: ServedEmulator, dashscope: DashScope, client: httpx.Client, job: Job
) -> None:
    (result,) = finished(ai, dashscope, job).results
    assert isinstance(result, MediaUrl)
    assert sniff_format(client.get(result.url).content) is MP4


@pytest.mark.parametrize("job", [IMAGE, MESSAGES], ids=["results", "choices"])
def test_withheld_results_differ_from_delivered_ones(ai: ServedEmulator, dashscope: DashScope, job: Job) -> None:
    results = finished(ai, dashscope, replace(job, prompt="a lake [partial]", count=3)).results
    delivered = [result for result in results if isinstance(result, MediaUrl)]
    assert len(delivered) == 2
    withheld = [result for result in results if isinstance(result, RefusedResult)]
    if job is IMAGE:
        assert "DataInspectionFailed" in withheld[0].reason


def test_a_failed_task_is_an_error(ai: ServedEmulator, dashscope: DashScope) -> None:
    task_id = pending(dashscope.submit(replace(IMAGE, prompt="[fail]")))
    ai.advance(3)
    with pytest.raises(ProviderFailedError, match=r"InternalError\.Algo") as caught:
        dashscope.poll(task_id)
    assert caught.value.retryable


def test_a_cancelled_task_is_an_error(ai: ServedEmulator, dashscope: DashScope) -> None:
    task_id = pending(dashscope.submit(replace(IMAGE, prompt="[slow]")))
    assert dashscope.cancel(task_id)
    with pytest.raises(ProviderFailedError, match="cancelled"):
        dashscope.poll(task_id)


def test_a_running_task_cannot_be_cancelled(ai: ServedEmulator, dashscope: DashScope) -> None:
    task_id = pending(dashscope.submit(replace(IMAGE, prompt="[slow]")))
    ai.advance(20)
    assert not dashscope.cancel(task_id)
    assert isinstance(dashscope.poll(task_id), Pending)


def test_an_unanswered_cancellation_is_an_error(ai: ServedEmulator, dashscope: DashScope) -> None:
    task_id = pending(dashscope.submit(IMAGE))
    ai.arm({"drop": True}, operation="cancel")
    with pytest.raises(ProviderUnavailableError):
        dashscope.cancel(task_id)


def test_a_task_is_lost_after_a_day(ai: ServedEmulator, dashscope: DashScope) -> None:
    task_id = pending(dashscope.submit(IMAGE))
    ai.advance(DAY_S - 60)
    assert isinstance(dashscope.poll(task_id), Finished)
    ai.advance(120)
    with pytest.raises(ResultLostError, match="24 hours"):
        dashscope.poll(task_id)


def test_an_unknown_task_is_lost(dashscope: DashScope) -> None:
    with pytest.raises(ResultLostError):
        dashscope.poll("00000000-0000-0000-0000-000000000000")


def test_a_refused_prompt_is_an_error(dashscope: DashScope, ai: ServedEmulator) -> None:
    with pytest.raises(ProviderRefusedError, match="DataInspectionFailed"):
        dashscope.submit(replace(IMAGE, prompt="[refuse]"))
    assert ai.emulator.charges() == []


def test_the_error_for_a_wrong_key_does_not_contain_the_key(ai: ServedEmulator, client: httpx.Client) -> None:
    with pytest.raises(ProviderRefusedError, match="API key") as dashscope_said:
        DashScope(settings(f"{ai.url}/api/v1"), client).submit(IMAGE)
    with pytest.raises(ProviderRefusedError, match="API key") as openai_said:
        OpenAiImages(settings(f"{ai.url}/v1"), client).submit(OPENAI)
    for said in (dashscope_said, openai_said):
        assert KEY not in str(said.value)
        assert KEY[:5] not in str(said.value)


@pytest.mark.parametrize(
    ("effect", "error"),
    [
        ({"status": 429}, ProviderUnavailableError),
        ({"status": 503}, ProviderUnavailableError),
        ({"status": 408}, ProviderUnavailableError),
        ({"status": 400}, ProviderRefusedError),
        ({"status": 403}, ProviderRefusedError),
        ({"status": 404}, ProviderRefusedError),
        ({"status": 429, "code": "Arrearage"}, ProviderRefusedError),
        ({"drop": True}, SubmissionUnknownError),
    ],
)
def test_each_answer_to_a_submission_has_its_error(
    ai: ServedEmulator, dashscope: DashScope, effect: dict[str, Any], error: type[ProviderError]
) -> None:
    ai.arm(effect, operation="submit")
    with pytest.raises(error) as caught:
        dashscope.submit(IMAGE)
    assert type(caught.value) is error
    assert API_KEY not in str(caught.value)


def test_a_submission_with_a_lost_answer_is_billed(ai: ServedEmulator, dashscope: DashScope) -> None:
    ai.arm({"drop": True}, operation="submit")
    with pytest.raises(SubmissionUnknownError, match="may cost twice"):
        dashscope.submit(IMAGE)
    ai.advance(5)
    assert len(ai.emulator.charges()) == 1


@pytest.mark.parametrize("effect", [{"status": 429}, {"status": 500}, {"status": 503}, {"drop": True}])
def test_a_poll_that_fails_can_be_repeated(ai: ServedEmulator, dashscope: DashScope, effect: dict[str, Any]) -> None:
    task_id = pending(dashscope.submit(IMAGE))
    ai.arm(effect, operation="poll")
    with pytest.raises(ProviderUnavailableError):
        dashscope.poll(task_id)
    assert dashscope.poll(task_id) == Pending(task_id)


def draw(ai: ServedEmulator, openai: OpenAiImages, job: Job) -> Pending | Finished:
    """Draw images at once: advance the emulator's clock while it draws."""
    answer: list[Pending | Finished | ProviderError] = []

    def work() -> None:
        try:
            answer.append(openai.submit(job))
        except ProviderError as error:
            answer.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        ai.advance(2)
        thread.join(0.02)
    if isinstance(answer[0], ProviderError):
        raise answer[0]
    return answer[0]


@pytest.mark.parametrize("count", [1, 2])
def test_openai_delivers_in_the_answer(ai: ServedEmulator, openai: OpenAiImages, count: int) -> None:
    state = draw(ai, openai, replace(OPENAI, count=count))
    assert isinstance(state, Finished)
    assert len(state.results) == count
    for result in state.results:
        assert isinstance(result, MediaBase64)
        assert sniff_format(base64.b64decode(result.text, validate=True)) is PNG


@pytest.mark.parametrize(
    ("effect", "error"),
    [
        ({"status": 429}, ProviderUnavailableError),
        ({"status": 503}, ProviderUnavailableError),
        ({"status": 429, "code": "insufficient_quota"}, ProviderRefusedError),
        ({"status": 400}, ProviderRefusedError),
        ({"drop": True}, SubmissionUnknownError),
    ],
)
def test_each_answer_of_openai_has_its_error(
    ai: ServedEmulator, openai: OpenAiImages, effect: dict[str, Any], error: type[ProviderError]
) -> None:
    ai.arm(effect, operation="generate")
    with pytest.raises(error) as caught:
        draw(ai, openai, OPENAI)
    assert type(caught.value) is error
    assert API_KEY not in str(caught.value)


def test_openai_refuses_a_prompt(ai: ServedEmulator, openai: OpenAiImages) -> None:
    with pytest.raises(ProviderRefusedError, match="safety system"):
        draw(ai, openai, replace(OPENAI, prompt="[refuse]"))


def test_openai_does_not_keep_results(openai: OpenAiImages) -> None:
    with pytest.raises(ResultLostError):
        openai.poll("anything")


def test_a_refused_connection_means_unavailable(client: httpx.Client) -> None:
    dashscope = DashScope(settings("http://127.0.0.1:1/api/v1"), client)
    calls: tuple[Callable[[], object], ...] = (
        lambda: dashscope.submit(IMAGE),
        lambda: dashscope.poll("x"),
        lambda: OpenAiImages(settings("http://127.0.0.1:1/v1"), client).submit(OPENAI),
    )
    for call in calls:
        with pytest.raises(ProviderUnavailableError) as caught:
            call()
        assert KEY not in str(caught.value)


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    with serving(Scripted()) as server:
        yield server


def test_the_requests_to_dashscope_are_as_documented(scripted: Scripted, client: httpx.Client) -> None:
    scripted.body = b'{"output": {"task_id": "t", "task_status": "PENDING"}}'
    dashscope = DashScope(settings(scripted.url), client)
    for job in (replace(IMAGE, negative_prompt="rain", count=2), MESSAGES, VIDEO, FROM_IMAGE):
        assert dashscope.submit(job) == Pending("t")
    paths, headers, bodies = zip(*scripted.asked, strict=True)
    assert paths == (
        "/services/aigc/text2image/image-synthesis",
        "/services/aigc/image-generation/generation",
        "/services/aigc/video-generation/video-synthesis",
        "/services/aigc/video-generation/video-synthesis",
    )
    for sent in headers:
        assert (sent["authorization"], sent["x-dashscope-async"]) == (f"Bearer {KEY}", "enable")
    common = {"prompt_extend": True, "watermark": False}
    assert bodies[0] == {
        "model": "wan2.2-t2i-flash",
        "input": {"prompt": IMAGE.prompt, "negative_prompt": "rain"},
        "parameters": {**common, "size": "512*512", "n": 2},
    }
    assert bodies[1]["input"] == {"messages": [{"role": "user", "content": [{"text": MESSAGES.prompt}]}]}
    assert bodies[1]["parameters"] == {**common, "size": "1280*1280", "n": 1, "seed": 7, "negative_prompt": "rain"}
    assert bodies[2]["parameters"] == {**common, "size": "1280*720", "duration": 2}
    assert bodies[3]["input"]["img_url"] == FROM_IMAGE.image_url
    assert bodies[3]["parameters"] == {**common, "resolution": "720P", "duration": 2}


def test_the_request_to_openai_is_as_documented(scripted: Scripted, client: httpx.Client) -> None:
    scripted.body = b'{"data": [{"b64_json": "eA=="}, {"url": "https://r.example.com/1"}]}'
    state = OpenAiImages(settings(scripted.url), client).submit(replace(OPENAI, count=2))
    assert state == Finished((MediaBase64("eA=="), MediaUrl("https://r.example.com/1")))
    ((path, headers, body),) = scripted.asked
    assert (path, headers["authorization"]) == ("/images/generations", f"Bearer {KEY}")
    assert body == {"model": "gpt-image-1", "prompt": OPENAI.prompt, "n": 2, "size": "1024x1024"}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"", SubmissionUnknownError),
        (200, b"<html>", SubmissionUnknownError),
        (200, b"[]", SubmissionUnknownError),
        (200, b'{"output": {}}', SubmissionUnknownError),
        (200, b'{"output": {"task_id": 5}}', SubmissionUnknownError),
        (502, b"<html>Bad Gateway</html>", SubmissionUnknownError),
        (504, b"", SubmissionUnknownError),
        (200, b'{"code": "InvalidParameter", "message": "no"}', ProviderRefusedError),
        (200, b'{"code": "Throttling", "message": "slowly"}', ProviderUnavailableError),
        (429, b'{"code": "Throttling.RateQuota", "message": "slowly"}', ProviderUnavailableError),
        (400, b"not json", ProviderRefusedError),
    ],
)
def test_undocumented_answers_to_a_submission_have_their_errors(
    scripted: Scripted, client: httpx.Client, status: int, body: bytes, error: type[ProviderError]
) -> None:
    scripted.status, scripted.body = status, body
    with pytest.raises(error) as caught:
        DashScope(settings(scripted.url), client).submit(IMAGE)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *[(502, b"<html>"), (401, b'{"code": "InvalidApiKey"}'), (429, b"{}"), (500, b"")],
        # The page of a proxy, a truncated answer, and answers without a state.
        *[(200, b"<html>"), (200, b""), (200, b"[]"), (200, b'{"output": {"task_st'), (200, b'{"output": null}')],
        (200, b'{"output": {"task_status": 7}}'),
    ],
)
def test_undocumented_answers_to_a_poll_mean_unavailable(
    scripted: Scripted, client: httpx.Client, status: int, body: bytes
) -> None:
    scripted.status, scripted.body = status, body
    with pytest.raises(ProviderUnavailableError):
        DashScope(settings(scripted.url), client).poll("t")


def test_an_unknown_task_status_is_pending(scripted: Scripted, client: httpx.Client) -> None:
    scripted.body = b'{"output": {"task_status": "RESTING"}}'
    assert DashScope(settings(scripted.url), client).poll("t") == Pending("t")


@pytest.mark.parametrize(
    "output",
    [
        {},
        {"results": []},
        {"results": [{"code": "X", "message": "no"}]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {"content": [{"text": "sorry"}]}}]},
        {"video_url": None},
    ],
)
def test_a_success_without_results_is_a_failure(
    scripted: Scripted, client: httpx.Client, output: dict[str, Any]
) -> None:
    scripted.body = json.dumps({"output": {"task_status": "SUCCEEDED", **output}}).encode()
    with pytest.raises(ProviderFailedError):
        DashScope(settings(scripted.url), client).poll("t")


@pytest.mark.parametrize("body", [b"{}", b'{"data": []}', b'{"data": [{}]}', b'{"data": null}'])
def test_openai_without_images_is_a_failure(scripted: Scripted, client: httpx.Client, body: bytes) -> None:
    scripted.body = body
    with pytest.raises(ProviderFailedError):
        OpenAiImages(settings(scripted.url), client).submit(OPENAI)


def test_a_submission_to_openai_through_a_broken_gateway_has_an_unknown_result(
    scripted: Scripted, client: httpx.Client
) -> None:
    scripted.status, scripted.body = 502, b"<html>Bad Gateway</html>"
    with pytest.raises(SubmissionUnknownError):
        OpenAiImages(settings(scripted.url), client).submit(OPENAI)
