"""Runs the tasks of every provider's API: accepts orders, renders their results and returns the files."""

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

# A task is PENDING for this share of its time: long enough to be canceled by hand with [slow].
_WAITING_SHARE = 0.25
_SLOW_S = 60.0


def new_request_id() -> str:
    """Return a request id that shows that no real provider issued it."""
    return f"fake-{uuid.uuid4()}"


def is_refused(prompt: str) -> bool:
    """Tell whether the prompt contains the switch for a refusal by the content inspection."""
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
        """Accept ``order`` and start to render its results.

        ``ending`` (taskStatus, code, message) replaces the normal end of the task; ``spoiled`` of its results are
        errors.
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
            # Rendered in advance, as a provider does: the first download does not have to wait.
            for position in range(task.delivered):
                self._render(task, position)
        return task

    async def finished(self, task: Task) -> None:
        """Return when ``task`` has ended."""
        await self._clock.sleep_until(task.ends_at)

    async def media(self, task: Task, position: int) -> Media:
        """Return the file of one result."""
        # Shielded: a client that disconnects must not cancel the rendering, which others may wait for.
        return await asyncio.shield(asyncio.wrap_future(self._render(task, position)))

    def _render(self, task: Task, position: int) -> Future[Media]:
        order = task.order
        subject = Subject(order.prompt, order.seed, position, order.width, order.height)
        return self._gallery.render(result_name(task, position), subject, order.duration_s)


def result_name(task: Task, position: int) -> str:
    """Return the file name of the result at ``position`` (from 0)."""
    return f"{task.task_id}-{position + 1}{task.order.suffix}"
