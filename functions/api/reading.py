"""Read the parts of a request. What is wrong is told so that the caller can mend it."""

import re
from collections.abc import Mapping
from typing import TypeVar

import pydantic

from shared.domain.errors import BadRequestError, BodyTooLargeError, UnsupportedTypeError, ValidationError
from shared.fc.events import HttpEvent

M = TypeVar("M", bound=pydantic.BaseModel)
MAX_BODY_BYTES = 256 * 1024
MAX_WAIT_S = 60
_IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")


def read_body(event: HttpEvent, model: type[M]) -> M:
    """Return the JSON body as ``model``.

    Raises UnsupportedTypeError, BadRequestError, BodyTooLargeError or ValidationError.
    """
    content_type = event.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise UnsupportedTypeError(f"the body must be application/json, not {content_type or 'of no type'}")
    try:
        body = event.body_bytes
    except ValueError as error:
        raise BadRequestError(str(error)) from error
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLargeError(f"the body has {len(body)} bytes, more than {MAX_BODY_BYTES}")
    try:
        return model.model_validate_json(body)
    except pydantic.ValidationError as error:
        raise _to_caller_error(error) from error


def read_query(parameters: Mapping[str, str], model: type[M]) -> M:
    """Return the query as ``model``. Raises ValidationError."""
    try:
        return model.model_validate_strings(dict(parameters))
    except pydantic.ValidationError as error:
        raise _to_caller_error(error) from error


def _to_caller_error(error: pydantic.ValidationError) -> BadRequestError | ValidationError:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    if problems[0]["type"] == "json_invalid":
        return BadRequestError(f"the body is no JSON: {problems[0]['msg']}")
    fields = [{"field": ".".join(map(str, item["loc"])) or "body", "message": item["msg"]} for item in problems]
    named = "; ".join(f"{item['field']}: {item['message']}" for item in fields)
    return ValidationError(f"the request breaks a rule: {named}", errors=fields)


def read_prefer(event: HttpEvent, default_s: int) -> tuple[int, dict[str, str]]:
    """Return how long to wait, and the header that says which preference was honoured (RFC 7240)."""
    for preference in re.split(r"[,;]", event.headers.get("prefer", "")):
        name, _, value = (part.strip() for part in preference.partition("="))
        if name.lower() == "respond-async":
            return 0, {"Preference-Applied": "respond-async"}
        if name.lower() == "wait":
            number = value.strip('"')
            if not re.fullmatch(r"\d{1,6}", number):
                raise BadRequestError("Prefer: wait must be a whole number of seconds, like wait=30")
            wait_s = min(int(number), MAX_WAIT_S)
            return wait_s, {"Preference-Applied": f"wait={wait_s}"}
    return default_s, {}


def read_idempotency_key(event: HttpEvent) -> str | None:
    """Return the caller's key for this request, or None. Raises BadRequestError."""
    key = event.headers.get("idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise BadRequestError("Idempotency-Key must have 1 to 255 printable ASCII characters")
    return key
