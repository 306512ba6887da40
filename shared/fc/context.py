"""The context of the python3.12 runtime: only the parts that are used here.

Source: https://www.alibabacloud.com/help/en/functioncompute/context-1. Credentials are not part of the
context; they are environment variables.
"""

from datetime import datetime, timedelta
from typing import Protocol

_STOP_BEFORE_TIMEOUT = 0.1
_STOP_AT_MOST_BEFORE_S = 20


class FunctionInfo(Protocol):
    """The function. ``timeout`` is in seconds."""

    name: str
    timeout: int


class Context(Protocol):
    """One invocation."""

    request_id: str
    function: FunctionInfo


def stop_by(context: Context, now: datetime) -> datetime:
    """Return when an invocation that starts ``now`` must give its work back, which is well before its timeout."""
    timeout = float(context.function.timeout)
    return now + timedelta(seconds=timeout - min(_STOP_AT_MOST_BEFORE_S, timeout * _STOP_BEFORE_TIMEOUT))
