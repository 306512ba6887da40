"""The instances of each function: started on demand, reused while idle, at most ten at a time."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devcloud.clock import Clock
from devcloud.credentials import Credentials
from devcloud.fc.code_shelf import Assembly, CodeShelf
from devcloud.fc.fc_error import FcError
from devcloud.fc.instance import Instance, Outcome, Site
from devcloud.fc.manifest import Function, Manifest
from devcloud.fc.temp_disk import remove_folder

MAX_INSTANCES = 10
IDLE_S = 300.0


class InitializationError(Exception):
    """The initializer of a new instance failed; ``outcome`` says why."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.error_message)
        self.outcome = outcome


@dataclass
class _FunctionPool:
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_INSTANCES))
    instances: dict[Instance, Assembly] = field(default_factory=dict)
    idle: list[Instance] = field(default_factory=list)
    idle_timers: dict[Instance, asyncio.Task[None]] = field(default_factory=dict)


class Pool:
    """All instances of the local cloud."""

    def __init__(
        self, manifest: Manifest, data_dir: Path, code: CodeShelf, credentials: Credentials, clock: Clock
    ) -> None:
        self._manifest = manifest
        self._code = code
        self._credentials = credentials
        self._clock = clock
        self._data_dir = data_dir
        self._instances_dir = data_dir / "instances"
        self._logs_dir = data_dir / "logs"
        self._functions = {name: _FunctionPool() for name in manifest.functions}
        self._endings: set[asyncio.Task[None]] = set()
        self._closed = False
        sweep_instances(data_dir)
        self._logs_dir.mkdir(parents=True, exist_ok=True)

    def log_file(self, function: str) -> Path:
        """Return the log file of a function."""
        return self._logs_dir / f"{function}.log"

    def describe(self) -> list[dict[str, Any]]:
        """List the live instances as ``GET /instances`` shows them."""
        return [
            {
                "function": name,
                "pid": instance.pid,
                "instanceId": instance.id,
                "tempDir": str(instance.temp_dir),
                "startedAt": datetime.fromtimestamp(instance.site.started_at, UTC).isoformat().replace("+00:00", "Z"),
                "requests": instance.requests,
                "busy": instance.busy,
            }
            for name, pool in self._functions.items()
            for instance in pool.instances
            if instance.alive
        ]

    @contextlib.asynccontextmanager
    async def instance(
        self, function: Function, request_id: str, disk_bytes: Callable[[], int | None]
    ) -> AsyncIterator[Instance]:
        """Lend one instance for one request; ``disk_bytes`` is called when a new instance starts."""
        pool = self._functions[function.name]
        async with pool.slots:
            if self._closed:
                raise FcError(503, "ServiceUnavailable", "the local cloud is stopping")
            assembly = await asyncio.to_thread(self._code.current, function)
            instance = self._take_idle(pool, assembly)
            if instance is None:
                instance = await self._start(pool, function, assembly, request_id, disk_bytes())
            instance.busy = True
            try:
                yield instance
            except BaseException:
                # The request was cancelled, so the channel may still contain its answer.
                instance.kill()
                raise
            finally:
                instance.busy = False
                if instance.alive:
                    self._put_idle(pool, instance)
                else:
                    await self._end(pool, instance)

    def kill(self, instance_id: str) -> None:
        """Kill the instance with that id, if it still exists."""
        for pool in self._functions.values():
            for instance in pool.instances:
                if instance.id == instance_id:
                    instance.kill()

    async def close(self, hook_limit_s: float) -> None:
        """End every instance; preStop hooks get ``hook_limit_s`` at most."""
        self._closed = True
        instances = [(pool, instance) for pool in self._functions.values() for instance in pool.instances]
        await asyncio.gather(*(self._end(pool, instance, hook_limit_s) for pool, instance in instances))
        if self._endings:
            await asyncio.wait(self._endings, timeout=hook_limit_s)

    def _take_idle(self, pool: _FunctionPool, assembly: Assembly) -> Instance | None:
        while pool.idle:
            instance = pool.idle.pop()
            pool.idle_timers.pop(instance).cancel()
            if instance.alive and pool.instances[instance] is assembly:
                return instance
            self._end_soon(pool, instance)
        return None

    def _put_idle(self, pool: _FunctionPool, instance: Instance) -> None:
        async def expire() -> None:
            await self._clock.sleep_until(idle_until)
            pool.idle.remove(instance)
            del pool.idle_timers[instance]
            self._end_soon(pool, instance)

        idle_until = self._clock.now() + IDLE_S
        pool.idle.append(instance)
        pool.idle_timers[instance] = asyncio.create_task(expire())

    async def _start(
        self, pool: _FunctionPool, function: Function, assembly: Assembly, request_id: str, disk_bytes: int | None
    ) -> Instance:
        site = Site(
            folder=self._instances_dir / secrets.token_hex(8),
            data_dir=self._data_dir,
            code_dir=assembly.folder,
            log_file=self.log_file(function.name),
            region=self._manifest.region,
            account_id=self._manifest.account_id,
            role=self._credentials.assume_role(),
            started_at=self._clock.now(),
            disk_bytes=disk_bytes,
        )
        instance = Instance(function, site)
        await instance.start()
        pool.instances[instance] = assembly
        if function.initializer is not None:
            outcome = await instance.initialize(function.initializer, request_id)
            if outcome.error_type is not None:
                instance.kill()
                await self._end(pool, instance)
                raise InitializationError(outcome)
        return instance

    def _end_soon(self, pool: _FunctionPool, instance: Instance) -> None:
        ending = asyncio.create_task(self._end(pool, instance))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _end(self, pool: _FunctionPool, instance: Instance, hook_limit_s: float | None = None) -> None:
        assembly = pool.instances.pop(instance, None)
        if assembly is None:
            return
        if timer := pool.idle_timers.pop(instance, None):
            timer.cancel()
            pool.idle.remove(instance)
        await instance.stop(hook_limit_s)


def sweep_instances(data_dir: Path) -> None:
    """Remove the folders of the instances of a killed local cloud."""
    folder = data_dir / "instances"
    for left in folder.iterdir() if folder.is_dir() else ():
        remove_folder(left)
