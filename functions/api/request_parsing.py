"""Parse the parts of a request: body, query, Prefer and Idempotency-Key. Errors say what is wrong and what is right."""

import re
from collections.abc import Mapping
from typing import TypeVar

import pydantic

from api_models import UrlRules
from json_parsing import parse_json
from shared.domain.errors import BadRequestError, BodyTooLargeError, UnsupportedTypeError, ValidationError
from shared.domain.media_type import MediaType
from shared.fc.events import HttpEvent
from validation_messages import to_validation_error

M = TypeVar("M", bound=pydantic.BaseModel)
MAX_BODY_BYTES = 256 * 1024
MAX_WAIT_S = 60
DEFAULT_WAIT_S = {MediaType.IMAGE: 30, MediaType.VIDEO: 0}
MAX_KEY_CHARACTERS = 255
_IDEMPOTENCY_KEY = re.compile(rf"[\x20-\x7e]{{1,{MAX_KEY_CHARACTERS}}}")
# Possessive quantifiers (*+, ++) never give back. Otherwise two neighbours that both accept spaces would try every way
# to share the spaces.
_LIST_ITEM = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*+"?)++')
_PREFERENCE = re.compile(r'\s*+([^\s=;"]++)\s*+(?:=\s*+("(?:[^"\\]|\\.)*+"|[^\s;"]*+)\s*+)?+(?:;.*+)?+')


def read_body(event: HttpEvent, model: type[M], rules: UrlRules) -> M:
    """Return the JSON body as ``model``; ``rules`` are for the URLs in it.

    Raises UnsupportedTypeError, BadRequestError, BodyTooLargeError or ValidationError.
    """
    _check_type(event.headers)
    value = parse_json(_body_of(event))
    if not isinstance(value, dict):
        rule = "must be a JSON object"
        raise ValidationError(f"the body {rule}", errors=[{"field": "body", "message": rule}])
    try:
        return model.model_validate(value, context=rules)
    except pydantic.ValidationError as error:
        raise to_validation_error(error, model, kind="field") from error


def _check_type(headers: Mapping[str, str]) -> None:
    type_, *parameters = (part.strip().lower() for part in headers.get("content-type", "").split(";"))
    if type_ != "application/json":
        raise UnsupportedTypeError("the Content-Type of the body must be application/json")
    charsets = [part.removeprefix("charset=").strip('"') for part in parameters if part.startswith("charset=")]
    if any(charset != "utf-8" for charset in charsets):
        raise UnsupportedTypeError("the charset of the body must be utf-8, the only charset of JSON")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedTypeError("the body must not have a Content-Encoding")


def _body_of(event: HttpEvent) -> bytes:
    # This check comes before decoding. Base64 has four characters for three bytes.
    too_large = len(event.body) > MAX_BODY_BYTES * 4 // 3 + 4
    try:
        body = b"" if too_large else event.body_bytes
    except ValueError as error:
        raise BadRequestError(str(error)) from error
    if too_large or len(body) > MAX_BODY_BYTES:
        raise BodyTooLargeError(f"the body is too large; it must have at most {MAX_BODY_BYTES} bytes")
    return body


def read_query(parameters: Mapping[str, str], model: type[M]) -> M:
    """Return the query as ``model``. Raises ValidationError."""
    try:
        return model.model_validate_strings(dict(parameters))
    except pydantic.ValidationError as error:
        raise to_validation_error(error, model, kind="query parameter") from error


def read_prefer(event: HttpEvent, default_s: int) -> tuple[int, dict[str, str]]:
    """Return the seconds to wait, and the header that names the preferences that are applied (RFC 7240).

    With both ``respond-async`` and ``wait`` the answer comes after the wait at the latest. Raises BadRequestError.
    """
    preferences = _read_preferences(event.headers.get("prefer", ""))
    wait_s, applied = (0, ["respond-async"]) if preferences.get("respond-async") == "" else (default_s, [])
    if "wait" in preferences:
        wait_s = _read_wait_s(preferences["wait"])
        applied.append(f"wait={wait_s}")
    return wait_s, {"Preference-Applied": ", ".join(applied)} if applied else {}


def _read_preferences(header: str) -> dict[str, str]:
    """Return the value of each preference, without quotes. Only the first of repeated preferences counts.

    Parameters of preferences are ignored.
    """
    preferences: dict[str, str] = {}
    for item in _LIST_ITEM.findall(header):
        match = _PREFERENCE.fullmatch(item)
        if match:
            value = match[2] or ""
            quoted = value.startswith('"')
            preferences.setdefault(match[1].lower(), re.sub(r"\\(.)", r"\1", value[1:-1]) if quoted else value)
        elif item.strip():
            raise BadRequestError("Prefer is not a valid list of preferences; a valid list is: respond-async, wait=30")
    return preferences


def _read_wait_s(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", value):
        raise BadRequestError("Prefer: wait must be an integer number of seconds, like wait=30")
    return min(int(value), MAX_WAIT_S)


def read_idempotency_key(event: HttpEvent) -> str | None:
    """Return the idempotency key of this request, or None without one. Raises BadRequestError."""
    key = event.headers.get("idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise BadRequestError(f"Idempotency-Key must have 1 to {MAX_KEY_CHARACTERS} printable ASCII characters")
    return key
