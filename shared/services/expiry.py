"""Remove the rows whose time is over: idempotency keys, counts of past days and deliveries of webhooks.

Each batch is a separate transaction; the next run removes the rows that a crash or the end of the time left.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.deliveries import KEPT_FOR
from shared.domain.idempotency import KEY_LIFETIME
from shared.ports import Clock, DeliveryStore, StartStore

# Quotas count the present day only. One more day allows for clocks that differ.
_USAGE_LIFETIME = timedelta(days=1)


@dataclass(frozen=True)
class ExpiryPorts:
    """The ports that remove rows whose time is over."""

    starts: StartStore
    deliveries: DeliveryStore
    clock: Clock


def remove_expired_starts(*, ports: ExpiryPorts, until: datetime, batch: int = 1000) -> dict[str, int]:
    """Remove keys over 24 hours old and counts of past days, until ``until``, and return the numbers removed."""
    now = ports.clock.now()
    counts = Counter({"keys_forgotten": 0, "days_forgotten": 0})
    for name, forget, before in (
        ("keys_forgotten", ports.starts.forget_keys, now - KEY_LIFETIME),
        ("days_forgotten", ports.starts.forget_usage, now - _USAGE_LIFETIME),
    ):
        while ports.clock.now() < until and (removed := forget(before, limit=batch)):
            counts[name] += removed
    return dict(counts)


def remove_old_deliveries(*, ports: ExpiryPorts, until: datetime, batch: int = 1000) -> dict[str, int]:
    """Remove deliveries older than 30 days, until ``until``, and return their number."""
    before, count = ports.clock.now() - KEPT_FOR, 0
    while ports.clock.now() < until and (removed := ports.deliveries.remove_before(before, limit=batch)):
        count += removed
    return {"deliveries": count}
