"""Read providers' answers, which may contain anything.

Each part that is as documented becomes a result; each other part becomes a refused result with a reason.
"""

from collections.abc import Callable
from typing import Any

from shared.domain.errors import ProviderFailedError
from shared.domain.texts import bounded
from shared.ports import Finished, RefusedResult, Result

Read = Callable[[Any, str], list[Result]]  # takes a part of an answer, and the path of the part for messages
_NAMES = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


class OddAnswerError(Exception):
    """A part of an answer is not as documented; the message names the part."""


def odd(path: str, value: object, expected: str) -> OddAnswerError:
    """Return the error for ``value`` at ``path``."""
    found = "an empty string" if value == "" else _NAMES[type(value)]
    return OddAnswerError(f"the provider's answer is not as documented: {path} is {found}, not {expected}")


def text_at(value: object, *path: str) -> str | None:
    """Return the text at a path of names, or None if it is missing, empty or not a string."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) and value else None


def object_in(value: object, path: str) -> dict[str, Any]:
    """Return ``value`` if it is an object. Raises OddAnswerError."""
    if not isinstance(value, dict):
        raise odd(path, value, "an object")
    return value


def reason_in(value: object) -> str:
    """Return the ``code`` and the ``message`` of a provider's error."""
    return bounded(f"{text_at(value, 'code') or 'no code'}: {text_at(value, 'message') or 'no message'}")


def read_part(read: Read, value: object, path: str) -> list[Result]:
    """Return the results in a part of an answer.

    A part that is not as documented becomes a refused result: the other results were paid for and are kept.
    """
    try:
        return read(value, path)
    except OddAnswerError as error:
        return [RefusedResult(bounded(str(error)))]


def read_each(read: Read, value: object, path: str) -> list[Result]:
    """Return the results in the items of an array. Raises OddAnswerError: it is not an array."""
    if not isinstance(value, list):
        raise odd(path, value, "an array")
    return [result for index, item in enumerate(value) for result in read_part(read, item, f"{path}[{index}]")]


def delivered(name: str, found: list[Result]) -> Finished:
    """Return the results. Raises ProviderFailedError: the provider ``name`` has delivered nothing."""
    refused = [result for result in found if isinstance(result, RefusedResult)]
    if len(refused) == len(found):
        why = refused[0].reason if refused else "its answer has no results"
        raise ProviderFailedError(f"{name} reported success but delivered nothing: {why}")
    return Finished(tuple(found))
