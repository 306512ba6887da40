"""Function Compute's events, in the form of its documentation."""

import json
from pathlib import Path
from typing import Any

import pydantic
import pytest

from shared.fc.events import CleanUpTask, HttpEvent, IndexEvent, JobEvent, OssEvent, TimerEvent, parse_event

EVENTS = Path(__file__).resolve().parents[1] / "events"


def captured(name: str) -> bytes:
    return (EVENTS / f"{name}.json").read_bytes()


def http(**fields: Any) -> HttpEvent:
    return parse_event(HttpEvent, json.dumps({**json.loads(captured("http_post")), **fields}).encode())


def test_an_http_request_is_read() -> None:
    event = parse_event(HttpEvent, captured("http_post"))
    assert (event.method, event.path) == ("POST", "/ai/generate-image")
    assert json.loads(event.body_bytes) == {"prompt": "a lake at dawn"}
    assert event.query_parameters == {"limit": "5", "type": "image,video"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("authorization", "Bearer abc.def.ghi"), ("idempotency-key", "k-1"), ("x-my-header", "one,two")],
)
def test_headers_are_found_whatever_their_case(name: str, value: str) -> None:
    assert parse_event(HttpEvent, captured("http_post")).headers[name] == value


def test_a_base64_body_is_decoded() -> None:
    event = parse_event(HttpEvent, captured("http_base64"))
    assert json.loads(event.body_bytes) == {"prompt": "湖"}
    assert (event.method, event.path) == ("PUT", "/jobs/a b/c")


@pytest.mark.parametrize("body", ["no base64!", "eyJ", "湖"])
def test_a_body_that_is_not_valid_base64_raises(body: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        _ = http(body=body, isBase64Encoded=True).body_bytes


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/healthz", "/healthz"),
        ("/api/healthz", "/healthz"),
        ("/api", "/"),
        ("/api/", "/"),
        ("", "/"),
        ("/apiary", "/apiary"),
        ("/api/api/x", "/api/x"),
        ("/jobs/%E6%B9%96", "/jobs/湖"),
    ],
)
def test_every_route_is_served_under_api_too(raw: str, path: str) -> None:
    assert http(rawPath=raw).path == path


@pytest.mark.parametrize(
    ("raw", "segments"),
    [
        ("/healthz", ("", "healthz")),
        ("/api/healthz", ("", "healthz")),
        ("/%61pi/%68ealthz", ("", "healthz")),
        ("/api", ("",)),
        ("/api/", ("", "")),
        ("", ("", "")),
        ("//healthz", ("", "", "healthz")),
        ("/jobs/a%2Fb", ("", "jobs", "a/b")),
        ("/jobs/a%252Fb", ("", "jobs", "a%2Fb")),
        ("/jobs/%E6%B9%96", ("", "jobs", "湖")),
        ("/jobs/湖", ("", "jobs", "湖")),
        ("/jobs/..", ("", "jobs", "..")),
        ("/jobs/a%zz%", ("", "jobs", "a%zz%")),
        ("/healthz?a=/b", ("", "healthz")),
        ("/jobs/a%3Fb", ("", "jobs", "a?b")),
        ("healthz", ("healthz",)),
    ],
)
def test_a_path_is_cut_before_it_is_decoded(raw: str, segments: tuple[str, ...]) -> None:
    assert http(rawPath=raw).segments == segments


@pytest.mark.parametrize("raw", ["/jobs/%ff", "/%c0%af", "/jobs/%ed%a0%80"])
def test_a_path_that_is_not_utf8_can_be_logged_but_not_routed(raw: str) -> None:
    event = http(rawPath=raw)
    event.path.encode()
    with pytest.raises(ValueError, match="decode"):
        _ = event.segments


@pytest.mark.parametrize("event", [b"{}", b'{"headers": null}', b'{"requestContext": {"http": {}}}'])
def test_missing_fields_have_defaults(event: bytes) -> None:
    read = parse_event(HttpEvent, event)
    assert (read.method, read.path, read.body_bytes, dict(read.headers)) == ("GET", "/", b"", {})


def test_nulls_are_the_same_as_missing_fields() -> None:
    event = parse_event(HttpEvent, captured("http_sparse"))
    assert (event.method, event.path, event.body_bytes) == ("GET", "/jobs/abc123", b"")
    assert (dict(event.headers), dict(event.query_parameters)) == ({}, {})


def test_repeated_headers_are_joined() -> None:
    event = parse_event(HttpEvent, captured("http_joined"))
    assert (event.method, event.segments) == ("GET", ("", "jobs", "a%2Fb"))
    assert event.headers["host"] == "api.example.com,api.example.com"
    assert event.headers["x-mine"] == "1,2"


def test_a_timer_event_is_read() -> None:
    event = parse_event(TimerEvent, captured("timer"))
    assert event.trigger_name == "every-minute"
    assert CleanUpTask.model_validate_json(event.payload).task == "jobs"


@pytest.mark.parametrize("payload", ["", "jobs", '{"task": "everything"}', "{}"])
def test_an_unknown_payload_is_refused(payload: str) -> None:
    with pytest.raises(pydantic.ValidationError):
        CleanUpTask.model_validate_json(payload)


@pytest.mark.parametrize(
    ("name", "key", "what"),
    [
        ("oss_put", "users/test@factory-buy.com/jobs/abc123/image-1703123456789.png", "ObjectCreated:PutObject"),
        ("oss_removed", "users/用户/jobs/abc123/video-1703123456789.mp4", "ObjectRemoved:DeleteObject"),
    ],
)
def test_an_oss_event_is_read(name: str, key: str, what: str) -> None:
    (record,) = parse_event(OssEvent, captured(name)).events
    assert (record.key, record.event_name) == (key, what)


def test_a_job_event_is_read() -> None:
    assert parse_event(JobEvent, b'{"jobId": "abc123"}').job_id == "abc123"


@pytest.mark.parametrize("event", [b"", b"{}", b"[]", b"null", b'{"events": [{}]}'])
def test_an_invalid_event_is_refused(event: bytes) -> None:
    with pytest.raises(ValueError):
        parse_event(OssEvent, event)


@pytest.mark.parametrize(
    ("payload", "task", "dry_run"),
    [
        ('{"task": "reconcile"}', "reconcile", False),
        ('{"task":"reconcile","dryRun":true}', "reconcile", True),
        ('{"task": "jobs"}', "jobs", False),
    ],
)
def test_a_task_may_be_a_dry_run(payload: str, task: str, dry_run: bool) -> None:
    read = CleanUpTask.model_validate_json(payload)
    assert (read.task, read.dry_run) == (task, dry_run)


def test_index_outputs_takes_the_events_of_oss_and_a_job() -> None:
    assert len(parse_event(IndexEvent, captured("oss_put")).events) == 1
    assert parse_event(IndexEvent, b'{"jobId": "abc123"}').job_id == "abc123"


@pytest.mark.parametrize("event", [b"{}", b'{"events": []}', b'{"records": [{}]}', b'{"events": [{}]}'])
def test_an_index_event_without_a_target_is_refused(event: bytes) -> None:
    with pytest.raises(pydantic.ValidationError):
        parse_event(IndexEvent, event)
