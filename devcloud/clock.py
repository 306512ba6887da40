"""The emulators' clock, which ``POST /clock`` can move forward."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress


class Clock:
    """Wall-clock time plus an offset that only grows.

    Expiry, timers and progress inside an emulator use this clock. A comparison with a time from a client's own
    clock (the age of a signature) must use ``time.time``: to move the emulators' clock does not move the client's.
    """

    def __init__(self) -> None:
        self._offset_s = 0.0
        self._listeners: list[Callable[[], None]] = []

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time() + self._offset_s

    def advance(self, seconds: float) -> None:
        """Move the clock forward by ``seconds`` and wake everything that waits for a time."""
        if seconds < 0:
            raise ValueError(f"advanceSeconds must be 0 or more, got {seconds}")
        self._offset_s += seconds
        for wake in tuple(self._listeners):
            wake()

    async def sleep_until(self, deadline: float) -> None:
        """Return once ``now()`` has reached ``deadline`` (Unix seconds), also when the clock is moved."""
        moved = asyncio.Event()
        self._listeners.append(moved.set)
        try:
            while (rest := deadline - self.now()) > 0:
                moved.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(moved.wait(), rest)
        finally:
            self._listeners.remove(moved.set)
