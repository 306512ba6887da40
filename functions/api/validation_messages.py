"""What callers read when a field or a query parameter breaks a rule. pydantic's own messages never reach a caller.

Each message is a rule for a sentence that begins with the field's name: ``must have at most 4000 characters; it has
4001``. Texts that the caller sent are never repeated, except for short names of unknown fields, and numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pydantic
from pydantic_core import ErrorDetails

from json_parsing import shown_name
from shared.domain.errors import ValidationError

_MAX_ERRORS = 20
_MAX_ERRORS_IN_DETAIL = 5
_MAX_DIGITS = 20
_UNKNOWN = "extra_forbidden"
_JSON_TYPES: Mapping[type, str] = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


def to_validation_error(
    error: pydantic.ValidationError, model: type[pydantic.BaseModel], *, kind: str
) -> ValidationError:
    """Return pydantic's error as the 422 for the caller; ``kind`` is "field" or "query parameter"."""
    problems = error.errors(include_url=False)
    shown = [_describe(problem, model, kind) for problem in problems[:_MAX_ERRORS]]
    sentences = [sentence for _, _, sentence in shown[:_MAX_ERRORS_IN_DETAIL]]
    left = len(problems) - len(sentences)
    more = [f"and {left} more"] if left else []
    errors = [{"field": field, "message": message} for field, message, _ in shown]
    return ValidationError("; ".join([*sentences, *more]), errors=errors)


def _describe(problem: ErrorDetails, model: type[pydantic.BaseModel], kind: str) -> tuple[str, str, str]:
    """Return the field's name, its message, and the sentence of both."""
    name = ".".join(map(str, problem["loc"]))
    field = shown_name(name)
    if problem["type"] == _UNKNOWN:
        message = _unknown_name(name, model, kind)
        return field, message, message
    message = _MESSAGES[problem["type"]](problem.get("ctx", {}), problem["input"])
    return field, message, f"{field} {message}"


def _unknown_name(name: str, model: type[pydantic.BaseModel], kind: str) -> str:
    allowed = sorted(field.alias or own_name for own_name, field in model.model_fields.items())
    unknown = f'unknown {kind} "{shown_name(name)}"'
    if not allowed:
        return f"{unknown}; this request has no {kind}s"
    nearest = _nearest(name, allowed) if name == shown_name(name) else None
    guess = f'; did you mean "{nearest}"?' if nearest else "."
    return f"{unknown}{guess} Allowed {kind}s: {', '.join(allowed)}"


def _nearest(name: str, allowed: Sequence[str]) -> str | None:
    from difflib import get_close_matches  # only a typo pays for the module

    by_lower_case = {each.lower(): each for each in allowed}
    found = get_close_matches(name.lower(), by_lower_case, n=1)
    return by_lower_case[found[0]] if found else None


def _wrong_type(expected: str) -> Callable[[Any, Any], str]:
    return lambda context, value: f"must be {expected}, not {_JSON_TYPES[type(value)]}"


def _integer(context: Any, value: Any) -> str:
    given = "a number with a fraction or an exponent" if isinstance(value, float) else _JSON_TYPES[type(value)]
    return f"must be an integer, not {given}"


def _literal(context: Mapping[str, Any], value: Any) -> str:
    return f"must be {str(context['expected']).replace(chr(39), chr(34))}"


def _given(value: Any) -> str:
    """Return a number for a message, which the query has as digits; a long number is left out."""
    if isinstance(value, int):
        return f"; it is {value}" if abs(value) < 10**_MAX_DIGITS else ""
    return f"; it is {value}" if len(value) <= _MAX_DIGITS else ""


def _too_few(context: Mapping[str, Any], value: str) -> str:
    return f"must have at least {_characters(context['min_length'])}; it has {len(value)}"


def _too_many(context: Mapping[str, Any], value: str) -> str:
    return f"must have at most {_characters(context['max_length'])}; it has {len(value)}"


def _characters(number: int) -> str:
    return f"{number} character{'' if number == 1 else 's'}"


# By pydantic's type of error: https://docs.pydantic.dev/latest/errors/validation_errors/. Every type that the models of
# this API can raise is here.
_MESSAGES: Mapping[str, Callable[[Mapping[str, Any], Any], str]] = {
    "missing": lambda context, value: "is missing; it is required",
    "string_type": _wrong_type("a string"),
    "string_too_short": _too_few,
    "string_too_long": _too_many,
    "int_type": _integer,
    "int_parsing_size": lambda context, value: "has too many digits",
    "greater_than_equal": lambda context, value: f"must be at least {context['ge']}{_given(value)}",
    "less_than_equal": lambda context, value: f"must be at most {context['le']}{_given(value)}",
    "literal_error": _literal,
    "value_error": lambda context, value: str(context["error"]),
}
