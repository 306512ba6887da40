"""Downloads of results: the requests that are sent, and how a download ends.

Which addresses are never contacted is in ``test_ssrf.py``.
"""

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from http.server import ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from ai_support import ServedEmulator

from shared.adapters.downloads import GuardedDownloads
from shared.adapters.public_web import PublicWeb, resolve
from shared.domain.errors import (
    DownloadInterruptedError,
    DownloadRefusedError,
    MediaTooLargeError,
    ResultLostError,
)
from shared.domain.media import PNG, sniff_format
from shared.domain.web_addresses import WebPolicy
from shared.settings import DownloadSettings
from tests.serving import QuietHandler, serving

LIMIT = 1_000_000
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
CAREFUL = WebPolicy()
OPEN = WebPolicy(allow_http=True, allow_networks=LOOPBACK)
SETTINGS = DownloadSettings(timeout_s=30)

Behaviour = Callable[["_Handler"], None]


class _Server(ThreadingHTTPServer):
    """A host on loopback that records every request. Each path has its own behaviour."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.behaviours: dict[str, Behaviour] = {}
        self.connections: set[Any] = set()
        self.stopping = threading.Event()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}{path}"


class _Handler(QuietHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.connections.add(self.client_address)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.path, headers))
        self.server.behaviours[self.path.partition("?")[0]](self)


@pytest.fixture
def host() -> Iterator[_Server]:
    with serving(_Server()) as server:
        yield server
        server.stopping.set()


class Recorder:
    """A resolver that records its questions and answers from a table, or else like the system."""

    def __init__(self, table: dict[str, list[str]] | None = None) -> None:
        self.table = table or {}
        self.asked: list[str] = []

    def __call__(self, name: str, port: int) -> list[str]:
        self.asked.append(name)
        return self.table.get(name) or resolve(name, port)


@cache
def open_guard() -> GuardedDownloads:
    """The guard that allows loopback. It is cached, because each one builds a TLS context."""
    return guard_with(OPEN)


def guard_with(policy: WebPolicy, resolver: Any = resolve, settings: DownloadSettings = SETTINGS) -> GuardedDownloads:
    return GuardedDownloads(settings, PublicWeb(policy, resolver=resolver))


def fetch(url: str, policy: WebPolicy = OPEN, resolver: Any = resolve) -> bytes:
    guard = open_guard() if policy is OPEN and resolver is resolve else guard_with(policy, resolver)
    return b"".join(guard.stream(url, max_bytes=LIMIT))


@pytest.mark.parametrize("name", ["bücher.example", "例え.jp", "xn--r8jz45g.jp"])
def test_names_in_other_scripts_are_contacted(name: str, no_connections: list[Any]) -> None:
    resolver = Recorder({name.encode("idna").decode(): ["93.184.216.34"]})
    with pytest.raises(DownloadInterruptedError, match="did not answer"):
        fetch(f"https://{name}/x", CAREFUL, resolver)
    assert no_connections == [("93.184.216.34", 443)]


def test_an_unknown_name_is_an_interrupted_download() -> None:
    def nowhere(name: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(DownloadInterruptedError, match="cannot be resolved"):
        fetch("https://nowhere.example.com/x", CAREFUL, nowhere)


def test_a_result_is_downloaded_completely(ai: ServedEmulator) -> None:
    url = ai.finished_image_url()
    assert sniff_format(fetch(url)) is PNG


def test_http_and_loopback_need_a_setting(ai: ServedEmulator) -> None:
    url = ai.finished_image_url()
    with pytest.raises(DownloadRefusedError, match="https"):
        fetch(url, CAREFUL)
    with pytest.raises(DownloadRefusedError, match="public"):
        fetch(url, WebPolicy(allow_http=True))
    with pytest.raises(DownloadRefusedError, match="https"):
        fetch(url, WebPolicy(allow_networks=LOOPBACK))


def test_the_request_has_the_name_of_the_host(host: _Server) -> None:
    host.behaviours["/x"] = lambda request: request.answer(body=b"hello")
    url = host.url("/x?a=1&b=%2F", "results.example.com")
    assert fetch(url, OPEN, Recorder({"results.example.com": ["127.0.0.1"]})) == b"hello"
    ((path, headers),) = host.requests
    assert path == "/x?a=1&b=%2F"
    assert headers["host"] == f"results.example.com:{host.server_port}"
    assert headers["accept-encoding"] == "identity"
    assert "authorization" not in headers
    assert "cookie" not in headers


def test_a_connection_is_not_shared_between_names(host: _Server) -> None:
    host.behaviours["/x"] = lambda request: request.answer(body=b"hello")
    table = {"one.example.com": ["127.0.0.1"], "two.example.com": ["127.0.0.1"]}
    guard = guard_with(OPEN, Recorder(table))
    for name in table:
        assert b"".join(guard.stream(host.url("/x", name), max_bytes=LIMIT)) == b"hello"
    assert len(host.connections) == 2


def test_a_cookie_is_not_sent_to_another_host(host: _Server) -> None:
    host.behaviours["/x"] = lambda request: request.answer(body=b"hello", Set_Cookie="a=b")
    table = {"one.example.com": ["127.0.0.1"], "two.example.com": ["127.0.0.1"]}
    guard = guard_with(OPEN, Recorder(table))
    for name in table:
        list(guard.stream(host.url("/x", name), max_bytes=LIMIT))
    assert ["cookie" in headers for _, headers in host.requests] == [False, False]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(host: _Server, status: int) -> None:
    host.behaviours["/x"] = lambda request: request.answer(status, Location="y?z=1")
    host.behaviours["/y"] = lambda request: request.answer(body=b"hello")
    assert fetch(host.url("/x")) == b"hello"
    assert [path for path, _ in host.requests] == ["/x", "/y?z=1"]


def test_at_most_five_redirects_are_followed(host: _Server) -> None:
    host.behaviours["/x"] = lambda request: request.answer(302, Location="/x")
    with pytest.raises(DownloadRefusedError, match="more than 5 times"):
        fetch(host.url("/x"))
    assert len(host.requests) == 6


def test_a_redirect_without_a_location_is_refused(host: _Server) -> None:
    host.behaviours["/x"] = lambda request: request.answer(302)
    with pytest.raises(DownloadRefusedError):
        fetch(host.url("/x"))


@pytest.mark.parametrize("status", [403, 404, 410])
def test_an_expired_result_is_lost(host: _Server, status: int) -> None:
    host.behaviours["/x"] = lambda request: request.answer(status, b"<Error>")
    with pytest.raises(ResultLostError, match=f"HTTP {status}"):
        fetch(host.url("/x"))


@pytest.mark.parametrize("status", [204, 206, 400, 401, 416, 429, 500, 503])
def test_any_other_answer_is_an_interrupted_download(host: _Server, status: int) -> None:
    host.behaviours["/x"] = lambda request: request.answer(status)
    with pytest.raises(DownloadInterruptedError, match=f"HTTP {status}"):
        fetch(host.url("/x"))


def test_an_expired_link_of_the_provider_is_lost(ai: ServedEmulator) -> None:
    url = ai.finished_image_url()
    ai.advance(25 * 3600)
    with pytest.raises(ResultLostError):
        fetch(url)


def test_a_body_that_breaks_off_is_an_error(ai: ServedEmulator) -> None:
    url = ai.finished_image_url()
    ai.arm({"truncateBytes": 100}, operation="result")
    with pytest.raises(DownloadInterruptedError, match="100 of"):
        fetch(url)
    assert sniff_format(fetch(url)) is PNG


def test_an_announced_size_over_the_limit_is_not_read(host: _Server) -> None:
    host.behaviours["/x"] = lambda request: request.answer(Content_Length=str(LIMIT + 1))
    with pytest.raises(MediaTooLargeError, match=str(LIMIT)):
        fetch(host.url("/x"))


def test_chunks_are_small(host: _Server) -> None:
    host.behaviours["/x"] = lambda request: request.answer(body=b"x" * 500_000)
    chunks = list(open_guard().stream(host.url("/x"), max_bytes=LIMIT))
    assert sum(map(len, chunks)) == 500_000
    assert max(map(len, chunks)) <= 64 * 1024


def _drip(request: _Handler) -> None:
    """Send a byte every hundredth of a second, without end."""
    request.send_response(200)
    request.send_header("Content-Length", "1000000")
    request.end_headers()
    while not request.server.stopping.wait(0.01):
        try:
            request.wfile.write(b"x")
        except OSError:
            return


def test_a_body_that_comes_byte_by_byte_ends_in_time(host: _Server) -> None:
    host.behaviours["/x"] = _drip
    began = time.monotonic()
    with pytest.raises(DownloadInterruptedError, match=r"longer than 0\.3 s"):
        list(guard_with(OPEN, settings=replace(SETTINGS, timeout_s=0.3)).stream(host.url("/x"), max_bytes=LIMIT))
    assert time.monotonic() - began < 5


def _drip_headers(request: _Handler) -> None:
    """Send headers without end."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not request.server.stopping.wait(0.01):
        try:
            request.wfile.write(b"X: y\r\n")
        except OSError:
            return


def test_an_answer_that_never_begins_ends_in_time(host: _Server) -> None:
    host.behaviours["/x"] = _drip_headers
    began = time.monotonic()
    with pytest.raises(DownloadInterruptedError, match="did not answer"):
        list(guard_with(OPEN, settings=replace(SETTINGS, timeout_s=0.3)).stream(host.url("/x"), max_bytes=LIMIT))
    assert time.monotonic() - began < 5


def test_a_body_without_length_that_breaks_off_is_an_error(host: _Server) -> None:
    def half(request: _Handler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf")
        request.server.stopping.wait(5)

    host.behaviours["/x"] = half
    with pytest.raises(DownloadInterruptedError, match="longer than"):
        list(guard_with(OPEN, settings=replace(SETTINGS, timeout_s=0.3)).stream(host.url("/x"), max_bytes=LIMIT))


def test_a_body_without_length_is_downloaded(host: _Server) -> None:
    def unannounced(request: _Handler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
        request.close_connection = True

    host.behaviours["/x"] = unannounced
    assert fetch(host.url("/x")) == b"hello"


def test_a_chunked_body_is_complete_or_an_error(host: _Server) -> None:
    def chunked(end: bytes) -> Behaviour:
        def behave(request: _Handler) -> None:
            request.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" + end)
            request.close_connection = True

        return behave

    host.behaviours["/x"] = chunked(b"0\r\n\r\n")
    assert fetch(host.url("/x")) == b"hello"
    host.behaviours["/x"] = chunked(b"")
    with pytest.raises(DownloadInterruptedError, match="broke off"):
        fetch(host.url("/x"))


_LENGTHS = [
    *(
        b"9" * 20,
        b"9" * 5000,
        b"-1",
        b"+5",
        b"5, 6",
        b"5_0",
        b"0x5",
        b"5.0",
        b"",
        b"\xd9\xa5",
        b"\xef\xbc\x95",
        b"\xff",
        b"6",
    ),
]


@pytest.mark.parametrize("length", _LENGTHS, ids=lambda length: ascii(length[:6]))
@pytest.mark.parametrize("more", [b"", b"Transfer-Encoding: chunked\r\n"])
def test_a_wrong_length_is_an_error(host: _Server, length: bytes, more: bytes) -> None:
    body = b"5\r\nhello\r\n0\r\n\r\n" if more else b"hello"
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + length + b"\r\n" + more + b"\r\n"

    def lie(request: _Handler) -> None:
        request.wfile.write(head + body)
        request.close_connection = True

    host.behaviours["/x"] = lie
    with pytest.raises((DownloadInterruptedError, MediaTooLargeError)):
        fetch(host.url("/x"))


@pytest.mark.parametrize("length", [b"5", b"5, 5", b"005"])
def test_a_repeated_length_counts_once(host: _Server, length: bytes) -> None:
    def stutter(request: _Handler) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: " + length + b"\r\n"
        request.wfile.write(head + b"Connection: close\r\n\r\nhello")
        request.close_connection = True

    host.behaviours["/x"] = stutter
    assert fetch(host.url("/x")) == b"hello"


_LOCATIONS = [
    *(b"http://[", b"http://]:{port}/", b"http://\xff\xfe/", b"http://a\xe2\x84\x80b/", b"\xed\xa0\x80"),
    *(
        b"http://127.0.0.1:" + b"9" * 5000 + b"/",
        b"http://127.0.0.1:\xd9\xa8/",
        b"/x" * 5000,
        b"http:\xc2\xa0//x/",
    ),
]


@pytest.mark.parametrize("location", _LOCATIONS, ids=lambda location: ascii(location[:20]))
def test_an_invalid_location_is_refused(host: _Server, location: bytes) -> None:
    def misdirect(request: _Handler) -> None:
        request.wfile.write(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n")

    host.behaviours["/x"] = misdirect
    with pytest.raises(DownloadRefusedError):
        fetch(host.url("/x"))
    assert len(host.requests) == 1


def test_a_proxy_of_the_environment_is_not_used(host: _Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    host.behaviours["/x"] = lambda request: request.answer(body=b"hello")
    assert fetch(host.url("/x"), replace(OPEN)) == b"hello"


def test_no_message_contains_the_address(host: _Server) -> None:
    host.behaviours["/x"] = lambda request: request.answer(403)
    with pytest.raises(ResultLostError) as caught:
        fetch(host.url("/x?Signature=secret"))
    assert "Signature" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    assert not isinstance(caught.value.__cause__, httpx.HTTPError)
