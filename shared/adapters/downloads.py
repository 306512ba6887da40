"""Downloads of the providers' results."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urljoin

import httpx

from shared.adapters.public_web import PublicWeb
from shared.domain.errors import (
    AddressRefusedError,
    DownloadInterruptedError,
    DownloadRefusedError,
    HostUnavailableError,
    MediaTooLargeError,
    ResultLostError,
)
from shared.settings import DownloadSettings

_MAX_REDIRECTS = 5
_CONTENT_LENGTH = re.compile(r"[0-9]{1,20}")  # the HTTP client refuses a length of more digits
_REDIRECTS = {301, 302, 303, 307, 308}


class GuardedDownloads:
    """Fetches https URLs of public hosts. Every redirect is checked like the first address."""

    def __init__(self, config: DownloadSettings, web: PublicWeb) -> None:
        self._config = config
        self._web = web

    def check(self, url: str) -> None:
        """Raise DownloadRefusedError if the host of an image for a provider is not public. No host is contacted.

        A host that cannot be resolved here passes: the provider may be able to resolve it.
        """
        with _named("the image"), suppress(HostUnavailableError):
            self._web.check(url)

    def stream(self, url: str, *, max_bytes: int) -> Iterator[bytes]:
        """Yield the whole body in chunks of at most 64 KiB. A body that is not complete ends in an error."""
        ends_at = time.monotonic() + self._config.timeout_s
        with _named("the result"):
            for _ in range(_MAX_REDIRECTS + 1):
                self._check_time(ends_at)
                with self._web.open("GET", url, within_s=ends_at - time.monotonic()) as response:
                    if response.status_code in _REDIRECTS:
                        url = _target(url, response)
                        continue
                    _check_status(response)
                    yield from self._read(response, max_bytes, ends_at)
                    return
            raise DownloadRefusedError(f"the result's address redirects more than {_MAX_REDIRECTS} times")

    def _read(self, response: httpx.Response, max_bytes: int, ends_at: float) -> Iterator[bytes]:
        announced = _announced_bytes(response)
        if announced is not None and announced > max_bytes:
            raise MediaTooLargeError(f"the result has {announced} bytes; at most {max_bytes} bytes are allowed")
        received = 0
        try:
            # Chunks are yielded as they arrive, at most 64 KiB each: waiting for full chunks would delay the limit.
            for chunk in response.iter_raw():
                received += len(chunk)
                yield chunk
                self._check_time(ends_at)
        except httpx.HTTPError as error:
            self._check_time(ends_at)
            raise DownloadInterruptedError(
                f"the download broke off after {received} of {'unknown' if announced is None else announced} bytes"
            ) from error
        # A body without a stated length ends here too when its connection breaks off.
        self._check_time(ends_at)
        if announced is not None and received != announced:
            raise DownloadInterruptedError(f"the download ended after {received} of {announced} bytes")

    def _check_time(self, ends_at: float) -> None:
        if time.monotonic() >= ends_at:
            raise DownloadInterruptedError(f"the download took longer than {self._config.timeout_s:g} s")


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Turn an error about an address or its host into an error of a download that names ``what``."""
    try:
        yield
    except AddressRefusedError as error:
        raise DownloadRefusedError(f"{what}'s address {error}") from error
    except HostUnavailableError as error:
        raise DownloadInterruptedError(f"{what}'s host {error}") from error


def _announced_bytes(response: httpx.Response) -> int | None:
    """Return the size in the header Content-Length, or None."""
    text = response.headers.get("content-length", "")
    return int(text) if _CONTENT_LENGTH.fullmatch(text) else None


def _target(url: str, response: httpx.Response) -> str:
    try:
        return urljoin(url, str(response.headers.get("location", "")))
    except ValueError as error:
        raise DownloadRefusedError("the result's address redirects to an invalid URL") from error


def _check_status(response: httpx.Response) -> None:
    status = response.status_code
    if status == 200:
        return
    if status in {403, 404, 410}:
        raise ResultLostError(f"the result's URL has expired: the provider answered HTTP {status}")
    raise DownloadInterruptedError(f"the result's host answered HTTP {status}")
