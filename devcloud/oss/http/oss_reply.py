"""The reply to a request."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from devcloud.oss.http import xml


class Body(Protocol):
    """The bytes of a reply; the size is ``None`` if it is not known before they come."""

    @property
    def size(self) -> int | None:
        """Bytes that will come."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes in chunks."""

    def close(self) -> None:
        """Give free what they come from; harmless when repeated."""


@dataclass
class Reply:
    """What to answer, at most at ``bits_per_s``. A ``body`` that is a reader is closed by whoever sends the reply."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: "bytes | Body" = b""
    bits_per_s: int | None = None


def xml_reply(tag: str, *content: xml.Node | str) -> Reply:
    """Return the reply whose body is the document ``<tag>content</tag>``."""
    return Reply(headers={"content-type": "application/xml"}, body=xml.render(tag, *content))
