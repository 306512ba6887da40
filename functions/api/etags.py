"""ETags and conditional requests: a client does not get an answer again that it already has (RFC 9110 § 13)."""

import hashlib
import re
from collections.abc import Mapping

from shared.fc.events import HttpEvent
from shared.fc.http import Response, json_response

# The answer belongs to one user, and a cache that stores it asks each time whether it is still current.
_CACHING = {"Cache-Control": "private, no-cache", "Vary": "Authorization, On-Behalf-Of, Prefer"}
_ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')


def conditional_json_response(event: HttpEvent, body: object, headers: Mapping[str, str] | None = None) -> Response:
    """Answer a GET with JSON and its strong ETag, or with 304 if ``If-None-Match`` names this ETag.

    The ETag covers every byte, including signed URLs: after a 304 a client's URLs are as new as those of a new answer.
    """
    return conditional_response(event, json_response(200, body, headers={**(headers or {}), **_CACHING}))


def conditional_response(event: HttpEvent, response: Response) -> Response:
    """Return the answer to a GET with the ETag of its body, or the 304 in its place."""
    etag = f'"{hashlib.sha256(response.body.encode()).hexdigest()[:32]}"'
    response = response.with_headers({"ETag": etag})
    if not _is_named(etag, event.headers.get("if-none-match", "")):
        return response
    return Response(304, headers={name: value for name, value in response.headers.items() if name != "Content-Type"})


def _is_named(etag: str, if_none_match: str) -> bool:
    """Compare weakly: a cache on the way may have turned this strong ETag into a weak one."""
    return if_none_match.strip() == "*" or etag in _ENTITY_TAG.findall(if_none_match)
