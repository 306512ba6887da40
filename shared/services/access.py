"""Who makes a request, and for which user."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from shared.domain.callers import Caller, ServiceCaller, UserCaller
from shared.domain.errors import BadRequestError, ForbiddenError, ValidationError
from shared.domain.keys import check_user_id

log = logging.getLogger(__name__)
# Printable ASCII and escapes. A bare comma joins two headers of the same name, so a comma in a user id is escaped too.
_ENCODED = re.compile(r"(?:[!-$&-+\--~]|%[0-9A-Fa-f]{2})+")


@dataclass(frozen=True)
class AccessPorts:
    """The port that verifies tokens.

    ``caller_of`` takes the header ``Authorization``, None without it, and raises UnauthenticatedError or
    KeysUnavailableError.
    """

    caller_of: Callable[[str | None], Caller]


def identify_user(authorization: str | None, on_behalf_of: str | None, *, ports: AccessPorts) -> str:
    """Return the id of the user whose data a request concerns. The parameters are the headers, None without them.

    Raises UnauthenticatedError, KeysUnavailableError, ForbiddenError or BadRequestError.
    """
    return choose_user(ports.caller_of(authorization), on_behalf_of)


def choose_user(caller: Caller, on_behalf_of: str | None) -> str:
    """Return the id of the user that a caller acts for.

    A user's token acts for this user only. A service's token acts for the user in ``On-Behalf-Of``, never for the
    service itself. Raises ForbiddenError or BadRequestError.
    """
    match caller:
        case UserCaller():
            if on_behalf_of is not None:
                raise ForbiddenError("On-Behalf-Of is for service tokens; this token acts for its own user only")
            return caller.user_id
        case ServiceCaller():
            return _represented(caller, on_behalf_of)


def _represented(service: ServiceCaller, on_behalf_of: str | None) -> str:
    if on_behalf_of is None:
        raise BadRequestError(
            "On-Behalf-Of is missing; a service token must name a user: On-Behalf-Of: <percent-encoded user id>"
        )
    user_id = _decode(on_behalf_of)
    if user_id == service.subject:
        raise ForbiddenError("a service token does not act for the service itself; On-Behalf-Of must name a user")
    log.info("a service acts for a user", extra={"service": service.subject, "user_id": user_id})
    return user_id


def _decode(header: str) -> str:
    if not _ENCODED.fullmatch(header):
        raise BadRequestError("On-Behalf-Of must be one percent-encoded user id, like user%40example.com")
    try:
        return check_user_id(unquote(header, errors="strict"))
    except UnicodeDecodeError as error:
        raise BadRequestError("On-Behalf-Of must be percent-encoded UTF-8") from error
    except ValidationError as error:
        raise BadRequestError(f"On-Behalf-Of is not a valid user id: {error}") from error
