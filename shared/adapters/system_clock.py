"""Time as the machine has it."""

import time
from datetime import UTC, datetime


class SystemClock:
    """UTC, to the millisecond: what every database column holds."""

    def now(self) -> datetime:
        """Return the time, in UTC."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)
