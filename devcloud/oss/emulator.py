"""The emulator as an ASGI application: from the request's head to the last byte of the reply."""

import asyncio
import logging
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from devcloud.clock import Clock
from devcloud.credentials import AccessKey, Credentials
from devcloud.faults import Faults
from devcloud.hosts import local_hosts_only
from devcloud.oss import xml
from devcloud.oss.auth import authenticate
from devcloud.oss.disk import DiskStorage
from devcloud.oss.errors import OssError, access_denied
from devcloud.oss.front import cors, website
from devcloud.oss.front.access import admit
from devcloud.oss.front.buckets import check_bucket_name
from devcloud.oss.front.forms import read_form
from devcloud.oss.front.headers import http_date
from devcloud.oss.front.routes import Operation, check_names, route
from devcloud.oss.front.service import Service
from devcloud.oss.lifecycle import apply_lifecycle
from devcloud.oss.pacing import Pace
from devcloud.oss.processing.workers import Limits, Workers
from devcloud.oss.request import ClientGoneError, OssRequest, Reply, read_request
from devcloud.oss.storage import BucketRecord, Storage

log = logging.getLogger(__name__)

Effect = dict[str, Any]
LIFECYCLE_PERIOD_S = 60


def ignore(_event: dict[str, Any]) -> None:
    """Listen to no events."""


class OssEmulator:
    """One OSS region with the data in the folder ``data``, which belongs to one emulator at a time.

    A storage in its place is used as it is, and closed with the emulator.

    ``on_event`` is called from the event loop's thread with one record per changed object, once the change is
    committed; delivering, losing and doubling events is the listener's business. ``limits`` are those of
    ``x-oss-process``. Serve ``app`` by uvicorn.
    """

    def __init__(
        self,
        data: Path | Storage,
        *,
        credentials: Credentials,
        clock: Clock,
        faults: Faults,
        region: str = "cn-hangzhou",
        account_id: str = "1234567890123456",
        on_event: Callable[[dict[str, Any]], None] = ignore,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        self._credentials = credentials
        self._faults = faults
        self._storage: Storage = DiskStorage(data) if isinstance(data, Path) else data
        self._service = Service(self._storage, clock, region, account_id, on_event, Workers(limits))

        self._lifecycle_due_at = 0.0

        # uvicorn takes a bound method for an ASGI 2 application.
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await self._serve(scope, receive, send)

        self.app: ASGIApp = local_hosts_only(app, _refuse_host)

    def create_bucket(self, name: str, acl: str = "private") -> None:
        """Create a bucket; one that exists keeps its objects and gets ``acl``."""
        check_bucket_name(name)
        try:
            created_at = self._storage.bucket(name).created_at
        except OssError:
            created_at = self._service.clock.now()
        self._storage.create_bucket(BucketRecord(name, created_at, acl, "Standard"))

    def apply_lifecycle(self) -> None:
        """Work off the lifecycle rules; done by itself ahead of the first request of each minute of the clock."""
        self._lifecycle_due_at = self._service.clock.now() + LIFECYCLE_PERIOD_S
        apply_lifecycle(self._service)

    def close(self) -> None:
        """Close the storage and end the workers; to be called once the server has stopped."""
        self._service.workers.close()
        self._storage.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"no {scope['type']} here")
        try:
            reply, effect = await self._answer(scope, receive)
        except ClientGoneError:
            return
        _date(send, reply, self._service.clock.now())
        try:
            if effect.get("drop"):
                await _hang_up(receive, send, flush=False)
                return
            if effect.get("crc") == "wrong" and "x-oss-hash-crc64ecma" in reply.headers:
                reply.headers["x-oss-hash-crc64ecma"] = str(int(reply.headers["x-oss-hash-crc64ecma"]) ^ 1)
            pace = Pace(self._service.clock, reply.bits_per_s)
            if await _send(send, reply, pace, scope["method"], effect.get("truncateBytes")):
                return
            await _hang_up(receive, send, flush=True)
        finally:
            if not isinstance(reply.body, bytes):
                reply.body.close()

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[Reply, Effect]:
        request, effect = None, Effect()
        try:
            if self._service.clock.now() >= self._lifecycle_due_at:
                self.apply_lifecycle()
            request = website.at_root(self._service, read_request(scope, receive))
            operation = route(request)
            if operation.name == "PostObject":
                request = await read_form(request)
            key = self._admit(operation, request)
            request = replace(request, admit=partial(self._admit_also, key))
            effect = self._take_fault(operation, request)
            if "delayS" in effect:
                clock = self._service.clock
                await clock.sleep_until(clock.now() + effect["delayS"])
            if "status" in effect:
                raise OssError(effect["status"], effect["code"], effect.get("message", "A fault on demand."))
            reply = await website.answer(self._service, operation, request, key)
        except OssError as error:
            reply = _error_reply(error, request)
        except ClientGoneError:
            raise
        except Exception:  # whatever broke, the client shall get OSS's form of a 500
            log.exception("unexpected error")
            message = "We encountered an internal error. Please try again."
            reply = _error_reply(OssError(500, "InternalError", message), request)
        if request is not None:
            reply.headers["x-oss-request-id"] = request.id
            cors.allow_origin(self._service, request, reply)
            if request.method in ("GET", "HEAD") and request.headers.get("content-length", "0") != "0":
                # Such a body need not come at all: then the next request would be taken for it.
                reply.headers["connection"] = "close"
        return reply, effect

    def _admit(self, operation: Operation, request: OssRequest) -> AccessKey | None:
        """Raise what keeps ``request`` from being worked on; return the key that signed it, if any did.

        That is: its signature, its names, a policy, an ACL, no such bucket.
        """
        service = self._service
        key = None
        if operation.access != "anybody":
            key = authenticate(request, self._credentials, region=service.region, now=service.clock.now())
        check_names(operation, request)
        if operation.level != "service" and operation.name != "PutBucket":
            service.storage.bucket(request.bucket)
        admit(service, operation, request, key)
        return key

    def _admit_also(self, key: AccessKey | None, request: OssRequest) -> None:
        admit(self._service, route(request), request, key)

    def _take_fault(self, operation: Operation, request: OssRequest) -> Effect:
        facts = {"method": request.method, "bucket": request.bucket, "key": request.key, "operation": operation.name}
        return self._faults.take("oss", **facts) or Effect()


def _refuse_host(message: str) -> Response:
    reply = _error_reply(access_denied(message), None)
    return Response(reply.body, reply.status, reply.headers)


def _error_reply(error: OssError, request: OssRequest | None) -> Reply:
    nodes: list[xml.Node] = [
        ("Code", error.code),
        ("Message", error.message),
        ("RequestId", request.id if request else ""),
        ("HostId", request.host if request else ""),
        *error.details.items(),
    ]
    headers = {**error.headers, "content-type": "application/xml"}
    if error.ec:
        nodes.append(("EC", error.ec))
        headers["x-oss-ec"] = error.ec
    body = xml.render("Error", *nodes)
    if request is not None and request.method == "HEAD":
        # A HEAD has no body to tell the error in.
        headers["x-oss-err"] = b64encode(body).decode()
    return Reply(error.status, headers, b"" if error.status == 304 else body)


async def _send(send: Send, reply: Reply, pace: Pace, method: str, limit: int | None) -> bool:
    """Send ``reply``, at most ``limit`` bytes of its body, and tell whether that was all."""
    chunks = [reply.body] if isinstance(reply.body, bytes) else reply.body
    size = len(reply.body) if isinstance(reply.body, bytes) else reply.body.size
    if reply.status not in (204, 304) and size is not None:
        reply.headers.setdefault("content-length", str(size))
    headers = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if method != "HEAD":
        for chunk in chunks:
            if limit is not None and len(chunk) > limit:
                await send({"type": "http.response.body", "body": chunk[:limit], "more_body": True})
                return False
            for piece in pace.pieces(chunk):
                await pace.passed(len(piece))
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            limit = None if limit is None else limit - len(chunk)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    return True


def _date(send: Send, reply: Reply, now: float) -> None:
    """State the emulator's time in place of the server's: clients tell by it how old an object is."""
    cycle = getattr(send, "__self__", None)  # uvicorn's own, unless something wraps it
    if cycle is not None:
        cycle.default_headers = [header for header in cycle.default_headers if header[0] != b"date"]
    reply.headers["date"] = http_date(now)


async def _hang_up(receive: Receive, send: Send, *, flush: bool) -> None:
    """Close the connection in the middle of a reply, which ASGI has no message for."""
    transport: asyncio.Transport = send.__self__.transport  # type: ignore[attr-defined]  # uvicorn's own
    if flush:
        transport.close()
    else:
        transport.abort()
    # Returning before the server has noticed would make it answer by itself.
    while (await receive())["type"] != "http.disconnect":
        pass
