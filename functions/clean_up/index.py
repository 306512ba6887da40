"""Timer: the task in the payload, such as the minute timer's. Synchronous invocation: one deletion, at once."""

from shared import bootstrap
from shared.fc.context import Context, stop_by
from shared.fc.entrypoints import event_entrypoint
from shared.fc.events import CleanUpTask, TimerEvent
from shared.services.deletion import carry_out_deletion
from shared.services.reconcile import reconcile
from shared.services.upkeep import do_every_day, do_every_minute


@event_entrypoint(sweep=bootstrap.sweep_temp_folder)
def handler(event: TimerEvent, context: Context) -> dict[str, int]:
    task = CleanUpTask.model_validate_json(event.payload)
    until = stop_by(context, bootstrap.clock().now())
    match task.task:
        case "temp-files":
            return do_every_day(ports=bootstrap.upkeep_ports(), until=until)
        case "jobs":
            return do_every_minute(ports=bootstrap.upkeep_ports(), until=until)
        case "delete":
            return carry_out_deletion(task.deletion_id, ports=bootstrap.deletion_ports(), until=until)
        case "reconcile":
            return reconcile(ports=bootstrap.indexing_ports(), until=until, dry_run=task.dry_run)
