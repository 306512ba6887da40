"""The errors: RFC 9457 problems, and the errors that Function Compute returns instead of the function."""

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from inspect import getdoc
from typing import Annotated, Any

from pydantic import BaseModel, Field

from openapi.headers import problem_headers
from openapi.text import to_markdown
from request_parsing import MAX_BODY_BYTES
from routing import Route
from shared.domain.errors import CallerError
from shared.presentation import Json

_OF_EVERY_ROUTE = (400, 422, 500, 502, 503)  # 422 at least for an unknown query parameter
_OF_WHO_ASKS = (401, 403)
_BY_FUNCTION_COMPUTE = (400, 502)
_MEANINGS = {
    401: "The token is missing, or it is not valid; the message says why. The codes follow RFC 6750.",
    429: "The user has used up a quota. `Retry-After` says when to try again.",
    500: "The service has a defect, or a setting is missing; the log says which.",
    502: "The function did not answer.",
    503: "The storage or the database is not available. Nothing was lost, and repeating the request is safe.",
}
_LIMITS = " Function Compute itself refuses more than 8 KB of headers, 4 KB of path and query, or 32 MB of body."


class FieldErrorJson(Json):
    """A field, and what is wrong with it."""

    field: str
    message: str


class ProblemJson(Json):
    """An RFC 9457 problem. ``code`` is for programs and never changes; ``detail`` is for people."""

    type: Annotated[str, Field(json_schema_extra={"format": "uri-reference"})]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    code: Annotated[str, Field(pattern="^[a-z_]+$")]
    request_id: Annotated[str, Field(description="The id of the request in the log.")]
    errors: Annotated[list[FieldErrorJson], Field(description="The invalid fields of a 422.")] = Field([])


class FunctionComputeErrorJson(BaseModel):
    """An error of Function Compute itself."""

    Code: str
    Message: str
    RequestId: str


def problem_statuses(route: Route) -> list[int]:
    """Return the statuses of a route's errors."""
    return sorted({*_OF_EVERY_ROUTE, *route.problems, *(() if route.public else _OF_WHO_ASKS)})


def problem_answers(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the answers of all problems, by name."""
    statuses = {status for route in routes for status in problem_statuses(route)}
    return {component(status): _answer(status) for status in sorted(statuses)}


def component(status: int) -> str:
    """Return the name of a problem's answer: ``BadRequest``."""
    return HTTPStatus(status).phrase.replace(" ", "").replace("-", "")


def _answer(status: int) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if status != 502:
        content["application/problem+json"] = _content(ProblemJson, _example(status))
    if status in _BY_FUNCTION_COMPUTE:
        content["application/json"] = _content(FunctionComputeErrorJson, _foreign_example(status))
    headers = problem_headers(status)
    return {"description": _meaning(status), **({"headers": headers} if headers else {}), "content": content}


def _content(model: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}, "example": example}


def _meaning(status: int) -> str:
    meanings = [to_markdown(getdoc(error)) for error in _errors(CallerError) if error.status == status]
    return _MEANINGS.get(status) or " ".join(meanings) + (_LIMITS if status == 400 else "")


def _errors(root: type[CallerError]) -> Iterator[type[CallerError]]:
    for error in root.__subclasses__():
        yield error
        yield from _errors(error)


def _example(status: int) -> dict[str, Any]:
    codes = [error.code for error in _errors(CallerError) if error.status == status]
    codes += ["database_unavailable"] if status == 503 else ["internal_error"]
    errors = [{"field": "prompt", "message": "is missing; it is required"}]
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": _DETAILS[status],
        "code": codes[0],
        "requestId": "1-6744d2b1-15f0d3a2-8d6c0e5b7f21",
    } | ({"errors": errors} if status == 422 else {})


def _foreign_example(status: int) -> dict[str, Any]:
    code, message = _FOREIGN[status]
    return {"Code": code, "Message": message, "RequestId": "1-6744d2b1-15f0d3a2-8d6c0e5b7f21"}


_FOREIGN = {
    400: ("InvalidArgument", "the headers exceed 8192 bytes"),
    502: ("BadResponse", "the function did not return an answer; its log says why"),
}
_DETAILS = {
    400: "the body is not valid JSON: Expecting value: line 1 column 12 (char 11)",
    401: "the token is missing; send it in the header: Authorization: Bearer <token>",
    403: "On-Behalf-Of is for service tokens; this token acts for its own user only",
    404: "this job does not exist",
    409: "the job has not ended; cancel it first",
    413: f"the body is too large; it must have at most {MAX_BODY_BYTES} bytes",
    415: "the Content-Type of the body must be application/json",
    422: "prompt is missing; it is required",
    429: "you have started 5000 of 5000 jobs today; the day ends at 00:00 UTC",
    500: "Internal Server Error",
    503: "the database did not answer; nothing was lost",
}
