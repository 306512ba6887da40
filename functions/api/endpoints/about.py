"""About the service itself: whether it runs, and its description."""

from functools import cache
from pathlib import Path

from api_models import NoInput
from etags import conditional_response
from routing import Request
from shared import bootstrap
from shared.fc.http import Response, json_response
from shared.version import VERSION

_DESCRIPTION = Path(__file__).resolve().parents[1] / "openapi.json"


def healthz(request: Request[NoInput]) -> Response:
    """Return that the function runs, and its versions."""
    versions = {"version": VERSION, "functionVersion": bootstrap.function_version()}
    return json_response(200, {"status": "ok", **versions})


def openapi(request: Request[NoInput]) -> Response:
    """Return the OpenAPI 3.1 description of this API."""
    headers = {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "public, max-age=300"}
    return conditional_response(request.event, Response(200, _description(), headers))


@cache
def _description() -> str:
    return _DESCRIPTION.read_text(encoding="utf-8")
