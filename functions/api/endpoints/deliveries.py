"""Read the deliveries of webhooks."""

from routing import Request
from schemas import DeliveryJson, NoInput
from shared import bootstrap
from shared.fc.http import Response, json_response
from shared.services.deliveries import get_deliveries


def get_job_deliveries(request: Request[NoInput], job_id: str) -> Response:
    """Show what became of a job's webhook: its one delivery once the job has ended, for 30 days."""
    found = get_deliveries(job_id, request.user_id, ports=bootstrap.delivery_ports())
    data = [DeliveryJson.model_validate(delivery).model_dump(by_alias=True, mode="json") for delivery in found]
    return json_response(200, {"data": data})
