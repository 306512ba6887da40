"""Calls of Function Compute's API: our signer against the official SDK's, and the meaning of each answer."""

import io
import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from alibabacloud_fc20230330 import models
from alibabacloud_fc20230330.client import Client
from alibabacloud_tea_openapi.models import Config
from darabonba.runtime import RuntimeOptions

from shared.adapters.acs3 import sign_request
from shared.adapters.invoker import FunctionInvoker
from shared.domain.errors import DispatchError
from shared.domain.jobs import Job
from shared.fc.events import CleanUpTask, TimerEvent
from shared.settings import DispatchSettings
from tests.fakes import make_job, make_video_job
from tests.serving import QuietHandler, serving

ID, SECRET, TOKEN = "LTAItest", "secret-of-the-test", "CAIS+token/with=odd&characters"


class _Platform(ThreadingHTTPServer):
    """Records each request and answers with one status."""

    daemon_threads = True
    status = 202
    error_type: str | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Handler(QuietHandler):
    server: _Platform

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.command, self.path, headers, body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        if self.server.error_type:
            self.send_header("X-Fc-Error-Type", self.server.error_type)
        self.end_headers()

    def do_PUT(self) -> None:
        self.do_POST()


@pytest.fixture
def platform() -> Iterator[_Platform]:
    with serving(_Platform()) as server:
        yield server


@pytest.fixture
def invoker(platform: _Platform, clean_environment: pytest.MonkeyPatch) -> Iterator[FunctionInvoker]:
    clean_environment.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", ID)
    clean_environment.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)
    clean_environment.setenv("ALIBABA_CLOUD_SECURITY_TOKEN", TOKEN)
    with httpx.Client(trust_env=False, timeout=10) as client:
        yield FunctionInvoker(DispatchSettings(f"http://{platform.address}"), client)


def sdk(platform: _Platform, token: str | None) -> Client:
    config = Config(
        access_key_id=ID,
        access_key_secret=SECRET,
        security_token=token,
        endpoint=platform.address,
        protocol="http",
        region_id="cn-hangzhou",
    )
    return Client(config)


def signed_again(method: str, path: str, headers: dict[str, str], body: bytes) -> str:
    """Sign what the SDK sent, as we would, and return the Authorization header."""
    parts = urlsplit(path)
    names = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    sent = {name: headers[name] for name in names if name != "x-acs-content-sha256"}
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    made = sign_request(method, parts.path, query, sent, body, access_key_id=ID, access_key_secret=SECRET)
    return made["authorization"]


@pytest.mark.parametrize("token", [None, TOKEN], ids=["keys", "sts"])
@pytest.mark.parametrize("body", [b"", b'{"jobId": "abc123"}', "湖 😀".encode()], ids=["empty", "json", "unicode"])
@pytest.mark.parametrize("qualifier", ["LATEST", "a b+c/d~e*f"])
def test_an_invocation_is_signed_as_the_sdk_does(
    platform: _Platform, token: str | None, body: bytes, qualifier: str
) -> None:
    sdk(platform, token).invoke_function_with_options(
        "generate-image",
        models.InvokeFunctionRequest(body=io.BytesIO(body), qualifier=qualifier),
        models.InvokeFunctionHeaders(x_fc_invocation_type="Async", x_fc_async_task_id="job_abc123_0"),
        RuntimeOptions(),
    )
    ((method, path, headers, sent),) = platform.requests
    assert sent == body
    assert signed_again(method, path, headers, sent) == headers["authorization"]


def test_another_call_is_signed_as_the_sdk_does(platform: _Platform) -> None:
    platform.status = 200
    sdk(platform, TOKEN).stop_async_task_with_options(
        "generate-image", "job_abc123_0", models.StopAsyncTaskRequest(qualifier="LATEST"), {}, RuntimeOptions()
    )
    ((method, path, headers, body),) = platform.requests
    assert method == "PUT"
    assert signed_again(method, path, headers, body) == headers["authorization"]


@pytest.mark.parametrize(
    ("job", "function"), [(make_job(attempt=2), "generate-image"), (make_video_job(), "generate-video")]
)
def test_a_job_is_dispatched(platform: _Platform, invoker: FunctionInvoker, job: Job, function: str) -> None:
    invoker.dispatch(job)
    ((method, path, headers, body),) = platform.requests
    assert (method, path) == ("POST", f"/2023-03-30/functions/{function}/invocations?qualifier=LATEST")
    assert json.loads(body) == {"jobId": "abc123"}
    assert headers["x-fc-invocation-type"] == "Async"
    assert headers["x-fc-async-task-id"] == ("job_abc123_2" if function == "generate-image" else "job_abc123_0")
    assert headers["x-acs-security-token"] == TOKEN
    assert headers["host"] == platform.address
    assert signed_again(method, path, headers, body) == headers["authorization"]


def test_the_request_equals_the_sdk_s(platform: _Platform, invoker: FunctionInvoker) -> None:
    invoker.dispatch(make_job())
    sdk(platform, TOKEN).invoke_function_with_options(
        "generate-image",
        models.InvokeFunctionRequest(body=io.BytesIO(b'{"jobId": "abc123"}'), qualifier="LATEST"),
        models.InvokeFunctionHeaders(x_fc_invocation_type="Async", x_fc_async_task_id="job_abc123_0"),
        RuntimeOptions(),
    )
    ours, theirs = platform.requests
    assert (ours[0], ours[1], ours[3]) == (theirs[0], theirs[1], theirs[3])
    about_the_sdk = {"x-acs-accesskey-id", "x-acs-credentials-provider"}
    for name in ("x-acs-action", "x-acs-version", "x-acs-content-sha256", "content-type", "x-fc-async-task-id"):
        assert ours[2][name] == theirs[2][name]
    assert {name for name in theirs[2] if name.startswith(("x-acs-", "x-fc-"))} - set(ours[2]) == about_the_sdk


@pytest.mark.parametrize("status", [202, 409])
def test_a_repeated_dispatch_succeeds(platform: _Platform, invoker: FunctionInvoker, status: int) -> None:
    platform.status = status
    invoker.dispatch(make_job())


@pytest.mark.parametrize("status", [200, 400, 403, 404, 429, 500, 503])
def test_a_refused_dispatch_is_an_error(platform: _Platform, invoker: FunctionInvoker, status: int) -> None:
    platform.status = status
    with pytest.raises(DispatchError, match=f"HTTP {status}") as caught:
        invoker.dispatch(make_job())
    assert SECRET not in str(caught.value)


@pytest.mark.usefixtures("invoker")
def test_a_refused_connection_is_an_error() -> None:
    with (
        httpx.Client(trust_env=False) as client,
        pytest.raises(DispatchError, match="did not answer"),
    ):
        FunctionInvoker(DispatchSettings("http://127.0.0.1:1"), client).dispatch(make_job())


def test_the_end_of_a_job_is_announced(platform: _Platform, invoker: FunctionInvoker) -> None:
    invoker.announce(make_job())
    ((method, path, headers, body),) = platform.requests
    assert (method, path) == ("POST", "/2023-03-30/functions/deliver-webhooks/invocations?qualifier=LATEST")
    assert json.loads(body) == {"jobId": "abc123"}
    assert headers["x-fc-invocation-type"] == "Async"
    # Without a task id, an end that is announced twice costs an invocation without work.
    assert "x-fc-async-task-id" not in headers
    assert signed_again(method, path, headers, body) == headers["authorization"]


@pytest.mark.parametrize("status", [200, 400, 403, 404, 409, 429, 500, 503])
def test_a_refused_announcement_is_an_error(platform: _Platform, invoker: FunctionInvoker, status: int) -> None:
    platform.status = status
    with pytest.raises(DispatchError, match=f"HTTP {status}"):
        invoker.announce(make_job())


def test_indexing_is_invoked_synchronously(platform: _Platform, invoker: FunctionInvoker) -> None:
    platform.status = 200
    invoker.index(make_job())
    ((method, path, headers, body),) = platform.requests
    assert (method, path) == ("POST", "/2023-03-30/functions/index-outputs/invocations?qualifier=LATEST")
    assert json.loads(body) == {"jobId": "abc123"}
    assert "x-fc-invocation-type" not in headers and "x-fc-async-task-id" not in headers
    assert signed_again(method, path, headers, body) == headers["authorization"]


@pytest.mark.parametrize("status", [202, 400, 403, 404, 429, 500, 503])
def test_refused_indexing_is_an_error(platform: _Platform, invoker: FunctionInvoker, status: int) -> None:
    platform.status = status
    with pytest.raises(DispatchError, match=f"HTTP {status}"):
        invoker.index(make_job())


def test_failed_indexing_is_an_error(platform: _Platform, invoker: FunctionInvoker) -> None:
    platform.status, platform.error_type = 200, "UnhandledInvocationError"
    with pytest.raises(DispatchError, match="UnhandledInvocationError"):
        invoker.index(make_job())


def test_a_deletion_is_invoked_synchronously(platform: _Platform, invoker: FunctionInvoker) -> None:
    platform.status = 200
    invoker.delete("a-deletion")
    ((method, path, headers, body),) = platform.requests
    assert (method, path) == ("POST", "/2023-03-30/functions/clean-up/invocations?qualifier=LATEST")
    event = TimerEvent.model_validate_json(body)
    assert CleanUpTask.model_validate_json(event.payload) == CleanUpTask(task="delete", deletion_id="a-deletion")
    assert "x-fc-invocation-type" not in headers and "x-fc-async-task-id" not in headers
    assert signed_again(method, path, headers, body) == headers["authorization"]


@pytest.mark.parametrize(("status", "error_type"), [(429, None), (200, "FunctionNotResponding")])
def test_a_failed_deletion_is_an_error(
    platform: _Platform, invoker: FunctionInvoker, status: int, error_type: str | None
) -> None:
    platform.status, platform.error_type = status, error_type
    with pytest.raises(DispatchError, match=error_type or "HTTP 429"):
        invoker.delete("a-deletion")
