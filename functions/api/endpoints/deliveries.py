"""The deliveries of webhooks."""

from api_models import DeliveryJson, NoInput
from api_responses import to_json
from routing import Request
from shared import bootstrap
from shared.fc.http import Response, json_response
from shared.services.reading import list_deliveries


def get_job_deliveries(request: Request[NoInput], job_id: str) -> Response:
    """List the deliveries of a job's webhook: one, from the end of the job on, for 30 days."""
    found = list_deliveries(job_id, request.user_id, ports=bootstrap.read_ports())
    return json_response(200, {"data": [to_json(DeliveryJson.model_validate(delivery)) for delivery in found]})
