"""The outputs of all jobs of a user: the gallery."""

from api_models import NoInput, OutputsQuery
from api_responses import page_response
from routing import Request
from shared import bootstrap
from shared.domain.media_type import MediaType
from shared.fc.http import Response
from shared.services import deletion_requests
from shared.services.reading import ListQuery, list_outputs


def get_outputs(request: Request[OutputsQuery]) -> Response:
    """List the caller's outputs, the newest first."""
    wanted = request.input
    query = ListQuery(
        user_id=request.user_id,
        limit=wanted.limit,
        cursor=wanted.cursor,
        type=MediaType(wanted.type) if wanted.type else None,
    )
    page = list_outputs(query, ports=bootstrap.read_ports())
    return page_response(page, bootstrap.job_presenter().show_output)


def delete_output(request: Request[NoInput], output_id: str) -> Response:
    """Delete one output: the object first, then the row."""
    deletion_requests.delete_output(output_id, request.user_id, ports=bootstrap.deletion_request_ports())
    return Response(204)
