"""Shared by FC's API and the HTTP trigger: parts of a request, errors as JSON, and the armed faults of a call."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from devcloud.fc.fc_error import FcError
from devcloud.fc.invocations import Invoker
from devcloud.fc.manifest import Function

_CALL_EFFECTS = ("status", "drop", "delayS")


def raw_path(request: Request) -> str:
    """Return the path as it was sent, percent-encoding included."""
    return bytes(request.scope["raw_path"]).decode("ascii", "replace")


def is_async(request: Request) -> bool:
    """Tell whether the caller asks for an asynchronous invocation."""
    return request.headers.get("x-fc-invocation-type", "Sync").lower() == "async"


def refusing(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Wrap ``endpoint``: an ``FcError`` becomes an answer with FC's JSON."""

    async def answer(request: Request) -> Response:
        request_id = str(uuid4())
        try:
            return await endpoint(request)
        except FcError as error:
            return JSONResponse(error.body(request_id), error.status, headers={"X-Fc-Request-Id": request_id})

    return answer


def refuse_host(message: str) -> Response:
    """Answer a request whose Host header does not name this machine."""
    return JSONResponse(FcError(403, "AccessDenied", message).body(str(uuid4())), 403)


async def apply_call_faults(invoker: Invoker, function: Function, kind: str) -> bool:
    """Apply the armed faults of a call: delay or refuse it. Return whether the answer must be dropped."""
    attempt = 0 if kind == "async" else 1
    effect: dict[str, Any] = invoker.take_fault(_CALL_EFFECTS, function=function.name, kind=kind, attempt=attempt)
    if "delayS" in effect:
        await invoker.wait(effect["delayS"])
    if "status" in effect:
        status = effect["status"]
        code = effect.get("code", "ResourceThrottled" if status == 429 else "InternalServerError")
        raise FcError(status, code, effect.get("message", "an armed fault refuses this call"))
    return bool(effect.get("drop"))
