"""The clock of the machine."""

import time
from datetime import UTC, datetime


class SystemClock:
    """UTC, to the millisecond, which is the precision of the database columns."""

    def now(self) -> datetime:
        """Return the current time, in UTC."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
