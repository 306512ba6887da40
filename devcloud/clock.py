"""The emulators' clock, which tests and the curious can turn forward."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress


class Clock:
    """Wall-clock time plus an offset that only grows.

    What expires, fires or makes progress inside an emulator asks this clock. Whatever is compared with
    a time that a client took from its own clock (the age of a signature) must ask ``time.time`` instead:
    turning the emulators' clock does not turn the client's.
    """

    def __init__(self) -> None:
        self._offset_s = 0.0
        self._listeners: list[Callable[[], None]] = []

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time() + self._offset_s

    def advance(self, seconds: float) -> None:
        """Move the clock forward by ``seconds`` and wake who waits on it."""
        if seconds < 0:
            raise ValueError(f"advanceSeconds must be 0 or more, got {seconds}")
        self._offset_s += seconds
        for wake in tuple(self._listeners):
            wake()

    async def sleep_until(self, deadline: float) -> None:
        """Return once ``now()`` has reached ``deadline`` (Unix seconds), also when the clock is turned."""
        turned = asyncio.Event()
        self._listeners.append(turned.set)
        try:
            while (rest := deadline - self.now()) > 0:
                turned.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(turned.wait(), rest)
        finally:
            self._listeners.remove(turned.set)
