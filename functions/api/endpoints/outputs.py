"""The gallery."""

from endpoints.showing import show_found, show_page
from routing import Request
from schemas import NoInput, OutputsQuery
from shared import bootstrap
from shared.domain.keys import MediaType
from shared.fc.http import Response
from shared.services import deletion
from shared.services.lists import ListQuery, list_outputs


def get_outputs(request: Request[OutputsQuery]) -> Response:
    """List the caller's outputs, the newest first."""
    wanted = request.input
    query = ListQuery(
        user_id=request.user_id,
        limit=wanted.limit,
        cursor=wanted.cursor,
        type=MediaType(wanted.type) if wanted.type else None,
    )
    page = list_outputs(query, outputs=bootstrap.outputs())
    return show_page(page, lambda output: show_found([output])[0])


def delete_output(request: Request[NoInput], output_id: str) -> Response:
    """Delete one output: the object first, then the row."""
    deletion.delete_output(
        output_id,
        request.user_id,
        jobs=bootstrap.jobs(),
        outputs=bootstrap.outputs(),
        deletions=bootstrap.deletions(),
        dispatcher=bootstrap.dispatcher(),
        clock=bootstrap.clock(),
    )
    return Response(204)
