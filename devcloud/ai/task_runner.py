"""The work behind every provider's API: taking an order, letting it run its course, and handing out the files."""

import asyncio
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from devcloud.ai.landscapes import Subject
from devcloud.ai.orders import MediaType, Order
from devcloud.ai.rendering import Gallery, Media
from devcloud.ai.task_store import Task, TaskStore
from devcloud.clock import Clock

DAY_S = 24 * 3600

# A task waits this part of its time before it runs: long enough to be canceled by hand under [slow].
_WAITING_SHARE = 0.25
_SLOW_S = 60.0


def new_request_id() -> str:
    """Return a request id that says of itself that no real provider gave it."""
    return f"fake-{uuid.uuid4()}"


def is_refused(prompt: str) -> bool:
    """Tell whether the prompt asks to be refused by the inspection of its content."""
    return "[refuse]" in prompt


class TaskRunner:
    """Accepts orders and renders their results."""

    def __init__(self, store: TaskStore, gallery: Gallery, clock: Clock, after_s: dict[MediaType, float]) -> None:
        self._store = store
        self._gallery = gallery
        self._clock = clock
        self._after_s = after_s

    def accept(
        self, order: Order, request_id: str, *, background: bool, ending: Mapping[str, Any], spoiled: int = 0
    ) -> Task:
        """Take on ``order``.

        ``ending`` (taskStatus, code, message) is how it shall end if not by itself; ``spoiled`` of its results come
        out as errors.
        """
        now = self._clock.now()
        lasts_s = _SLOW_S if "[slow]" in order.prompt else self._after_s[order.type]
        if "taskStatus" not in ending and "[fail]" in order.prompt:
            ending = {"taskStatus": "FAILED"}
        outcome = ending.get("taskStatus", "SUCCEEDED")
        bad = outcome != "SUCCEEDED"
        task = Task(
            task_id=str(uuid.uuid4()) if background else request_id,
            request_id=request_id,
            background=background,
            order=order,
            submitted_at=now,
            starts_at=now + lasts_s * _WAITING_SHARE if background else now,
            ends_at=now + lasts_s,
            outcome=outcome,
            code=ending.get("code", "InternalError.Algo") if bad else None,
            message=ending.get("message", "inference internal error.") if bad else None,
            spoiled=spoiled,
        )
        self._store.save(task)
        if not bad:
            # Rendered ahead, as a provider would: the first download does not have to wait.
            for position in range(task.delivered):
                self._render(task, position)
        return task

    async def finished(self, task: Task) -> None:
        """Return when ``task`` has ended."""
        await self._clock.sleep_until(task.ends_at)

    async def media(self, task: Task, position: int) -> Media:
        """Return the file of one result."""
        # Shielded: a client that goes away must not cancel the rendering that others wait for.
        return await asyncio.shield(asyncio.wrap_future(self._render(task, position)))

    def _render(self, task: Task, position: int) -> Future[Media]:
        order = task.order
        subject = Subject(order.prompt, order.seed, position, order.width, order.height)
        return self._gallery.render(result_name(task, position), subject, order.duration_s)


def result_name(task: Task, position: int) -> str:
    """Return the file name of the result at ``position`` (from 0)."""
    return f"{task.task_id}-{position + 1}{task.order.suffix}"
