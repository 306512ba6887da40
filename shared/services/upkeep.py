"""The work of the timers: each kind has its share of the time, and a failure of one does not stop the others."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.ports import Clock, StartStore, TempFiles
from shared.services.batches import Kind, do_kinds
from shared.services.deletion import DeletionPorts, resume_deletions
from shared.services.deliveries import DeliveryPorts, remove_old_deliveries
from shared.services.revival import RevivalPorts, dispatch_due_jobs, poll_due_jobs
from shared.services.starting import forget_starts
from shared.services.storage import cleanup_old_temp_files

# These shares leave most of a run's five minutes to the polls, which come last because they can take any time.
_DISPATCHES = timedelta(seconds=40)
_DELETIONS = timedelta(seconds=50)
_FORGETTING = timedelta(seconds=10)


@dataclass(frozen=True)
class UpkeepPorts:
    """The ports that the timers use."""

    starts: StartStore
    temp: TempFiles
    clock: Clock
    revival: RevivalPorts
    deletion: DeletionPorts
    deliveries: DeliveryPorts


def do_every_minute(*, ports: UpkeepPorts, until: datetime) -> dict[str, int]:
    """Continue unfinished jobs and deletions, remove old idempotency keys, and return the counts.

    If a whole kind of work fails, the first such failure is raised after every kind has had its share of the time.
    """
    starts, clock = ports.starts, ports.clock
    kinds = (
        Kind("dispatches", lambda until: dispatch_due_jobs(ports=ports.revival, until=until), _DISPATCHES),
        Kind("deletions", lambda until: resume_deletions(ports=ports.deletion, until=until), _DELETIONS),
        Kind("idempotency keys", lambda until: forget_starts(starts=starts, clock=clock, until=until), _FORGETTING),
        Kind("polls", lambda until: poll_due_jobs(ports=ports.revival, until=until)),
    )
    return do_kinds(kinds, until=until, clock=clock)


def do_every_day(*, ports: UpkeepPorts, until: datetime) -> dict[str, int]:
    """Remove temp files older than 24 hours and deliveries older than 30 days, and return their numbers."""
    kinds = (
        Kind("temp files", lambda _: {"removed": cleanup_old_temp_files(temp=ports.temp, now=ports.clock.now())}),
        Kind("deliveries", lambda until: remove_old_deliveries(ports=ports.deliveries, until=until)),
    )
    return do_kinds(kinds, until=until, clock=ports.clock)
