"""The control requests: they show the state of the local cloud, arm faults and move the clock."""

import json
import math
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from devcloud.clock import Clock
from devcloud.faults import TARGETS, Fault, Faults
from devcloud.fc.fc_error import FcError
from devcloud.fc.invocation_store import InvocationStore
from devcloud.fc.invocations import FAULT_EFFECTS
from devcloud.fc.oss_trigger import EVENT_EFFECTS
from devcloud.fc.pool import Pool
from devcloud.fc.temp_disk import mount_disk, remove_folder

_FIELDS = ("target", "match", "effect", "times")
_EFFECTS = {"fc": FAULT_EFFECTS, "events": EVENT_EFFECTS}


class ControlRequests:
    """The endpoints under ``/control``, only on loopback."""

    def __init__(
        self, pool: Pool, store: InvocationStore, faults: Faults, clock: Clock, charges: Callable[[], Sequence[Any]]
    ) -> None:
        self._pool = pool
        self._store = store
        self._faults = faults
        self._clock = clock
        self._charges = charges

    @property
    def routes(self) -> list[Route]:
        """The routes, below the prefix where they are mounted."""
        return [
            _route("/instances", self._instances, "GET"),
            _route("/provider/charges", self._provider_charges, "GET"),
            _route("/invocations", self._invocations, "GET"),
            _route("/faults", self._arm, "POST"),
            _route("/faults", self._disarm, "DELETE"),
            _route("/clock", self._move_clock, "POST"),
        ]

    async def _instances(self, _: Request) -> Response:
        return JSONResponse(self._pool.describe())

    async def _provider_charges(self, _: Request) -> Response:
        return JSONResponse(list(self._charges()))

    async def _invocations(self, request: Request) -> Response:
        since = _moment(request.query_params.get("since"))
        rows = self._store.invocations(request.query_params.get("function") or None, since)
        return JSONResponse(
            [
                {
                    "requestId": row["request_id"],
                    "function": row["function"],
                    "kind": row["kind"],
                    "attempt": row["attempt"],
                    "status": row["status"],
                    "startedAt": _rfc3339(row["started_at"]),
                    "durationMs": row["duration_ms"],
                }
                for row in rows
            ]
        )

    async def _arm(self, request: Request) -> Response:
        fault = _fault(await _json(request))
        if fault.target == "fc" and "diskBytes" in fault.effect:
            _try_disk(fault.effect["diskBytes"])
        try:
            self._faults.arm(fault)
        except ValueError as error:
            raise FcError(400, "InvalidArgument", str(error)) from error
        return JSONResponse({"armed": len(self._faults.armed)})

    async def _disarm(self, _: Request) -> Response:
        self._faults.clear()
        return JSONResponse({"armed": 0})

    async def _move_clock(self, request: Request) -> Response:
        seconds = (await _json(request)).get("advanceSeconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
            raise FcError(400, "InvalidArgument", "advanceSeconds must be a number")
        try:
            self._clock.advance(seconds)
        except ValueError as error:
            raise FcError(400, "InvalidArgument", str(error)) from error
        return JSONResponse({"now": _rfc3339(self._clock.now())})


def _route(path: str, endpoint: Callable[[Request], Awaitable[Response]], method: str) -> Route:
    async def guarded(request: Request) -> Response:
        try:
            if "origin" in request.headers:
                raise FcError(403, "Forbidden", "control requests from web pages are refused")
            return await endpoint(request)
        except FcError as error:
            return JSONResponse({"code": error.code, "message": error.message}, error.status)

    return Route(path, guarded, methods=[method])


async def _json(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except ValueError as error:
        raise FcError(400, "InvalidArgument", f"the body is not valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise FcError(400, "InvalidArgument", "the body must be a JSON object")
    return body


def _fault(body: dict[str, Any]) -> Fault:
    target, match, effect, times = (body.get(name) for name in _FIELDS)
    match, times = {} if match is None else match, 1 if times is None else times
    if unknown := body.keys() - set(_FIELDS):
        raise FcError(400, "InvalidArgument", f"unknown field {min(unknown)!r}; allowed fields: {', '.join(_FIELDS)}")
    if target not in TARGETS:
        raise FcError(400, "InvalidArgument", f"target must be one of {', '.join(TARGETS)}, got {target!r}")
    if not isinstance(match, dict):
        raise FcError(400, "InvalidArgument", "match must be an object that maps names to patterns")
    if not isinstance(effect, dict) or not effect:
        raise FcError(400, "InvalidArgument", "effect must be an object that is not empty")
    if isinstance(times, bool) or not isinstance(times, int):
        raise FcError(400, "InvalidArgument", "times must be a whole number")
    if known := _EFFECTS.get(target):
        _check_effect(target, effect, known)
    return Fault(target, {str(name): str(pattern) for name, pattern in match.items()}, effect, times)


def _check_effect(target: str, effect: dict[str, Any], known: Sequence[str]) -> None:
    for name, value in effect.items():
        if name not in known:
            raise FcError(
                400, "InvalidArgument", f"unknown effect {name!r} of {target}; allowed effects: {', '.join(known)}"
            )
        if name in ("status", "diskBytes", "copies", "delayS", "afterS") and (
            isinstance(value, bool) or not isinstance(value, int | float) or value < 0
        ):
            raise FcError(400, "InvalidArgument", f"{name} must be a number of 0 or more, got {value!r}")


def _try_disk(size_bytes: int) -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        raise FcError(400, "InvalidArgument", "diskBytes requires Linux and root, because it mounts a tmpfs")
    folder = Path(tempfile.mkdtemp(prefix="devcloud-disk-"))
    (folder / "tmp").mkdir()
    try:
        mount_disk(folder / "tmp", size_bytes)
    finally:
        remove_folder(folder)


def _moment(text: str | None) -> float:
    if not text:
        return 0.0
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise FcError(400, "InvalidArgument", "since must be an RFC 3339 time or Unix seconds") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
