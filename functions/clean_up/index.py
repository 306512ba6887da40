"""Timer: the safety nets. The payload says which. Synchronous invocation: one deletion, at once."""

from shared import bootstrap
from shared.fc.context import Context, stop_by
from shared.fc.entrypoints import event_entrypoint
from shared.fc.events import CleanUpTask, TimerEvent
from shared.services.deletion import carry_out_deletion, resume_deletions
from shared.services.jobs import revive_waiting_jobs
from shared.services.reconcile import reconcile
from shared.services.starting import forget_starts
from shared.services.storage import cleanup_old_temp_files
from shared.services.webhooks import remove_old_deliveries


@event_entrypoint
def handler(event: TimerEvent, context: Context) -> dict[str, int]:
    task = CleanUpTask.model_validate_json(event.payload)
    until = stop_by(context, now := bootstrap.clock().now())
    match task.task:
        case "temp-files":
            temp = {"removed": cleanup_old_temp_files(temp=bootstrap.temp_files(), now=now)}
            return temp | remove_old_deliveries(deliveries=bootstrap.deliveries(), clock=bootstrap.clock(), until=until)
        case "jobs":
            revived = revive_waiting_jobs(service=bootstrap.revival_service(), until=until)
            resumed = resume_deletions(service=bootstrap.deletion_service(), until=until)
            return revived | resumed | forget_starts(starts=bootstrap.starts(), clock=bootstrap.clock(), until=until)
        case "delete":
            return carry_out_deletion(task.deletion_id, service=bootstrap.deletion_service(), until=until)
        case "reconcile":
            return reconcile(service=bootstrap.indexing_service(), until=until, dry_run=task.dry_run)
