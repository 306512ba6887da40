"""Responses that end early, for armed faults: a client sees the same when a server crashes."""

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class DroppedResponse(Response):
    """No answer: the connection is closed instead."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the connection."""
        await _hang_up(receive)


class TruncatedResponse(Response):
    """Announces the length of ``content``, sends the first ``kept`` bytes and closes the connection."""

    def __init__(self, content: bytes, kept: int, headers: dict[str, str]) -> None:
        super().__init__(content, headers=headers)
        self._kept = kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the first bytes and close the connection."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": bytes(self.body[: self._kept]), "more_body": True})
        await _hang_up(receive)


async def _hang_up(receive: Receive) -> None:
    # ASGI cannot close a connection without an answer. Uvicorn's receive is a method of the object that owns the
    # connection; to close the connection there looks like a crashed server from outside.
    connection: asyncio.Transport = receive.__self__.transport  # type: ignore[attr-defined]  # uvicorn's own
    connection.close()
    while (await receive())["type"] != "http.disconnect":
        pass
