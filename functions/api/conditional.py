"""Conditional requests: what a client has already is not sent again (RFC 9110 § 13)."""

import hashlib
import re
from collections.abc import Mapping

from shared.fc.events import HttpEvent
from shared.fc.http import Response, json_response

# The answer is one user's, and whoever keeps it asks each time whether it still holds.
_CACHING = {"Cache-Control": "private, no-cache", "Vary": "Authorization, On-Behalf-Of, Prefer"}
_ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')


def conditional_response(event: HttpEvent, body: object, headers: Mapping[str, str] | None = None) -> Response:
    """Answer a GET with JSON and its strong ETag, or with 304 when ``If-None-Match`` names it.

    The ETag is of every byte, signed URLs among them: a 304 leaves no client with URLs older than a new answer's.
    """
    return unless_known(event, json_response(200, body, headers={**(headers or {}), **_CACHING}))


def unless_known(event: HttpEvent, response: Response) -> Response:
    """Return a GET's answer with the ETag of its body, or the 304 in its place."""
    etag = f'"{hashlib.sha256(response.body.encode()).hexdigest()[:32]}"'
    response = response.with_headers({"ETag": etag})
    if not _is_named(etag, event.headers.get("if-none-match", "")):
        return response
    return Response(304, headers={name: value for name, value in response.headers.items() if name != "Content-Type"})


def _is_named(etag: str, if_none_match: str) -> bool:
    """Compare weakly: a weak tag that a cache in between has made of ours is ours."""
    return if_none_match.strip() == "*" or etag in _ENTITY_TAG.findall(if_none_match)
