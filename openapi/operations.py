"""One operation: its parameters, its body and its answers."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from inspect import getdoc
from typing import Any

from pydantic import BaseModel

from openapi.examples import examples
from openapi.headers import answer_headers
from openapi.links import links
from openapi.problems import component, problem_statuses
from openapi.schemas import query_parameters, reference
from openapi.text import operation_id, to_markdown
from routing import Route

_MEANINGS = {
    202: "Accepted, but not finished yet.",
    204: "Done.",
    304: "Not modified: the answer that you have is current.",
}


def tag_of(route: Route) -> str:
    """Return the subject of a route: the module of its endpoint."""
    return route.endpoint.__module__.rpartition(".")[2]


def describe_operation(route: Route, routes: Sequence[Route]) -> dict[str, Any]:
    """Return the description of one of ``routes``."""
    parameters = _parameters(route)
    summary, _, rest = to_markdown(getdoc(route.endpoint)).partition("\n\n")
    return {
        "operationId": operation_id(route),
        "tags": [tag_of(route)],
        "summary": summary,
        **({"description": rest} if rest else {}),
        **({"security": []} if route.public else {}),
        **({"parameters": parameters} if parameters else {}),
        **({"requestBody": {"required": True, "content": _content(route.body)}} if route.body else {}),
        "responses": _answers(route, routes),
    }


def _parameters(route: Route) -> list[dict[str, Any]]:
    path = [_path_parameter(name) for name in re.findall(r"\{(\w+)\}", route.path)]
    headers = [{"$ref": f"#/components/parameters/{name}"} for name in sorted(route.headers)]
    return path + query_parameters(route) + headers


def _path_parameter(name: str) -> dict[str, Any]:
    # Jobs of the previous system may have ids of other forms.
    schema = {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _answers(route: Route, routes: Sequence[Route]) -> dict[str, Any]:
    found = {status: _answer(route, status, routes) for status in route.answers}
    found |= {status: {"$ref": f"#/components/responses/{component(status)}"} for status in problem_statuses(route)}
    return {str(status): found[status] for status in sorted(found)}


def _answer(route: Route, status: int, routes: Sequence[Route]) -> dict[str, Any]:
    model, headers = route.answers[status], answer_headers(route, status)
    described: dict[str, Any] = {"description": _meaning(model, status)}
    if headers:
        described["headers"] = headers
    if model is not None:
        described["content"] = _content(model, status)
        if linked := links(route, model, routes):
            described["links"] = linked
    return described


def _meaning(model: type[BaseModel] | None, status: int) -> str:
    return _MEANINGS.get(status) or (to_markdown(getdoc(model)) if model else HTTPStatus(status).phrase)


def _content(model: type[BaseModel], status: int = 200) -> dict[str, Any]:
    found = examples(model, status=status)
    return {"application/json": {"schema": reference(model)} | ({"examples": found} if found else {})}
