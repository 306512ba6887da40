"""OSS trigger: make the rows of job_outputs follow the objects."""

from shared import bootstrap
from shared.fc.context import Context
from shared.fc.entrypoints import event_entrypoint
from shared.fc.events import OssEvent
from shared.services.indexing import index_object


@event_entrypoint
def handler(event: OssEvent, context: Context) -> None:
    # OSS delivers at least once and in any order: index_object is safe to repeat.
    for record in event.events:
        index_object(record.key, service=bootstrap.indexing_service())
