"""OSS triggers: each queues an asynchronous invocation for every matching event of the OSS emulator."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from devcloud.clock import Clock
from devcloud.faults import Faults
from devcloud.fc.invocation_store import AsyncTask, InvocationStore
from devcloud.fc.manifest import Manifest, OssTrigger

EVENT_EFFECTS = ("lose", "copies", "delayS", "hold")


class OssEvents:
    """Passes events of the OSS emulator to the functions with a matching trigger."""

    def __init__(self, manifest: Manifest, store: InvocationStore, faults: Faults, clock: Clock) -> None:
        self._store = store
        self._faults = faults
        self._clock = clock
        self._triggers = [
            (function, trigger)
            for function in manifest.functions.values()
            for trigger in function.triggers
            if isinstance(trigger, OssTrigger)
        ]

    def publish(self, record: Mapping[str, Any]) -> None:
        """Store one event record for every matching trigger. The event is durable on return; the queue is not woken."""
        bucket, key, name = record["oss"]["bucket"]["name"], record["oss"]["object"]["key"], record["eventName"]
        fitting = [function for function, trigger in self._triggers if trigger.fits(bucket, name, key)]
        if not fitting:
            return
        effect = self._faults.take("events", key=key, event=name) or {}
        if effect.get("lose"):
            return
        now = self._clock.now()
        due = now + effect.get("delayS", 0.0)
        status = "Held" if effect.get("hold") else "Enqueued"
        payload = json.dumps({"events": [record]}).encode()
        self._store.add(
            AsyncTask(str(uuid4()), function.name, "oss", None, payload, status, due, now)
            for function in fitting
            for _ in range(effect.get("copies", 1))
        )
