"""Answers of a function with an HTTP trigger."""

import json
import re
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

# Source: https://www.alibabacloud.com/help/en/functioncompute/fc/http-trigger-invoking-function
_FORBIDDEN = frozenset({"connection", "content-length", "date", "keep-alive", "server", "upgrade"})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_WITHOUT_BODY = (204, 304)
_ALWAYS = {
    # Browsers use the stated Content-Type and never guess that an answer is a page.
    "X-Content-Type-Options": "nosniff",
    # Errors and answers to POST must not be cached. An answer that may be cached replaces this header.
    "Cache-Control": "no-store",
}
# By the problem's code. For a missing token the challenge has no error: RFC 6750, section 3.1.
_CHALLENGES = {
    "unauthenticated": "Bearer",
    "invalid_token": 'Bearer error="invalid_token"',
    "forbidden": 'Bearer error="insufficient_scope"',
}


@dataclass(frozen=True)
class Response:
    """One answer. Function Compute sets Date, Connection, Content-Length and Server, and forbids them here.

    Raises ValueError: Function Compute forbids a header, a header cannot be sent, or the status does not allow a body.
    """

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.headers.items():
            _check_header(name, value)
        if self.body and self.status in _WITHOUT_BODY:
            raise ValueError(f"an answer with the status {self.status} must not have a body")

    def with_headers(self, headers: dict[str, str]) -> "Response":
        """Return the answer with more headers, which replace headers of the same name; ``Vary`` is joined."""
        vary = ", ".join(each["Vary"] for each in (self.headers, headers) if "Vary" in each)
        return replace(self, headers={**self.headers, **headers, **({"Vary": vary} if vary else {})})

    def without_body(self) -> "Response":
        """Return the answer to HEAD."""
        return replace(self, body="")

    def to_fc(self) -> dict[str, Any]:
        """Return the answer in the platform's form, with the default headers of every answer."""
        headers = {**_ALWAYS, **self.headers}
        return {"statusCode": self.status, "headers": headers, "isBase64Encoded": False, "body": self.body}


def _check_header(name: str, value: str) -> None:
    forbidden = name.lower() in _FORBIDDEN or name.lower().startswith("x-fc-")
    if forbidden or (name.lower() == "content-disposition" and "attachment" in value.lower()):
        raise ValueError(f"the header {name} is not allowed: Function Compute forbids it in an answer")
    if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
        raise ValueError(
            f"the header {name!r} is not valid: control characters and characters beyond Latin-1 are not allowed"
        )


def json_response(status: int, body: object, *, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON answer."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(status, text, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})


def problem(
    status: int,
    code: str,
    detail: str,
    request_id: str,
    *,
    errors: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return an RFC 9457 problem."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "requestId": request_id,
    }
    if errors:
        body["errors"] = errors
    challenge = {"WWW-Authenticate": _CHALLENGES[code]} if code in _CHALLENGES else {}
    return json_response(
        status, body, headers={**challenge, **(headers or {}), "Content-Type": "application/problem+json"}
    )
