"""Read the parts of a request. What is wrong is told so that the caller can mend it, and never what was sent."""

import re
from collections.abc import Mapping
from typing import TypeVar

import pydantic

from json_body import parse_json, shown_name
from shared.domain.errors import BadRequestError, BodyTooLargeError, UnsupportedTypeError, ValidationError
from shared.fc.events import HttpEvent

M = TypeVar("M", bound=pydantic.BaseModel)
MAX_BODY_BYTES = 256 * 1024
MAX_WAIT_S = 60
_MAX_ERRORS = 20
_IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")
# What is repeated gives nothing back (*+, ++): else two neighbours that both take spaces try every way to share them.
_LIST_ITEM = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*+"?)++')
_PREFERENCE = re.compile(r'\s*+([^\s=;"]++)\s*+(?:=\s*+("(?:[^"\\]|\\.)*+"|[^\s;"]*+)\s*+)?+(?:;.*+)?+')


def read_body(event: HttpEvent, model: type[M]) -> M:
    """Return the JSON body as ``model``.

    Raises UnsupportedTypeError, BadRequestError, BodyTooLargeError or ValidationError.
    """
    _check_type(event.headers)
    value = parse_json(_body_of(event))
    if not isinstance(value, dict):
        rule = "must be a JSON object"
        raise ValidationError(f"the body {rule}", errors=[{"field": "body", "message": rule}])
    try:
        return model.model_validate(value)
    except pydantic.ValidationError as error:
        raise _to_caller_error(error) from error


def _check_type(headers: Mapping[str, str]) -> None:
    type_, *parameters = (part.strip().lower() for part in headers.get("content-type", "").split(";"))
    if type_ != "application/json":
        raise UnsupportedTypeError("the body must be of the Content-Type application/json")
    charsets = [part.removeprefix("charset=").strip('"') for part in parameters if part.startswith("charset=")]
    if any(charset != "utf-8" for charset in charsets):
        raise UnsupportedTypeError("the body must be UTF-8, which is JSON's only charset")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedTypeError("the body must come without a Content-Encoding")


def _body_of(event: HttpEvent) -> bytes:
    # Before anything is decoded: base64 takes four characters for three bytes.
    too_large = len(event.body) > MAX_BODY_BYTES * 4 // 3 + 4
    try:
        body = b"" if too_large else event.body_bytes
    except ValueError as error:
        raise BadRequestError(str(error)) from error
    if too_large or len(body) > MAX_BODY_BYTES:
        raise BodyTooLargeError(f"the body has more than {MAX_BODY_BYTES} bytes")
    return body


def read_query(parameters: Mapping[str, str], model: type[M]) -> M:
    """Return the query as ``model``. Raises ValidationError."""
    try:
        return model.model_validate_strings(dict(parameters))
    except pydantic.ValidationError as error:
        raise _to_caller_error(error) from error


def _to_caller_error(error: pydantic.ValidationError) -> ValidationError:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    fields = [
        {
            "field": shown_name(".".join(map(str, item["loc"]))) or "body",
            "message": item["msg"].removeprefix("Value error, "),
        }
        for item in problems[:_MAX_ERRORS]
    ]
    named = "; ".join(f"{item['field']}: {item['message']}" for item in fields)
    more = f"; and {len(problems) - _MAX_ERRORS} more" if len(problems) > _MAX_ERRORS else ""
    return ValidationError(f"the request breaks a rule: {named}{more}", errors=fields)


def read_prefer(event: HttpEvent, default_s: int) -> tuple[int, dict[str, str]]:
    """Return how long to wait, and the header that says which preferences were honoured (RFC 7240).

    With both ``respond-async`` and ``wait`` the answer comes after the wait at the latest. Raises BadRequestError.
    """
    preferences = _read_preferences(event.headers.get("prefer", ""))
    wait_s, applied = (0, ["respond-async"]) if preferences.get("respond-async") == "" else (default_s, [])
    if "wait" in preferences:
        wait_s = _read_wait_s(preferences["wait"])
        applied.append(f"wait={wait_s}")
    return wait_s, {"Preference-Applied": ", ".join(applied)} if applied else {}


def _read_preferences(header: str) -> dict[str, str]:
    """Return the value of each preference, unquoted. Of one that is repeated the first counts; parameters do not."""
    preferences: dict[str, str] = {}
    for item in _LIST_ITEM.findall(header):
        match = _PREFERENCE.fullmatch(item)
        if match:
            value = match[2] or ""
            quoted = value.startswith('"')
            preferences.setdefault(match[1].lower(), re.sub(r"\\(.)", r"\1", value[1:-1]) if quoted else value)
        elif item.strip():
            raise BadRequestError("Prefer must be a list of preferences, like respond-async, wait=30")
    return preferences


def _read_wait_s(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", value):
        raise BadRequestError("Prefer: wait must be a whole number of seconds, like wait=30")
    return min(int(value), MAX_WAIT_S)


def read_idempotency_key(event: HttpEvent) -> str | None:
    """Return the caller's key for this request, or None. Raises BadRequestError."""
    key = event.headers.get("idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise BadRequestError("Idempotency-Key must have 1 to 255 printable ASCII characters")
    return key
