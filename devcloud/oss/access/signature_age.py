"""The age of a signature: dates in headers, which may be 15 minutes off, and the expiry of presigned URLs."""

import re
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from devcloud.oss.oss_errors import OssError, access_denied

MAX_SKEW_S = 15 * 60
_ISO_DATE = re.compile(r"\d{8}T\d{6}Z", re.ASCII)


def is_iso_date(text: str) -> bool:
    """Tell whether ``text`` has the form ``20260131T235959Z``."""
    return _ISO_DATE.fullmatch(text) is not None


def read_http_date(text: str) -> datetime:
    """Read a date like ``Sun, 06 Nov 1994 08:49:37 GMT``. Raises ``AccessDenied``."""
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError) as error:
        raise _invalid_date() from error
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def read_iso_date(text: str) -> datetime:
    """Read a date like ``20260131T235959Z``. Raises ``AccessDenied``."""
    if not is_iso_date(text):
        raise _invalid_date()
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise _invalid_date() from error


def _invalid_date() -> OssError:
    return access_denied("OSS authentication requires a valid Date.", "0002-00000502")


def read_seconds(name: str, text: str) -> int:
    """Read the parameter ``name``, a number of seconds. Raises ``AccessDenied``."""
    if not re.fullmatch(r"\d{1,12}", text):
        raise access_denied(f"Invalid signing expires: {name} must be a number of seconds.", "0002-00000070")
    return int(text)


def check_skew(signed_at: datetime) -> None:
    """Raise ``RequestTimeTooSkewed`` unless a header was signed within 15 minutes of the real time.

    Clients sign by the real time, so the emulator's clock does not count here.
    """
    if abs(signed_at.timestamp() - time.time()) > MAX_SKEW_S:
        message = "The difference between the request time and the current time is too large."
        details = {"MaxAllowedSkewMilliseconds": str(MAX_SKEW_S * 1000)}
        raise OssError(403, "RequestTimeTooSkewed", message, ec="0002-00000504", details=details)


def check_expiry(expires_at: float, now: float) -> None:
    """Raise ``AccessDenied`` if a URL has expired; both times are Unix seconds."""
    if expires_at < now:
        raise access_denied("Request has expired.", "0002-00000069")
