"""The Function Compute emulator as a whole."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from devcloud.clock import Clock
from devcloud.credentials import Credentials
from devcloud.faults import Faults
from devcloud.fc.async_queue import AsyncQueue
from devcloud.fc.code_shelf import CodeShelf
from devcloud.fc.control_requests import ControlRequests
from devcloud.fc.fc_api import FunctionApi
from devcloud.fc.http_calls import refusing
from devcloud.fc.http_trigger import HttpTriggerEndpoint
from devcloud.fc.invocation_store import InvocationStore
from devcloud.fc.invocations import Invoker
from devcloud.fc.manifest import HttpTrigger, Manifest
from devcloud.fc.oss_trigger import OssEvents
from devcloud.fc.pool import Pool
from devcloud.fc.timer_trigger import Timers

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class _AnyPath(PathConvertor):
    """A path that may contain encoded line breaks; Starlette's own convertor stops at a line break."""

    regex = "(?s:.*)"


register_url_convertor("any_path", _AnyPath())


class FunctionComputeEmulator:
    """The functions of a project, with their triggers, the queue, FC's own API and the control requests.

    The emulator keeps its queue in ``data_dir`` and reads the source in ``project_dir``. ``http_routes`` are the routes
    of the HTTP trigger; ``api_routes`` are those of FC's own API and of the control requests.
    """

    def __init__(
        self,
        project_dir: Path,
        data_dir: Path,
        manifest: Manifest,
        *,
        credentials: Credentials,
        clock: Clock,
        faults: Faults,
        charges: Callable[[], Sequence[Any]],
    ) -> None:
        self._studio_dir = project_dir / "web" / "studio"
        self._manifest = manifest
        self._loop = asyncio.get_running_loop()
        self._store = InvocationStore(data_dir / "fc.db")
        self._store.recover(clock.now())
        code = CodeShelf(project_dir, data_dir / "code")
        self._pool = Pool(manifest, data_dir, code, credentials, clock)
        self._invoker = Invoker(manifest, self._pool, self._store, faults, clock)
        self._queue = AsyncQueue(manifest, self._invoker, self._pool, self._store, clock)
        self._timers = Timers(manifest, self._queue, clock)
        self._events = OssEvents(manifest, self._store, faults, clock)
        self._api = FunctionApi(manifest, self._invoker, self._queue, self._store, credentials)
        self._control = ControlRequests(self._pool, self._store, faults, clock, charges)
        self._background: list[asyncio.Task[None]] = []

    @property
    def has_studio(self) -> bool:
        """Whether the project has a studio page."""
        return self._studio_dir.is_dir()

    @property
    def http_routes(self) -> list[BaseRoute]:
        """The studio page below ``/studio/``; every other path goes to the function with an HTTP trigger."""
        return [*_studio(self._studio_dir), *self._http_trigger()]

    @property
    def api_routes(self) -> list[BaseRoute]:
        """FC's own API and ``/control``."""
        return [*self._api.routes, Mount("/control", routes=self._control.routes)]

    def start(self) -> None:
        """Start to run the queue and the timers."""
        for work in (self._queue.run(), self._timers.run()):
            running = asyncio.create_task(work)
            running.add_done_callback(_report)
            self._background.append(running)

    def publish(self, record: Mapping[str, Any]) -> None:
        """Queue an event record of the OSS emulator, from any thread; the event is durable on return."""
        self._events.publish(record)
        self._loop.call_soon_threadsafe(self._queue.wake)

    async def stop(self) -> None:
        """End every instance; asynchronous invocations that were still running stay queued."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._queue.close()
        await self._pool.close(hook_limit_s=2.0)

    def close(self) -> None:
        """Close the files, after the servers have stopped."""
        self._store.close()

    def _http_trigger(self) -> list[BaseRoute]:
        served = [
            HttpTriggerEndpoint(self._invoker, self._queue, function, trigger, self._manifest.account_id)
            for function in self._manifest.functions.values()
            for trigger in function.triggers
            if isinstance(trigger, HttpTrigger)
        ]
        # On the platform each HTTP trigger has its own domain; here the only address serves the first trigger.
        return [Route("/{path:any_path}", refusing(endpoint.handle), methods=_METHODS) for endpoint in served[:1]]


def _studio(folder: Path) -> list[BaseRoute]:
    async def to_studio(_: Request) -> Response:
        return RedirectResponse("/studio/", 307)

    async def missing(_: Request) -> Response:
        return Response("The studio page does not exist.", 404)

    page: BaseRoute = Route("/studio/{path:path}", missing)
    if folder.is_dir():
        page = Mount("/studio", StaticFiles(directory=folder, html=True))
    return [Route("/studio", to_studio), page]


def _report(task: asyncio.Task[None]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        if error := task.exception():
            sys.excepthook(type(error), error, error.__traceback__)
