"""Requests to hosts that others name, through a guard against requests into our own network."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

import httpx

from shared.domain.errors import AddressRefusedError, HostUnavailableError
from shared.domain.web_addresses import WebAddress, WebPolicy, check_ip, read_web_address

_LOOKUP_TIMEOUT_S = 10.0
# A look-up that nobody waits for any more goes on until the resolver gives up, by default after two rounds of 5 s for
# each name server. Thirty-two webhooks at once, each of which waits for ten seconds, leave fewer behind than this.
_LOOKUPS_AT_ONCE = 128
_CONNECT_TIMEOUT_S = 10.0
_SILENCE_TIMEOUT_S = 30.0
_LEAST_TIME_S = 0.001  # a socket takes 0 for "do not wait", and nothing below
_CONNECTED = "connection.connect_tcp.complete"

Resolver = Callable[[str, int], list[str]]
_Trace = Callable[[str, Mapping[str, Any]], None]


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host as text."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class PublicWeb:
    """Opens requests to hosts of the public internet; threads may share it.

    Every host is resolved once, checked, and contacted at the very address that was checked, so that a name which
    changes its address in between gains nothing. Certificates are checked against the name all the same. Redirects are
    answers like any other: whoever follows one opens it here, too.
    """

    def __init__(
        self, policy: WebPolicy, *, resolver: Resolver = resolve, lookup_timeout_s: float = _LOOKUP_TIMEOUT_S
    ) -> None:
        self._policy = policy
        self._lookups = _Lookups(resolver)
        self._lookup_timeout_s = lookup_timeout_s
        # Connections are pooled by address: one whose certificate was checked for one name must not serve another.
        # A client would also keep cookies by address, and look into redirects that it does not follow.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._transport = httpx.HTTPTransport(limits=limits, trust_env=False)

    def check(self, url: str) -> None:
        """Resolve the host and contact nobody. Raises AddressRefusedError or HostUnavailableError."""
        self._vet(url, within_s=self._lookup_timeout_s)

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        *,
        within_s: float,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Iterator[httpx.Response]:
        """Send a request and lend the answer with its body unread.

        The time counts from the look-up of the name on. After ``within_s`` the connection breaks, however little is
        missing: what is read from then on raises httpx.HTTPError. Raises AddressRefusedError (nobody was contacted) or
        HostUnavailableError.
        """
        ends_at = time.monotonic() + within_s
        address, ip = self._vet(url, within_s=min(self._lookup_timeout_s, within_s))
        within_s = max(ends_at - time.monotonic(), _LEAST_TIME_S)
        silence = httpx.Timeout(min(_SILENCE_TIMEOUT_S, within_s), connect=min(_CONNECT_TIMEOUT_S, within_s))
        stated = {"Host": address.host_header, "Accept-Encoding": "identity", **(headers or {})}
        with _time_limit(within_s) as trace:
            extensions = {"sni_hostname": address.host, "timeout": silence.as_dict(), "trace": trace}
            try:
                request = httpx.Request(
                    method, address.url_at(ip), headers=stated, content=content, extensions=extensions
                )
                response = self._transport.handle_request(request)
            except httpx.InvalidURL as error:
                raise AddressRefusedError("is not a valid URL") from error
            except httpx.HTTPError as error:
                raise HostUnavailableError(f"did not answer ({type(error).__name__})") from error
            response.request = request
            try:
                yield response
            finally:
                response.close()

    def _vet(self, url: str, *, within_s: float) -> tuple[WebAddress, str]:
        address = read_web_address(url, self._policy)
        if address.ip is not None:
            return address, str(address.ip)
        found = self._lookups.find(address.host, address.port_to_contact, within_s=within_s)
        for ip in found:
            check_ip(ip, self._policy)
        return address, found[0]


class _Lookups:
    """Look-ups of names, one thread for each: the resolver knows no time limit but its own, and no stopping.

    A look-up that hangs keeps its thread, and nobody else waiting as long as there are threads left.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._threads = threading.BoundedSemaphore(_LOOKUPS_AT_ONCE)

    def find(self, host: str, port: int, *, within_s: float) -> list[str]:
        """Return the addresses of a host, at least one, within ``within_s``. Raises HostUnavailableError."""
        ends_at = time.monotonic() + within_s
        if not self._threads.acquire(timeout=max(within_s, 0.0)):
            raise HostUnavailableError("cannot be resolved now: too many look-ups are under way")
        answer: Future[list[str]] = Future()
        # A daemon thread: the end of the process does not wait for a name server.
        threading.Thread(target=self._look_up, args=(host, port, answer), name="look-up", daemon=True).start()
        try:
            found = answer.result(max(ends_at - time.monotonic(), 0.0))
        except TimeoutError as error:
            raise HostUnavailableError("was not resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise HostUnavailableError("cannot be resolved") from error
        if not found:
            raise HostUnavailableError("cannot be resolved")
        return found

    def _look_up(self, host: str, port: int, answer: "Future[list[str]]") -> None:
        try:
            answer.set_result(self._resolver(host, port))
        except Exception as error:  # whoever waits raises it
            answer.set_exception(error)
        finally:
            self._threads.release()


@contextmanager
def _time_limit(seconds: float) -> Iterator[_Trace]:
    """Break the connection of one request after ``seconds``; what is lent here is httpcore's trace of it.

    httpx's own limits are for the silence between two bytes, and who sends one now and then would never end.
    """
    ends_at = time.monotonic() + seconds
    # TLS takes the socket itself over, and a second handle reaches the connection all the same.
    handles: list[socket.socket] = []

    def trace(event: str, info: Mapping[str, Any]) -> None:
        if event == _CONNECTED:
            handles.append(info["return_value"].get_extra_info("socket").dup())
            if time.monotonic() >= ends_at:
                break_off()

    def break_off() -> None:
        for handle in handles:
            with suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, break_off)
    timer.daemon = True
    timer.start()
    try:
        yield trace
    finally:
        timer.cancel()
        for handle in handles:
            handle.close()
