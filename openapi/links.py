"""OpenAPI links: which operations can be called with what an answer holds."""

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from openapi.text import operation_id
from routing import Route
from shared.presentation import JobJson, OutputJson

_VARIABLES: dict[type[BaseModel], str] = {JobJson: "jobId", OutputJson: "outputId"}


def shows_job(model: type[BaseModel] | None) -> bool:
    """Tell whether an answer is a job, whatever its model adds to it."""
    return model is not None and issubclass(model, JobJson)


def links(route: Route, model: type[BaseModel], routes: Sequence[Route]) -> dict[str, Any]:
    """Return the links of an answer of ``route`` that is a ``model``."""
    found = {
        operation_id(target): {"operationId": operation_id(target), "parameters": {variable: expression}}
        for variable, expression in _ids(model)
        for target in routes
        if target is not route and f"{{{variable}}}" in target.path
    }
    if "cursor" in route.query.model_fields:
        next_page = {"cursor": "$response.body#/nextCursor"}
        found["nextPage"] = {"operationId": operation_id(route), "parameters": next_page}
    return found


def _ids(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    for shown, variable in _VARIABLES.items():
        if issubclass(model, shown):
            yield variable, "$response.body#/id"
        # The outputs of a job are no such list: while it is at work there are none.
        if any(_is(item, shown) for item in get_args(_type_of(model, "data"))):
            yield variable, "$response.body#/data/0/id"


def _type_of(model: type[BaseModel], field: str) -> Any:
    return model.model_fields[field].annotation if field in model.model_fields else None


def _is(item: Any, model: type[BaseModel]) -> bool:
    return isinstance(item, type) and issubclass(item, model)
