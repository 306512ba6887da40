"""The emulator of OpenAI's image API, through the official package."""

import base64
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from ai_support import API_KEY, ServedEmulator, served
from PIL import Image


@pytest.fixture
def ai(tmp_path: Path) -> Iterator[ServedEmulator]:
    with served(tmp_path, image_after_s=0) as emulator:
        yield emulator


@pytest.fixture
def client(ai: ServedEmulator) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=API_KEY, base_url=f"{ai.url}/v1", max_retries=0) as client:
        yield client


def picture(item: Any) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(item.b64_json)))


def test_a_request_makes_and_charges_its_images(ai: ServedEmulator, client: openai.OpenAI) -> None:
    answer = client.images.generate(model="gpt-image-1", prompt="a lake", n=2, size="1536x1024")
    first, second = (picture(item) for item in answer.data or [])
    assert (first.format, first.size, second.size) == ("PNG", (1536, 1024), (1536, 1024))
    assert first.tobytes() != second.tobytes()
    assert answer.size == "1536x1024"
    (charge,) = ai.emulator.charges()
    assert (charge["type"], charge["model"], charge["prompt"], charge["count"]) == ("image", "gpt-image-1", "a lake", 2)


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_an_image_has_the_requested_format(client: openai.OpenAI, kind: Any) -> None:
    (item,) = client.images.generate(model="gpt-image-1", prompt="a lake", output_format=kind).data or []
    assert (picture(item).format, picture(item).size) == (kind.upper(), (1024, 1024))


def test_a_wrong_key_is_refused(ai: ServedEmulator) -> None:
    with (
        openai.OpenAI(api_key="sk-wrong", base_url=f"{ai.url}/v1") as client,
        pytest.raises(openai.AuthenticationError) as refusal,
    ):
        client.images.generate(model="gpt-image-1", prompt="a lake")
    assert refusal.value.code == "invalid_api_key"
    assert (refusal.value.request_id or "").startswith("fake-")


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"prompt": ""}, "prompt", "missing_required_parameter"),
        ({"model": "dall-e-3"}, "model", "model_not_found"),
        ({"size": "10x10"}, "size", "invalid_value"),
        ({"n": 11}, "n", "invalid_value"),
        ({"n": "2"}, "n", "invalid_value"),
        ({"output_format": "gif"}, "output_format", "invalid_value"),
    ],
)
def test_parameters_are_checked(client: openai.OpenAI, change: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        client.images.generate(**{"model": "gpt-image-1", "prompt": "a lake", **change})
    assert (refusal.value.param, refusal.value.code, refusal.value.type) == (param, code, "invalid_request_error")


def test_a_prompt_with_refuse_is_refused_without_a_charge(ai: ServedEmulator, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        client.images.generate(model="gpt-image-1", prompt="[refuse]")
    assert refusal.value.code == "moderation_blocked"
    assert ai.emulator.charges() == []


def test_a_prompt_with_fail_is_a_server_error_without_a_charge(ai: ServedEmulator, client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError):
        client.images.generate(model="gpt-image-1", prompt="[fail]")
    assert ai.emulator.charges() == []


def test_a_prompt_with_slow_waits_for_the_clock(ai: ServedEmulator, client: openai.OpenAI) -> None:
    start = ai.clock.now()
    with ThreadPoolExecutor(1) as waiting:
        answer = waiting.submit(client.images.generate, model="gpt-image-1", prompt="[slow]")
        while not answer.done():
            ai.advance(5)
    assert answer.result().data
    assert ai.clock.now() - start >= 60


def test_a_fault_with_429_is_a_rate_limit_error(ai: ServedEmulator, client: openai.OpenAI) -> None:
    ai.arm({"status": 429}, operation="generate", api="openai")
    with pytest.raises(openai.RateLimitError) as refusal:
        client.images.generate(model="gpt-image-1", prompt="a lake")
    assert refusal.value.code == "rate_limit_exceeded"


def test_a_dropped_answer_is_billed(ai: ServedEmulator, client: openai.OpenAI) -> None:
    ai.arm({"drop": True}, operation="generate")
    with pytest.raises(openai.APIConnectionError):
        client.images.generate(model="gpt-image-1", prompt="a lake")
    assert len(ai.emulator.charges()) == 1
