"""Tags of buckets.

See https://www.alibabacloud.com/help/en/oss/developer-reference/putbuckettags.
"""

import re
from collections.abc import Mapping

from devcloud.oss.documents.xml_document import Document, read_root
from devcloud.oss.http import xml
from devcloud.oss.oss_errors import OssError, malformed_xml

MAX_TAGS = 20
MAX_KEY, MAX_VALUE = 64, 128
_RESERVED = ("http://", "https://", "aliyun")


def read_tags(body: bytes | None) -> dict[str, str]:
    """Return the tags of a bucket with that document."""
    return {} if body is None else dict(_pairs(body))


def write_tags(tags: Mapping[str, str]) -> bytes:
    """Return the document with ``tags``."""
    return xml.render("Tagging", ("TagSet", [("Tag", [("Key", key), ("Value", tags[key])]) for key in tags]))


def read_tag_filter(text: str) -> dict[str, str]:
    """Read the ``tagging`` parameter of ListBuckets: ``"key":"value","key2":"value2"``."""
    return dict(re.findall(r'"([^"]*)":"([^"]*)"', text))


def _pairs(body: bytes) -> list[tuple[str, str]]:
    root = read_root(body, "Tagging")
    if root.find("TagSet") is None:
        raise malformed_xml()
    return [(xml.text_of(tag, "Key") or "", xml.text_of(tag, "Value") or "") for tag in root.iterfind("TagSet/Tag")]


def _check(body: bytes) -> bytes:
    pairs = _pairs(body)
    valid = all(
        1 <= len(key) <= MAX_KEY and len(value) <= MAX_VALUE and not key.lower().startswith(_RESERVED)
        for key, value in pairs
    )
    if len(pairs) > MAX_TAGS or len(dict(pairs)) < len(pairs) or not valid:
        raise OssError(400, "InvalidTag", "The tag you specified is invalid.")
    return write_tags(dict(pairs))


TAGGING = Document("tagging", _check, "Tags", default=write_tags({}))
