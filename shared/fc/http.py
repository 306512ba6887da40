"""Answers of an HTTP trigger."""

import json
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

# By the problem's code. Without a token the challenge names no error: RFC 6750, section 3.1.
_CHALLENGES = {
    "unauthenticated": "Bearer",
    "invalid_token": 'Bearer error="invalid_token"',
    "forbidden": 'Bearer error="insufficient_scope"',
}


@dataclass(frozen=True)
class Response:
    """One answer. Function Compute sets Date, Connection, Content-Length and Server itself and forbids them here."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def with_headers(self, headers: dict[str, str]) -> "Response":
        """Return the answer with more headers."""
        return replace(self, headers={**self.headers, **headers})

    def without_body(self) -> "Response":
        """Return the answer to HEAD."""
        return replace(self, body="")

    def to_fc(self) -> dict[str, Any]:
        """Return what the platform expects."""
        return {"statusCode": self.status, "headers": self.headers, "isBase64Encoded": False, "body": self.body}


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
