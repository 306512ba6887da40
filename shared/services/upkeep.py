"""The work of the timers: each kind has its share of the time, and a failure of one does not stop the others."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.ports import Clock, TempFiles
from shared.services.batches import Kind, do_kinds
from shared.services.deletion import DeletionPorts, resume_deletions
from shared.services.expiry import ExpiryPorts, remove_expired_starts, remove_old_deliveries
from shared.services.revival import RevivalPorts, dispatch_due_jobs, poll_due_jobs
from shared.services.storage import cleanup_old_temp_files

# These shares leave most of a run's five minutes to the polls, which come last because they can take any time.
_DISPATCHES = timedelta(seconds=40)
_DELETIONS = timedelta(seconds=50)
_EXPIRY = timedelta(seconds=10)


@dataclass(frozen=True)
class UpkeepPorts:
    """The ports that the timers use."""

    temp: TempFiles
    clock: Clock
    revival: RevivalPorts
    deletion: DeletionPorts
    expiry: ExpiryPorts


def do_every_minute(*, ports: UpkeepPorts, until: datetime) -> dict[str, int]:
    """Continue unfinished jobs and deletions, remove old idempotency keys, and return the counts.

    If a whole kind of work fails, the first such failure is raised after every kind has had its share of the time.
    """
    kinds = (
        Kind("dispatches", lambda until: dispatch_due_jobs(ports=ports.revival, until=until), _DISPATCHES),
        Kind("deletions", lambda until: resume_deletions(ports=ports.deletion, until=until), _DELETIONS),
        Kind("idempotency keys", lambda until: remove_expired_starts(ports=ports.expiry, until=until), _EXPIRY),
        Kind("polls", lambda until: poll_due_jobs(ports=ports.revival, until=until)),
    )
    return do_kinds(kinds, until=until, clock=ports.clock)


def do_every_day(*, ports: UpkeepPorts, until: datetime) -> dict[str, int]:
    """Remove temp files older than 24 hours and deliveries older than 30 days, and return their numbers."""
    kinds = (
        Kind("temp files", lambda _: {"removed": cleanup_old_temp_files(temp=ports.temp, now=ports.clock.now())}),
        Kind("deliveries", lambda until: remove_old_deliveries(ports=ports.expiry, until=until)),
    )
    return do_kinds(kinds, until=until, clock=ports.clock)
