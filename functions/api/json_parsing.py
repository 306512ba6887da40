"""Parse JSON strictly (RFC 8259), where Python's parser accepts more.

A name that occurs twice, NaN, numbers beyond a double and half surrogate pairs are refused, because two parsers could
understand them differently.
"""

import json
import math
from typing import Any, NoReturn

from shared.domain.errors import BadRequestError, ValidationError

_NAME_CHARACTERS = 64


def parse_json(body: bytes) -> Any:
    """Return the value of a JSON body.

    Raises BadRequestError: the body is not valid JSON in UTF-8, or nested too deeply; ValidationError: a name occurs
    twice.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BadRequestError("the body is not valid UTF-8") from error
    if not text.strip():
        raise BadRequestError("the body is empty; it must be a JSON object")
    if text.startswith("\ufeff"):
        raise BadRequestError("the body is not valid JSON: a byte order mark at the beginning is not allowed")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite)
        if "\\ud" in text.lower():  # only an escape can bring half of a surrogate pair
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise BadRequestError("the body is not valid JSON: half of a surrogate pair is not allowed") from error
    except json.JSONDecodeError as error:
        raise BadRequestError(f"the body is not valid JSON: {error}") from error
    except ValueError as error:
        raise BadRequestError("the body contains a number with too many digits") from error
    except RecursionError as error:
        raise BadRequestError("the body is nested too deeply") from error
    return value


def shown_name(name: str) -> str:
    """Return a name that the caller chose in a form that is safe in an answer: printable, 64 characters at most."""
    printable = "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in name[:_NAME_CHARACTERS])
    return printable if len(name) <= _NAME_CHARACTERS else f"{printable}…"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            field, rule = shown_name(name), "occurs more than once in the same object; it must occur once"
            raise ValidationError(f'field "{field}" {rule}', errors=[{"field": field, "message": rule}])
        members[name] = value
    return members


def _refuse_constant(text: str) -> NoReturn:
    raise BadRequestError(f"the body is not valid JSON: {text} is not allowed")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise BadRequestError("the body contains a number that is too large for a double")
    return number
