"""CORS rules: the document, and which requests it allows.

See https://www.alibabacloud.com/help/en/oss/developer-reference/putbucketcors.
"""

import re
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from devcloud.oss.documents.xml_document import Document, boolean, integer, read_root, write_root
from devcloud.oss.http import xml
from devcloud.oss.oss_errors import invalid_argument, malformed_xml
from devcloud.oss.wildcards import matches

MAX_RULES = 20
METHODS = ("GET", "PUT", "DELETE", "POST", "HEAD")


@dataclass(frozen=True)
class CorsRule:
    """One rule; header names are lower-case."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...]
    exposed: tuple[str, ...]
    max_age_s: int | None

    def allows(self, origin: str, method: str, headers: list[str]) -> bool:
        """Tell whether a page from ``origin`` may send ``method`` with ``headers``."""
        return (
            any(matches(pattern, origin) for pattern in self.origins)
            and method in self.methods
            and all(any(matches(pattern, name) for pattern in self.headers) for name in headers)
        )


@dataclass(frozen=True)
class CorsConfiguration:
    """The rules in order. With ``response_vary`` all answers carry ``Vary: Origin``, also where no rule applies."""

    rules: tuple[CorsRule, ...]
    response_vary: bool

    def rule_for(self, origin: str, method: str, headers: list[str]) -> CorsRule | None:
        """Return the first rule that allows this request."""
        return next((rule for rule in self.rules if rule.allows(origin, method, headers)), None)


def read_cors(body: bytes) -> CorsConfiguration:
    """Read a valid document."""
    root = read_root(body, "CORSConfiguration")
    rules = tuple(_rule(node) for node in root.iterfind("CORSRule"))
    return CorsConfiguration(rules, boolean(root, "ResponseVary", default=False))


def _check(body: bytes) -> bytes:
    rules = read_cors(body).rules
    if not 1 <= len(rules) <= MAX_RULES:
        raise malformed_xml()
    root = read_root(body, "CORSConfiguration")
    if root.find("ResponseVary") is None:
        ET.SubElement(root, "ResponseVary").text = "false"
    return write_root(root)


def _rule(node: ET.Element) -> CorsRule:
    origins, methods = _texts(node, "AllowedOrigin"), _texts(node, "AllowedMethod")
    if not origins or not methods:
        raise malformed_xml()
    for method in methods:
        if method not in METHODS:
            raise invalid_argument("The method is not one that CORS rules may allow.", "AllowedMethod", method)
    headers = _texts(node, "AllowedHeader")
    for name, patterns in (("AllowedOrigin", origins), ("AllowedHeader", headers)):
        for pattern in patterns:
            if pattern.count("*") > 1:
                raise invalid_argument(f"{name} can not have more than one wildcard.", name, pattern)
    exposed = _texts(node, "ExposeHeader")
    for header in exposed:
        if not re.fullmatch(r"[\w-]+", header):
            raise invalid_argument("ExposeHeader must be a header's name without wildcards.", "ExposeHeader", header)
    max_age_s = integer(node, "MaxAgeSeconds", least=0)
    return CorsRule(origins, methods, tuple(header.lower() for header in headers), exposed, max_age_s)


def _texts(node: ET.Element, tag: str) -> tuple[str, ...]:
    return tuple(xml.text_of(child, ".") or "" for child in node.iterfind(tag))


CORS = Document("cors", _check, "Cors", missing="NoSuchCORSConfiguration")
