"""Read the deliveries of webhooks, and remove the old ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.domain.webhooks import KEPT_FOR, Delivery
from shared.ports import Clock, DeliveryStore, JobStore
from shared.services.jobs import get_job


@dataclass(frozen=True)
class DeliveryPorts:
    """The ports that read and remove deliveries."""

    jobs: JobStore
    deliveries: DeliveryStore
    clock: Clock


def get_deliveries(job_id: str, user_id: str, *, ports: DeliveryPorts) -> Sequence[Delivery]:
    """Return the deliveries of a user's job. Raises NotFoundError, also for another user's job."""
    return ports.deliveries.of_job(get_job(job_id, user_id, jobs=ports.jobs).id)


def remove_old_deliveries(*, ports: DeliveryPorts, until: datetime, batch: int = 1000) -> dict[str, int]:
    """Remove deliveries older than 30 days, until ``until``, and return their number.

    Each batch is a separate transaction; the next day removes the deliveries that a crash or the end of the time left.
    """
    before, count = ports.clock.now() - KEPT_FOR, 0
    while ports.clock.now() < until and (removed := ports.deliveries.remove_before(before, limit=batch)):
        count += removed
    return {"deliveries": count}
