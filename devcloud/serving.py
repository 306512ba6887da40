"""HTTP servers on loopback: several in one event loop, or one in its own thread."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from devcloud.running import CloudError

LOOPBACK = "127.0.0.1"


class _Protocol(HttpToolsProtocol):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.parser.set_dangerous_leniencies(lenient_chunked_length=True)

    def on_headers_complete(self) -> None:
        # ali-oss may send both headers for a stream of known length. Transfer-Encoding takes precedence, and the
        # connection ends with the answer (RFC 9112 § 6.1 and 6.3): a proxy may have used the other header.
        names = {name for name, _ in self.headers}
        contradictory = {b"content-length", b"transfer-encoding"} <= names
        if contradictory:
            self.headers[:] = [header for header in self.headers if header[0] != b"content-length"]
        super().on_headers_complete()
        if contradictory:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        # uvicorn collects the body in a bytearray and copies it out again; to add to an empty body copies nothing.
        if not self.cycle.body:
            self.cycle.body = b""  # type: ignore[assignment]  # uvicorn only appends, measures and converts to bytes
        super().on_body(body)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Several servers share one loop, and the loop's own handlers stop them all.
        yield


@contextlib.contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """Listen on a port of loopback; 0 chooses a free port. Raises ``CloudError``."""
    # With the protocol left at 0 asyncio does not set TCP_NODELAY, and small answers wait 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
            listener.listen(1024)
        except (OSError, OverflowError) as error:
            raise CloudError(f"port {port} cannot be used: {error}; choose another port with --port") from error
        yield listener


@contextlib.asynccontextmanager
async def servers(
    apps: Sequence[ASGIApp], sockets: Sequence[socket.socket], stop: asyncio.Event
) -> AsyncIterator[None]:
    """Serve each application on its socket while the block runs; they are up when it begins, unless ``stop`` is set."""
    made = [_server(app) for app in apps]
    running = [asyncio.create_task(server.serve([item])) for server, item in zip(made, sockets, strict=True)]
    try:
        while not all(server.started for server in made) and not stop.is_set():
            await asyncio.sleep(0.01)
        yield
    finally:
        for server in made:
            server.should_exit = True
        await asyncio.gather(*running)


@contextlib.contextmanager
def served_in_thread(app: ASGIApp) -> Iterator[tuple[int, asyncio.AbstractEventLoop]]:
    """Serve ``app`` on a free port in a thread while the block runs; yields the port and the thread's event loop."""
    with listening(0) as listener:
        loop, server = asyncio.new_event_loop(), _server(app)
        thread = threading.Thread(target=loop.run_until_complete, args=(server.serve([listener]),))
        thread.start()
        # The listening socket queues connections until the server accepts them, so nothing has to wait for the server.
        try:
            yield listener.getsockname()[1], loop
        finally:
            server.should_exit = True
            thread.join()
            loop.close()


def _server(app: ASGIApp) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
    )
