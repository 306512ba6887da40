"""Timer: the safety nets. The payload says which: old files and rows, lost and stuck jobs, or the reconcile."""

from shared import bootstrap
from shared.fc.context import Context, stop_by
from shared.fc.entrypoints import event_entrypoint
from shared.fc.events import CleanUpTask, TimerEvent
from shared.services.jobs import revive_waiting_jobs
from shared.services.reconcile import reconcile
from shared.services.storage import cleanup_old_temp_files
from shared.services.webhooks import remove_old_deliveries


@event_entrypoint
def handler(event: TimerEvent, context: Context) -> dict[str, int]:
    task = CleanUpTask.model_validate_json(event.payload)
    match task.task:
        case "temp-files":
            now = bootstrap.clock().now()
            removed = cleanup_old_temp_files(temp=bootstrap.temp_files(), now=now)
            return {"removed": removed, "deliveries": remove_old_deliveries(deliveries=bootstrap.deliveries(), now=now)}
        case "jobs":
            until = stop_by(context, bootstrap.clock().now())
            return revive_waiting_jobs(service=bootstrap.revival_service(), until=until)
        case "reconcile":
            until = stop_by(context, bootstrap.clock().now())
            return reconcile(service=bootstrap.indexing_service(), until=until, dry_run=task.dry_run)
