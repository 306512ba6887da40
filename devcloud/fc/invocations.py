"""Invocations: a function runs once on an instance; the run is recorded, and armed faults change it."""

import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from devcloud.clock import Clock
from devcloud.faults import Faults
from devcloud.fc.fc_error import FcError
from devcloud.fc.instance import Instance, Outcome
from devcloud.fc.invocation_store import InvocationStore
from devcloud.fc.manifest import Function, Manifest
from devcloud.fc.pool import InitializationError, Pool

SYNC_LIMIT_BYTES = 32 << 20

FAULT_EFFECTS = ("status", "code", "message", "drop", "delayS", "kill", "afterS", "throttle", "diskBytes")


@dataclass(frozen=True)
class Invocation:
    """One finished invocation: the instance that ran the function, and the outcome."""

    request_id: str
    instance_id: str
    outcome: Outcome


class Invoker:
    """Runs the functions of a manifest on the instances of a pool."""

    def __init__(self, manifest: Manifest, pool: Pool, store: InvocationStore, faults: Faults, clock: Clock) -> None:
        self._manifest = manifest
        self._pool = pool
        self._store = store
        self._faults = faults
        self._clock = clock

    def function(self, name: str) -> Function:
        """Return the function of that name. Raises ``FcError`` 404."""
        try:
            return self._manifest.functions[name]
        except KeyError:
            raise FcError(404, "FunctionNotFound", f"function {name!r} does not exist") from None

    def take_fault(self, effects: Collection[str], **facts: object) -> dict[str, Any]:
        """Return the effect of the first armed fault that matches and has one of ``effects``, else an empty one.

        A request passes several steps; a fault waits for the step of its effect.
        """
        meant = Faults([fault for fault in self._faults.armed if fault.effect.keys() & set(effects)])
        effect = meant.take("fc", **facts)
        self._faults.armed[:] = [fault for fault in self._faults.armed if fault.remaining > 0]
        return effect or {}

    async def wait(self, seconds: float) -> None:
        """Wait for ``seconds`` of the emulators' clock."""
        await self._clock.sleep_until(self._clock.now() + seconds)

    async def invoke(self, function: Function, event: bytes, kind: str) -> Invocation:
        """Run a function and wait for its end. Raises ``FcError`` when the request is refused."""
        # For an HTTP request the limit is on the body, which the HTTP trigger checks; base64 makes the event larger.
        if kind != "http" and len(event) > SYNC_LIMIT_BYTES:
            raise FcError(400, "InvalidArgument", f"the payload exceeds {SYNC_LIMIT_BYTES} bytes")
        return await self.run(function, str(uuid.uuid4()), event, kind)

    async def run(
        self,
        function: Function,
        request_id: str,
        event: bytes,
        kind: str,
        attempt: int = 1,
        on_instance: Callable[[Instance], None] = lambda _: None,
    ) -> Invocation:
        """Run a function once and record the run. Raises ``FcError`` when no instance may be started.

        ``on_instance`` is called with the instance before the instance gets the event.
        """
        facts = {"function": function.name, "kind": kind, "attempt": attempt}
        number = self._store.start_invocation(request_id, function.name, kind, attempt, self._clock.now())
        outcome, instance_id = None, ""
        try:
            async with self._pool.instance(
                function, request_id, lambda: self.take_fault(("diskBytes",), **facts).get("diskBytes")
            ) as instance:
                instance_id = instance.id
                on_instance(instance)
                kill = self.take_fault(("kill",), **facts)
                outcome = await instance.invoke(
                    request_id, event, kill_after_s=kill.get("afterS", 0.0) if kill else None
                )
        except InitializationError as error:
            outcome = error.outcome
        finally:
            if outcome is None:  # refused, or cancelled because the local cloud stops
                self._store.end_invocation(number, "lost", 0)
            else:
                status = "succeeded" if outcome.error_type is None else "failed"
                self._store.end_invocation(number, status, outcome.duration_ms)
        return Invocation(request_id, instance_id, outcome)
