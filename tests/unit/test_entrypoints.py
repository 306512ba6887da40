"""From the platform's bytes to a typed event, and from an error to what the platform shall see."""

import json
import logging
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from shared.domain.errors import (
    BadRequestError,
    BodyTooLargeError,
    ConfigurationError,
    ConflictError,
    DatabaseUnavailableError,
    NotFoundError,
    StorageUnavailableError,
    UnauthenticatedError,
    UnsupportedTypeError,
    ValidationError,
)
from shared.fc.context import Context, stop_by
from shared.fc.entrypoints import event_entrypoint, http_entrypoint
from shared.fc.events import HttpEvent, JobEvent
from shared.fc.http import Response, json_response
from tests.fakes import NOW

SECRET = "a-secret-in-a-message"


@pytest.fixture(autouse=True)
def own_logging(monkeypatch: pytest.MonkeyPatch, clean_environment: pytest.MonkeyPatch) -> None:
    """Entrypoints set logging up; give the test's own back afterwards."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(root, "level", root.level)


def context(timeout: int = 60) -> Any:
    return SimpleNamespace(request_id="req-1", function=SimpleNamespace(name="api", timeout=timeout))


def request(method: str = "GET") -> bytes:
    return json.dumps({"rawPath": "/api/x", "requestContext": {"http": {"method": method}}}).encode()


def answer_to(error: Exception, method: str = "GET") -> dict[str, Any]:
    def handler(event: HttpEvent) -> Response:
        raise error

    return http_entrypoint(handler)(request(method), context())


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BadRequestError("no"), 400, "bad_request"),
        (UnauthenticatedError("no"), 401, "unauthenticated"),
        (NotFoundError("no"), 404, "not_found"),
        (ConflictError("no"), 409, "conflict"),
        (BodyTooLargeError("no"), 413, "body_too_large"),
        (UnsupportedTypeError("no"), 415, "unsupported_media_type"),
        (ValidationError("no"), 422, "validation_failed"),
        (DatabaseUnavailableError("no"), 503, "database_unavailable"),
        (StorageUnavailableError("no"), 503, "storage_unavailable"),
        (ConfigurationError(SECRET), 500, "configuration_error"),
        (RuntimeError(SECRET), 500, "internal_error"),
    ],
)
def test_each_error_is_a_problem(error: Exception, status: int, code: str) -> None:
    answer = answer_to(error)
    body = json.loads(answer["body"])
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (status, False)
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert (body["status"], body["code"], body["requestId"]) == (status, code, "req-1")
    assert SECRET not in json.dumps(answer)
    assert ("Retry-After" in answer["headers"]) is (status == 503)
    assert ("WWW-Authenticate" in answer["headers"]) is (status == 401)


def test_validation_names_each_field() -> None:
    errors = [{"field": "prompt", "message": "is missing"}]
    assert json.loads(answer_to(ValidationError("no", errors=errors))["body"])["errors"] == errors


def test_an_event_that_is_none_is_a_problem_too() -> None:
    answer = http_entrypoint(lambda event: json_response(200, {}))(b"no json", context())
    assert answer["statusCode"] == 500


def test_head_has_no_body() -> None:
    answer = http_entrypoint(lambda event: json_response(200, {"a": 1}))(request("HEAD"), context())
    assert (answer["statusCode"], answer["body"]) == (200, "")


def test_an_event_handler_gets_a_typed_event(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []

    def handler(event: JobEvent, context: Context) -> None:
        seen.append(event.job_id)

    event_entrypoint(handler)(b'{"jobId": "abc123"}', context())
    assert seen == ["abc123"]
    (line,) = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert (line["message"], line["request_id"], line["outcome"]) == ("invocation", "req-1", "ok")


def test_an_event_handler_lets_errors_out(capsys: pytest.CaptureFixture[str]) -> None:
    def handler(event: JobEvent, context: Context) -> None:
        raise StorageUnavailableError("OSS did not answer")

    with pytest.raises(StorageUnavailableError):
        event_entrypoint(handler)(b'{"jobId": "abc123"}', context())
    (line,) = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert (line["outcome"], line["error"]["type"]) == ("error", "StorageUnavailableError")


@pytest.mark.parametrize(("timeout", "works_s"), [(600, 580), (60, 54), (10, 9)])
def test_work_is_given_back_in_good_time(timeout: int, works_s: float) -> None:
    assert stop_by(context(timeout), NOW) == NOW + timedelta(seconds=works_s)
