"""The common parts of a bucket's documents: they are read as OSS reads them, and returned in one normal form.

Elements keep their order; namespaces, indentation and the SDKs' ways to write booleans (``True``) are not kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from devcloud.oss.http import xml
from devcloud.oss.oss_errors import OssError, invalid_argument, malformed_xml

_BOOLEANS = {"True": "true", "False": "false"}


@dataclass(frozen=True)
class Document:
    """One kind of document, put and read by the sub-resource ``name`` of its bucket.

    ``read`` checks the body of a client and returns the document that is stored. For a bucket without the document the
    answer is ``default``, or, without a default, a 404 with the code ``missing``.
    """

    name: str
    read: Callable[[bytes], bytes]
    operation: str
    missing: str = ""
    default: bytes = b""
    deletable: bool = True
    content_type: str = "application/xml"

    def absent(self, bucket: str) -> OssError:
        """Make the 404 of a bucket without this document."""
        message = f"The bucket has no {self.name} configuration."
        return OssError(404, self.missing, message, details={"BucketName": bucket})


def read_root(body: bytes, tag: str) -> ET.Element:
    """Return the root of ``body`` in normal form. Raises ``MalformedXML``, also for a root of another name."""
    root = xml.parse(body)
    for node in root.iter():
        node.tag = node.tag.rpartition("}")[2]
        node.attrib.clear()
        if len(node):
            node.text = None
        elif node.text is not None:
            node.text = _BOOLEANS.get(node.text.strip(), node.text)
        node.tail = None
    if root.tag != tag:
        raise malformed_xml()
    return root


def write_root(root: ET.Element) -> bytes:
    """Return ``root`` as a document."""
    return xml.render(root.tag, *_content(root))


def nodes_of(root: ET.Element) -> list[xml.Node]:
    """Return the content of ``root`` as a part of another document."""
    return [(child.tag, _content(child)) for child in root]


def _content(node: ET.Element) -> list[xml.Node | str]:
    return [*nodes_of(node)] if len(node) else [xml.unsheltered(node.text or "")]


def required(parent: ET.Element, path: str) -> str:
    """Return the text at ``path``, which must not be empty. Raises ``MalformedXML``."""
    text = xml.text_of(parent, path)
    if not text:
        raise malformed_xml()
    return text


def one_of(parent: ET.Element, path: str, allowed: tuple[str, ...]) -> str:
    """Return the text at ``path``, which must be one of ``allowed``. Raises ``MalformedXML``."""
    text = required(parent, path)
    if text not in allowed:
        raise malformed_xml()
    return text


def boolean(parent: ET.Element, path: str, *, default: bool) -> bool:
    """Return the boolean at ``path``. Raises ``MalformedXML``."""
    if parent.find(path) is None:
        return default
    return one_of(parent, path, ("true", "false")) == "true"


def integer(parent: ET.Element, path: str, *, least: int) -> int | None:
    """Return the number at ``path``, ``None`` if absent. Raises ``InvalidArgument`` naming the element."""
    text = xml.text_of(parent, path)
    if text is None:
        return None
    name = path.rpartition("/")[2]
    digits = text.strip()
    if not digits.removeprefix("-").isdecimal() or int(digits) < least:
        raise invalid_argument(f"{name} must be a number from {least} on.", name, text)
    return int(digits)
