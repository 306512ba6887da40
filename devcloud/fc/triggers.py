"""Timers and OSS events: what starts functions by itself, as asynchronous invocations."""

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from croniter import croniter

from devcloud.clock import Clock
from devcloud.faults import Faults
from devcloud.fc.manifest import Function, Manifest, ManifestError, OssTrigger, TimerTrigger
from devcloud.fc.service import FunctionService
from devcloud.fc.store import Store, Task

EVENT_EFFECTS = ("lose", "copies", "delayS", "hold")

_EVERY = re.compile(r"@every\s+(?=\d)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_TIME_ZONE = re.compile(r"(?:CRON_TZ|TZ)=(\S+)\s+(.*)")


def next_fire(cron: str, after: float) -> float:
    """Return the first time later than ``after`` (Unix seconds). Raises ``ManifestError`` for what is no schedule."""
    if every := _EVERY.fullmatch(cron.strip()):
        hours, minutes, seconds = (int(part or 0) for part in every.groups())
        return after + max(1.0, timedelta(hours=hours, minutes=minutes, seconds=seconds).total_seconds())
    zone: Any = UTC
    expression = cron.strip()
    try:
        if zoned := _TIME_ZONE.fullmatch(expression):
            zone, expression = ZoneInfo(zoned[1]), zoned[2]
        if len(expression.split()) != 6:
            raise ValueError("six fields are wanted, seconds first")
        schedule = croniter(expression, datetime.fromtimestamp(after, zone), second_at_beginning=True)
        return float(schedule.get_next(datetime).timestamp())
    except (ValueError, KeyError) as error:
        raise ManifestError(f"cronExpression {cron!r}: {error}") from error


class Timers:
    """Fires the enabled timers of all functions."""

    def __init__(self, manifest: Manifest, service: FunctionService, clock: Clock) -> None:
        self._service = service
        self._clock = clock
        self._timers = [
            (function, trigger)
            for function in manifest.functions.values()
            for trigger in function.triggers
            if isinstance(trigger, TimerTrigger) and trigger.enabled
        ]
        for _, trigger in self._timers:
            next_fire(trigger.cron, clock.now())

    async def run(self) -> None:
        """Fire for as long as the local cloud runs."""
        await asyncio.gather(*(self._run_one(function, trigger) for function, trigger in self._timers))

    async def _run_one(self, function: Function, trigger: TimerTrigger) -> None:
        while True:
            due = next_fire(trigger.cron, self._clock.now())
            await self._clock.sleep_until(due)
            event = {
                "triggerTime": datetime.fromtimestamp(due, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "triggerName": trigger.name,
                "payload": trigger.payload,
            }
            self._service.accept(function, json.dumps(event).encode(), "timer")


class OssEvents:
    """Hands events of the OSS emulator to the functions whose triggers want them."""

    def __init__(self, manifest: Manifest, store: Store, faults: Faults, clock: Clock) -> None:
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
        """Store one event record for every trigger that fits; it is durable on return, but the queue is not woken."""
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
            Task(str(uuid4()), function.name, "oss", None, payload, status, due, now)
            for function in fitting
            for _ in range(effect.get("copies", 1))
        )
