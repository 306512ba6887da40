"""The XML of OSS: no namespace, text escaped, keys with characters that XML 1.0 forbids.

See https://www.alibabacloud.com/help/en/oss/developer-reference/overview-of-api-operations.
"""

from collections.abc import Iterable
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from devcloud.oss.errors import malformed_xml

Node = tuple[str, "str | int | bool | Iterable[Node | str]"]

# Keys may hold control characters, raw in what SDKs send; XML 1.0 has no way to write them. They travel through
# the parser as code points of the private use area.
_FORBIDDEN = [code for code in range(0x20) if code not in (0x09, 0x0A, 0x0D)]
_SHELTER = {code: 0xF8000 + code for code in _FORBIDDEN}
_UNSHELTER = {shelter: code for code, shelter in _SHELTER.items()}


def render(tag: str, *content: Node | str) -> bytes:
    """Return the document ``<tag>content</tag>``: elements, or one text."""
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + _element(tag, content)).encode()


def parse(body: bytes) -> ET.Element:
    """Return the root of ``body``; read text with :func:`text_of`. Raises ``MalformedXML``."""
    try:
        sheltered = body.decode().translate(_SHELTER)
        # expat bounds entity expansion by itself, and the emulator serves loopback alone.
        return ET.fromstring(sheltered)  # noqa: S314
    except (UnicodeDecodeError, ET.ParseError) as error:
        raise malformed_xml() from error


def text_of(parent: ET.Element, path: str) -> str | None:
    """Return the text at ``path`` below ``parent``, ``None`` if there is no such element."""
    text = parent.findtext(path)
    return None if text is None else unsheltered(text)


def unsheltered(text: str) -> str:
    """Return text of the parser with the control characters that stood in it."""
    return text.translate(_UNSHELTER)


def _element(tag: str, content: "str | int | bool | Iterable[Node | str]") -> str:
    if isinstance(content, bool):
        inner = str(content).lower()
    elif isinstance(content, str | int):
        inner = escape(str(content))
    else:
        inner = "".join(escape(child) if isinstance(child, str) else _element(*child) for child in content)
    return f"<{tag}>{inner}</{tag}>"
