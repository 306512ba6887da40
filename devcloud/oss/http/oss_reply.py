"""The reply to a request."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from devcloud.oss.http import xml


class Body(Protocol):
    """The bytes of a reply; the size is ``None`` if it is not known in advance."""

    @property
    def size(self) -> int | None:
        """The number of bytes."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes in chunks."""

    def close(self) -> None:
        """Release the source of the bytes; may be called several times."""


@dataclass
class Reply:
    """A reply, sent with at most ``bits_per_s``. The sender closes a ``body`` that is a reader."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: "bytes | Body" = b""
    bits_per_s: int | None = None


def xml_reply(tag: str, *content: xml.Node | str) -> Reply:
    """Return the reply whose body is the document ``<tag>content</tag>``."""
    return Reply(headers={"content-type": "application/xml"}, body=xml.render(tag, *content))
