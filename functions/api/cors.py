"""Let pages of the configured origins call the API. Source: https://fetch.spec.whatwg.org/#http-cors-protocol.

Tokens come in a header, never in a cookie, so credentials are not allowed for.
"""

from collections.abc import Iterable

from shared.fc.events import HttpEvent
from shared.settings import RuntimeSettings

_EXPOSED = "ETag, Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, X-Fc-Request-Id"
_VARY_OF_PREFLIGHT = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


def cors_headers(event: HttpEvent) -> dict[str, str]:
    """Return what lets a page of a configured origin read the answer, whatever it is.

    ``Vary`` is there for every other caller, too: a cache must not hand one's answer to the other.
    """
    origins = RuntimeSettings.read().cors_origins
    if not origins:
        return {}
    vary = {"Vary": _VARY_OF_PREFLIGHT if event.method == "OPTIONS" else "Origin"}
    origin = event.headers.get("origin")
    if origin not in origins:
        return vary
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _EXPOSED, **vary}


def preflight_headers(event: HttpEvent, methods: Iterable[str], headers: Iterable[str]) -> dict[str, str]:
    """Return what a page may send, if a browser asks on behalf of one of a configured origin."""
    asked = "access-control-request-method" in event.headers
    if not asked or event.headers.get("origin") not in RuntimeSettings.read().cors_origins:
        return {}
    return {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": ", ".join(sorted({"Authorization", "Content-Type", *headers})),
        "Access-Control-Max-Age": "600",
    }
