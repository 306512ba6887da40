"""The models of bodies and answers as component schemas."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from openapi.problems import FunctionComputeErrorJson, ProblemJson
from openapi.text import to_markdown
from routing import Route

_REFERENCE = "#/components/schemas/{model}"


class _WithoutTitles(GenerateJsonSchema):
    """Schemas without titles: pydantic would give ``webhookUrl`` the title "Webhookurl"."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Set no title."""
        return False


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Return a reference to the schema of a model."""
    return {"$ref": _REFERENCE.format(model=model.__name__)}


def answered(routes: Iterable[Route]) -> set[type[BaseModel]]:
    """Return the models of all answers that are not problems."""
    return {model for route in routes for model in route.answers.values() if model is not None}


def bodies(routes: Iterable[Route]) -> list[type[BaseModel]]:
    """Return the models of all bodies."""
    return [route.body for route in routes if route.body is not None]


def component_schemas(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the schemas of all bodies and answers, by name."""
    shown: set[type[BaseModel]] = {ProblemJson, FunctionComputeErrorJson, *answered(routes)}
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (model, "serialization") for model in sorted(shown, key=lambda model: model.__name__)
    ]
    models += [(model, "validation") for model in bodies(routes)]
    _, schema = models_json_schema(models, ref_template=_REFERENCE, schema_generator=_WithoutTitles)
    return {name: _tidy(definition) for name, definition in sorted(schema["$defs"].items())}


def query_parameters(route: Route) -> list[dict[str, Any]]:
    """Return the query parameters of a route."""
    schema = route.query.model_json_schema(schema_generator=_WithoutTitles)
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, **_described(field)}
        for name, field in schema.get("properties", {}).items()
    ]


def _described(field: dict[str, Any]) -> dict[str, Any]:
    schema = _without_null(field)
    description = schema.pop("description", None)
    return ({"description": description} if description else {}) | {"schema": schema}


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    # An optional query parameter cannot be null: a query has no way to write null.
    rest = {name: value for name, value in field.items() if name not in {"anyOf", "default"}}
    variants = [variant for variant in field.get("anyOf", ()) if variant != {"type": "null"}]
    default = {} if field.get("default") is None else {"default": field["default"]}
    return {**rest, **(variants[0] if len(variants) == 1 else {"anyOf": variants} if variants else {}), **default}


def _tidy(definition: dict[str, Any]) -> dict[str, Any]:
    tidied = {name: value for name, value in definition.items() if name != "title"}
    if "description" in tidied:
        tidied["description"] = to_markdown(tidied["description"])
    if "properties" in tidied:
        tidied["properties"] = {name: _without_empty_default(field) for name, field in tidied["properties"].items()}
    return tidied


def _without_empty_default(field: dict[str, Any]) -> dict[str, Any]:
    # This kind of default only says that a field is optional, but client generators treat the field as always present.
    return {name: value for name, value in field.items() if name != "default" or value not in (None, [])}
