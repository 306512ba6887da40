"""The HTTP server under every emulator: how it reads a request before an application sees it."""

import socket
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from devcloud.serving import served_in_thread


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body and, in the header ``stated``, the length that the request states."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    stated = dict(scope["headers"]).get(b"content-length", b"none")
    headers = [(b"content-length", str(len(body)).encode()), (b"stated", stated)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served_in_thread(echo) as (port, _):
        yield port


def ask(port: int, *lines: str, body: str = "") -> bytes:
    """Return all bytes of the answers until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", body]).encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


CHUNKED = "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
NEXT = "PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"


@pytest.mark.parametrize("length", ["0", "2", "5", "5000"])
def test_transfer_encoding_overrides_content_length(port: int, length: str) -> None:
    head = ("PUT / HTTP/1.1", "Host: localhost", f"Content-Length: {length}", "Transfer-Encoding: chunked")
    answer = ask(port, *head, body=CHUNKED + NEXT)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"stated: none\r\n" in answer
    # The server closes the connection, because a proxy may have used the other header.
    assert b"connection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\nabcde")
