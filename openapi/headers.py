"""The headers of requests and answers."""

from typing import Any

from openapi.links import shows_job
from request_parsing import DEFAULT_WAIT_S, MAX_KEY_CHARACTERS, MAX_WAIT_S
from routing import Route
from shared.domain.media_type import MediaType

_TEXT = {"type": "string"}
_SECONDS = {"type": "integer", "minimum": 0}

REQUEST_HEADERS: dict[str, dict[str, Any]] = {
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": f"RFC 7240. `wait=N` waits up to N seconds for the end of the job, {MAX_WAIT_S} at most; "
        f"`respond-async` does not wait. Without this header, a request to start an image job waits up to "
        f"{DEFAULT_WAIT_S[MediaType.IMAGE]} seconds, and no other request waits. Other preferences are ignored; a "
        "`wait` that is not an integer is a 400.",
        "schema": _TEXT,
        "examples": {"wait": {"value": "wait=30"}, "async": {"value": "respond-async"}},
    },
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": f"1 to {MAX_KEY_CHARACTERS} printable ASCII characters of your choice. Requests with the same "
        "key and body return the same job, even if they are repeated or concurrent; the same key with another body is "
        "a 422. A key is valid for 24 hours.",
        # A space at either end is not part of a header's value (RFC 9110, section 5.5).
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_KEY_CHARACTERS,
            "pattern": "^[!-~]([ -~]*[!-~])?$",
        },
        "example": "6f2ab1de-2f0e-4e0c-9e5a-6e3b0a9d3c41",
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "RFC 9110. The `ETag` of an earlier answer. If nothing has changed since, the answer is a 304.",
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
        "description": "The seconds to wait before the next request.",
        "required": True,
        "schema": _SECONDS,
        "example": 2,
    },
    "RetryAfterUntilEnd": {
        "description": "The seconds to wait before the next request; absent once the job has ended.",
        "schema": _SECONDS,
        "example": 2,
    },
    "PreferenceApplied": {
        "description": "The preferences that were applied, if there are any (RFC 7240).",
        "schema": {"type": "string", "pattern": r"^(respond-async|(respond-async, )?wait=\d+)$"},
        "example": "wait=30",
    },
    "ETag": {
        "description": "Identifies this version of the answer, for `If-None-Match`.",
        "required": True,
        "schema": _TEXT,
        "example": '"2f9b1c7a"',
    },
    "RateLimit": {
        "description": "The rest of each quota of requests, and the seconds until the daily quota is full again.",
        "schema": _TEXT,
        "example": '"jobs-per-day";r=4998;t=3600, "concurrent-jobs";r=198',
    },
    "RateLimitPolicy": {
        "description": "The quotas of requests: a number of jobs, and the seconds for which the daily quota counts.",
        "schema": _TEXT,
        "example": '"jobs-per-day";q=5000;w=86400, "concurrent-jobs";q=200',
    },
    "WWWAuthenticate": {
        "description": "How to authenticate (RFC 6750).",
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
    """Return the headers of an answer of ``route`` that is not a problem."""
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
