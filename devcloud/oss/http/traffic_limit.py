"""The speed limit of one request: ``x-oss-traffic-limit`` as a header or in the URL.

See https://www.alibabacloud.com/help/en/oss/user-guide/single-connection-bandwidth-throttling-5.
"""

from devcloud.clock import Clock
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.oss_errors import invalid_argument

SLOWEST, FASTEST = 819_200, 838_860_800  # bits per second
_PIECE = 32 * 1024
_NAME = "x-oss-traffic-limit"


def read_traffic_limit(request: OssRequest) -> int | None:
    """Return the limit of ``request`` in bits per second, ``None`` without a limit. Raises ``InvalidArgument``."""
    text = request.headers.get(_NAME) or request.query.get(_NAME)
    if not text:
        return None
    if not text.isdecimal() or not SLOWEST <= int(text) <= FASTEST:
        message = f"The bandwidth limit must be a number from {SLOWEST} to {FASTEST}."
        raise invalid_argument(message, _NAME, text, ec="0017-00000403")
    return int(text)


class Pace:
    """Delays bytes so that at most ``bits_per_s`` pass, measured by ``clock``."""

    def __init__(self, clock: Clock, bits_per_s: int | None) -> None:
        self._clock = clock
        self._bits_per_s = bits_per_s
        self._start = clock.now()
        self._bytes = 0

    def pieces(self, chunk: bytes) -> list[bytes]:
        """Return ``chunk`` in small pieces, so that they pass evenly."""
        if self._bits_per_s is None:
            return [chunk]
        return [chunk[start : start + _PIECE] for start in range(0, len(chunk), _PIECE)]

    async def passed(self, size: int) -> None:
        """Return once ``size`` more bytes may have passed."""
        if self._bits_per_s is not None:
            self._bytes += size
            await self._clock.sleep_until(self._start + self._bytes * 8 / self._bits_per_s)
