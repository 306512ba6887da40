"""Function Compute, put together."""

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
from devcloud.fc.api import FunctionApi
from devcloud.fc.control import Control
from devcloud.fc.gateway import Gateway
from devcloud.fc.http import refusing
from devcloud.fc.manifest import HttpTrigger, Manifest
from devcloud.fc.pool import CodeShelf, Pool
from devcloud.fc.service import FunctionService
from devcloud.fc.store import Store
from devcloud.fc.triggers import OssEvents, Timers

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class _AnyPath(PathConvertor):
    """A path that may hold encoded line breaks, too; Starlette's own stops at them."""

    regex = "(?s:.*)"


register_url_convertor("any_path", _AnyPath())


class FunctionComputeEmulator:
    """The functions of a project, with everything that starts them.

    It keeps its queue in ``data_dir`` and takes the source from ``project_dir``. The routes of the HTTP trigger are
    ``http_routes``; those of FC's own API and of the control requests are ``api_routes``.
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
        self._project_dir = project_dir
        self._manifest = manifest
        self._loop = asyncio.get_running_loop()
        self._store = Store(data_dir / "fc.db")
        self._store.recover(clock.now())
        code = CodeShelf(project_dir, data_dir / "code")
        self._pool = Pool(manifest, data_dir, code, credentials, clock)
        self._service = FunctionService(manifest, self._pool, self._store, faults, clock)
        self._timers = Timers(manifest, self._service, clock)
        self._events = OssEvents(manifest, self._store, faults, clock)
        self._api = FunctionApi(manifest, self._service, self._store, credentials)
        self._control = Control(self._pool, self._store, faults, clock, charges)
        self._background: list[asyncio.Task[None]] = []

    @property
    def http_routes(self) -> list[BaseRoute]:
        """The studio page, and the function with an HTTP trigger everywhere else."""
        return [*_studio(self._project_dir / "web" / "studio"), *self._gateway()]

    @property
    def api_routes(self) -> list[BaseRoute]:
        """FC's own API and ``/control``."""
        return [*self._api.routes, Mount("/control", routes=self._control.routes)]

    def start(self) -> None:
        """Begin with the queue and the timers."""
        for work in (self._service.run_queue(), self._timers.run()):
            running = asyncio.create_task(work)
            running.add_done_callback(_report)
            self._background.append(running)

    def publish(self, record: Mapping[str, Any]) -> None:
        """Take an event record of the OSS emulator, from any thread; it is durable on return."""
        self._events.publish(record)
        self._loop.call_soon_threadsafe(self._service.wake)

    async def stop(self) -> None:
        """End every instance; what was still running stays queued."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._service.close()
        await self._pool.close(hook_limit_s=2.0)

    def close(self) -> None:
        """Close the files, once no request is served any more."""
        self._store.close()

    def _gateway(self) -> list[BaseRoute]:
        served = [
            Gateway(self._service, function, trigger, self._manifest.account_id)
            for function in self._manifest.functions.values()
            for trigger in function.triggers
            if isinstance(trigger, HttpTrigger)
        ]
        # On the platform each HTTP trigger has a domain of its own; here is one address, for the first of them.
        return [Route("/{path:any_path}", refusing(gateway.handle), methods=_METHODS) for gateway in served[:1]]


def _studio(folder: Path) -> list[BaseRoute]:
    async def to_studio(_: Request) -> Response:
        return RedirectResponse("/studio/", 307)

    async def missing(_: Request) -> Response:
        return Response("There is no studio page.", 404)

    page: BaseRoute = Route("/studio/{path:path}", missing)
    if folder.is_dir():
        page = Mount("/studio", StaticFiles(directory=folder, html=True))
    return [Route("/studio", to_studio), page]


def _report(task: asyncio.Task[None]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        if error := task.exception():
            sys.excepthook(type(error), error, error.__traceback__)
