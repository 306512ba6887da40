"""HTTP triggers: a request becomes an event, and the return value of the function becomes the answer."""

import base64
import contextlib
import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from devcloud.broken_responses import DroppedResponse
from devcloud.fc.async_queue import AsyncQueue
from devcloud.fc.fc_error import FcError
from devcloud.fc.http_calls import apply_call_faults, is_async, raw_path
from devcloud.fc.invocations import SYNC_LIMIT_BYTES, Invoker
from devcloud.fc.manifest import Function, HttpTrigger

_log = logging.getLogger("devcloud.http_trigger")

_HEADER_LIMIT_BYTES = 8 << 10
_URL_LIMIT_BYTES = 4 << 10
_NOT_PASSED_ON = ("connection", "keep-alive")
_NOT_ALLOWED_BACK = ("connection", "content-length", "date", "keep-alive", "server", "upgrade")
_WITHOUT_BODY = (204, 304)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_TEXT_TYPES = ("application/json", "application/xml", "application/javascript", "application/x-www-form-urlencoded")


class BadResponseError(Exception):
    """Function Compute cannot turn the return value of the function into an HTTP answer."""


class HttpTriggerEndpoint:
    """The HTTP trigger of one function."""

    def __init__(
        self, invoker: Invoker, queue: AsyncQueue, function: Function, trigger: HttpTrigger, account_id: str
    ) -> None:
        self._invoker = invoker
        self._queue = queue
        self._function = function
        self._trigger = trigger
        self._account_id = account_id

    async def handle(self, request: Request) -> Response:
        """Serve one request. Raises ``FcError`` for a request that does not reach the function."""
        if request.method not in self._trigger.methods:
            raise FcError(405, "MethodNotAllowed", f"the trigger does not accept {request.method}")
        event = json.dumps(await self._event(request)).encode()
        kind = "async" if is_async(request) else "http"
        drop = await apply_call_faults(self._invoker, self._function, kind)
        if kind == "async":
            task_id = request.headers.get("x-fc-async-task-id")
            task = self._queue.accept(self._function, event, kind, task_id=task_id)
            response = Response(status_code=202, headers={"X-Fc-Request-Id": task.request_id})
        else:
            response = await self._invoke(event)
        if request.method == "HEAD" and not response.body:
            # The length of the body of GET is unknown here, and 0 would be wrong (RFC 9110 § 8.6).
            del response.headers["content-length"]
        return DroppedResponse() if drop else response

    async def _invoke(self, event: bytes) -> Response:
        invocation = await self._invoker.invoke(self._function, event, "http")
        headers = {"X-Fc-Request-Id": invocation.request_id}
        outcome = invocation.outcome
        try:
            if outcome.error_type is not None:
                # The error message may contain secrets, and this answer goes to the public.
                raise BadResponseError(f"{outcome.error_type}: {outcome.error_message}")
            response = response_of(outcome.payload)
        except BadResponseError as error:
            _log.error("502: function=%s requestId=%s reason=%s", self._function.name, invocation.request_id, error)
            code = outcome.error_type or "BadResponse"
            refusal = FcError(502, code, "the function did not return a valid answer; the log of the function says why")
            body = json.dumps(refusal.body(invocation.request_id))
            response = Response(body, refusal.status, media_type="application/json")
        response.headers.update(headers)
        return response

    async def _event(self, request: Request) -> dict[str, Any]:
        path, query = raw_path(request), request.url.query
        if sum(len(name) + len(value) for name, value in request.headers.raw) > _HEADER_LIMIT_BYTES:
            raise FcError(400, "InvalidArgument", f"the headers exceed {_HEADER_LIMIT_BYTES} bytes")
        if len(path) + len(query) > _URL_LIMIT_BYTES:
            raise FcError(400, "InvalidArgument", f"path and query exceed {_URL_LIMIT_BYTES} bytes")
        body, is_base64 = _encode_body(await _read_body(request), request.headers.get("content-type", ""))
        now = datetime.now(UTC)
        host = request.headers.get("host", "")
        return {
            "version": "v1",
            "rawPath": path,
            "body": body,
            "isBase64Encoded": is_base64,
            "headers": _joined(
                (canonical_name(name), value)
                for name, value in request.headers.items()
                if name not in _NOT_PASSED_ON and not name.startswith("x-fc-")
            ),
            "queryParameters": _joined(request.query_params.multi_items()),
            "requestContext": {
                "accountId": self._account_id,
                "domainName": host,
                "domainPrefix": host.partition(".")[0],
                "http": {
                    "method": request.method,
                    "path": unquote(path),
                    "protocol": f"HTTP/{request.scope['http_version']}",
                    "sourceIp": request.client.host if request.client else "",
                    "userAgent": request.headers.get("user-agent", ""),
                },
                "requestId": str(uuid4()),
                "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "timeEpoch": str(int(now.timestamp() * 1000)),
            },
        }


def canonical_name(name: str) -> str:
    """Write a header name as Go does: ``x-my-header`` becomes ``X-My-Header``."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def response_of(result: bytes) -> Response:
    """Turn the return value of a function into an answer. Raises ``BadResponseError``."""
    if len(result) > SYNC_LIMIT_BYTES:
        raise BadResponseError(f"the result exceeds {SYNC_LIMIT_BYTES} bytes")
    try:
        returned = json.loads(result)
    except ValueError:
        returned = None
    if not isinstance(returned, dict) or "statusCode" not in returned:
        return Response(result, media_type="application/json")
    status, headers, body = returned["statusCode"], returned.get("headers") or {}, returned.get("body", "")
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise BadResponseError(f"statusCode {status!r} is not an HTTP status")
    if not isinstance(body, str):
        raise BadResponseError(f"body is of type {type(body).__name__}, not a string")
    _check_headers(headers)
    try:
        content = base64.b64decode(body, validate=True) if returned.get("isBase64Encoded") else body.encode()
    except ValueError as error:
        raise BadResponseError(f"body is not valid base64: {error}") from error
    response = Response(b"" if status in _WITHOUT_BODY else content, status)
    response.headers.update(headers)
    return response


def _check_headers(headers: Mapping[str, object]) -> None:
    for name, value in headers.items():
        if not isinstance(value, str):
            raise BadResponseError(f"header {name} is of type {type(value).__name__}, not a string")
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise BadResponseError(f"header {name!r} is not a valid HTTP header")
        forbidden = name.lower() in _NOT_ALLOWED_BACK or name.lower().startswith("x-fc-")
        if forbidden or (name.lower() == "content-disposition" and value.strip().lower().startswith("attachment")):
            raise BadResponseError(f"header {name} is not allowed in an answer")
    if sum(len(name) + len(str(value)) for name, value in headers.items()) > _HEADER_LIMIT_BYTES:
        raise BadResponseError(f"the headers exceed {_HEADER_LIMIT_BYTES} bytes")


async def _read_body(request: Request) -> bytes:
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        # The rest is read and dropped: a client that is still sending would miss the answer.
        if size <= SYNC_LIMIT_BYTES:
            body += chunk
    if size > SYNC_LIMIT_BYTES:
        raise FcError(400, "InvalidArgument", f"the body exceeds {SYNC_LIMIT_BYTES} bytes")
    return bytes(body)


def _encode_body(body: bytes, content_type: str) -> tuple[str, bool]:
    media_type = content_type.partition(";")[0].strip().lower()
    is_text = media_type.startswith("text/") or media_type in _TEXT_TYPES or media_type.endswith(("+json", "+xml"))
    if is_text or not media_type:
        with contextlib.suppress(UnicodeDecodeError):
            return body.decode(), False
    return base64.b64encode(body).decode(), True


def _joined(pairs: Any) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined
