"""SSRF: no address from a user, a provider or a redirect leads into our own network.

Each hostile address is tried in each place that accepts addresses: an image for a provider, the result of a provider, a
webhook. Plain http is the only addition to the strict policy, so that "https only" does not protect by accident.
"""

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr

from shared.adapters.downloads import GuardedDownloads
from shared.adapters.public_web import PublicWeb
from shared.adapters.webhook_sender import StandardWebhookSender
from shared.domain.errors import AddressRefusedError, DownloadRefusedError, HostUnavailableError
from shared.domain.web_addresses import WebPolicy
from shared.ports import WebhookMessage
from shared.settings import DownloadSettings, WebhookSettings
from tests.serving import QuietHandler, serving

LIMIT = 1_000_000
SETTINGS = DownloadSettings(timeout_s=5)
SECRET = WebhookSettings((SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),))
PUBLIC, PRIVATE = "93.184.216.34", "127.0.0.1"

# {port} is the port of a server that must never be contacted.
HOSTILE = [
    # IPv4 in every notation that a resolver accepts
    *("http://127.0.0.1:{port}/x", "http://127.1:{port}/x", "http://127.0.1:{port}/x", "http://2130706433:{port}/x"),
    *("http://0x7f000001:{port}/x", "http://0x7f.1:{port}/x", "http://0X7F.0x0.0x0.0x1:{port}/x"),
    *("http://0177.0.0.1:{port}/x", "http://017700000001:{port}/x", "http://0177.1:{port}/x"),
    *("http://00000177.0.0.1:{port}/x", "http://127.0.0.1.:{port}/x", "http://0:{port}/x", "http://0.0.0.0:{port}/x"),
    *("http://127.255.255.254:{port}/x", "http://4294967295:{port}/x", "http://0x:{port}/x"),
    *("http://１２７.０.０.１:{port}/x", "http://127。0。0。1:{port}/x", "http://127．0．0．1:{port}/x"),
    *("http://①②⑦.⓪.⓪.①:{port}/x", "http://127.0.0.1%00.example.com:{port}/x", "http://127%2e0%2e0%2e1:{port}/x"),
    # IPv6, and IPv4 inside it
    *("http://[::1]:{port}/x", "http://[::]:{port}/x", "http://[0:0:0:0:0:0:0:1]:{port}/x"),
    *("http://[::ffff:127.0.0.1]:{port}/x", "http://[::ffff:7f00:1]:{port}/x", "http://[::127.0.0.1]:{port}/x"),
    *("http://[64:ff9b::7f00:1]:{port}/x", "http://[64:ff9b:1::7f00:1]:{port}/x", "http://[2002:7f00:1::]:{port}/x"),
    *("http://[2001:0:7f00:1::]:{port}/x", "http://[fe80::1]:{port}/x", "http://[fe80::1%25lo]:{port}/x"),
    *("http://[::1%25lo]:{port}/x", "http://[fc00::1]:{port}/x", "http://[fd00:ec2::254]:{port}/x"),
    *("http://[ff02::1]:{port}/x", "http://[127.0.0.1]:{port}/x", "http://[::ffff:169.254.169.254]/x"),
    *("http://[64:ff9b::169.254.169.254]/x", "http://[fec0::1]/x", "http://[::1/x"),
    # networks that are not public
    *("http://10.0.0.1/x", "http://172.16.0.1/x", "http://192.168.0.1/x", "http://100.64.0.1/x", "http://198.18.0.1/x"),
    *("http://169.254.169.254/latest/meta-data/", "http://100.100.100.200/latest/meta-data/", "http://192.0.0.192/x"),
    *("http://224.0.0.1/x", "http://240.0.0.1/x", "http://255.255.255.255/x", "http://203.0.113.1/x"),
    *("http://172.31.255.255/x", "http://100.127.255.255/x", "http://192.0.2.1/x"),
    # names
    *("http://localhost:{port}/x", "http://LOCALHOST.:{port}/x", "http://a.localhost:{port}/x"),
    *("http://localhost.localdomain:{port}/x", "http://metadata.internal/x", "http://printer.local/x"),
    *("http://ｌｏｃａｌｈｏｓｔ:{port}/x", "http://intranet:{port}/x", "http://nas.home.arpa/x"),
    # addresses that programs read differently
    *("http://example.com@127.0.0.1:{port}/x", "http://127.0.0.1:{port}\\@example.com/x", "http://@127.0.0.1:{port}/x"),
    *("http://127.0.0.1:{port}#@example.com/x", "http://127.0.0.1:{port}?@example.com/x", "http:127.0.0.1:{port}/x"),
    *(
        "http:///127.0.0.1:{port}/x",
        "http:\\\\127.0.0.1:{port}/x",
        "http://127.0.0.1\t:{port}/x",
        "//127.0.0.1:{port}/x",
    ),
    *(" http://127.0.0.1:{port}/x", "http://127.0.0.1:{port}/x\r\nHost: example.com", "http://exa mple.com/x"),
    *(
        "http://127.0.0.1[2606:4700::1]:{port}/x",
        "http://169.254.169.254[2606:4700::1]/x",
        "http://[2606:4700::1]127.0.0.1/x",
    ),
    *("http://[2606:4700::1][::1]:{port}/x", "http://[2606:4700::1%25lo]:{port}/x", "http://example.com:443:{port}/x"),
    *("http://metadata\u200d.example.com/x", "http://faß.example.com:{port}/x", "http://metadata。example。com/x"),
    *("http://example.com:0{port}/x", "http://example.com:{port}\u0661/x", "http://example.com/\ud83d"),
    *("http://user:password@example.com/x", "http://user@example.com/x", "http://example.com\\@127.0.0.1/x"),
    *("", "example.com/x", "http://", "http:///x", "http://example.com/\x00x", "http://example.com/\x1fx"),
    *("http://" + "a" * 64 + ".example.com/x", "http://example.com/" + "a" * 70_000),
    # other schemes and ports
    *(
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "file://127.0.0.1/etc/passwd",
        "ftp://127.0.0.1:{port}/x",
        "gopher://127.0.0.1:{port}/_x",
    ),
    *(
        "dict://127.0.0.1:{port}/x",
        "data:image/png;base64,iVBORw0KGgo=",
        "javascript:alert(1)",
        "ws://127.0.0.1:{port}/",
    ),
    *("http://example.com:0/x", "http://example.com:22/x", "http://example.com:65536/x", "http://example.com:-1/x"),
    *("http://example.com:99999/x", "http://example.com:port/x", "gopher://127.0.0.1:6379/_x"),
    # names whose addresses the resolver below knows
    *("http://private.example.com:{port}/x", "http://mapped.example.com:{port}/x", "http://zone.example.com:{port}/x"),
    *("http://first-private.example.com:{port}/x", "http://last-private.example.com:{port}/x"),
    *("http://nat64.example.com:{port}/x", "http://metadata.example.com/x"),
]
TABLE = {
    "private.example.com": [PRIVATE],
    "mapped.example.com": ["::ffff:127.0.0.1"],
    "zone.example.com": ["fe80::1%lo"],
    "first-private.example.com": [PRIVATE, PUBLIC],
    "last-private.example.com": [PUBLIC, "2606:4700::1111", PRIVATE],
    "nat64.example.com": ["64:ff9b::7f00:1"],
    "metadata.example.com": ["100.100.100.200"],
    "example.com": [PUBLIC],
}


@dataclass
class Resolver:
    """Records its questions and answers from ``TABLE``. "rebinding" is private from the second answer on."""

    asked: list[str] = field(default_factory=list)

    def __call__(self, name: str, port: int) -> list[str]:
        self.asked.append(name)
        if name == "rebinding.example.com":
            return [PUBLIC if self.asked.count(name) == 1 else PRIVATE]
        return TABLE[name]


def ask_for_image(url: str, web: PublicWeb) -> None:
    GuardedDownloads(SETTINGS, web).check(url)


def fetch_result(url: str, web: PublicWeb) -> None:
    list(GuardedDownloads(SETTINGS, web).stream(url, max_bytes=LIMIT))


def send_webhook(url: str, web: PublicWeb) -> None:
    StandardWebhookSender(SECRET, web).send(WebhookMessage("msg_1", url, "{}", datetime.now(UTC)))


PLACES: dict[str, Callable[[str, PublicWeb], None]] = {
    "image input": ask_for_image,
    "provider result": fetch_result,
    "webhook": send_webhook,
}
in_each_place = pytest.mark.parametrize("place", PLACES)
REFUSED = (DownloadRefusedError, AddressRefusedError)


@contextmanager
def listening(host: str, family: socket.AddressFamily = socket.AF_INET) -> Iterator[tuple[int, list[Any]]]:
    """Listen, and record every connection."""
    with closing(socket.socket(family, socket.SOCK_STREAM)) as listener:
        listener.bind((host, 0))
        listener.listen()
        heard: list[Any] = []

        def accept() -> None:
            while True:
                try:
                    connection, address = listener.accept()
                except OSError:
                    return
                heard.append(address)
                connection.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1], heard
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


@pytest.fixture(scope="module")
def trap() -> Iterator[tuple[int, list[Any]]]:
    with listening("0.0.0.0") as trap:  # noqa: S104 - on every address of this machine's that an attacker may know
        yield trap


@pytest.fixture(scope="module")
def resolver() -> Resolver:
    return Resolver()


@pytest.fixture(scope="module")
def web(resolver: Resolver) -> PublicWeb:
    """The guard as deployed, plus plain http. It is shared, because each one builds a TLS context."""
    return PublicWeb(WebPolicy(allow_http=True), resolver=resolver)


def test_at_least_90_different_addresses_are_tested() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE) >= 90


def test_the_trap_records_connections(trap: tuple[int, list[Any]]) -> None:
    port, heard = trap
    before = len(heard)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        assert connection.recv(1) == b""
    assert len(heard) == before + 1


@in_each_place
@pytest.mark.parametrize("url", HOSTILE, ids=ascii)
def test_a_hostile_address_is_refused_without_a_connection(
    place: str, url: str, web: PublicWeb, resolver: Resolver, trap: tuple[int, list[Any]]
) -> None:
    port, heard = trap
    before = len(heard)
    resolver.asked.clear()
    with pytest.raises(REFUSED):
        PLACES[place](url.format(port=port), web)
    assert len(heard) == before
    assert len(resolver.asked) <= 1 and set(resolver.asked) <= TABLE.keys()


@pytest.mark.parametrize("place", ["provider result", "webhook"])
def test_a_name_that_changes_its_address_is_contacted_where_it_was_checked(
    place: str, web: PublicWeb, resolver: Resolver, no_connections: list[Any]
) -> None:
    resolver.asked.clear()
    with pytest.raises(Exception, match="did not answer"):
        PLACES[place]("http://rebinding.example.com:8080/x", web)
    assert resolver.asked == ["rebinding.example.com"]
    assert no_connections == [(PUBLIC, 8080)]
    with pytest.raises(REFUSED):
        PLACES[place]("http://rebinding.example.com:8080/x", web)
    assert no_connections == [(PUBLIC, 8080)]


def test_an_image_is_checked_without_a_connection(
    web: PublicWeb, resolver: Resolver, no_connections: list[Any]
) -> None:
    resolver.asked.clear()
    ask_for_image("http://example.com/first-frame.png", web)
    assert (resolver.asked, no_connections) == (["example.com"], [])


class _Redirecting(QuietHandler):
    server: "_Server"

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        self.send_response(307)
        self.send_header("Location", self.server.target.encode().decode("latin-1"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()


class _Server(ThreadingHTTPServer):
    """The only host that may be contacted; it redirects to ``target``."""

    daemon_threads = True
    target = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Redirecting)
        self.requests: list[str] = []


@pytest.fixture(scope="module")
def redirecting() -> Iterator[_Server]:
    with serving(_Server()) as server:
        yield server


@pytest.fixture(scope="module")
def narrow_web(resolver: Resolver) -> PublicWeb:
    """A guard that allows one address, so that the test's own server can be contacted."""
    return PublicWeb(WebPolicy(True, (ipaddress.ip_network("127.0.0.1"),)), resolver=resolver)


# The trap listens on 127.0.0.2 too, which is not allowed.
TARGETS = [
    *("http://127.0.0.2:{port}/x", "//127.0.0.2:{port}/x", "http://127.2:{port}/x", "http://2130706434:{port}/x"),
    *("http://[::ffff:127.0.0.2]:{port}/x", "http://private.example.com@127.0.0.1:{port}/x", "http://10.0.0.1/x"),
    *("http://169.254.169.254/", "http://metadata.example.com/", "http://zone.example.com:{port}/"),
    *("file:///etc/passwd", "FILE:/etc/passwd", "ftp://127.0.0.1:{port}/x", "gopher://127.0.0.1:{port}/x"),
    *("http://localhost:{port}/x", "http://[::1]:{port}/x", "http://127.0.0.1:22/x", "http://[::1"),
    *("http://127.0.0.2[2606:4700::1]:{port}/x", "http://127.0.0.1[::1]:{port}/x", "http://127.0.0.1:0{port}/x"),
    *("data:image/png;base64,iVBORw0KGgo=", "http://127.0.0.2:{port}\\@127.0.0.1/x", "//192.168.0.1/x"),
    *("http://100.100.100.200/latest/meta-data/", "http://user@127.0.0.1/x", "http://127.0.0.1:99999/"),
]


@pytest.mark.parametrize("target", TARGETS)
def test_a_redirect_of_a_result_is_checked_like_the_first_address(
    target: str, redirecting: _Server, narrow_web: PublicWeb, trap: tuple[int, list[Any]]
) -> None:
    port, heard = trap
    before = len(heard)
    redirecting.target = target.format(port=port)
    redirecting.requests.clear()
    with pytest.raises(DownloadRefusedError):
        fetch_result(f"http://127.0.0.1:{redirecting.server_port}/result", narrow_web)
    assert redirecting.requests == ["/result"]
    assert len(heard) == before


@pytest.mark.parametrize("target", [*TARGETS, "http://127.0.0.1:{port}/x", "/elsewhere"])
def test_a_redirect_of_a_webhook_is_not_followed(
    target: str, redirecting: _Server, narrow_web: PublicWeb, trap: tuple[int, list[Any]]
) -> None:
    port, heard = trap
    before = len(heard)
    redirecting.target = target.format(port=port)
    redirecting.requests.clear()
    send_webhook(f"http://127.0.0.1:{redirecting.server_port}/hook", narrow_web)
    assert redirecting.requests == ["/hook"]
    assert len(heard) == before


def test_an_image_on_an_unknown_host_is_left_to_the_provider(resolver: Resolver) -> None:
    def nowhere(name: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    web = PublicWeb(WebPolicy(), resolver=nowhere)
    with pytest.raises(HostUnavailableError, match="cannot be resolved"):
        web.check("https://example.com/x")
    # The provider may find the host of an image. An address that is refused by its text alone stays refused.
    GuardedDownloads(SETTINGS, web).check("https://example.com/x")
    with pytest.raises(DownloadRefusedError):
        GuardedDownloads(SETTINGS, web).check("https://127.0.0.1/x")
