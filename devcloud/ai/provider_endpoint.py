"""Shared by the endpoints of all providers: the API key, the request id, the label and the shape of errors."""

from collections.abc import Awaitable, Callable
from hmac import compare_digest

from starlette.requests import Request
from starlette.responses import Response

from devcloud.ai.provider_error import ProviderError
from devcloud.ai.task_runner import new_request_id

Handler = Callable[[Request, str], Awaitable[Response]]
ErrorShape = Callable[[ProviderError, str], Response]


def endpoint(handler: Handler, shape: ErrorShape) -> Callable[[Request], Awaitable[Response]]:
    """Give ``handler`` a request id, its errors the ``shape`` of its API, and its answers the label of a fake."""

    async def respond(request: Request) -> Response:
        request_id = new_request_id()
        try:
            response = await handler(request, request_id)
        except ProviderError as error:
            response = shape(error, request_id)
        response.headers["X-Fake-Provider"] = "true"
        response.headers["X-Request-Id"] = request_id
        return response

    return respond


def bearer_key(request: Request) -> str:
    """Return the API key of the request, empty without one."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def keys_match(given: str, expected: str) -> bool:
    """Compare two keys."""
    return compare_digest(given.encode(), expected.encode())


async def json_body(request: Request) -> object:
    """Return the JSON of the request's body, or ``None`` if the body is not valid JSON."""
    try:
        return await request.json()
    except ValueError:
        return None
