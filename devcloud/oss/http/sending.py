"""Sending a reply over ASGI, and closing the connection in the middle of a reply."""

import asyncio
from base64 import b64encode

from starlette.types import Receive, Send

from devcloud.oss.http import xml
from devcloud.oss.http.dates import http_date
from devcloud.oss.http.oss_reply import Reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.http.traffic_limit import Pace
from devcloud.oss.oss_errors import OssError


def error_reply(error: OssError, request: OssRequest | None) -> Reply:
    """Return the answer to a refused request; ``request`` is ``None`` if it could not be read."""
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
        # The answer to a HEAD has no body for the error.
        headers["x-oss-err"] = b64encode(body).decode()
    return Reply(error.status, headers, b"" if error.status == 304 else body)


async def send_reply(send: Send, reply: Reply, pace: Pace, method: str, limit: int | None) -> bool:
    """Send ``reply`` with at most ``limit`` bytes of its body; tell whether the whole body was sent."""
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


def set_date(send: Send, reply: Reply, now: float) -> None:
    """Set the Date header to the emulator's time, from which clients compute the age of an object."""
    cycle = getattr(send, "__self__", None)  # uvicorn's cycle, unless ``send`` is wrapped
    if cycle is not None:
        cycle.default_headers = [header for header in cycle.default_headers if header[0] != b"date"]
    reply.headers["date"] = http_date(now)


async def hang_up(receive: Receive, send: Send, *, flush: bool) -> None:
    """Close the connection in the middle of a reply; ASGI has no message for this."""
    transport: asyncio.Transport = send.__self__.transport  # type: ignore[attr-defined]  # uvicorn's own
    if flush:
        transport.close()
    else:
        transport.abort()
    # Returning before the server has noticed would make the server send an answer.
    while (await receive())["type"] != "http.disconnect":
        pass
