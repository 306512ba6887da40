"""Compression of answers with gzip.

See https://www.alibabacloud.com/help/en/oss/developer-reference/getobject.
"""

import re
import zlib
from collections.abc import Iterator, Mapping

from devcloud.oss.http.oss_reply import Body

MIN_BYTES = 1024
_TYPES = frozenset(
    [
        *("text/cache-manifest", "text/xml", "text/plain", "text/css", "text/html", "text/json"),
        *("application/javascript", "application/x-javascript", "application/rss+xml", "application/json"),
        "application/xml",
    ]
)


def wants_gzip(request_headers: Mapping[str, str], headers: Mapping[str, str], size: int) -> bool:
    """Tell whether to compress an answer with ``headers`` and ``size`` bytes."""
    codings = re.split(r"[,;\s]+", request_headers.get("accept-encoding", ""))
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return "gzip" in codings and size >= MIN_BYTES and media_type in _TYPES and "content-encoding" not in headers


class GzipReader:
    """The compressed bytes of a reader. Their number is not known in advance."""

    size = None

    def __init__(self, reader: Body) -> None:
        self._reader = reader

    def __iter__(self) -> Iterator[bytes]:
        gzip = zlib.compressobj(level=1, wbits=16 + zlib.MAX_WBITS)
        for chunk in self._reader:
            if compressed := gzip.compress(chunk):
                yield compressed
        yield gzip.flush()

    def close(self) -> None:
        """Close the reader."""
        self._reader.close()
