"""About the service itself."""

from functools import cache
from pathlib import Path

from conditional import unless_known
from routing import Request
from schemas import NoInput
from shared.fc.http import Response, json_response
from shared.settings import RuntimeSettings
from shared.version import VERSION

_DESCRIPTION = Path(__file__).resolve().parents[1] / "openapi.json"


def healthz(request: Request[NoInput]) -> Response:
    """Say that the function runs, and which version of it."""
    return json_response(200, {"status": "ok", "version": VERSION, "functionVersion": RuntimeSettings.read().version})


def openapi(request: Request[NoInput]) -> Response:
    """Describe this API: OpenAPI 3.1."""
    headers = {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "public, max-age=300"}
    return unless_known(request.event, Response(200, _description(), headers))


@cache
def _description() -> str:
    return _DESCRIPTION.read_text(encoding="utf-8")
