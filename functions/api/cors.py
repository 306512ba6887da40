"""Let pages of the configured origins call the API. Source: https://fetch.spec.whatwg.org/#http-cors-protocol.

Tokens come in a header and never in a cookie, so the answers do not allow credentials.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from shared.fc.events import HttpEvent

_EXPOSED = "ETag, Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, X-Fc-Request-Id"
_VARY_OF_PREFLIGHT = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


@dataclass(frozen=True)
class Cors:
    """The origins whose pages may call the API, like ``https://app.example.com``."""

    origins: tuple[str, ...]

    def headers(self, event: HttpEvent) -> dict[str, str]:
        """Return the headers with which a page of a configured origin may read any answer.

        Every caller gets ``Vary``, because a cache must not give one caller's answer to another.
        """
        if not self.origins:
            return {}
        vary = {"Vary": _VARY_OF_PREFLIGHT if event.method == "OPTIONS" else "Origin"}
        origin = event.headers.get("origin")
        if origin not in self.origins:
            return vary
        return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _EXPOSED, **vary}

    def preflight_headers(self, event: HttpEvent, methods: Iterable[str], headers: Iterable[str]) -> dict[str, str]:
        """Return the methods and headers that a page may send, if this is the preflight of a configured origin."""
        is_preflight = "access-control-request-method" in event.headers
        if not is_preflight or event.headers.get("origin") not in self.origins:
            return {}
        return {
            "Access-Control-Allow-Methods": ", ".join(methods),
            "Access-Control-Allow-Headers": ", ".join(sorted({"Authorization", "Content-Type", *headers})),
            "Access-Control-Max-Age": "600",
        }
