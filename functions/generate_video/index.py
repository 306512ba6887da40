"""Asynchronous invocation: advance one video job, from the provider to OSS."""

from shared import bootstrap
from shared.fc.context import Context, stop_by
from shared.fc.entrypoints import event_entrypoint
from shared.fc.events import JobEvent
from shared.fc.temp_folder import pre_stop
from shared.services.generation import advance_job

__all__ = ["handler", "pre_stop"]


@event_entrypoint
def handler(event: JobEvent, context: Context) -> None:
    until = stop_by(context, bootstrap.clock().now())
    advance_job(event.job_id, service=bootstrap.generation_service(), until=until)
