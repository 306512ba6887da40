"""Timer triggers: each queues an asynchronous invocation whenever its cron expression fires."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter

from devcloud.clock import Clock
from devcloud.fc.async_queue import AsyncQueue
from devcloud.fc.manifest import Function, Manifest, TimerTrigger
from devcloud.fc.serverless_devs import ManifestError

_EVERY = re.compile(r"@every\s+(?=\d)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_TIME_ZONE = re.compile(r"(?:CRON_TZ|TZ)=(\S+)\s+(.*)")


def next_fire(cron: str, after: float) -> float:
    """Return the first time later than ``after`` (Unix seconds). Raises ``ManifestError`` for an invalid schedule."""
    if every := _EVERY.fullmatch(cron.strip()):
        hours, minutes, seconds = (int(part or 0) for part in every.groups())
        return after + max(1.0, timedelta(hours=hours, minutes=minutes, seconds=seconds).total_seconds())
    zone: Any = UTC
    expression = cron.strip()
    try:
        if zoned := _TIME_ZONE.fullmatch(expression):
            zone, expression = ZoneInfo(zoned[1]), zoned[2]
        if len(expression.split()) != 6:
            raise ValueError("six fields are required, the first for seconds")
        schedule = croniter(expression, datetime.fromtimestamp(after, zone), second_at_beginning=True)
        return float(schedule.get_next(datetime).timestamp())
    except (ValueError, KeyError) as error:
        raise ManifestError(f"cronExpression {cron!r}: {error}") from error


class Timers:
    """Fires the enabled timers of all functions."""

    def __init__(self, manifest: Manifest, queue: AsyncQueue, clock: Clock) -> None:
        self._queue = queue
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
        """Fire the timers for as long as the local cloud runs."""
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
            self._queue.accept(function, json.dumps(event).encode(), "timer")
