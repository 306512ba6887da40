"""The control API of the standalone OSS emulator: ``POST`` and ``DELETE /faults``, and ``POST /clock``.

It is served on its own port, apart from OSS's protocol, and only with the option ``--control``.
"""

import json
import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from devcloud.clock import Clock
from devcloud.faults import Fault, Faults
from devcloud.hosts import local_hosts_only

_NUMBERS = ("status", "truncateBytes", "delayS")
_EFFECTS = (*_NUMBERS, "code", "message", "drop", "crc")


class _RefusedError(Exception):
    """The request is not valid; the message says why."""


def control_app(clock: Clock, faults: Faults) -> ASGIApp:
    """Return the application with ``POST`` and ``DELETE /faults`` and ``POST /clock``."""

    async def arm(request: Request) -> Response:
        try:
            faults.arm(_fault(await _json(request)))
        except ValueError as error:
            raise _RefusedError(str(error)) from error
        return JSONResponse({"armed": len(faults.armed)})

    async def disarm(_: Request) -> Response:
        faults.clear()
        return JSONResponse({"armed": 0})

    async def turn(request: Request) -> Response:
        seconds: Any = (await _json(request)).get("advanceSeconds")
        if not _is_number(seconds):
            raise _RefusedError("advanceSeconds must be a number from 0 on")
        clock.advance(float(seconds))
        now = datetime.fromtimestamp(clock.now(), UTC).isoformat().replace("+00:00", "Z")
        return JSONResponse({"now": now})

    routes = [_route("/faults", arm, "POST"), _route("/faults", disarm, "DELETE"), _route("/clock", turn, "POST")]
    return local_hosts_only(Starlette(routes=routes), _forbidden)


def _route(path: str, endpoint: Callable[[Request], Awaitable[Response]], method: str) -> Route:
    async def guarded(request: Request) -> Response:
        if "origin" in request.headers:
            return _forbidden("control requests with an Origin header are refused: they come from web pages")
        try:
            return await endpoint(request)
        except _RefusedError as error:
            return JSONResponse({"code": "InvalidArgument", "message": str(error)}, 400)

    return Route(path, guarded, methods=[method])


def _forbidden(message: str) -> Response:
    return JSONResponse({"code": "Forbidden", "message": message}, 403)


async def _json(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except ValueError as error:
        raise _RefusedError(f"the body is not valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise _RefusedError("the body must be a JSON object")
    return body


def _fault(body: dict[str, Any]) -> Fault:
    if unknown := body.keys() - {"target", "match", "effect", "times"}:
        raise _RefusedError(
            f"unknown field: {', '.join(sorted(unknown))}. Allowed fields: target, match, effect, times"
        )
    match, effect, times = body.get("match", {}), body.get("effect"), body.get("times", 1)
    if body.get("target", "oss") != "oss":
        raise _RefusedError(f'target must be "oss", not {body["target"]!r}')
    if not isinstance(match, dict):
        raise _RefusedError("match must be an object: patterns by the name of a fact")
    if not isinstance(effect, dict) or not effect:
        raise _RefusedError("effect must be an object with at least one effect")
    if isinstance(times, bool) or not isinstance(times, int):
        raise _RefusedError("times must be a whole number")
    _check_effect(effect)
    return Fault("oss", {str(name): str(pattern) for name, pattern in match.items()}, effect, times)


def _check_effect(effect: dict[str, Any]) -> None:
    if unknown := effect.keys() - set(_EFFECTS):
        raise _RefusedError(f"unknown effect: {', '.join(sorted(unknown))}. Allowed effects: {', '.join(_EFFECTS)}")
    for name in _NUMBERS:
        if name in effect and not _is_number(effect[name]):
            raise _RefusedError(f"{name} must be a number from 0 on")
    if ("status" in effect) != ("code" in effect):
        raise _RefusedError("status and code must be given together")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
