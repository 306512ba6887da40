"""The emulator as an ASGI application, from the head of a request to the last byte of the reply."""

import logging
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
from devcloud.oss.access.admission import admit
from devcloud.oss.access.signatures import authenticate
from devcloud.oss.http.oss_reply import Reply
from devcloud.oss.http.oss_request import ClientGoneError, OssRequest, read_request
from devcloud.oss.http.post_form import read_form
from devcloud.oss.http.sending import error_reply, hang_up, send_reply, set_date
from devcloud.oss.http.traffic_limit import Pace
from devcloud.oss.lifecycle_timer import LifecycleTimer
from devcloud.oss.operations import oss_cors, website
from devcloud.oss.operations.buckets import check_bucket_name
from devcloud.oss.oss_errors import OssError, access_denied
from devcloud.oss.oss_operation import Operation
from devcloud.oss.oss_routes import check_names, route
from devcloud.oss.oss_service import OssService
from devcloud.oss.processing.workers import Limits, Workers
from devcloud.oss.storages.disk import DiskStorage
from devcloud.oss.storages.port import BucketRecord, Storage

log = logging.getLogger(__name__)

Effect = dict[str, Any]


def ignore(_event: dict[str, Any]) -> None:
    """Ignore all events."""


class OssEmulator:
    """One OSS region with the data in the folder ``data``, which belongs to one emulator at a time.

    ``data`` may also be a storage, which is closed with the emulator.

    ``on_event`` is called in the event loop's thread with one record for each changed object, once the change is
    committed; to deliver, lose or duplicate events is up to the listener. ``limits`` are the limits of
    ``x-oss-process``. Serve ``app`` with uvicorn.
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
        self._service = OssService(self._storage, clock, region, account_id, on_event, Workers(limits))

        self._lifecycle = LifecycleTimer(self._service)

        # uvicorn takes a bound method for an ASGI 2 application.
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await self._serve(scope, receive, send)

        self.app: ASGIApp = local_hosts_only(app, _refuse_host)

    def create_bucket(self, name: str, acl: str = "private") -> None:
        """Create a bucket; an existing bucket keeps its objects and gets ``acl``."""
        check_bucket_name(name)
        try:
            created_at = self._storage.bucket(name).created_at
        except OssError:
            created_at = self._service.clock.now()
        self._storage.create_bucket(BucketRecord(name, created_at, acl, "Standard"))

    def close(self) -> None:
        """Close the storage and end the workers; call it after the server has stopped."""
        self._service.workers.close()
        self._storage.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"only HTTP is supported, not {scope['type']}")
        try:
            reply, effect = await self._answer(scope, receive)
        except ClientGoneError:
            return
        set_date(send, reply, self._service.clock.now())
        try:
            if effect.get("drop"):
                await hang_up(receive, send, flush=False)
                return
            if effect.get("crc") == "wrong" and "x-oss-hash-crc64ecma" in reply.headers:
                reply.headers["x-oss-hash-crc64ecma"] = str(int(reply.headers["x-oss-hash-crc64ecma"]) ^ 1)
            pace = Pace(self._service.clock, reply.bits_per_s)
            if await send_reply(send, reply, pace, scope["method"], effect.get("truncateBytes")):
                return
            await hang_up(receive, send, flush=True)
        finally:
            if not isinstance(reply.body, bytes):
                reply.body.close()

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[Reply, Effect]:
        request, effect = None, Effect()
        try:
            self._lifecycle.run_if_due()
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
            reply = error_reply(error, request)
        except ClientGoneError:
            raise
        except Exception:  # after any failure the client gets a 500 in the form of OSS
            log.exception("unexpected error")
            message = "We encountered an internal error. Please try again."
            reply = error_reply(OssError(500, "InternalError", message), request)
        if request is not None:
            reply.headers["x-oss-request-id"] = request.id
            oss_cors.allow_origin(self._service, request, reply)
            if request.method in ("GET", "HEAD") and request.headers.get("content-length", "0") != "0":
                # The client may never send this body; then the next request would be read as the body.
                reply.headers["connection"] = "close"
        return reply, effect

    def _admit(self, operation: Operation, request: OssRequest) -> AccessKey | None:
        """Return the key that signed ``request``, ``None`` if the request is not signed.

        Raises the error of an invalid signature, an invalid name, a missing bucket, a policy or an ACL.
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
    reply = error_reply(access_denied(message), None)
    return Response(reply.body, reply.status, reply.headers)
