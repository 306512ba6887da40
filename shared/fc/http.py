"""Answers of an HTTP trigger."""

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
    # A browser takes the answer for what its Content-Type says, never for a page.
    "X-Content-Type-Options": "nosniff",
    # Errors and answers to POST are for one caller and one moment; who can be cached says so.
    "Cache-Control": "no-store",
}
# By the problem's code. Without a token the challenge names no error: RFC 6750, section 3.1.
_CHALLENGES = {
    "unauthenticated": "Bearer",
    "invalid_token": 'Bearer error="invalid_token"',
    "forbidden": 'Bearer error="insufficient_scope"',
}


@dataclass(frozen=True)
class Response:
    """One answer. Function Compute sets Date, Connection, Content-Length and Server itself and forbids them here.

    Raises ValueError: a header is one of those, or cannot be sent; there is a body where HTTP has none.
    """

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.headers.items():
            _check_header(name, value)
        if self.body and self.status in _WITHOUT_BODY:
            raise ValueError(f"an answer of status {self.status} has no body")

    def with_headers(self, headers: dict[str, str]) -> "Response":
        """Return the answer with more headers, which replace its own; what ``Vary`` names adds up."""
        vary = ", ".join(each["Vary"] for each in (self.headers, headers) if "Vary" in each)
        return replace(self, headers={**self.headers, **headers, **({"Vary": vary} if vary else {})})

    def without_body(self) -> "Response":
        """Return the answer to HEAD."""
        return replace(self, body="")

    def to_fc(self) -> dict[str, Any]:
        """Return what the platform expects, with the headers that every answer has unless it says otherwise."""
        headers = {**_ALWAYS, **self.headers}
        return {"statusCode": self.status, "headers": headers, "isBase64Encoded": False, "body": self.body}


def _check_header(name: str, value: str) -> None:
    forbidden = name.lower() in _FORBIDDEN or name.lower().startswith("x-fc-")
    if forbidden or (name.lower() == "content-disposition" and "attachment" in value.lower()):
        raise ValueError(f"Function Compute forbids the header {name} in an answer")
    if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
        raise ValueError(f"the header {name!r} cannot be sent: line breaks, controls and non-Latin-1 are not allowed")


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
