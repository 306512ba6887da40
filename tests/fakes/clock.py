"""The port ``Clock``, with a time that tests set."""

import threading
from datetime import datetime, timedelta

from tests.fakes.examples import NOW


class FakeClock:
    """A clock whose time passes only when ``sleep`` or ``advance`` is called."""

    def __init__(self, now: datetime = NOW) -> None:
        self._now = now
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._now += timedelta(seconds=seconds)
