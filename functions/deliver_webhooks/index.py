"""Timer, and asynchronous invocation at the end of a job: deliver the webhooks that are due, or that job's."""

from shared import bootstrap
from shared.fc.context import Context, stop_by
from shared.fc.entrypoints import event_entrypoint
from shared.fc.events import WebhookEvent
from shared.services.webhooks import deliver_webhooks


@event_entrypoint
def handler(event: WebhookEvent, context: Context) -> dict[str, int]:
    until = stop_by(context, bootstrap.clock().now())
    return deliver_webhooks(service=bootstrap.webhook_service(), until=until, job_id=event.job_id)
