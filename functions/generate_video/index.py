"""Asynchronous invocation: advance one video job, from the provider to OSS."""

from shared import bootstrap
from shared.fc.context import Context, stop_by
from shared.fc.entrypoints import event_entrypoint, pre_stop_hook
from shared.fc.events import JobEvent
from shared.services.generation import advance_job

pre_stop = pre_stop_hook(empty=bootstrap.empty_temp_folder)


@event_entrypoint(sweep=bootstrap.sweep_temp_folder)
def handler(event: JobEvent, context: Context) -> None:
    until = stop_by(context, bootstrap.clock().now())
    advance_job(event.job_id, ports=bootstrap.generation_ports(), until=until)
