"""Timer: the safety nets. The payload says which: temp files, lost and stuck jobs with old keys, or the reconcile."""

from shared import bootstrap
from shared.fc.context import Context, stop_by
from shared.fc.entrypoints import event_entrypoint
from shared.fc.events import CleanUpTask, TimerEvent
from shared.services.jobs import revive_waiting_jobs
from shared.services.reconcile import reconcile
from shared.services.starting import forget_starts
from shared.services.storage import cleanup_old_temp_files


@event_entrypoint
def handler(event: TimerEvent, context: Context) -> dict[str, int]:
    task = CleanUpTask.model_validate_json(event.payload)
    match task.task:
        case "temp-files":
            return {"removed": cleanup_old_temp_files(temp=bootstrap.temp_files(), now=bootstrap.clock().now())}
        case "jobs":
            until = stop_by(context, bootstrap.clock().now())
            revived = revive_waiting_jobs(service=bootstrap.revival_service(), until=until)
            return revived | forget_starts(starts=bootstrap.starts(), clock=bootstrap.clock(), until=until)
        case "reconcile":
            until = stop_by(context, bootstrap.clock().now())
            return reconcile(service=bootstrap.indexing_service(), until=until, dry_run=task.dry_run)
