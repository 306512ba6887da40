"""The headers that requests may have, and those that answers have."""

from typing import Any

from openapi.links import shows_job
from routing import Route

_TEXT = {"type": "string"}
_SECONDS = {"type": "integer", "minimum": 0}

REQUEST_HEADERS: dict[str, dict[str, Any]] = {
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": "RFC 7240. `wait=N` waits up to N seconds for the job's end, 60 at most; `respond-async` not at "
        "all. Without it, starting an image waits 30 seconds, and nothing else waits. Other preferences are passed "
        "over; a `wait` that is no whole number is a 400.",
        "schema": _TEXT,
        "examples": {"wait": {"value": "wait=30"}, "async": {"value": "respond-async"}},
    },
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "1 to 255 printable ASCII characters of your choice. The same key and body give the same job, "
        "however often and however concurrently; the same key with another body is a 422.",
        # A space at either end is not part of a header's value (RFC 9110, section 5.5).
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
        "example": "6f2ab1de-2f0e-4e0c-9e5a-6e3b0a9d3c41",
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "RFC 9110. The `ETag` of what you have: if nothing has changed since, the answer is a 304.",
        "schema": _TEXT,
        "example": '"2f9b1c7a"',
    },
}

ANSWER_HEADERS: dict[str, dict[str, Any]] = {
    "Location": {
        "description": "The path of the job.",
        "required": True,
        "schema": {"type": "string", "pattern": "^/jobs/[^/]+$"},
        "example": "/jobs/0cf63189-f805-4fcf-8109-592dfa3c8a3d",
    },
    "RetryAfter": {
        "description": "In how many seconds to ask again.",
        "required": True,
        "schema": _SECONDS,
        "example": 2,
    },
    "RetryAfterUntilEnd": {
        "description": "In how many seconds to ask again; absent once the job has ended.",
        "schema": _SECONDS,
        "example": 2,
    },
    "PreferenceApplied": {
        "description": "The preferences that were honoured, if any were (RFC 7240).",
        "schema": {"type": "string", "pattern": r"^(respond-async|(respond-async, )?wait=\d+)$"},
        "example": "wait=30",
    },
    "ETag": {
        "description": "Names this state of it, for `If-None-Match`.",
        "required": True,
        "schema": _TEXT,
        "example": '"2f9b1c7a"',
    },
    "RateLimit": {
        "description": "What is left of each quota of requests, and when the one of the day begins anew, in seconds.",
        "schema": _TEXT,
        "example": '"jobs-per-day";r=4998;t=3600, "concurrent-jobs";r=198',
    },
    "RateLimitPolicy": {
        "description": "The quotas themselves: so many, in so many seconds.",
        "schema": _TEXT,
        "example": '"jobs-per-day";q=5000;w=86400, "concurrent-jobs";q=200',
    },
    "WWWAuthenticate": {
        "description": "RFC 6750.",
        "required": True,
        "schema": {"type": "string", "pattern": "^Bearer"},
        "example": "Bearer",
    },
}
_OF_PROBLEMS = {
    401: {"WWW-Authenticate": "WWWAuthenticate"},
    429: {"Retry-After": "RetryAfter", "RateLimit": "RateLimit", "RateLimit-Policy": "RateLimitPolicy"},
    503: {"Retry-After": "RetryAfter"},
}


def problem_headers(status: int) -> dict[str, Any]:
    """Return the headers of a problem."""
    return _referred(_OF_PROBLEMS.get(status, {}))


def answer_headers(route: Route, status: int) -> dict[str, Any]:
    """Return the headers of an answer of ``route`` that is no problem."""
    found = {}
    if route.method == "POST" and shows_job(route.answers[status]):
        found["Location"] = "Location"
    if status == 202:
        found["Retry-After"] = "RetryAfter"
    elif shows_job(route.answers[status]) and route.method == "GET":
        found["Retry-After"] = "RetryAfterUntilEnd"
    if "Prefer" in route.headers:
        found["Preference-Applied"] = "PreferenceApplied"
    if "If-None-Match" in route.headers:
        found["ETag"] = "ETag"
    if 429 in route.problems:
        found |= {"RateLimit": "RateLimit", "RateLimit-Policy": "RateLimitPolicy"}
    return _referred(found)


def _referred(names: dict[str, str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{component}"} for name, component in sorted(names.items())}
