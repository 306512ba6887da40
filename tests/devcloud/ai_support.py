"""The AI emulator on its own port, for tests; as a program, it serves the folder named on the command line."""

import asyncio
import atexit
import socket
import ssl
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from devcloud.ai import AiEmulator
from devcloud.clock import Clock
from devcloud.faults import Fault, Faults

API_KEY = "sk-test"
TEXT2IMAGE = "/api/v1/services/aigc/text2image/image-synthesis"
IMAGE_GENERATION = "/api/v1/services/aigc/image-generation/generation"
MULTIMODAL = "/api/v1/services/aigc/multimodal-generation/generation"
VIDEO = "/api/v1/services/aigc/video-generation/video-synthesis"

# No connection here is encrypted, but each client would read the certificates again: longer than most of the tests.
_TLS = ssl.create_default_context()


class _Server:
    """The one server that all tests of a process share; starting and stopping one takes a third of a second."""

    def __init__(self) -> None:
        # With the protocol left to its default, asyncio would not set TCP_NODELAY: 40 ms for each answer.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._socket = listening
        self._app = Starlette()
        self._server = uvicorn.Server(uvicorn.Config(self._app, log_level="warning", timeout_graceful_shutdown=2))
        self._ready: Future[asyncio.AbstractEventLoop] = Future()
        listening.listen()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self.thread.start()
        self.loop = self._ready.result()

    async def _serve(self) -> None:
        # The socket listens already: connections are answered as soon as the server runs.
        self._ready.set_result(asyncio.get_running_loop())
        await self._server.serve(sockets=[self._socket])

    def mount(self, routes: list[BaseRoute]) -> None:
        self._app.router.routes[:] = routes

    def stop(self) -> None:
        self._server.should_exit = True
        self.thread.join()


@cache
def _shared_server() -> _Server:
    server = _Server()
    atexit.register(server.stop)
    return server


class ServedEmulator:
    """A running emulator with its clients. A test moves the clock and never waits."""

    def __init__(self, data_dir: Path, **after_s: float) -> None:
        self.clock, self.faults = Clock(), Faults()
        self.emulator = AiEmulator(data_dir, clock=self.clock, faults=self.faults, api_key=API_KEY, **after_s)
        self._server = _shared_server()
        self._server.mount(self.emulator.routes)
        self.url = self._server.url
        self.http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {API_KEY}", "X-DashScope-Async": "enable"},
            timeout=30,
            verify=_TLS,
        )
        self.web = httpx.Client(timeout=60, verify=_TLS)

    def close(self) -> None:
        self._server.mount([])
        self.http.close()
        self.web.close()
        self.emulator.close()

    def advance(self, seconds: float) -> None:
        turned = threading.Event()

        def turn() -> None:
            self.clock.advance(seconds)
            turned.set()

        self._server.loop.call_soon_threadsafe(turn)
        turned.wait()

    def arm(self, effect: Mapping[str, Any], times: int = 1, **match: str) -> None:
        self.faults.arm(Fault("provider", dict(match), dict(effect), times))

    def submit(self, path: str, model: str, input_: Mapping[str, Any], **parameters: Any) -> httpx.Response:
        return self.http.post(path, json={"model": model, "input": input_, "parameters": parameters})

    def submit_image(self, prompt: str = "a lake", **parameters: Any) -> str:
        answer = self.submit(
            TEXT2IMAGE, "wan2.2-t2i-flash", {"prompt": prompt}, **{"n": 1, "size": "512*512", **parameters}
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["output"]["task_id"])

    def submit_video(self, prompt: str = "a lake", **parameters: Any) -> str:
        answer = self.submit(
            VIDEO, "wan2.6-t2v", {"prompt": prompt}, **{"size": "1280*720", "duration": 2, **parameters}
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["output"]["task_id"])

    def poll(self, task_id: str) -> dict[str, Any]:
        answer = self.http.get(f"/api/v1/tasks/{task_id}")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def finished_image_url(self, **parameters: Any) -> str:
        task_id = self.submit_image(**parameters)
        self.advance(1)
        return str(self.poll(task_id)["output"]["results"][0]["url"])


@contextmanager
def served(data_dir: Path, **after_s: float) -> Iterator[ServedEmulator]:
    emulator = ServedEmulator(data_dir, **after_s)
    try:
        yield emulator
    finally:
        emulator.close()


if __name__ == "__main__":
    print(ServedEmulator(Path(sys.argv[1])).url, flush=True)
    _shared_server().thread.join()
