"""What belongs to a user as a whole."""

from routing import Request
from schemas import DeletionJson, NoInput
from shared import bootstrap
from shared.fc.http import Response, json_response
from shared.services.deletion import delete_user_data

_RETRY_AFTER_S = 10


def delete_data(request: Request[NoInput]) -> Response:
    """Delete everything that the caller has. Jobs at work are cancelled first, so it may go on after a 202."""
    deletion = delete_user_data(
        request.user_id,
        deletions=bootstrap.deletions(),
        dispatcher=bootstrap.dispatcher(),
        clock=bootstrap.clock(),
    )
    if deletion.finished_at is not None:
        return Response(204)
    body = DeletionJson(status="deleting", requested_at=deletion.requested_at).model_dump(by_alias=True)
    return json_response(202, body, headers={"Retry-After": str(_RETRY_AFTER_S)})
