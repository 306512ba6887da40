"""From a request to its endpoint: find the route, identify the user, read the input."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import pydantic

from api_models import NoInput, UrlRules
from cors import Cors
from json_parsing import shown_name
from request_parsing import read_body, read_query
from shared import bootstrap
from shared.domain.errors import BadRequestError, NotFoundError, ValidationError
from shared.domain.keys import MAX_JOB_ID_CHARACTERS, check_segment
from shared.fc.events import HttpEvent
from shared.fc.http import Response, problem
from shared.observability import request_id
from shared.services.access import identify_user

I = TypeVar("I")  # noqa: E741 - the input of an endpoint


@dataclass(frozen=True)
class Request(Generic[I]):
    """A valid request of the user ``user_id``; ``input`` is its body or its query."""

    event: HttpEvent
    user_id: str
    input: I


@dataclass(frozen=True)
class Route:
    """One operation of the API. The function serves it, and the OpenAPI description describes it.

    ``path`` names its variables in braces; the endpoint gets their values after the request. ``answers`` has the model
    of each status that is not a problem. ``problems`` has the other statuses beside those of every route (503, and 400,
    401 and 403 unless the route is ``public``). ``headers`` are the request headers that the route reads. The
    description of the route is the endpoint's docstring.
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

    def values_in(self, segments: Sequence[str]) -> tuple[str, ...] | None:
        """Return the values of the variables; None if the path differs or a value cannot be an id."""
        names = self.path.split("/")
        if len(names) != len(segments):
            return None
        variables = {name: segment for name, segment in zip(names, segments, strict=True) if name.startswith("{")}
        fits = all(name in variables or name == segment for name, segment in zip(names, segments, strict=True))
        return tuple(variables.values()) if fits and all(map(_can_be_an_id, variables.values())) else None

    def serve(self, event: HttpEvent, values: Iterable[str]) -> Response:
        """Check the token, the query and the body, in this order, and answer the request."""
        user_id = "" if self.public else _user_of(event)
        query: Any = read_query(event.query_parameters, self.query)
        input_ = read_body(event, self.body, _url_rules()) if self.body else query
        return self.endpoint(Request(event, user_id, input_), *values)


def _url_rules() -> UrlRules:
    return UrlRules(bootstrap.web_policy(), bootstrap.webhooks_are_enabled())


def _user_of(event: HttpEvent) -> str:
    headers = event.headers
    return identify_user(headers.get("authorization"), headers.get("on-behalf-of"), ports=bootstrap.access_ports())


def _can_be_an_id(value: str) -> bool:
    try:
        check_segment("id", value, MAX_JOB_ID_CHARACTERS)
    except ValidationError:
        return False
    return True


def answer(routes: Sequence[Route], cors: Cors, event: HttpEvent) -> Response:
    """Route one request. Raises NotFoundError: no route has this path; BadRequestError: the path is not UTF-8."""
    found = _find(routes, event)
    methods = _methods(found)
    if event.method == "OPTIONS":
        headers = {name for route, _ in found for name in route.headers}
        return Response(204, headers={"Allow": ", ".join(methods), **cors.preflight_headers(event, methods, headers)})
    method = "GET" if event.method == "HEAD" else event.method
    for route, values in found:
        if route.method == method:
            return route.serve(event, values)
    allowed = ", ".join(methods)
    detail = f"this path does not support the method {shown_name(event.method)}; it supports {allowed}"
    return problem(405, "method_not_allowed", detail, request_id.get(), headers={"Allow": allowed})


def _find(routes: Sequence[Route], event: HttpEvent) -> list[tuple[Route, tuple[str, ...]]]:
    try:
        segments = event.segments
    except ValueError as error:
        raise BadRequestError("the path is not valid UTF-8") from error
    found = [(route, values) for route in routes if (values := route.values_in(segments)) is not None]
    if not found:
        raise NotFoundError("this path does not exist; GET /openapi.json lists every path")
    return found


def _methods(found: Sequence[tuple[Route, tuple[str, ...]]]) -> list[str]:
    methods = [route.method for route, _ in found]
    return [*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"]
