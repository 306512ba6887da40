"""The port ``Downloads``, with scripted bodies."""

from collections.abc import Callable, Iterator

from shared.domain.errors import MediaTooLargeError

Chunk = bytes | Exception | Callable[[], bytes]


class FakeDownloads:
    """Returns the body of each URL: bytes, or a list of chunks, errors and functions.

    ``check`` records its URLs, and raises the exception in ``refusals`` for a URL.
    """

    def __init__(self, bodies: dict[str, bytes | list[Chunk]] | None = None) -> None:
        self.bodies = bodies or {}
        self.fetched: list[str] = []
        self.checked: list[str] = []
        self.refusals: dict[str, Exception] = {}

    def check(self, url: str) -> None:
        self.checked.append(url)
        if url in self.refusals:
            raise self.refusals[url]

    def stream(self, url: str, *, max_bytes: int) -> Iterator[bytes]:
        self.fetched.append(url)
        body = self.bodies[url]
        received = 0
        for chunk in [body] if isinstance(body, bytes) else body:
            if isinstance(chunk, Exception):
                raise chunk
            data = chunk if isinstance(chunk, bytes) else chunk()
            received += len(data)
            if received > max_bytes:
                raise MediaTooLargeError(f"the result is larger than {max_bytes} bytes")
            yield data
