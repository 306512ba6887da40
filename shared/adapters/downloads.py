"""Downloads of the providers' results, through a guard against requests into our own network."""

import ipaddress
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urljoin, urlsplit

import httpx

from shared.domain.errors import (
    DownloadInterruptedError,
    DownloadRefusedError,
    MediaTooLargeError,
    ResultLostError,
)
from shared.settings import DownloadSettings

_MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
# Beside what Python calls not global: RFC 6598 (Alibaba Cloud's metadata service is in it), RFC 6890, RFC 7526.
_NOT_PUBLIC_V4 = [ipaddress.IPv4Network(text) for text in ("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24")]
# The rest of IPv6 is local, or holds an IPv4 address that a translator would contact, as 6to4's part of this does.
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_6TO4 = ipaddress.IPv6Network("2002::/16")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host as text."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class GuardedDownloads:
    """Fetches https URLs of public hosts.

    Every hop is resolved once, checked, and contacted at the very address that was checked, so that a name which
    changes its address in between gains nothing. Certificates are checked against the name all the same.
    """

    def __init__(self, config: DownloadSettings, *, resolver: Resolver = resolve) -> None:
        self._config = config
        self._resolver = resolver
        # Connections are pooled by address: one whose certificate was checked for one name must not serve another.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(timeout=_TIMEOUT, limits=limits, follow_redirects=False, trust_env=False)

    def stream(self, url: str, *, max_bytes: int) -> Iterator[bytes]:
        """Yield the body in chunks of at most 64 KiB, whole or not at all."""
        ends_at = time.monotonic() + self._config.timeout_s
        for _ in range(_MAX_REDIRECTS + 1):
            with self._open(url) as response:
                if response.status_code in _REDIRECTS:
                    url = urljoin(url, response.headers.get("location", ""))
                    continue
                _check_status(response)
                yield from self._read(response, max_bytes, ends_at)
                return
        raise DownloadRefusedError(f"the result's address redirects more than {_MAX_REDIRECTS} times")

    @contextmanager
    def _open(self, url: str) -> Iterator[httpx.Response]:
        target, host = self._vet(url)
        try:
            request = self._client.build_request(
                "GET",
                target,
                headers={"Host": host, "Accept-Encoding": "identity"},
                extensions={"sni_hostname": host.rsplit(":", 1)[0] if host.count(":") == 1 else host},
            )
        except httpx.InvalidURL as error:
            raise DownloadRefusedError("the result's address is no URL") from error
        try:
            response = self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise DownloadInterruptedError(f"the result's host did not answer ({type(error).__name__})") from error
        try:
            yield response
        finally:
            response.close()

    def _vet(self, url: str) -> tuple[str, str]:
        """Return the URL with an address in place of the name, and the Host header; refuse what is not public."""
        try:
            parts = urlsplit(url)
            # A name is resolved, and stands in the Host header, as ASCII.
            host, port = (parts.hostname or "").encode("idna").decode(), parts.port
        except ValueError:
            raise DownloadRefusedError("the result's address is no URL") from None
        if parts.scheme != "https" and not (parts.scheme == "http" and self._config.allow_http):
            raise DownloadRefusedError(f"the result's address must begin with https, not {parts.scheme or 'nothing'}")
        if parts.username is not None or parts.password is not None:
            raise DownloadRefusedError("the result's address must not hold a user name")
        if not host:
            raise DownloadRefusedError("the result's address names no host")
        try:
            addresses = self._resolver(host, port or (443 if parts.scheme == "https" else 80))
        except (OSError, UnicodeError) as error:
            raise DownloadInterruptedError("the result's host cannot be resolved") from error
        for address in addresses:
            self._check_address(address)
        literal = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
        at = literal if port is None else f"{literal}:{port}"
        name = f"[{host}]" if ":" in host else host
        return parts._replace(netloc=at, fragment="").geturl(), name if port is None else f"{name}:{port}"

    def _check_address(self, text: str) -> None:
        address: Address = ipaddress.ip_address(text.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        if any(address.version == network.version and address in network for network in self._config.allow_networks):
            return
        if isinstance(address, ipaddress.IPv4Address):
            public = not any(address in network for network in _NOT_PUBLIC_V4)
        else:
            public = address in _PUBLIC_V6 and address not in _6TO4
        if not public or not address.is_global or address.is_multicast:
            raise DownloadRefusedError("the result's host is not on the public internet")

    def _read(self, response: httpx.Response, max_bytes: int, ends_at: float) -> Iterator[bytes]:
        announced = response.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > max_bytes:
            raise MediaTooLargeError(f"the result has {announced} bytes, more than {max_bytes}")
        received = 0
        try:
            # Chunks as they come, at most 64 KiB each: gathering them would keep the time limit waiting for a full one.
            for chunk in response.iter_raw():
                received += len(chunk)
                yield chunk
                if time.monotonic() > ends_at:
                    raise DownloadInterruptedError(f"the download took longer than {self._config.timeout_s:g} s")
        except httpx.HTTPError as error:
            raise DownloadInterruptedError(
                f"the download broke off after {received} of {announced or 'unknown'} bytes"
            ) from error
        if announced.isdecimal() and received != int(announced):
            raise DownloadInterruptedError(f"the download ended after {received} of {announced} bytes")


def _check_status(response: httpx.Response) -> None:
    status = response.status_code
    if status == 200:
        return
    if status in {403, 404, 410}:
        raise ResultLostError(f"the provider no longer hands the result out (HTTP {status}); its URL has expired")
    raise DownloadInterruptedError(f"the result's host answered HTTP {status}")
