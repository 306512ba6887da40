"""The XML of OSS: no namespace, text escaped, keys with characters that XML 1.0 forbids.

See https://www.alibabacloud.com/help/en/oss/developer-reference/overview-of-api-operations.
"""

import re
from collections.abc import Iterable
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from devcloud.oss.oss_errors import malformed_xml

Node = tuple[str, "str | int | bool | Iterable[Node | str]"]

# Keys may contain characters that XML 1.0 cannot express. SDKs send them raw or as character references, and both are
# read. They pass the parser as pairs of code points: an escape, and a substitute for the character.
_ESCAPE = "\U0010fffe"
_FORBIDDEN = (*(chr(code) for code in range(0x20) if chr(code) not in "\t\n\r"), "\ufffe", "\uffff", _ESCAPE)
_SHELTER = {ord(char): _ESCAPE + chr(0xE000 + index) for index, char in enumerate((*_FORBIDDEN, "\r"))}
_UNSHELTER = {pair: chr(code) for code, pair in _SHELTER.items()}
_RAW = re.compile(f"[{''.join(map(re.escape, _FORBIDDEN))}]")
_PAIR = re.compile(f"{_ESCAPE}.", re.DOTALL)
_REFERENCE = re.compile(r"&#(?:x([0-9A-Fa-f]{1,8})|([0-9]{1,10}));")
# The text of an element without child elements, where the parser would turn a carriage return into a line feed.
_TEXT = re.compile(r"(?<=>)[^<>]*(?=</)")


def render(tag: str, *content: Node | str) -> bytes:
    """Return the document ``<tag>content</tag>``: elements, or one text."""
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + _element(tag, content)).encode()


def parse(body: bytes) -> ET.Element:
    """Return the root of ``body``; read text with :func:`text_of`. Raises ``MalformedXML``."""
    try:
        # expat limits entity expansion, and the emulator serves only loopback.
        return ET.fromstring(_sheltered(body.decode()))  # noqa: S314
    except (UnicodeDecodeError, ET.ParseError) as error:
        raise malformed_xml() from error


def text_of(parent: ET.Element, path: str) -> str | None:
    """Return the text at ``path`` below ``parent``, ``None`` if the element does not exist."""
    text = parent.findtext(path)
    return None if text is None else unsheltered(text)


def unsheltered(text: str) -> str:
    """Return text from the parser with its original characters."""
    return _PAIR.sub(lambda pair: _UNSHELTER[pair[0]], text)


def _sheltered(text: str) -> str:
    text = _RAW.sub(lambda raw: _SHELTER[ord(raw[0])], text)
    text = _TEXT.sub(lambda run: run[0].replace("\r", _SHELTER[ord("\r")]), text)
    return _REFERENCE.sub(lambda it: _SHELTER.get(int(it[1], 16) if it[1] else int(it[2]), it[0]), text)


def _element(tag: str, content: "str | int | bool | Iterable[Node | str]") -> str:
    if isinstance(content, bool):
        inner = str(content).lower()
    elif isinstance(content, str | int):
        inner = escape(str(content))
    else:
        inner = "".join(escape(child) if isinstance(child, str) else _element(*child) for child in content)
    return f"<{tag}>{inner}</{tag}>"
