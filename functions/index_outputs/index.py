"""OSS trigger: make the rows of job_outputs follow the objects. Synchronous invocation: index one job, at once."""

from shared import bootstrap
from shared.fc.context import Context
from shared.fc.entrypoints import event_entrypoint
from shared.fc.events import IndexEvent
from shared.services.indexing import index_job, index_objects


@event_entrypoint(sweep=bootstrap.sweep_temp_folder)
def handler(event: IndexEvent, context: Context) -> dict[str, int]:
    # OSS delivers at least once and in any order: indexing is safe to repeat.
    index_objects([record.key for record in event.events], ports=bootstrap.indexing_ports())
    of_job = index_job(event.job_id, ports=bootstrap.indexing_ports()) if event.job_id else 0
    return {"objects": len(event.events) + of_job}
