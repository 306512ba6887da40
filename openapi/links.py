"""OpenAPI links: the operations that can be called with the ids and cursors in an answer."""

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from openapi.text import operation_id
from routing import Route
from shared.presentation import JobJson, OutputJson

_VARIABLES: dict[type[BaseModel], str] = {JobJson: "jobId", OutputJson: "outputId"}


def shows_job(model: type[BaseModel] | None) -> bool:
    """Return whether an answer is a job, possibly with more fields."""
    return model is not None and issubclass(model, JobJson)


def links(route: Route, model: type[BaseModel], routes: Sequence[Route]) -> dict[str, Any]:
    """Return the links of an answer of ``route`` whose model is ``model``."""
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
        # A job's own list of outputs gets no link: it is empty until the job has succeeded.
        if any(_is(item, shown) for item in get_args(_type_of(model, "data"))):
            yield variable, "$response.body#/data/0/id"


def _type_of(model: type[BaseModel], field: str) -> Any:
    return model.model_fields[field].annotation if field in model.model_fields else None


def _is(item: Any, model: type[BaseModel]) -> bool:
    return isinstance(item, type) and issubclass(item, model)
