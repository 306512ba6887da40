"""Timer: the safety nets. The payload says which: temp files (daily) or lost and stuck jobs (every minute)."""

from shared import bootstrap
from shared.fc.context import Context, stop_by
from shared.fc.entrypoints import event_entrypoint
from shared.fc.events import CleanUpTask, TimerEvent
from shared.services.jobs import revive_waiting_jobs
from shared.services.storage import cleanup_old_temp_files


@event_entrypoint
def handler(event: TimerEvent, context: Context) -> dict[str, int]:
    match CleanUpTask.model_validate_json(event.payload).task:
        case "temp-files":
            return {"removed": cleanup_old_temp_files(temp=bootstrap.temp_files(), now=bootstrap.clock().now())}
        case "jobs":
            until = stop_by(context, bootstrap.clock().now())
            return revive_waiting_jobs(service=bootstrap.revival_service(), until=until)
