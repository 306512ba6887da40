"""Timer: send the webhooks that are due. Asynchronous invocation at the end of a job: send the webhook of this job."""

from shared import bootstrap
from shared.fc.context import Context, stop_by
from shared.fc.entrypoints import event_entrypoint
from shared.fc.events import WebhookEvent
from shared.services.webhooks import deliver_webhooks


@event_entrypoint(sweep=bootstrap.sweep_temp_folder)
def handler(event: WebhookEvent, context: Context) -> dict[str, int]:
    until = stop_by(context, bootstrap.clock().now())
    return deliver_webhooks(ports=bootstrap.webhook_ports(), until=until, job_id=event.job_id)
