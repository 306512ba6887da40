"""For whom a request is made."""

import logging
import re
from urllib.parse import unquote

from shared.domain.callers import Caller, ServiceCaller, UserCaller
from shared.domain.errors import BadRequestError, ForbiddenError, ValidationError
from shared.domain.keys import check_user_id

log = logging.getLogger(__name__)
# Printable ASCII and escapes. A bare comma joins two headers of one name, so one in a user id is escaped, too.
_ENCODED = re.compile(r"(?:[!-$&-+\--~]|%[0-9A-Fa-f]{2})+")


def name_user(caller: Caller, on_behalf_of: str | None) -> str:
    """Return the id of the user whose things a request concerns; ``on_behalf_of`` is the header, None without it.

    A user's token stands for its user alone, a service's for whom the header names and never for the service itself.
    Raises ForbiddenError or BadRequestError.
    """
    match caller:
        case UserCaller():
            if on_behalf_of is not None:
                raise ForbiddenError("On-Behalf-Of is for service tokens; this token acts for its own user alone")
            return caller.user_id
        case ServiceCaller():
            return _represented(caller, on_behalf_of)


def _represented(service: ServiceCaller, on_behalf_of: str | None) -> str:
    if on_behalf_of is None:
        raise BadRequestError("a service token acts for a user: name the user, On-Behalf-Of: <percent-encoded user id>")
    user_id = _decode(on_behalf_of)
    if user_id == service.subject:
        raise ForbiddenError("a service token does not act for the service itself")
    log.info("a service acts for a user", extra={"service": service.subject, "user_id": user_id})
    return user_id


def _decode(header: str) -> str:
    if not _ENCODED.fullmatch(header):
        raise BadRequestError("On-Behalf-Of must be one user id, percent-encoded, like user%40example.com")
    try:
        return check_user_id(unquote(header, errors="strict"))
    except UnicodeDecodeError as error:
        raise BadRequestError("On-Behalf-Of must be percent-encoded UTF-8") from error
    except ValidationError as error:
        raise BadRequestError(f"On-Behalf-Of names no user id: {error}") from error
