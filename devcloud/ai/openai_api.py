"""The image endpoint of OpenAI's API: https://platform.openai.com/docs/api-reference/images/create ."""

import asyncio
import base64
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from devcloud.ai.orders import Order, parse_size
from devcloud.ai.provider_endpoint import bearer_key, endpoint, json_body, keys_match
from devcloud.ai.provider_error import ProviderError
from devcloud.ai.provider_faults import Effect, ProviderFaults
from devcloud.ai.task_runner import TaskRunner, is_refused
from devcloud.ai.task_store import Task

_SIZES = ("1024x1024", "1536x1024", "1024x1536")
_FORMATS = ("png", "jpeg", "webp")
_MOST_IMAGES = 10
_LONGEST_PROMPT = 32000
_TOKENS_PER_IMAGE = 1056
_TYPES = {401: "invalid_request_error", 429: "rate_limit_error"}
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}


class OpenAiApi:
    """The endpoints below ``/v1``."""

    def __init__(self, runner: TaskRunner, faults: ProviderFaults, api_key: str) -> None:
        self._runner = runner
        self._faults = faults
        self._api_key = api_key
        self.routes = [Route("/v1/images/generations", endpoint(self._generate, _as_error), methods=["POST"])]

    async def _generate(self, request: Request, request_id: str) -> Response:
        self._check_key(bearer_key(request))
        order = _read_order(await json_body(request))
        facts: dict[str, object] = {"api": "openai", "model": order.model, "type": "image", "prompt": order.prompt}

        async def work(effect: Effect) -> Response:
            if is_refused(order.prompt):
                raise ProviderError(
                    400, "moderation_blocked", "Your request was rejected as a result of our safety system."
                )
            task = self._runner.accept(order, request_id, background=False, ending=effect)
            await self._runner.finished(task)
            if task.outcome != "SUCCEEDED":
                raise ProviderError(500, None, "The server had an error while processing your request. Sorry!")
            return JSONResponse(await self._answer(task))

        return await self._faults.run("generate", facts, work)

    def _check_key(self, key: str) -> None:
        if not key:
            raise ProviderError(401, None, "You didn't provide an API key.")
        if not keys_match(key, self._api_key):
            raise ProviderError(401, None, f"Incorrect API key provided: {key[:3]}***.")

    async def _answer(self, task: Task) -> dict[str, Any]:
        order, data = task.order, []
        for position in range(order.count):
            media = await self._runner.media(task, position)
            content = await asyncio.to_thread(media.path.read_bytes)
            data.append({"b64_json": base64.b64encode(content).decode()})
        text_tokens, image_tokens = max(1, len(order.prompt) // 4), _TOKENS_PER_IMAGE * order.count
        return {
            "created": int(task.ends_at),
            "background": "opaque",
            "output_format": order.suffix.removeprefix("."),
            "quality": "medium",
            "size": f"{order.width}x{order.height}",
            "data": data,
            "usage": {
                "input_tokens": text_tokens,
                "input_tokens_details": {"image_tokens": 0, "text_tokens": text_tokens},
                "output_tokens": image_tokens,
                "total_tokens": text_tokens + image_tokens,
            },
        }


def _read_order(body: object) -> Order:
    if not isinstance(body, dict):
        raise ProviderError(400, None, "We could not parse the JSON body of your request.")
    prompt, model = body.get("prompt"), body.get("model", "")
    if not prompt or not isinstance(prompt, str):
        raise ProviderError(400, "missing_required_parameter", "Missing required parameter: 'prompt'.", "prompt")
    if len(prompt) > _LONGEST_PROMPT:
        raise ProviderError(400, "string_above_max_length", f"At most {_LONGEST_PROMPT} characters.", "prompt")
    if not str(model).startswith("gpt-image-"):
        raise ProviderError(400, "model_not_found", f"The model '{model}' does not exist.", "model")
    count = body.get("n") or 1
    if not isinstance(count, int) or not 1 <= count <= _MOST_IMAGES:
        raise ProviderError(400, "invalid_value", f"'n' must be from 1 to {_MOST_IMAGES}, got {count!r}.", "n")
    size = _choice(body, "size", _SIZES)
    width, height = parse_size(size, separator="x")
    return Order(
        "image", model, prompt, width, height, count=count, suffix="." + _choice(body, "output_format", _FORMATS)
    )


def _choice(body: dict[str, Any], name: str, values: tuple[str, ...]) -> str:
    """Return one of ``values``: the first one for "auto" or without a value."""
    value = body.get(name)
    if value in (None, "auto"):
        return values[0]
    if value not in values:
        known = ", ".join(f"'{known}'" for known in values)
        raise ProviderError(400, "invalid_value", f"Invalid value: {value!r}. Supported values are: {known}.", name)
    return str(value)


def _as_error(error: ProviderError, _: str) -> Response:
    kind = _TYPES.get(error.status, "server_error" if error.status >= 500 else "invalid_request_error")
    code = error.code or _CODES.get(error.status)
    return JSONResponse(
        {"error": {"message": error.message, "type": kind, "param": error.param, "code": code}}, error.status
    )
