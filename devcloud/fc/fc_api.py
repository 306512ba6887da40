"""Function Compute's own API (2023-03-30), for the official SDK and the command line."""

import base64
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from devcloud.broken_responses import DroppedResponse
from devcloud.credentials import Credentials
from devcloud.fc import acs3
from devcloud.fc.async_queue import AsyncQueue
from devcloud.fc.fc_error import FcError
from devcloud.fc.http_calls import apply_call_faults, is_async, raw_path, refusing
from devcloud.fc.invocation_store import AsyncTask, InvocationStore
from devcloud.fc.invocations import Invocation, Invoker
from devcloud.fc.manifest import Function, Manifest

_PREFIX = "/2023-03-30/functions"
_PAGE_LIMIT = 100


class FunctionApi:
    """The endpoints; every request must be signed by a key of ``credentials``."""

    def __init__(
        self,
        manifest: Manifest,
        invoker: Invoker,
        queue: AsyncQueue,
        store: InvocationStore,
        credentials: Credentials,
    ) -> None:
        self._manifest = manifest
        self._invoker = invoker
        self._queue = queue
        self._store = store
        self._credentials = credentials

    @property
    def routes(self) -> list[Route]:
        """The routes of the API."""
        function, task = f"{_PREFIX}/{{function}}", f"{_PREFIX}/{{function}}/async-tasks/{{task}}"
        return [
            self._route(_PREFIX, self._list_functions, "GET"),
            self._route(function, self._get_function, "GET"),
            self._route(f"{function}/invocations", self._invoke, "POST"),
            self._route(f"{function}/async-tasks", self._list_tasks, "GET"),
            self._route(task, self._get_task, "GET"),
            self._route(f"{task}/stop", self._stop_task, "PUT"),
        ]

    def _route(self, path: str, endpoint: Callable[[Request], Awaitable[Response]], method: str) -> Route:
        async def verified(request: Request) -> Response:
            acs3.verify(
                request.method,
                raw_path(request),
                request.url.query,
                {name: request.headers[name] for name in request.headers},
                await request.body(),
                credentials=self._credentials,
            )
            return await endpoint(request)

        return Route(path, refusing(verified), methods=[method])

    def _function(self, request: Request) -> Function:
        return self._invoker.function(request.path_params["function"])

    async def _list_functions(self, request: Request) -> Response:
        prefix = request.query_params.get("prefix", "")
        functions = [item for item in self._manifest.functions.values() if item.name.startswith(prefix)]
        return JSONResponse({"functions": [self._describe(function) for function in functions]})

    async def _get_function(self, request: Request) -> Response:
        return JSONResponse(self._describe(self._function(request)))

    async def _invoke(self, request: Request) -> Response:
        function, body = self._function(request), await request.body()
        kind = "async" if is_async(request) else "sync"
        drop = await apply_call_faults(self._invoker, function, kind)
        if kind == "async":
            task = self._queue.accept(function, body, kind, task_id=request.headers.get("x-fc-async-task-id"))
            response = Response(
                status_code=202,
                headers={"X-Fc-Request-Id": task.request_id, "X-Fc-Async-Task-Id": task.task_id or task.request_id},
            )
        else:
            wants_log = request.headers.get("x-fc-log-type", "").lower() == "tail"
            response = _answer(await self._invoker.invoke(function, body, kind), wants_log)
        return DroppedResponse() if drop else response

    async def _list_tasks(self, request: Request) -> Response:
        query = request.query_params
        start, limit = _number(query, "nextToken", 0), min(_number(query, "limit", _PAGE_LIMIT), _PAGE_LIMIT)
        begin, end = _number(query, "startedTimeBegin", 0), _number(query, "startedTimeEnd", 1 << 62)
        tasks = [
            task
            for task in self._store.list_tasks(
                self._function(request).name, query.get("prefix", ""), query.get("status") or None
            )
            if begin <= (task.started_at or task.accepted_at) * 1000 <= end
        ]
        if query.get("sortOrderByTime", "desc").lower() == "asc":
            tasks.reverse()
        with_payload = query.get("includePayload", "false").lower() == "true"
        page = {"tasks": [self._describe_task(task, with_payload) for task in tasks[start : start + limit]]}
        more = {"nextToken": str(start + limit)} if start + limit < len(tasks) else {}
        return JSONResponse(page | more)

    async def _get_task(self, request: Request) -> Response:
        task = self._queue.task(self._function(request), request.path_params["task"])
        return JSONResponse(self._describe_task(task, with_payload=True))

    async def _stop_task(self, request: Request) -> Response:
        self._queue.stop(self._function(request), request.path_params["task"])
        return Response(status_code=204)

    def _arn(self, name: str) -> str:
        return f"acs:fc:{self._manifest.region}:{self._manifest.account_id}:functions/{name}"

    def _describe(self, function: Function) -> dict[str, Any]:
        return {
            "functionName": function.name,
            "functionArn": self._arn(function.name),
            "description": function.description,
            "runtime": function.runtime,
            "handler": function.handler,
            "cpu": function.cpu,
            "memorySize": function.memory_mb,
            "diskSize": function.disk_mb,
            "timeout": function.timeout_s,
            "environmentVariables": dict(function.environment),
            "state": "Active",
        }

    def _describe_task(self, task: AsyncTask, with_payload: bool) -> dict[str, Any]:
        described: dict[str, Any] = {
            "taskId": task.task_id or task.request_id,
            "requestId": task.request_id,
            "functionArn": self._arn(task.function),
            "qualifier": "LATEST",
            "status": "Enqueued" if task.status == "Held" else task.status,
            "alreadyRetriedTimes": max(0, task.attempt - 1),
            "instanceId": task.instance_id,
            "startedTime": _milliseconds(task.started_at),
            "endTime": _milliseconds(task.ended_at),
            "durationMs": _milliseconds(task.duration_s),
            "taskErrorMessage": task.error,
        }
        if with_payload:
            described["taskPayload"] = task.payload.decode("utf-8", "replace")
            described["returnPayload"] = None if task.result is None else task.result.decode("utf-8", "replace")
        return {name: value for name, value in described.items() if value is not None}


def _answer(invocation: Invocation, wants_log: bool) -> Response:
    outcome = invocation.outcome
    headers = {
        "X-Fc-Request-Id": invocation.request_id,
        "X-Fc-Instance-Id": invocation.instance_id,
        "X-Fc-Invocation-Duration": str(outcome.duration_ms),
        "X-Fc-Max-Memory-Usage": str(outcome.max_memory_mb),
    }
    if outcome.error_type is not None:
        headers["X-Fc-Error-Type"] = outcome.error_type
    if wants_log:
        headers["X-Fc-Log-Result"] = base64.b64encode(outcome.log_tail).decode()
    return Response(outcome.payload, headers=headers, media_type="application/octet-stream")


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _number(query: Any, name: str, default: int) -> int:
    try:
        return int(query.get(name) or default)
    except ValueError:
        raise FcError(400, "InvalidArgument", f"{name} must be a number") from None
