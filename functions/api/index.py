"""HTTP trigger: the API that the front end calls."""

from routes import answer
from shared import bootstrap
from shared.fc.entrypoints import http_entrypoint
from shared.fc.events import HttpEvent
from shared.fc.http import Response

# Without keys for tokens there is no API: the instance fails here, before it answers anything.
bootstrap.token_verifier()


@http_entrypoint
def handler(event: HttpEvent) -> Response:
    return answer(event)
