"""All data of one user."""

from api_models import DeletionJson, NoInput
from api_responses import deletion_response
from routing import Request
from shared import bootstrap
from shared.fc.http import Response
from shared.services.deletion_requests import delete_user_data


def delete_data(request: Request[NoInput]) -> Response:
    """Delete everything that the caller has. Unfinished jobs are cancelled first, so a 202 may come before the end."""
    deletion = delete_user_data(request.user_id, ports=bootstrap.deletion_request_ports())
    if deletion.finished_at is not None:
        return Response(204)
    return deletion_response(DeletionJson(status="deleting", requested_at=deletion.requested_at))
