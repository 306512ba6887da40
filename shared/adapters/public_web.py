"""Requests to hosts that users and providers name, with a guard against requests into our own network (SSRF)."""

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
# A look-up continues after its caller has given up, until the resolver gives up: by default after two rounds of 5 s for
# each name server. 32 webhooks at once, each with a look-up of at most ten seconds, leave fewer threads than this.
_LOOKUPS_AT_ONCE = 128
_CONNECT_TIMEOUT_S = 10.0
_SILENCE_TIMEOUT_S = 30.0
_LEAST_TIME_S = 0.001  # for a socket 0 means "do not wait", and negative numbers are errors
_CONNECTED = "connection.connect_tcp.complete"

Resolver = Callable[[str, int], list[str]]
_Trace = Callable[[str, Mapping[str, Any]], None]


def resolve(host: str, port: int) -> list[str]:
    """Return the IP addresses of a host as text."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class PublicWeb:
    """Opens requests to hosts of the public internet; threads may share it.

    Every host is resolved once, checked, and contacted at exactly the checked address, so that a name which changes its
    address in between has no effect. Certificates are still checked against the name. Redirects are not followed: the
    caller opens the target of a redirect with ``open``, too.
    """

    def __init__(
        self, policy: WebPolicy, *, resolver: Resolver = resolve, lookup_timeout_s: float = _LOOKUP_TIMEOUT_S
    ) -> None:
        self._policy = policy
        self._lookups = _Lookups(resolver)
        self._lookup_timeout_s = lookup_timeout_s
        # A pool keeps connections by address: a connection whose certificate was checked for one name must not serve
        # another name. A client would also keep cookies by address, and parse redirects that it does not follow.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._transport = httpx.HTTPTransport(limits=limits, trust_env=False)

    def check(self, url: str) -> None:
        """Resolve and check the host without contacting it. Raises AddressRefusedError or HostUnavailableError."""
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
        """Send a request and yield the answer with its body unread.

        The time starts with the look-up of the name. After ``within_s`` the connection is closed in any case, and
        reading raises httpx.HTTPError. Raises AddressRefusedError (no host was contacted) or HostUnavailableError.
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
    """Look-ups of names, each in its own thread: the resolver has its own time limit only, and cannot be stopped.

    A look-up that hangs occupies its thread. Other look-ups do not wait while threads are left.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._threads = threading.BoundedSemaphore(_LOOKUPS_AT_ONCE)

    def find(self, host: str, port: int, *, within_s: float) -> list[str]:
        """Return the addresses of a host, at least one, within ``within_s``. Raises HostUnavailableError."""
        ends_at = time.monotonic() + within_s
        if not self._threads.acquire(timeout=max(within_s, 0.0)):
            raise HostUnavailableError("cannot be resolved now: too many look-ups are running")
        answer: Future[list[str]] = Future()
        # A daemon thread, so that the end of the process does not wait for a name server.
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
        except Exception as error:  # the waiting thread raises it
            answer.set_exception(error)
        finally:
            self._threads.release()


@contextmanager
def _time_limit(seconds: float) -> Iterator[_Trace]:
    """Close the connection of one request after ``seconds``. Yields a trace function for httpcore.

    httpx's own limits apply to the silence between two bytes: a host that sends a byte now and then never reaches them.
    """
    ends_at = time.monotonic() + seconds
    # TLS takes over the socket object; a second handle still reaches the connection.
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
