"""The whole OpenAPI document."""

import sys
from collections.abc import Sequence
from inspect import getdoc
from itertools import groupby
from typing import Any

from openapi.examples import component_examples
from openapi.headers import ANSWER_HEADERS, REQUEST_HEADERS
from openapi.operations import describe_operation, tag_of
from openapi.problems import problem_answers
from openapi.schemas import answered, bodies, component_schemas
from openapi.text import to_markdown
from routing import Route
from shared.version import VERSION

_INTRODUCTION = """
Generates images and videos, and stores every one of them in OSS.

Every path is also served under `/api`. Every `GET` also exists as `HEAD`. `OPTIONS` returns the methods of a path; any
other method is a 405 with `Allow`. A field or query parameter that is not listed here is a 422 that names the allowed
ones, so that a typo has no silent effect.

A request to start a job is answered with 200 if the job ends within the wait. Otherwise the answer is a 202: `GET` the
path in `Location` after `Retry-After` seconds, or with `Prefer: wait=60`. Every error is an RFC 9457 problem; its
`code` never changes.
"""
_BEARER = """
A JWT, signed with RS256 or ES256 (JWKS) or with HS256 (secret), depending on the deployment.

A back end whose token has the scope `act-for-user` must name the user in the header `On-Behalf-Of`, percent-encoded.
With any other token this header is a 403.
"""


def describe(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the description of the API that serves ``routes``."""
    by_path = groupby(sorted(routes, key=lambda route: route.path), key=lambda route: route.path)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Dream Factory media API",
            "version": VERSION,
            "description": to_markdown(_INTRODUCTION),
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}, {"url": "/api"}],
        "tags": _tags(routes),
        "security": [{"token": []}],
        "paths": {path: _path(list(group), routes) for path, group in by_path},
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": to_markdown(_BEARER),
                }
            },
            "schemas": component_schemas(routes),
            "parameters": {name: REQUEST_HEADERS[name] for name in sorted(_request_headers(routes))},
            "examples": component_examples([*answered(routes), *bodies(routes)]),
            "headers": dict(sorted(ANSWER_HEADERS.items())),
            "responses": problem_answers(routes),
        },
    }


def _path(operations: Sequence[Route], routes: Sequence[Route]) -> dict[str, Any]:
    return {route.method.lower(): describe_operation(route, routes) for route in operations}


def _tags(routes: Sequence[Route]) -> list[dict[str, str]]:
    modules = {tag_of(route): sys.modules[route.endpoint.__module__] for route in routes}
    return [{"name": tag, "description": to_markdown(getdoc(modules[tag]))} for tag in sorted(modules)]


def _request_headers(routes: Sequence[Route]) -> set[str]:
    return {name for route in routes for name in route.headers}
