"""DashScope's HTTP API (Alibaba Cloud Model Studio) for images and videos.

The references it follows: https://help.aliyun.com/zh/model-studio/text-to-image-v2-api-reference ,
https://help.aliyun.com/zh/model-studio/text-to-video-api-reference and
https://help.aliyun.com/zh/model-studio/manage-asynchronous-tasks .
"""

import math
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from devcloud.ai.dashscope_answers import BEIJING, Link, generation_answer, list_entry, task_answer
from devcloud.ai.dashscope_models import IMAGE_GENERATION, MULTIMODAL_GENERATION, TEXT2IMAGE, VIDEO_SYNTHESIS, invalid
from devcloud.ai.dashscope_orders import read_order
from devcloud.ai.orders import Order
from devcloud.ai.provider_endpoint import Handler, bearer_key, endpoint, json_body, keys_match
from devcloud.ai.provider_error import ProviderError
from devcloud.ai.provider_faults import Effect, ProviderFaults
from devcloud.ai.result_links import Results
from devcloud.ai.task_runner import DAY_S, TaskRunner, is_refused
from devcloud.ai.task_store import Task, TaskStore
from devcloud.clock import Clock

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


class DashScopeApi:
    """The endpoints below ``/api/v1``."""

    def __init__(
        self, store: TaskStore, runner: TaskRunner, results: Results, clock: Clock, faults: ProviderFaults, api_key: str
    ) -> None:
        self._store = store
        self._runner = runner
        self._results = results
        self._clock = clock
        self._faults = faults
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
            task = self._runner.accept(order, request_id, background=True, ending=effect, spoiled=_spoiled_count(order))
            return _answer({"output": {"task_status": "PENDING", "task_id": task.task_id}}, request_id)

        return await self._faults.run("submit", _facts(order), work)

    async def _generate(self, request: Request, request_id: str) -> Response:
        if request.headers.get("X-DashScope-Async") == "enable":
            raise ProviderError(403, "AccessDenied", "current user api does not support asynchronous calls.")
        order = read_order(request.url.path, await json_body(request))

        async def work(effect: Effect) -> Response:
            _check_content(order)
            task = self._runner.accept(
                order, request_id, background=False, ending=effect, spoiled=_spoiled_count(order)
            )
            await self._runner.finished(task)
            if task.outcome != "SUCCEEDED":
                raise ProviderError(500, task.code, task.message or "")
            return _answer(generation_answer(task, self._links(task, request)), request_id)

        return await self._faults.run("generate", _facts(order), work)

    async def _poll(self, request: Request, request_id: str) -> Response:
        task_id: str = request.path_params["task_id"]
        task = self._known(task_id)

        async def work(_: Effect) -> Response:
            if task is None:
                return _answer({"output": {"task_id": task_id, "task_status": "UNKNOWN"}}, request_id)
            return _answer(task_answer(task, self._clock.now(), self._links(task, request)), request_id)

        return await self._faults.run("poll", _facts(task.order if task else None), work)

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

        return await self._faults.run("cancel", _facts(task.order if task else None), work)

    async def _list(self, request: Request, request_id: str) -> Response:
        async def work(_: Effect) -> Response:
            return self._page(request, request_id)

        return await self._faults.run("list", _facts(None), work)

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
                "data": [list_entry(task, now) for task in found[(number - 1) * size : number * size]],
            }
        )

    def _known(self, task_id: str) -> Task | None:
        """Return the task if it exists, can be polled and is not older than 24 hours."""
        task = self._store.get(task_id)
        if task is None or not task.background or self._clock.now() > task.submitted_at + DAY_S:
            return None
        return task

    def _links(self, task: Task, request: Request) -> Link:
        base_url = str(request.base_url)
        return lambda position: self._results.url(base_url, task, position)


def _answer(content: dict[str, Any], request_id: str) -> Response:
    return JSONResponse({"request_id": request_id, **content})


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


def _read_time(text: str) -> float:
    try:
        return datetime.strptime(text, _LIST_TIME).replace(tzinfo=BEIJING).timestamp()
    except ValueError as error:
        raise invalid("start_time and end_time must have the form YYYYMMDDhhmmss") from error


def _read_count(text: str, name: str, most: float) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise invalid(f"{name} must be a number from 1 to {most}")
    return int(text)
