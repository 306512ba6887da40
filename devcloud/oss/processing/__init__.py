"""``x-oss-process``: actions and errors; the modules ``image`` and ``video`` execute the actions.

See https://www.alibabacloud.com/help/en/oss/user-guide/img-parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from devcloud.oss.oss_errors import OssError, invalid_argument, not_implemented

# Actions of the real service that the emulator does not have.
_UNSERVED = frozenset(
    [
        "watermark",
        "blur",
        "sharpen",
        "bright",
        "contrast",
        "circle",
        "rounded-corners",
        "indexcrop",
        "average-hue",
        "interlace",
        "panorama",
        "slim",
        "convert",
        "concat",
        "imagemosaic",
    ]
)


@dataclass(frozen=True)
class Action:
    """One step, like ``resize,m_fill,w_100``: parameters by name, and the value without a name."""

    name: str
    parameters: Mapping[str, str]
    value: str = ""

    def number(self, name: str, low: int, high: int, default: int | None = None) -> int | None:
        """Return a parameter that is a whole number. Raises ``InvalidArgument``."""
        text = self.parameters.get(name)
        return default if text is None else self._check(name, text, low, high)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Return a parameter that is one of ``choices``, by default the first. Raises ``InvalidArgument``."""
        text = self.parameters.get(name, choices[0])
        if text not in choices:
            raise invalid_value(name, text)
        return text

    def bare_number(self, low: int, high: int) -> int:
        """Return the value without a name as a number. Raises ``InvalidArgument``."""
        return self._check(self.name, self.value, low, high)

    @staticmethod
    def _check(name: str, text: str, low: int, high: int) -> int:
        if not text.isascii() or not text.isdecimal() or not low <= int(text) <= high:
            raise invalid_value(name, text)
        return int(text)


@dataclass(frozen=True)
class Processing:
    """A whole ``x-oss-process``: the kind ("image" or "video") and the actions in their order."""

    kind: str
    actions: tuple[Action, ...]


def invalid_value(name: str, value: str) -> OssError:
    """Make the error of an invalid parameter."""
    return invalid_argument(f"The value: {value} of parameter: {name} is invalid.", name, value)


def bad_request(message: str) -> OssError:
    """Make the error of an object that cannot be processed."""
    return OssError(400, "BadRequest", message)


def parse(text: str) -> Processing:
    """Read ``image/resize,w_100/format,png``. Raises ``InvalidArgument``, ``MissingArgument``, ``NotImplemented``."""
    kind, *steps = text.strip("/").split("/")
    if kind not in ("image", "video"):
        raise not_implemented(f"x-oss-process={kind}")
    if not steps:
        raise OssError(400, "MissingArgument", "The operation is missing.")
    return Processing(kind, tuple(map(_action, steps)))


def _action(step: str) -> Action:
    name, *pieces = step.split(",")
    if name in _UNSERVED:
        raise not_implemented(f"x-oss-process={name}")
    parameters, value = {}, ""
    for piece in pieces:
        key, underscore, given = piece.partition("_")
        if underscore:
            parameters[key] = given
        else:
            value = piece
    return Action(name, parameters, value)


def unknown_operation(name: str) -> OssError:
    """Make the error of an action that does not exist."""
    return invalid_argument(f"The operation: {name} is not supported.", "x-oss-process", name)
