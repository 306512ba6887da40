"""Webhooks as a receiver verifies them with the specification's own library, and the receiver's answers."""

import ipaddress
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer
from threading import Event

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from shared.adapters.public_web import PublicWeb
from shared.adapters.webhook_sender import StandardWebhookSender
from shared.domain.errors import AddressRefusedError, HostUnavailableError
from shared.domain.web_addresses import WebPolicy
from shared.ports import WebhookMessage
from shared.settings import WebhookSettings
from tests.serving import QuietHandler, serving

SECRETS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
BODY = json.dumps({"type": "job.succeeded", "data": {"prompt": "湖 😀 \u2028"}}, ensure_ascii=False)
LOOPBACK = WebPolicy(allow_http=True, allow_networks=(ipaddress.ip_network("127.0.0.1"),))
Behaviour = Callable[["_Handler"], None]


class _Receiver(ThreadingHTTPServer):
    """Records its requests and answers with ``behaviour``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.behaviour: Behaviour = lambda request: request.answer(204)
        self.stopping = Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?token=%2Fmine"


class _Handler(QuietHandler):
    server: _Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.server.behaviour(self)

    def do_GET(self) -> None:
        self.do_POST()

    def send_raw(self, answer: bytes) -> None:
        """Send these bytes and end the connection."""
        self.wfile.write(answer)
        self.close_connection = True


@pytest.fixture
def receiver() -> Iterator[_Receiver]:
    with serving(_Receiver()) as server:
        yield server
        server.stopping.set()


@pytest.fixture(scope="module")
def web() -> PublicWeb:
    return PublicWeb(LOOPBACK)


def sender(web: PublicWeb, *secrets: str, timeout_s: float = 10.0) -> StandardWebhookSender:
    config = WebhookSettings(tuple(map(SecretStr, secrets or SECRETS[:1])))
    return StandardWebhookSender(config, web, timeout_s=timeout_s)


def message(url: str) -> WebhookMessage:
    return WebhookMessage("msg_2b5f8a", url, BODY, datetime.now(UTC))


def test_the_specifications_own_library_verifies_a_webhook(receiver: _Receiver, web: PublicWeb) -> None:
    assert sender(web).send(message(receiver.url)).status == 204
    ((path, headers, body),) = receiver.got
    assert path == "/hook?token=%2Fmine"
    assert Webhook(SECRETS[0]).verify(body, headers) == json.loads(BODY)
    assert headers["webhook-id"] == "msg_2b5f8a"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert headers["webhook-signature"].startswith("v1,")
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == "dream-factory-webhooks/1"
    assert headers["host"] == f"127.0.0.1:{receiver.server_port}"
    for name in ("cookie", "authorization"):
        assert name not in headers


def test_a_changed_webhook_is_not_verified(receiver: _Receiver, web: PublicWeb) -> None:
    sender(web).send(message(receiver.url))
    ((_, headers, body),) = receiver.got
    changed = [
        (body + b" ", headers),
        (body, {**headers, "webhook-id": "msg_other"}),
        (body, {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 1)}),
    ]
    for other_body, other_headers in changed:
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRETS[0]).verify(other_body, other_headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRETS[1]).verify(body, headers)


def test_every_secret_signs(receiver: _Receiver, web: PublicWeb) -> None:
    sender(web, *SECRETS).send(message(receiver.url))
    ((_, headers, body),) = receiver.got
    assert len(headers["webhook-signature"].split()) == 2
    for secret in SECRETS:
        Webhook(secret).verify(body, headers)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver: _Receiver, web: PublicWeb, status: int) -> None:
    receiver.behaviour = lambda request: request.answer(status, Location="/other")
    assert sender(web).send(message(receiver.url)).status == status
    assert len(receiver.got) == 1


@pytest.mark.parametrize("status", [200, 202, 400, 404, 410, 429, 500, 503])
def test_the_status_of_the_answer_is_returned(receiver: _Receiver, web: PublicWeb, status: int) -> None:
    receiver.behaviour = lambda request: request.answer(status, b"whatever it says")
    assert sender(web).send(message(receiver.url)).status == status


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("Thu, 01 Jan 2026 13:00:00 GMT", 3600),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0),
        ("Thu, 01 Jan 2026 13:00:00 -0000", 3600),
        ("-5", 0),
        ("soon", 0),
        ("1e9", 0),
        ("²", 0),
        ("86401", 86_400),
        ("9" * 5000, 86_400),
        ("Fri, 01 Jan 2027 00:00:00 GMT", 86_400),
        ("Fri, 1 Jan 99999999999 00:00:00 GMT", 0),
        ("Thu, 01 Jan ٢٠٢٦ 13:00:00 GMT", 0),
    ],
)
def test_retry_after_is_read(receiver: _Receiver, web: PublicWeb, header: str, seconds: int) -> None:
    receiver.behaviour = lambda request: request.answer(503, Retry_After=header.encode().decode("latin-1"))
    asked = replace(message(receiver.url), sent_at=datetime(2026, 1, 1, 12, tzinfo=UTC))
    assert sender(web).send(asked).retry_after_s == seconds


_DATE_PARTS = [
    *("Fri", ", ", " ", "1", "31", "Jan", "feb", "0001", "2026", "9999", "99999999999", "00:00:00", "25:61", "12.30"),
    *("GMT", "EST", "+0000", "-2359", "+9999", "-0000", "9" * 30, "(x)", ";", "\t"),
]
_RETRY_AFTER = st.lists(st.sampled_from(_DATE_PARTS)).map("".join).map(str.encode) | st.binary(max_size=40)
_STATUS = st.sampled_from(["000", "099", "101", "200", "204", "304", "429", "503", "599", "999", "1000", "-1", "٢٠٠"])
_INTERIM = st.sampled_from(
    [b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 3, b"HTTP/1.1 103 Early Hints\r\nLink: \xff\r\n\r\n"]
)


def test_every_answer_is_a_reply_or_an_unavailable_host(receiver: _Receiver, web: PublicWeb) -> None:
    @given(_INTERIM, _STATUS, st.lists(_RETRY_AFTER, max_size=2), st.binary(max_size=9))
    @example(b"", "503", [b"Fri, 1 Jan 99999999999 00:00:00 GMT"], b"")
    def check(interim: bytes, status: str, values: list[bytes], body: bytes) -> None:
        headers = b"".join(b"Retry-After: " + value + b"\r\n" for value in values)
        answer = interim + f"HTTP/1.1 {status} Whatever\r\n".encode() + headers + b"Connection: close\r\n\r\n" + body
        receiver.behaviour = lambda request: request.send_raw(answer)
        try:
            reply = sender(web).send(message(receiver.url))
        except HostUnavailableError:
            return
        assert 200 <= reply.status <= 999 and 0 <= reply.retry_after_s <= 86_400

    check()


def _pour(request: _Handler) -> None:
    """Send an endless body as fast as the client reads it."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while not request.server.stopping.is_set():
        try:
            request.wfile.write(b"x" * 65536)
        except OSError:
            return


def _drip(request: _Handler) -> None:
    """Send endless headers, one at a time."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not request.server.stopping.wait(0.02):
        try:
            request.wfile.write(b"X: y\r\n")
        except OSError:
            return


def test_an_endless_body_is_not_read(receiver: _Receiver, web: PublicWeb) -> None:
    receiver.behaviour = _pour
    began = time.monotonic()
    assert sender(web).send(message(receiver.url)).status == 200
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("behaviour", [_drip, lambda request: request.server.stopping.wait(5)], ids=["drip", "silence"])
def test_an_answer_has_a_time_limit(receiver: _Receiver, web: PublicWeb, behaviour: Behaviour) -> None:
    receiver.behaviour = behaviour
    began = time.monotonic()
    with pytest.raises(HostUnavailableError, match="did not answer"):
        sender(web, timeout_s=0.3).send(message(receiver.url))
    assert time.monotonic() - began < 3


def test_the_time_limit_includes_the_look_up(receiver: _Receiver) -> None:
    def resolver(name: str, port: int) -> list[str]:
        Event().wait(0.05)
        return ["127.0.0.1"]

    receiver.behaviour = lambda request: request.answer(200)
    url = f"http://hooks.example.com:{receiver.server_port}/"
    with PublicWeb(LOOPBACK, resolver=resolver).open("POST", url, within_s=5.0, content=b"{}") as response:
        assert response.request.extensions["timeout"]["read"] <= 4.95


def test_a_refused_connection_is_an_unavailable_host(web: PublicWeb) -> None:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(HostUnavailableError, match=r"did not answer \(ConnectError\)"):
        sender(web).send(message(f"http://127.0.0.1:{port}/hook"))


def test_a_refused_address_is_not_contacted(receiver: _Receiver) -> None:
    with pytest.raises(AddressRefusedError, match="not on the public internet"):
        sender(PublicWeb(WebPolicy(allow_http=True))).send(message(receiver.url))
    assert receiver.got == []
