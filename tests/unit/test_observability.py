"""Logs: one line of JSON each, with the request id and without local paths."""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.domain.errors import StorageUnavailableError
from shared.observability import JsonFormatter, configure_logging, describe, request_id


@pytest.fixture
def request_of_the_test() -> Iterator[str]:
    token = request_id.set("req-1")
    yield "req-1"
    request_id.reset(token)


def line_of(message: str, *args: object, error: BaseException | None = None, **fields: object) -> dict[str, Any]:
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("shared.x", logging.WARNING, __file__, 1, message, args, info)
    vars(record).update(fields)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    line: dict[str, Any] = json.loads(text)
    return line


def raised(path: Path) -> BaseException:
    try:
        try:
            path.read_bytes()
        except OSError as error:
            raise StorageUnavailableError("OSS did not answer") from error
    except StorageUnavailableError as error:
        return error
    raise AssertionError


def test_a_log_line_is_json_with_its_fields(request_of_the_test: str) -> None:
    line = line_of("job failed", job_id="abc123", code="x")
    assert line["time"].endswith("+00:00")
    del line["time"]
    assert line == {
        "level": "WARNING",
        "logger": "shared.x",
        "message": "job failed",
        "request_id": request_of_the_test,
        "job_id": "abc123",
        "code": "x",
    }


def test_new_lines_and_other_scripts_stay_on_one_line() -> None:
    assert line_of("%s", "湖\n😀")["message"] == "湖\n😀"


def test_values_that_json_does_not_support_become_text() -> None:
    assert line_of("x", where={1}, which=Path("a"))["where"] == "{1}"


def test_an_error_is_described_without_local_paths(tmp_path: Path) -> None:
    error = raised(tmp_path / "missing.png")
    text = json.dumps(line_of("failed", error=error))
    assert str(tmp_path) not in text
    assert "missing.png" not in text
    assert str(Path(__file__).parent) not in text
    assert sys.prefix not in text


def test_an_error_is_described_with_its_cause(tmp_path: Path) -> None:
    described = describe(raised(tmp_path / "missing.png"))
    assert (described["type"], described["message"]) == ("StorageUnavailableError", "OSS did not answer")
    assert described["at"][0].startswith("test_observability.py:")
    assert described["at"][0].endswith(" raised")
    cause = described["cause"]
    assert (cause["type"], cause["message"]) == ("FileNotFoundError", "No such file or directory")


def test_a_suppressed_context_is_left_out() -> None:
    try:
        try:
            raise KeyError("k")
        except KeyError:
            raise ValueError("v") from None
    except ValueError as error:
        assert "cause" not in describe(error)


def test_an_os_error_without_a_reason_has_an_empty_message() -> None:
    assert describe(OSError())["message"] == ""


def test_logging_goes_to_stdout_and_clients_are_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(root, "level", root.level)
    configure_logging("INFO")
    logging.getLogger("shared.y").info("hello")
    logging.getLogger("httpx").info("GET https://example.com/?Signature=secret")
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["message"] == "hello"
