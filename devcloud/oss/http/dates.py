"""Dates as HTTP headers and OSS's XML write them."""

from datetime import UTC, datetime
from email.utils import format_datetime


def http_date(at: float) -> str:
    """Return Unix seconds as HTTP writes them."""
    return format_datetime(datetime.fromtimestamp(int(at), UTC), usegmt=True)


def iso_date(at: float) -> str:
    """Return Unix seconds as the XML of OSS writes them."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
