"""The OpenAPI description: up to date, valid, and of exactly the routes of the API."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.api_routes import ROUTES

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "functions" / "api" / "openapi.json"
MAX_BYTES = 200 * 1024
DOCUMENT: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
METHODS = ("get", "post", "delete")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def resolve(value: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in value:
        return value
    found = DOCUMENT
    for name in value["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def shown() -> Iterator[tuple[str, dict[str, Any], list[Any]]]:
    """Every place with a schema: its name, the schema, and its examples."""
    for method, path, operation in operations():
        where = f"{method} {path}"
        if "requestBody" in operation:
            yield from _of_content(f"{where} body", operation["requestBody"])
        for status, answer in operation["responses"].items():
            yield from _of_content(f"{where} {status}", resolve(answer))
    for kind in ("parameters", "headers"):
        for name, item in DOCUMENT["components"][kind].items():
            yield f"{kind} {name}", item["schema"], _examples(item)


def _of_content(where: str, holder: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], list[Any]]]:
    for media_type, content in holder.get("content", {}).items():
        yield f"{where} {media_type}", content["schema"], _examples(content)


def _examples(item: dict[str, Any]) -> list[Any]:
    return (
        [item["example"]]
        if "example" in item
        else [resolve(each)["value"] for each in item.get("examples", {}).values()]
    )


PLACES = list(shown())


def test_the_file_is_up_to_date(tmp_path: Path) -> None:
    new = tmp_path / "openapi.json"
    subprocess.run([sys.executable, "-m", "openapi", str(new)], cwd=ROOT, check=True)
    assert new.read_text() == FILE.read_text(), "functions/api/openapi.json is out of date: run `make openapi`"


def test_the_description_is_valid_openapi_3_1_and_small_enough_to_serve() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    assert FILE.stat().st_size <= MAX_BYTES


def test_the_description_has_every_route_and_no_other() -> None:
    described = {(method, path): operation for method, path, operation in operations()}
    assert described.keys() == {(route.method.lower(), route.path) for route in ROUTES}
    for route in ROUTES:
        operation = described[route.method.lower(), route.path]
        statuses = {str(status) for status in [*route.answers, *route.problems, 422, 500, 503]}
        assert operation["responses"].keys() >= statuses, route
        assert ("401" not in operation["responses"]) == route.public == (operation.get("security") == [])


def test_every_operation_has_a_unique_name_and_a_summary() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))
    assert all(operation["summary"].endswith(".") and operation["tags"] for _, _, operation in operations())


def test_every_link_leads_to_an_operation_with_its_parameters() -> None:
    taken = {
        operation["operationId"]: {resolve(parameter)["name"] for parameter in operation.get("parameters", ())}
        for _, _, operation in operations()
    }
    links = [
        (name, link)
        for _, _, operation in operations()
        for answer in operation["responses"].values()
        for name, link in resolve(answer).get("links", {}).items()
    ]
    assert {name for name, _ in links} >= {
        "getJob",
        "getJobOutputs",
        "cancelJob",
        "deleteJob",
        "deleteOutput",
        "nextPage",
    }
    for _, link in links:
        assert link["parameters"].keys() <= taken[link["operationId"]]


@pytest.mark.parametrize(("where", "schema", "examples"), PLACES, ids=[where for where, _, _ in PLACES])
def test_every_example_is_valid(where: str, schema: dict[str, Any], examples: list[Any]) -> None:
    assert examples, "an example is missing"
    whole = {**schema, "components": DOCUMENT["components"]}
    for example in examples:
        Draft202012Validator(whole, format_checker=FormatChecker()).validate(example)
