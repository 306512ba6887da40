"""Entrypoints: from the platform's bytes to a typed event, and from an error to the platform's answer."""

import json
import logging
import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shared import bootstrap
from shared.domain.errors import (
    BadRequestError,
    BodyTooLargeError,
    ConfigurationError,
    ConflictError,
    DatabaseUnavailableError,
    ForbiddenError,
    InvalidTokenError,
    KeysUnavailableError,
    NotFoundError,
    StorageUnavailableError,
    UnauthenticatedError,
    UnsupportedTypeError,
    ValidationError,
)
from shared.fc.context import Context, stop_by
from shared.fc.entrypoints import event_entrypoint, http_entrypoint, pre_stop_hook
from shared.fc.events import HttpEvent, JobEvent
from shared.fc.http import Response, json_response
from tests.fakes import NOW

SECRET = "a-secret-in-a-message"
SWEEP = bootstrap.sweep_temp_folder


@pytest.fixture(autouse=True)
def temp_dir(tmp_path: Path, clean_environment: pytest.MonkeyPatch) -> Iterator[Path]:
    """A separate temp folder, because entrypoints sweep it."""
    clean_environment.setenv("TEMP_DIR", str(tmp_path))
    forget_temp_folder()
    yield tmp_path
    forget_temp_folder()


def forget_temp_folder() -> None:
    bootstrap.temp_files.cache_clear()
    bootstrap.sweeping_ports.cache_clear()


@pytest.fixture(autouse=True)
def own_logging(monkeypatch: pytest.MonkeyPatch, clean_environment: pytest.MonkeyPatch) -> None:
    """Restore logging after the test, because entrypoints configure it."""
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

    return http_entrypoint(handler, sweep=SWEEP)(request(method), context())


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BadRequestError("no"), 400, "bad_request"),
        (UnauthenticatedError("no"), 401, "unauthenticated"),
        (InvalidTokenError("no"), 401, "invalid_token"),
        (ForbiddenError("no"), 403, "forbidden"),
        (NotFoundError("no"), 404, "not_found"),
        (ConflictError("no"), 409, "conflict"),
        (BodyTooLargeError("no"), 413, "body_too_large"),
        (UnsupportedTypeError("no"), 415, "unsupported_media_type"),
        (ValidationError("no"), 422, "validation_failed"),
        (DatabaseUnavailableError("no"), 503, "database_unavailable"),
        (KeysUnavailableError("no"), 503, "keys_unavailable"),
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
    assert ("WWW-Authenticate" in answer["headers"]) is (status in {401, 403})


@pytest.mark.parametrize(
    ("error", "challenge"),
    [
        (UnauthenticatedError("no"), "Bearer"),
        (InvalidTokenError("no"), 'Bearer error="invalid_token"'),
        (ForbiddenError("no"), 'Bearer error="insufficient_scope"'),
    ],
)
def test_the_challenge_names_an_error_only_for_a_token(error: Exception, challenge: str) -> None:
    assert answer_to(error)["headers"]["WWW-Authenticate"] == challenge


def test_validation_names_each_field() -> None:
    errors = [{"field": "prompt", "message": "is missing"}]
    assert json.loads(answer_to(ValidationError("no", errors=errors))["body"])["errors"] == errors


def test_an_invalid_event_is_a_problem_too() -> None:
    answer = http_entrypoint(lambda event: json_response(200, {}), sweep=SWEEP)(b"no json", context())
    assert answer["statusCode"] == 500


def test_by_default_answers_forbid_caching_and_sniffing() -> None:
    for answer in (
        answer_to(NotFoundError("no")),
        http_entrypoint(lambda _: Response(204), sweep=SWEEP)(request(), context()),
    ):
        assert answer["headers"]["X-Content-Type-Options"] == "nosniff"
        assert answer["headers"]["Cache-Control"] == "no-store"


def test_an_answer_can_allow_caching() -> None:
    kept = Response(200, headers={"Cache-Control": "private, no-cache", "Vary": "Prefer"})
    answer = http_entrypoint(lambda _: kept, sweep=SWEEP, headers_of=lambda _: {"Vary": "Origin"})(request(), context())
    assert (answer["headers"]["Cache-Control"], answer["headers"]["Vary"]) == ("private, no-cache", "Prefer, Origin")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Length", "1"),
        ("connection", "close"),
        ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("Keep-Alive", "timeout=5"),
        ("SERVER", "mine"),
        ("Upgrade", "h2c"),
        ("X-Fc-Request-Id", "1"),
        ("Content-Disposition", "Attachment; filename=a"),
        ("Location", "/jobs/a\r\nSet-Cookie: a=b"),
        ("Location", "/jobs/湖"),
        ("Location", "/jobs/\x85"),
        ("X A", "1"),
        ("", "1"),
    ],
)
def test_a_header_that_the_platform_refuses_raises(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="header"):
        Response(200, headers={name: value})
    with pytest.raises(ValueError, match="header"):
        Response(200).with_headers({name: value})


@pytest.mark.parametrize("status", [204, 304])
def test_a_body_is_refused_where_http_forbids_it(status: int) -> None:
    with pytest.raises(ValueError, match="body"):
        Response(status, "{}")


def test_head_has_no_body() -> None:
    answer = http_entrypoint(lambda event: json_response(200, {"a": 1}), sweep=SWEEP)(request("HEAD"), context())
    assert (answer["statusCode"], answer["body"]) == (200, "")


def test_an_event_handler_receives_a_typed_event(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []

    def handler(event: JobEvent, context: Context) -> None:
        seen.append(event.job_id)

    event_entrypoint(sweep=SWEEP)(handler)(b'{"jobId": "abc123"}', context())
    assert seen == ["abc123"]
    (line,) = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert (line["message"], line["request_id"], line["outcome"]) == ("invocation", "req-1", "ok")


def test_an_event_handler_raises_errors(capsys: pytest.CaptureFixture[str]) -> None:
    def handler(event: JobEvent, context: Context) -> None:
        raise StorageUnavailableError("OSS did not answer")

    with pytest.raises(StorageUnavailableError):
        event_entrypoint(sweep=SWEEP)(handler)(b'{"jobId": "abc123"}', context())
    (line,) = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert (line["outcome"], line["error"]["type"]) == ("error", "StorageUnavailableError")


@pytest.mark.parametrize(("timeout", "works_s"), [(600, 580), (60, 54), (10, 9)])
def test_work_is_given_back_before_the_timeout(timeout: int, works_s: float) -> None:
    assert stop_by(context(timeout), NOW) == NOW + timedelta(seconds=works_s)


def leave_behind(folder: Path, name: str, age_h: float) -> Path:
    path = folder / name
    path.write_bytes(b"left behind")
    os.utime(path, (time.time() - age_h * 3600,) * 2)
    return path


@pytest.mark.parametrize("kind", ["event", "http"])
def test_old_temp_files_are_removed_before_the_handler_runs(temp_dir: Path, kind: str) -> None:
    seen: list[list[str]] = []

    def handle(event: JobEvent, context: Context) -> None:
        seen.append(sorted(path.name for path in temp_dir.iterdir()))

    def answer(event: HttpEvent) -> Response:
        seen.append(sorted(path.name for path in temp_dir.iterdir()))
        return Response(204)

    entrypoint = event_entrypoint(sweep=SWEEP)(handle) if kind == "event" else http_entrypoint(answer, sweep=SWEEP)
    for _ in range(2):  # with each invocation, not only with the first one
        leave_behind(temp_dir, "old.png", 24.1)
        leave_behind(temp_dir, "young.png", 23.9)
        entrypoint(b'{"jobId": "j"}' if kind == "event" else request(), context())
    assert seen == [["young.png"], ["young.png"]]


def test_a_failing_sweep_does_not_stop_the_handler(
    clean_environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def handle(event: JobEvent, context: Context) -> str:
        return event.job_id

    entrypoint = event_entrypoint(sweep=SWEEP)(handle)
    clean_environment.setenv("LOG_LEVEL", "LOUD")
    assert entrypoint(b'{"jobId": "j"}', context()) == "j"
    assert "the temp folder could not be swept" in capsys.readouterr().out
    pre_stop_hook(empty=bootstrap.empty_temp_folder)(context())


def test_pre_stop_empties_the_temp_folder(temp_dir: Path) -> None:
    leave_behind(temp_dir, "a.png", 0.001)
    pre_stop_hook(empty=bootstrap.empty_temp_folder)(context())
    assert list(temp_dir.iterdir()) == []


def test_the_handler_s_result_is_the_function_s_result() -> None:
    def handle(event: JobEvent, context: Context) -> dict[str, int]:
        return {"removed": 3}

    assert event_entrypoint(sweep=SWEEP)(handle)(b'{"jobId": "j"}', context()) == {"removed": 3}
