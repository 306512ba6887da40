"""From a request to its endpoint: the path, the method, who asks, and what is said."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import pydantic

from cors import preflight_headers
from json_body import shown_name
from reading import read_body, read_query
from schemas import NoInput
from shared import bootstrap
from shared.domain.errors import BadRequestError, NotFoundError, ValidationError
from shared.domain.keys import MAX_JOB_ID_CHARACTERS, check_segment
from shared.fc.events import HttpEvent
from shared.fc.http import Response, problem
from shared.observability import request_id
from shared.services.access import name_user

I = TypeVar("I")  # noqa: E741 - what an endpoint takes


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

    def values_in(self, segments: Sequence[str]) -> tuple[str, ...] | None:
        """Return the values of the variables, or None: the path is another one, or a value cannot be an id."""
        names = self.path.split("/")
        if len(names) != len(segments):
            return None
        variables = {name: segment for name, segment in zip(names, segments, strict=True) if name.startswith("{")}
        fits = all(name in variables or name == segment for name, segment in zip(names, segments, strict=True))
        return tuple(variables.values()) if fits and all(map(_can_be_an_id, variables.values())) else None

    def serve(self, event: HttpEvent, values: Iterable[str]) -> Response:
        """Read the request, in the order in which its parts may be wrong, and answer it."""
        user_id = "" if self.public else _user_of(event)
        query: Any = read_query(event.query_parameters, self.query)
        return self.endpoint(Request(event, user_id, read_body(event, self.body) if self.body else query), *values)


def _user_of(event: HttpEvent) -> str:
    caller = bootstrap.token_verifier().caller_of(event.headers.get("authorization"))
    return name_user(caller, event.headers.get("on-behalf-of"))


def _can_be_an_id(value: str) -> bool:
    try:
        check_segment("id", value, MAX_JOB_ID_CHARACTERS)
    except ValidationError:
        return False
    return True


def answer(routes: Sequence[Route], event: HttpEvent) -> Response:
    """Route one request. Raises NotFoundError: there is no such path; BadRequestError: it is not UTF-8."""
    found = _find(routes, event)
    methods = _methods(found)
    if event.method == "OPTIONS":
        headers = {name for route, _ in found for name in route.headers}
        return Response(204, headers={"Allow": ", ".join(methods), **preflight_headers(event, methods, headers)})
    method = "GET" if event.method == "HEAD" else event.method
    for route, values in found:
        if route.method == method:
            return route.serve(event, values)
    detail = f"{shown_name(event.method)} is not allowed here"
    return problem(405, "method_not_allowed", detail, request_id.get(), headers={"Allow": ", ".join(methods)})


def _find(routes: Sequence[Route], event: HttpEvent) -> list[tuple[Route, tuple[str, ...]]]:
    try:
        segments = event.segments
    except ValueError as error:
        raise BadRequestError("the path is not UTF-8") from error
    found = [(route, values) for route in routes if (values := route.values_in(segments)) is not None]
    if not found:
        raise NotFoundError("there is no such route")
    return found


def _methods(found: Sequence[tuple[Route, tuple[str, ...]]]) -> list[str]:
    methods = [route.method for route, _ in found]
    return [*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"]
