"""Read JSON as RFC 8259 has it, where Python's reader takes more.

A name that occurs twice, NaN, numbers beyond a double and half surrogate pairs are refused: two readers could
understand them differently.
"""

import json
import math
from typing import Any, NoReturn

from shared.domain.errors import BadRequestError, ValidationError

_NAME_CHARACTERS = 64


def parse_json(body: bytes) -> Any:
    """Return what the body says.

    Raises BadRequestError: it is no JSON in UTF-8, or nested too deeply; ValidationError: a name occurs twice.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BadRequestError("the body is not UTF-8") from error
    if not text.strip():
        raise BadRequestError("the body is empty; it must be a JSON object")
    if text.startswith("\ufeff"):
        raise BadRequestError("the body begins with a byte order mark, which JSON must not")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite)
        if "\\ud" in text.lower():  # the only way for half of a pair to come through
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise BadRequestError("the body holds half of a surrogate pair") from error
    except json.JSONDecodeError as error:
        raise BadRequestError(f"the body is no JSON: {error}") from error
    except ValueError as error:
        raise BadRequestError("the body holds a number of too many digits") from error
    except RecursionError as error:
        raise BadRequestError("the body is nested too deeply") from error
    return value


def shown_name(name: str) -> str:
    """Return a name that the caller chose as an answer may hold it: short, and printable."""
    printable = "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in name[:_NAME_CHARACTERS])
    return printable if len(name) <= _NAME_CHARACTERS else f"{printable}…"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            field = shown_name(name)
            raise ValidationError(
                f"{field} occurs twice in one object", errors=[{"field": field, "message": "must occur once"}]
            )
        members[name] = value
    return members


def _refuse_constant(text: str) -> NoReturn:
    raise BadRequestError(f"the body is no JSON: {text} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise BadRequestError("the body holds a number that is too large")
    return number
