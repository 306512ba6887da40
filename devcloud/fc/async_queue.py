"""The queue of asynchronous invocations: it accepts them durably, runs them, and retries those that fail."""

import asyncio
import re
import uuid
from collections import Counter

from devcloud.clock import Clock
from devcloud.fc.fc_error import FcError
from devcloud.fc.instance import Instance, Outcome
from devcloud.fc.invocation_store import ENDED, AsyncTask, InvocationStore, TaskExistsError
from devcloud.fc.invocations import Invoker
from devcloud.fc.manifest import Function, Manifest
from devcloud.fc.pool import MAX_INSTANCES, Pool

ASYNC_LIMIT_BYTES = 128 << 10
TASK_MEMORY_S = 7 * 86400.0
_TASK_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}")
_RETRY_S = 1.0
_PUT_OFF_S = 0.5
_PUT_OFF_LIMIT_S = 60.0


class AsyncQueue:
    """The asynchronous invocations of all functions. Only the event loop's thread may call its methods."""

    def __init__(self, manifest: Manifest, invoker: Invoker, pool: Pool, store: InvocationStore, clock: Clock) -> None:
        self._manifest = manifest
        self._invoker = invoker
        self._pool = pool
        self._store = store
        self._clock = clock
        self._wake = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._stopping: set[str] = set()

    def accept(self, function: Function, payload: bytes, kind: str, *, task_id: str | None = None) -> AsyncTask:
        """Store an asynchronous invocation and return the task, which is durable on return. Raises ``FcError``."""
        if len(payload) > ASYNC_LIMIT_BYTES:
            raise FcError(400, "InvalidArgument", f"an asynchronous payload must not exceed {ASYNC_LIMIT_BYTES} bytes")
        if task_id is not None:
            _check_task_id(function, task_id)
        now = self._clock.now()
        self._store.forget_tasks(now - TASK_MEMORY_S)
        task = AsyncTask(str(uuid.uuid4()), function.name, kind, task_id, payload, "Enqueued", now, now)
        try:
            self._store.add([task])
        except TaskExistsError:
            message = f"the task id {task_id!r} of function {function.name!r} is already used"
            raise FcError(409, "AsyncTaskAlreadyExists", message) from None
        self.wake()
        return task

    def wake(self) -> None:
        """Make ``run`` read the queue again."""
        self._wake.set()

    def task(self, function: Function, task_id: str) -> AsyncTask:
        """Return a task. Raises ``FcError`` 404."""
        task = self._store.find(function.name, task_id)
        if task is None:
            raise FcError(404, "AsyncTaskNotFound", f"task {task_id!r} of function {function.name!r} does not exist")
        return task

    def stop(self, function: Function, task_id: str) -> None:
        """Stop a task: it never starts, or its instance is killed. To stop an ended task changes nothing."""
        task = self.task(function, task_id)
        if task.status == "Running":
            self._stopping.add(task.request_id)
            self._store.change(task, status="Stopping")
            if task.instance_id:
                self._pool.kill(task.instance_id)
        elif task.status not in (*ENDED, "Stopping"):
            self._store.change(task, status="Stopped", ended_at=self._clock.now())

    async def run(self) -> None:
        """Run the queued invocations for as long as the local cloud runs."""
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
        """Cancel the running invocations; they stay in the queue."""
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

    def _begin(self, task: AsyncTask) -> None:
        function = self._manifest.functions.get(task.function)
        now = self._clock.now()
        if function is None:
            self._finish(task, "Invalid", error="the function no longer exists")
            return
        if now - task.accepted_at > function.asynchronous.max_age_s:
            self._finish(task, "Expired", error="the invocation is older than maxAsyncEventAgeInSeconds")
            return
        task = self._store.change(task, status="Running", attempt=task.attempt + 1, started_at=task.started_at or now)
        running = asyncio.create_task(self._attempt(function, task), name=function.name)
        self._running[task.request_id] = running

        def ended(_: asyncio.Task[None]) -> None:
            del self._running[task.request_id]
            self._wake.set()

        running.add_done_callback(ended)

    async def _attempt(self, function: Function, task: AsyncTask) -> None:
        facts = {"function": function.name, "kind": task.kind, "attempt": task.attempt}
        if self._invoker.take_fault(("throttle",), **facts):
            self._put_off(task, "throttled by an armed fault")
            return
        if task.kind != "async" and (delay_s := self._invoker.take_fault(("delayS",), **facts).get("delayS")):
            await self._invoker.wait(delay_s)
        try:
            invocation = await self._invoker.run(
                function, task.request_id, task.payload, task.kind, task.attempt, lambda it: self._started(task, it)
            )
        except FcError as error:
            self._put_off(task, error.message)
            return
        self._conclude(function, task, invocation.outcome)

    def _started(self, task: AsyncTask, instance: Instance) -> None:
        self._store.change(task, instance_id=instance.id)
        if task.request_id in self._stopping:
            instance.kill()

    def _conclude(self, function: Function, task: AsyncTask, outcome: Outcome) -> None:
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

    def _put_off(self, task: AsyncTask, reason: str) -> None:
        if task.request_id in self._stopping:
            self._stopping.discard(task.request_id)
            self._finish(task, "Stopped")
            return
        wait_s = min(_PUT_OFF_S * 2**task.put_off, _PUT_OFF_LIMIT_S)
        self._store.change(
            task,
            status="Retrying",
            due=self._clock.now() + wait_s,
            # The function did not run, so this does not count as an attempt.
            attempt=task.attempt - 1,
            put_off=task.put_off + 1,
            error=reason,
        )

    def _finish(self, task: AsyncTask, status: str, **changes: object) -> None:
        now = self._clock.now()
        self._store.change(task, status=status, ended_at=now, **changes)
        if task.kind == "oss":
            self._store.release_held(now)


def _check_task_id(function: Function, task_id: str) -> None:
    if not _TASK_ID.fullmatch(task_id):
        raise FcError(
            400,
            "InvalidArgument",
            f"{task_id!r} is not a valid task id: 1 to 128 letters, digits, _ and -, first a letter or _",
        )
    if not function.asynchronous.async_task:
        raise FcError(
            400,
            "InvalidArgument",
            f"function {function.name!r} does not accept task ids, because asyncTask is not true",
        )
