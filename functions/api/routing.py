"""From a request to its endpoint: the path, the method, who asks, and what is said."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

import pydantic

from reading import read_body, read_query
from schemas import NoInput
from shared import bootstrap
from shared.domain.errors import NotFoundError
from shared.fc.events import HttpEvent
from shared.fc.http import Response, problem
from shared.observability import request_id
from shared.services.access import name_user
from shared.settings import RuntimeSettings

I = TypeVar("I")  # noqa: E741 - what an endpoint takes
_METHODS_ALLOWED = "GET, HEAD, POST, DELETE, OPTIONS"


@dataclass(frozen=True)
class Request(Generic[I]):
    """A request that was understood: ``user_id`` asks, and says ``input``: the body or the query."""

    event: HttpEvent
    user_id: str
    input: I


@dataclass(frozen=True)
class Route:
    """One operation of the API, for whoever serves it and for whoever describes it.

    ``path`` names its variables in braces; the endpoint gets their values after the request. ``answers`` says what each
    status that is no problem holds, ``problems`` which others there are beside those that every route has (503, and
    unless ``public`` 400, 401 and 403 for who asks). ``headers`` are the request headers that it heeds. Its description
    is the endpoint's docstring.
    """

    method: str
    path: str
    endpoint: Callable[..., Response]
    answers: Mapping[int, type[pydantic.BaseModel] | None]
    problems: Sequence[int] = ()
    body: type[pydantic.BaseModel] | None = None
    query: type[pydantic.BaseModel] = NoInput
    headers: Sequence[str] = ()
    public: bool = field(default=False)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What the paths of this route look like."""
        return re.compile(re.sub(r"\{\w+\}", "([^/]+)", self.path))

    def serve(self, event: HttpEvent, values: Iterable[str]) -> Response:
        """Read the request, in the order in which its parts may be wrong, and answer it."""
        user_id = "" if self.public else _user_of(event)
        query: Any = read_query(event.query_parameters, self.query)
        return self.endpoint(Request(event, user_id, read_body(event, self.body) if self.body else query), *values)


def _user_of(event: HttpEvent) -> str:
    caller = bootstrap.token_verifier().caller_of(event.headers.get("authorization"))
    return name_user(caller, event.headers.get("on-behalf-of"))


def answer(routes: Sequence[Route], event: HttpEvent) -> Response:
    """Route one request. Raises NotFoundError: there is no such path."""
    if event.method == "OPTIONS":
        return Response(204, headers={"Allow": _METHODS_ALLOWED})
    found = [(route, match) for route in routes if (match := route.pattern.fullmatch(event.path))]
    if not found:
        raise NotFoundError("there is no such route")
    method = "GET" if event.method == "HEAD" else event.method
    for route, match in found:
        if route.method == method:
            return route.serve(event, match.groups())
    return _refuse_method(event, [route.method for route, _ in found])


def _refuse_method(event: HttpEvent, methods: Sequence[str]) -> Response:
    allowed = [*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])]
    detail = f"{event.method} is not allowed here"
    return problem(405, "method_not_allowed", detail, request_id.get(), headers={"Allow": ", ".join(allowed)})


def cors_headers(event: HttpEvent) -> dict[str, str]:
    """Return what lets a page of a configured origin read the answer; an error's answer too."""
    origin = event.headers.get("origin")
    if origin is None or origin not in RuntimeSettings.read().cors_origins:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": _METHODS_ALLOWED,
        "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Prefer",
        "Access-Control-Expose-Headers": "Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After",
        "Access-Control-Max-Age": "600",
        "Vary": "Origin",
    }
