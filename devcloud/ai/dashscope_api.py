"""DashScope's HTTP API (Alibaba Cloud Model Studio) for images and videos.

The references it follows: https://help.aliyun.com/zh/model-studio/text-to-image-v2-api-reference ,
https://help.aliyun.com/zh/model-studio/text-to-video-api-reference and
https://help.aliyun.com/zh/model-studio/manage-asynchronous-tasks .
"""

import math
from datetime import datetime, timedelta, timezone
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from devcloud.ai.endpoints import Handler, bearer_key, endpoint, json_body, keys_match
from devcloud.ai.errors import ProviderError
from devcloud.ai.injection import Effect, Injector
from devcloud.ai.orders import (
    IMAGE_GENERATION,
    MULTIMODAL_GENERATION,
    TEXT2IMAGE,
    VIDEO_SYNTHESIS,
    Order,
    invalid,
    read_order,
    video_family,
)
from devcloud.ai.results import Results
from devcloud.ai.studio import DAY_S, Studio, is_refused
from devcloud.ai.tasks import Task, TaskStore
from devcloud.clock import Clock

_BEIJING = timezone(timedelta(hours=8))
_LIST_TIME = "%Y%m%d%H%M%S"
_LARGEST_PAGE = 100
_CODES = {
    400: "InvalidParameter",
    401: "InvalidApiKey",
    403: "AccessDenied",
    404: "ModelNotFound",
    408: "RequestTimeOut",
    429: "Throttling.RateQuota",
    503: "ModelUnavailable",
}
_SPOILED = {"code": "DataInspectionFailed", "message": "Output data may contain inappropriate content."}


class DashScopeApi:
    """The endpoints below ``/api/v1``."""

    def __init__(
        self, store: TaskStore, studio: Studio, results: Results, clock: Clock, injector: Injector, api_key: str
    ) -> None:
        self._store = store
        self._studio = studio
        self._results = results
        self._clock = clock
        self._injector = injector
        self._api_key = api_key
        self.routes = [
            self._route("POST", TEXT2IMAGE, self._submit),
            self._route("POST", IMAGE_GENERATION, self._submit),
            self._route("POST", VIDEO_SYNTHESIS, self._submit),
            self._route("POST", MULTIMODAL_GENERATION, self._generate),
            self._route("GET", "/api/v1/tasks", self._list),
            self._route("GET", "/api/v1/tasks/", self._list),
            self._route("GET", "/api/v1/tasks/{task_id}", self._poll),
            self._route("POST", "/api/v1/tasks/{task_id}/cancel", self._cancel),
        ]

    def _route(self, method: str, path: str, handler: Handler) -> Route:
        async def authorized(request: Request, request_id: str) -> Response:
            key = bearer_key(request)
            if not key:
                raise ProviderError(401, "InvalidApiKey", "No API-key provided.")
            if not keys_match(key, self._api_key):
                raise ProviderError(401, "InvalidApiKey", "Invalid API-key provided.")
            return await handler(request, request_id)

        return Route(path, endpoint(authorized, _as_error), methods=[method])

    async def _submit(self, request: Request, request_id: str) -> Response:
        if request.headers.get("X-DashScope-Async") != "enable":
            raise ProviderError(403, "AccessDenied", "current user api does not support synchronous calls.")
        order = read_order(request.url.path, await json_body(request))

        async def work(effect: Effect) -> Response:
            _check_content(order)
            task = self._studio.accept(order, request_id, background=True, ending=effect, spoiled=_spoiled_count(order))
            return _answer({"task_status": "PENDING", "task_id": task.task_id}, request_id)

        return await self._injector.run("submit", _facts(order), work)

    async def _generate(self, request: Request, request_id: str) -> Response:
        if request.headers.get("X-DashScope-Async") == "enable":
            raise ProviderError(403, "AccessDenied", "current user api does not support asynchronous calls.")
        order = read_order(request.url.path, await json_body(request))

        async def work(effect: Effect) -> Response:
            _check_content(order)
            task = self._studio.accept(
                order, request_id, background=False, ending=effect, spoiled=_spoiled_count(order)
            )
            await self._studio.finished(task)
            if task.outcome != "SUCCEEDED":
                raise ProviderError(500, task.code, task.message or "")
            output: dict[str, Any] = {"choices": self._choices(task, str(request.base_url))}
            if order.model.startswith("qwen-image"):
                output["task_metric"] = _metrics(task)
            return _answer(output, request_id, usage=_image_usage(task))

        return await self._injector.run("generate", _facts(order), work)

    async def _poll(self, request: Request, request_id: str) -> Response:
        task_id: str = request.path_params["task_id"]
        task = self._known(task_id)

        async def work(_: Effect) -> Response:
            if task is None:
                return _answer({"task_id": task_id, "task_status": "UNKNOWN"}, request_id)
            return self._progress(task, str(request.base_url), request_id)

        return await self._injector.run("poll", _facts(task.order if task else None), work)

    async def _cancel(self, request: Request, request_id: str) -> Response:
        task = self._known(request.path_params["task_id"])

        async def work(_: Effect) -> Response:
            now = self._clock.now()
            if task is None or task.status(now) != "PENDING":
                raise ProviderError(
                    400,
                    "UnsupportedOperation",
                    "Failed to cancel the task, please confirm if the task is in PENDING status.",
                )
            self._store.cancel(task, now)
            return JSONResponse({"request_id": request_id})

        return await self._injector.run("cancel", _facts(task.order if task else None), work)

    async def _list(self, request: Request, request_id: str) -> Response:
        async def work(_: Effect) -> Response:
            return self._page(request, request_id)

        return await self._injector.run("list", _facts(None), work)

    def _page(self, request: Request, request_id: str) -> Response:
        query, now = request.query_params, self._clock.now()
        end = _read_time(query["end_time"]) if "end_time" in query else now
        start = _read_time(query["start_time"]) if "start_time" in query else end - DAY_S
        if not 0 <= end - start <= DAY_S:
            raise invalid("The time range between start_time and end_time must be within 24 hours.")
        number = _read_count(query.get("page_no", "1"), "page_no", math.inf)
        size = _read_count(query.get("page_size", "10"), "page_size", _LARGEST_PAGE)
        found = [
            task
            for task in self._store.submitted_between(max(start, now - DAY_S), end)
            if task.background
            and query.get("model_name", task.order.model) == task.order.model
            and query.get("status", task.status(now)) == task.status(now)
        ]
        return JSONResponse(
            {
                "total": len(found),
                "total_page": math.ceil(len(found) / size),
                "page_no": number,
                "page_size": size,
                "request_id": request_id,
                "data": [_row(task, now) for task in found[(number - 1) * size : number * size]],
            }
        )

    def _known(self, task_id: str) -> Task | None:
        """Return the task if it exists, can be polled and is not older than 24 hours."""
        task = self._store.get(task_id)
        if task is None or not task.background or self._clock.now() > task.submitted_at + DAY_S:
            return None
        return task

    def _progress(self, task: Task, base_url: str, request_id: str) -> Response:
        status = task.status(self._clock.now())
        output: dict[str, Any] = {"task_id": task.task_id, "task_status": status}
        if status in ("PENDING", "RUNNING"):
            if task.order.type == "image":
                output["task_metrics"] = {"TOTAL": task.order.count, "SUCCEEDED": 0, "FAILED": 0}
            return _answer(output, request_id)
        output |= _times(task)
        if status == "CANCELED":
            return _answer(output, request_id)
        if status != "SUCCEEDED":
            return _answer(output | {"code": task.code, "message": task.message}, request_id)
        if task.order.type == "video":
            output |= {**_prompts(task.order), "video_url": self._results.url(base_url, task, 0)}
            return _answer(output, request_id, usage=_video_usage(task.order))
        if _speaks_in_choices(task.order):
            output |= {"finished": True, "choices": self._choices(task, base_url, typed=True)}
        else:
            output |= {"results": self._list_results(task, base_url), "task_metrics": _metrics(task)}
        return _answer(output, request_id, usage=_image_usage(task))

    def _list_results(self, task: Task, base_url: str) -> list[dict[str, str]]:
        done = [
            {**_prompts(task.order), "url": self._results.url(base_url, task, position)}
            for position in range(task.delivered)
        ]
        return done + [_SPOILED] * task.spoiled

    def _choices(self, task: Task, base_url: str, *, typed: bool = False) -> list[dict[str, Any]]:
        kind = {"type": "image"} if typed else {}
        contents = [{"image": self._results.url(base_url, task, at), **kind} for at in range(task.delivered)]
        return [
            {"finish_reason": "stop", "message": {"role": "assistant", "content": [content]}}
            for content in contents + [_SPOILED] * task.spoiled
        ]


def _answer(output: dict[str, Any], request_id: str, usage: dict[str, Any] | None = None) -> Response:
    body: dict[str, Any] = {"request_id": request_id, "output": output}
    return JSONResponse(body if usage is None else {**body, "usage": usage})


def _as_error(error: ProviderError, request_id: str) -> Response:
    code = error.code or _CODES.get(error.status, "InternalError")
    return JSONResponse({"code": code, "message": error.message, "request_id": request_id}, error.status)


def _check_content(order: Order) -> None:
    if is_refused(order.prompt):
        raise ProviderError(400, "DataInspectionFailed", "Input data may contain inappropriate content.")


def _spoiled_count(order: Order) -> int:
    return 1 if "[partial]" in order.prompt and order.count > 1 else 0


def _facts(order: Order | None) -> dict[str, object]:
    facts: dict[str, object] = {"api": "dashscope"}
    return facts if order is None else {**facts, "model": order.model, "type": order.type, "prompt": order.prompt}


def _speaks_in_choices(order: Order) -> bool:
    return order.model.startswith(("wan2.6", "wan2.7"))


def _prompts(order: Order) -> dict[str, str]:
    prompts = {"orig_prompt": order.prompt}
    return {**prompts, "actual_prompt": order.prompt} if order.extend_prompt else prompts


def _metrics(task: Task) -> dict[str, int]:
    return {"TOTAL": task.order.count, "SUCCEEDED": task.delivered, "FAILED": task.spoiled}


def _image_usage(task: Task) -> dict[str, Any]:
    order, count = task.order, {"image_count": task.delivered}
    if order.model.startswith("qwen-image"):
        return {"width": order.width, "height": order.height, **count}
    if _speaks_in_choices(order):
        size = f"{order.width}*{order.height}"
        return {"size": size, "total_tokens": 0, **count, "output_tokens": 0, "input_tokens": 0}
    return count


def _video_usage(order: Order) -> dict[str, Any]:
    size = f"{order.width}*{order.height}"
    if video_family(order.model).old_usage:
        return {"video_duration": order.duration_s, "video_ratio": size, "video_count": 1}
    return {
        "duration": order.duration_s,
        "input_video_duration": 0,
        "output_video_duration": order.duration_s,
        "video_count": 1,
        "SR": min(order.width, order.height),
        "size": size,
    }


def _times(task: Task) -> dict[str, str]:
    times = {"submit_time": _local_time(task.submitted_at)}
    if task.canceled_at is None:
        times["scheduled_time"] = _local_time(task.starts_at)
    return {**times, "end_time": _local_time(task.canceled_at or task.ends_at)}


def _row(task: Task, now: float) -> dict[str, Any]:
    status = task.status(now)
    row: dict[str, Any] = {
        "task_id": task.task_id,
        "status": status,
        "model_name": task.order.model,
        "gmt_create": _local_time(task.submitted_at),
        "region": "cn-beijing",
        "request_id": task.request_id,
        "user_api_unique_key": "apikey:v1:fake",
        "api_key_id": "fake",
    }
    if status not in ("PENDING", "CANCELED"):
        row["start_time"] = _local_time(task.starts_at)
    if status not in ("PENDING", "RUNNING"):
        row["end_time"] = _local_time(task.canceled_at or task.ends_at)
    return row


def _local_time(at: float) -> str:
    return datetime.fromtimestamp(at, _BEIJING).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _read_time(text: str) -> float:
    try:
        return datetime.strptime(text, _LIST_TIME).replace(tzinfo=_BEIJING).timestamp()
    except ValueError as error:
        raise invalid("start_time and end_time must have the form YYYYMMDDhhmmss") from error


def _read_count(text: str, name: str, most: float) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise invalid(f"{name} must be a number from 1 to {most}")
    return int(text)
