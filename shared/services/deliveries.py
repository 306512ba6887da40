"""Remove the old deliveries of webhooks."""

from dataclasses import dataclass
from datetime import datetime

from shared.domain.deliveries import KEPT_FOR
from shared.ports import Clock, DeliveryStore


@dataclass(frozen=True)
class DeliveryPorts:
    """The ports that remove deliveries."""

    deliveries: DeliveryStore
    clock: Clock


def remove_old_deliveries(*, ports: DeliveryPorts, until: datetime, batch: int = 1000) -> dict[str, int]:
    """Remove deliveries older than 30 days, until ``until``, and return their number.

    Each batch is a separate transaction; the next day removes the deliveries that a crash or the end of the time left.
    """
    before, count = ports.clock.now() - KEPT_FOR, 0
    while ports.clock.now() < until and (removed := ports.deliveries.remove_before(before, limit=batch)):
        count += removed
    return {"deliveries": count}
