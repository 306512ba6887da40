"""From Function Compute's ``handler(event: bytes, context)`` to a handler with a typed event.

Event handlers raise errors, so that Function Compute repeats the invocation; the HTTP entrypoint maps errors to
RFC 9457 problems. Each entrypoint writes one summary line per invocation.

Each instance keeps its own temp folder clean: before every invocation, and when Function Compute ends the instance.
``sweep`` and ``empty`` remove files and return their number. A failure of theirs is logged and never blocks the work.
"""

import logging
import time
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeVar, get_type_hints

from shared.domain.errors import (
    CallerError,
    ConfigurationError,
    DatabaseUnavailableError,
    DreamFactoryError,
    KeysUnavailableError,
    StorageError,
    ValidationError,
)
from shared.fc.context import Context
from shared.fc.events import Event, HttpEvent, parse_event
from shared.fc.http import Response, problem
from shared.observability import configure_logging, describe, request_id
from shared.settings import RuntimeSettings

log = logging.getLogger(__name__)
E = TypeVar("E", bound=Event)
EventHandler = Callable[[bytes, Context], Any]
_RETRY_LATER = {"Retry-After": "5"}  # seconds, while OSS, the database or the keys of the tokens are unavailable


def event_entrypoint(*, sweep: Callable[[], int]) -> Callable[[Callable[[E, Context], Any]], EventHandler]:
    """Decorate ``handler(event: SomeEvent, context)``; the event's model is read from its annotation.

    The handler's result, such as counts of its work, goes into the summary line and, as JSON, to a caller that waits
    for the invocation.
    """

    def decorate(handler: Callable[[E, Context], Any]) -> EventHandler:
        model: type[E] = get_type_hints(handler)["event"]
        configure_logging(RuntimeSettings.read().log_level)

        @wraps(handler)
        def entrypoint(event: bytes, context: Context) -> Any:
            started = _begin(context, sweep)
            outcome: dict[str, Any] = {"outcome": "error"}
            try:
                result = handler(parse_event(model, event), context)
                outcome = {"outcome": "ok"} if result is None else {"outcome": "ok", "result": result}
                return result
            except Exception as error:
                outcome["error"] = describe(error)
                raise
            finally:
                _summarise(started, outcome)

        return entrypoint

    return decorate


def http_entrypoint(
    handler: Callable[[HttpEvent], Response],
    *,
    sweep: Callable[[], int],
    headers_of: Callable[[HttpEvent], dict[str, str]] = lambda _: {},
) -> Callable[[bytes, Context], dict[str, Any]]:
    """Make an entrypoint from ``handler(event: HttpEvent) -> Response``; every error becomes a problem.

    ``headers_of`` returns the headers that are added to every answer, including problems.
    """
    configure_logging(RuntimeSettings.read().log_level)

    @wraps(handler)
    def entrypoint(event: bytes, context: Context) -> dict[str, Any]:
        started = _begin(context, sweep)
        request = HttpEvent()
        try:
            request = parse_event(HttpEvent, event)
            response = handler(request)
        except Exception as error:
            response = _to_problem(error, context.request_id)
        response = response.with_headers(headers_of(request))
        if request.method == "HEAD":
            response = response.without_body()
        _summarise(started, {"method": request.method, "path": request.path, "status": response.status})
        return response.to_fc()

    return entrypoint


def pre_stop_hook(*, empty: Callable[[], int]) -> Callable[[Context], None]:
    """Make the PreStop hook, which empties the temp folder, because the disk may outlive the process.

    Function Compute calls the hook when it reclaims an instance, but not when an instance dies.
    Source: https://www.alibabacloud.com/help/en/functioncompute/fc/lifecycle-hooks-for-function-instances-1
    """

    def pre_stop(context: Context) -> None:
        request_id.set(context.request_id)
        _remove_temp_files(empty, "temp folder emptied")

    return pre_stop


def _begin(context: Context, sweep: Callable[[], int]) -> float:
    request_id.set(context.request_id)
    started = time.perf_counter()
    _remove_temp_files(sweep, "temp folder swept")
    return started


def _remove_temp_files(remove: Callable[[], int], message: str) -> None:
    try:
        removed = remove()
    except Exception:
        log.warning("the temp folder could not be swept", exc_info=True)
    else:
        if removed:
            log.warning(message, extra={"removed": removed})


def _summarise(started: float, outcome: dict[str, Any]) -> None:
    log.info("invocation", extra={"duration_ms": round((time.perf_counter() - started) * 1000, 1), **outcome})


def _to_problem(error: Exception, request: str) -> Response:
    match error:
        case ValidationError():
            return problem(error.status, error.code, str(error), request, errors=error.errors)
        case CallerError():
            return problem(error.status, error.code, str(error), request)
        case DatabaseUnavailableError() | StorageError() | KeysUnavailableError():
            log.warning("an outside system is unavailable", exc_info=error)
            return problem(
                503, error.code, f"{error}; nothing was lost, repeat the request later", request, headers=_RETRY_LATER
            )
        case ConfigurationError():
            log.error("the configuration is not valid", exc_info=error)
            return problem(
                500, error.code, "the service is not configured correctly; its log names the variable", request
            )
        case DreamFactoryError():
            log.error("unexpected error", exc_info=error)
            return problem(500, error.code, str(error), request)
        case _:
            log.error("unexpected error", exc_info=error)
            return problem(500, "internal_error", HTTPStatus(500).phrase, request)
