"""Runs functions: at once for those who wait, later and with retries for those who do not."""

import asyncio
import re
import uuid
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from devcloud.clock import Clock
from devcloud.faults import Faults
from devcloud.fc.errors import FcError
from devcloud.fc.instance import Outcome
from devcloud.fc.manifest import Function, Manifest
from devcloud.fc.pool import MAX_INSTANCES, InitializationError, Pool
from devcloud.fc.store import ENDED, Store, Task, TaskExistsError

SYNC_LIMIT_BYTES = 32 << 20
ASYNC_LIMIT_BYTES = 128 << 10
TASK_MEMORY_S = 7 * 86400.0
_TASK_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}")
_RETRY_S = 1.0
_PUT_OFF_S = 0.5
_PUT_OFF_LIMIT_S = 60.0

FAULT_EFFECTS = ("status", "code", "message", "drop", "delayS", "kill", "afterS", "throttle", "diskBytes")


@dataclass(frozen=True)
class Invocation:
    """One answered invocation: who ran it and how it ended."""

    request_id: str
    instance_id: str
    outcome: Outcome


class FunctionService:
    """Function Compute behind its API and triggers."""

    def __init__(self, manifest: Manifest, pool: Pool, store: Store, faults: Faults, clock: Clock) -> None:
        self._manifest = manifest
        self._pool = pool
        self._store = store
        self._faults = faults
        self._clock = clock
        self._wake = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._stopping: set[str] = set()

    def function(self, name: str) -> Function:
        """Return the function of that name. Raises ``FcError`` 404."""
        try:
            return self._manifest.functions[name]
        except KeyError:
            raise FcError(404, "FunctionNotFound", f"function {name!r} does not exist") from None

    def take_fault(self, effects: Collection[str], **facts: object) -> dict[str, Any]:
        """Return the effect of the first armed fault that fits and has one of ``effects``, else nothing.

        A request passes several steps. A fault waits for the step that it is meant for.
        """
        meant = Faults([fault for fault in self._faults.armed if fault.effect.keys() & set(effects)])
        effect = meant.take("fc", **facts)
        self._faults.armed[:] = [fault for fault in self._faults.armed if fault.remaining > 0]
        return effect or {}

    async def invoke(self, function: Function, event: bytes, kind: str) -> Invocation:
        """Run a function and wait for its end. Raises ``FcError`` when the request itself is refused."""
        # Of an HTTP request the body counts, and the gateway has measured it; base64 makes the event larger.
        if kind != "http" and len(event) > SYNC_LIMIT_BYTES:
            raise FcError(400, "InvalidArgument", f"the payload exceeds {SYNC_LIMIT_BYTES} bytes")
        return await self._run(function, str(uuid.uuid4()), event, kind, attempt=1)

    def accept(self, function: Function, payload: bytes, kind: str, *, task_id: str | None = None) -> Task:
        """Keep an asynchronous invocation and return it; it is durable from here on. Raises ``FcError``."""
        if len(payload) > ASYNC_LIMIT_BYTES:
            raise FcError(400, "InvalidArgument", f"an asynchronous payload may have {ASYNC_LIMIT_BYTES} bytes at most")
        if task_id is not None:
            _check_task_id(function, task_id)
        now = self._clock.now()
        self._store.forget_tasks(now - TASK_MEMORY_S)
        task = Task(str(uuid.uuid4()), function.name, kind, task_id, payload, "Enqueued", now, now)
        try:
            self._store.add([task])
        except TaskExistsError:
            message = f"function {function.name!r} has had a task {task_id!r} already"
            raise FcError(409, "AsyncTaskAlreadyExists", message) from None
        self.wake()
        return task

    async def wait(self, seconds: float) -> None:
        """Let that much of the emulators' time pass."""
        await self._clock.sleep_until(self._clock.now() + seconds)

    def wake(self) -> None:
        """Look into the queue again."""
        self._wake.set()

    def task(self, function: Function, task_id: str) -> Task:
        """Return a task. Raises ``FcError`` 404."""
        task = self._store.find(function.name, task_id)
        if task is None:
            raise FcError(404, "AsyncTaskNotFound", f"function {function.name!r} has no task {task_id!r}")
        return task

    def stop(self, function: Function, task_id: str) -> None:
        """Stop a task: it never starts, or its instance is killed. Stopping an ended one changes nothing."""
        task = self.task(function, task_id)
        if task.status == "Running":
            self._stopping.add(task.request_id)
            self._store.change(task, status="Stopping")
            if task.instance_id:
                self._pool.kill(task.instance_id)
        elif task.status not in (*ENDED, "Stopping"):
            self._store.change(task, status="Stopped", ended_at=self._clock.now())

    async def run_queue(self) -> None:
        """Run what is queued, for as long as the local cloud runs."""
        while True:
            self._wake.clear()
            counts = Counter(task.get_name() for task in self._running.values())
            task = self._store.next_waiting([name for name, count in counts.items() if count >= MAX_INSTANCES])
            if task is None:
                await self._wake.wait()
            elif task.due > self._clock.now():
                await self._sleep_until(task.due)
            else:
                self._begin(task)

    async def close(self) -> None:
        """Give up what runs; it stays in the queue."""
        for running in self._running.values():
            running.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _sleep_until(self, due: float) -> None:
        waits = [asyncio.ensure_future(self._wake.wait()), asyncio.ensure_future(self._clock.sleep_until(due))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _begin(self, task: Task) -> None:
        function = self._manifest.functions.get(task.function)
        now = self._clock.now()
        if function is None:
            self._finish(task, "Invalid", error="the function does not exist any more")
            return
        if now - task.accepted_at > function.asynchronous.max_age_s:
            self._finish(task, "Expired", error="older than maxAsyncEventAgeInSeconds")
            return
        task = self._store.change(task, status="Running", attempt=task.attempt + 1, started_at=task.started_at or now)
        running = asyncio.create_task(self._attempt(function, task), name=function.name)
        self._running[task.request_id] = running

        def ended(_: asyncio.Task[None]) -> None:
            del self._running[task.request_id]
            self._wake.set()

        running.add_done_callback(ended)

    async def _attempt(self, function: Function, task: Task) -> None:
        facts = {"function": function.name, "kind": task.kind, "attempt": task.attempt}
        if self.take_fault(("throttle",), **facts):
            self._put_off(task, "throttled by an armed fault")
            return
        if task.kind != "async" and (delay_s := self.take_fault(("delayS",), **facts).get("delayS")):
            await self.wait(delay_s)
        try:
            invocation = await self._run(function, task.request_id, task.payload, task.kind, task.attempt, task)
        except FcError as error:
            self._put_off(task, error.message)
            return
        outcome = invocation.outcome
        if task.request_id in self._stopping:
            self._stopping.discard(task.request_id)
            self._finish(task, "Stopped", error=outcome.error_message)
        elif outcome.error_type is None:
            self._finish(task, "Succeeded", result=outcome.payload[: 1 << 20])
        elif task.attempt > function.asynchronous.max_retries:
            self._finish(task, "Failed", error=outcome.error_message, result=outcome.payload)
        else:
            due = self._clock.now() + _RETRY_S * 2 ** (task.attempt - 1)
            self._store.change(task, status="Retrying", due=due, error=outcome.error_message)

    def _put_off(self, task: Task, reason: str) -> None:
        if task.request_id in self._stopping:
            self._stopping.discard(task.request_id)
            self._finish(task, "Stopped")
            return
        wait_s = min(_PUT_OFF_S * 2**task.put_off, _PUT_OFF_LIMIT_S)
        self._store.change(
            task,
            status="Retrying",
            due=self._clock.now() + wait_s,
            # Nothing ran, so this was no attempt.
            attempt=task.attempt - 1,
            put_off=task.put_off + 1,
            error=reason,
        )

    def _finish(self, task: Task, status: str, **changes: object) -> None:
        now = self._clock.now()
        self._store.change(task, status=status, ended_at=now, **changes)
        if task.kind == "oss":
            self._store.release_held(now)

    async def _run(
        self,
        function: Function,
        request_id: str,
        event: bytes,
        kind: str,
        attempt: int,
        task: Task | None = None,
    ) -> Invocation:
        facts = {"function": function.name, "kind": kind, "attempt": attempt}
        number = self._store.start_invocation(request_id, function.name, kind, attempt, self._clock.now())
        outcome, instance_id = None, ""
        try:
            async with self._pool.instance(
                function, request_id, lambda: self.take_fault(("diskBytes",), **facts).get("diskBytes")
            ) as instance:
                instance_id = instance.id
                if task is not None:
                    self._store.change(task, instance_id=instance_id)
                if request_id in self._stopping:
                    instance.kill()
                kill = self.take_fault(("kill",), **facts)
                outcome = await instance.invoke(
                    request_id, event, kill_after_s=kill.get("afterS", 0.0) if kill else None
                )
        except InitializationError as error:
            outcome = error.outcome
        finally:
            if outcome is None:  # refused, or given up because the local cloud ends
                self._store.end_invocation(number, "lost", 0)
            else:
                status = "succeeded" if outcome.error_type is None else "failed"
                self._store.end_invocation(number, status, outcome.duration_ms)
        return Invocation(request_id, instance_id, outcome)


def _check_task_id(function: Function, task_id: str) -> None:
    if not _TASK_ID.fullmatch(task_id):
        raise FcError(400, "InvalidArgument", f"{task_id!r} is not a task id")
    if not function.asynchronous.async_task:
        raise FcError(400, "InvalidArgument", f"function {function.name!r} has no asyncTask: true, so no task ids")
