"""Hotlink protection by the Referer header: the document, and whether it refuses a request.

See https://www.alibabacloud.com/help/en/oss/developer-reference/putbucketreferer.
"""

from xml.etree import ElementTree as ET

from devcloud.oss.documents.xml_document import Document, boolean, read_root, write_root
from devcloud.oss.http import xml
from devcloud.oss.oss_errors import OssError, access_denied, malformed_xml
from devcloud.oss.wildcards import matches


def refusal(body: bytes, referer: str) -> OssError | None:
    """Return the error of a request with ``referer`` under a valid document, ``None`` if the request is allowed."""
    root = read_root(body, "RefererConfiguration")
    allowed, banned = _patterns(root, "RefererList"), _patterns(root, "RefererBlacklist")
    message = "You are denied by bucket referer policy."
    if not referer:
        refused = bool(allowed) and not boolean(root, "AllowEmptyReferer", default=True)
        return access_denied(message, "0003-00000501") if refused else None
    if boolean(root, "AllowTruncateQueryString", default=True):
        referer = referer.partition("?")[0]
    if _named(banned, referer):
        return access_denied(message, "0003-00000502")
    if allowed and not _named(allowed, referer):
        return access_denied(message, "0003-00000503")
    return None


def _named(patterns: list[str], referer: str) -> bool:
    # A pattern covers the pages of a site as well as the site itself.
    return any(
        matches(pattern.rstrip("/"), referer) or matches(f"{pattern.rstrip('/')}/*", referer) for pattern in patterns
    )


def _patterns(root: ET.Element, tag: str) -> list[str]:
    return [xml.text_of(node, ".") or "" for node in root.iterfind(f"{tag}/Referer")]


def _check(body: bytes) -> bytes:
    root = read_root(body, "RefererConfiguration")
    if root.find("AllowEmptyReferer") is None or root.find("RefererList") is None:
        raise malformed_xml()
    for name in ("AllowEmptyReferer", "AllowTruncateQueryString", "TruncatePath"):
        boolean(root, name, default=True)
    if root.find("AllowTruncateQueryString") is None:
        ET.SubElement(root, "AllowTruncateQueryString").text = "true"
    return write_root(root)


REFERER = Document(
    "referer",
    _check,
    "Referer",
    default=xml.render("RefererConfiguration", ("AllowEmptyReferer", True), ("RefererList", [])),
    deletable=False,
)
