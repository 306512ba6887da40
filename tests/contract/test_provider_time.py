"""Time limits for providers: a whole request is limited, and no request waits for a request of another thread."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import ThreadingHTTPServer

import httpx
import pytest

from shared.adapters.dashscope import DashScope
from shared.adapters.provider_http import ASK_WITHIN_S, SUBMIT_WITHIN_S, ProviderHttp
from shared.domain.errors import ProviderFailedError, ProviderUnavailableError, SubmissionUnknownError
from shared.domain.jobs import SUBMIT_LEASE_S
from shared.ports import Pending
from tests.contract.scripted_provider import settings
from tests.serving import QuietHandler, serving

SHORT_S = 0.15
AT_ONCE = 8


class Dripping(ThreadingHTTPServer):
    """Sends its answer byte by byte, in the head or in the body, and completes it at last."""

    daemon_threads = True
    in_head, drips = False, 150  # one every 20 ms: 3 s in all

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _DrippingHandler)
        self.enough = threading.Event()
        self.whole = 0


class _DrippingHandler(QuietHandler):
    server: Dripping

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        head = b"HTTP/1.1 200 OK\r\nContent-Length: " + str(self.server.drips + 2).encode()
        self.wfile.write(head + (b"\r\nX-Padding: " if self.server.in_head else b"\r\n\r\n"))
        try:
            for _ in range(self.server.drips):
                if self.server.enough.wait(0.02):
                    return
                self.wfile.write(b" ")
            self.wfile.write(b"\r\n\r\n" + b" " * self.server.drips + b"{}" if self.server.in_head else b"{}")
        except OSError:
            return  # the client has closed the connection
        self.server.whole += 1

    def do_GET(self) -> None:
        self.do_POST()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=20, trust_env=False) as made:
        yield made


@pytest.fixture(params=["head", "body"])
def dripping(request: pytest.FixtureRequest) -> Iterator[Dripping]:
    with serving(Dripping()) as server:
        server.in_head = request.param == "head"
        yield server
        server.enough.set()


def http(server: ThreadingHTTPServer, client: httpx.Client, **limits: float) -> ProviderHttp:
    return ProviderHttp("the provider", settings(f"http://127.0.0.1:{server.server_port}"), client, **limits)


def test_a_poll_that_is_answered_byte_by_byte_is_unavailable(dripping: Dripping, client: httpx.Client) -> None:
    provider = http(dripping, client, ask_within_s=SHORT_S)
    for ask in (provider.get, provider.post):
        with pytest.raises(ProviderUnavailableError, match="did not answer"):
            ask("/tasks/t")
    assert dripping.whole == 0


def test_a_submission_that_is_answered_byte_by_byte_has_an_unknown_result(
    dripping: Dripping, client: httpx.Client
) -> None:
    with pytest.raises(SubmissionUnknownError, match="may cost twice"):
        http(dripping, client, submit_within_s=SHORT_S).submit("/tasks", {})
    assert dripping.whole == 0


def test_a_slow_answer_within_the_limit_is_read(dripping: Dripping, client: httpx.Client) -> None:
    dripping.drips = 5
    assert http(dripping, client).submit("/tasks", {}).body == {}


def test_the_time_of_the_name_server_counts(monkeypatch: pytest.MonkeyPatch, client: httpx.Client) -> None:
    asked, answered = threading.Event(), threading.Event()

    def resolve(*_: object, **__: object) -> None:
        asked.set()
        answered.wait(3)
        raise OSError("the host does not exist")

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    provider = ProviderHttp("the provider", settings("http://slow.test"), client, ask_within_s=SHORT_S)
    with pytest.raises(ProviderUnavailableError, match="TimeoutError"):
        provider.get("/tasks/t")
    assert asked.is_set()
    answered.set()


def test_a_submit_ends_within_its_lease() -> None:
    assert ASK_WITHIN_S <= 10 < SUBMIT_WITHIN_S < SUBMIT_LEASE_S - 30


class _Meeting(ThreadingHTTPServer):
    """Answers about tasks once several are asked for at the same time."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _MeetingHandler)
        self.all_there = threading.Barrier(AT_ONCE, timeout=5)


class _MeetingHandler(QuietHandler):
    server: _Meeting

    def do_GET(self) -> None:
        self.server.all_there.wait()
        task_id = self.path.rpartition("/")[2]
        status = "RUNNING" if int(task_id) % 2 else "FAILED"
        output = f'{{"output": {{"task_status": "{status}", "code": "task {task_id}"}}}}'
        self.answer(200, output.encode())


def test_threads_share_an_adapter(client: httpx.Client) -> None:
    def ask(task: int) -> str:
        try:
            state = dashscope.poll(str(task))
        except ProviderFailedError as error:
            return str(error)
        assert isinstance(state, Pending)
        return state.task_id

    with serving(_Meeting()) as server, ThreadPoolExecutor(AT_ONCE) as threads:
        dashscope = DashScope(settings(f"http://127.0.0.1:{server.server_port}"), client)
        said = list(threads.map(ask, range(3 * AT_ONCE)))
    expected = [
        str(task) if task % 2 else f"the task failed at DashScope: task {task}: no message"
        for task in range(3 * AT_ONCE)
    ]
    assert said == expected
