"""About the service itself."""

from routing import Request
from schemas import NoInput
from shared.fc.http import Response, json_response
from shared.settings import RuntimeSettings

VERSION = "0.1.0"


def healthz(request: Request[NoInput]) -> Response:
    """Say that the function runs, and which version of it."""
    return json_response(200, {"status": "ok", "version": VERSION, "functionVersion": RuntimeSettings.read().version})
