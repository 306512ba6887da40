"""Named ways of processing images: ``?style``.

See https://www.alibabacloud.com/help/en/oss/developer-reference/putstyle.
"""

import re
from xml.etree import ElementTree as ET

from devcloud.oss.documents.xml_document import nodes_of, read_root, write_root
from devcloud.oss.http import xml
from devcloud.oss.http.dates import http_date
from devcloud.oss.http.oss_reply import Reply, xml_reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.oss_errors import OssError, invalid_argument
from devcloud.oss.oss_service import OssService

_NAME = re.compile(r"[\w.-]{1,63}", re.ASCII)


async def put_style(service: OssService, request: OssRequest) -> Reply:
    """PutStyle."""
    name = request.query.get("styleName", "")
    if not _NAME.fullmatch(name):
        raise invalid_argument("Style name is invalid.", "styleName", name)
    content = xml.text_of(read_root(await request.document(), "Style"), "Content")
    if not content:
        raise invalid_argument("Style content is invalid.", "Content", "")
    styles = _styles(service, request.bucket)
    now = http_date(service.clock.now())
    previous = styles.get(name)
    created = now if previous is None else previous.findtext("CreateTime") or now
    style = ET.Element("Style")
    for tag, text in (("Name", name), ("Content", content), ("CreateTime", created), ("LastModifyTime", now)):
        ET.SubElement(style, tag).text = text
    _store(service, request.bucket, styles | {name: style})
    return Reply()


async def get_style(service: OssService, request: OssRequest) -> Reply:
    """GetStyle."""
    return xml_reply("Style", *nodes_of(_style(service, request.bucket, request.query["styleName"])))


async def list_styles(service: OssService, request: OssRequest) -> Reply:
    """ListStyle."""
    return xml_reply("StyleList", *(("Style", nodes_of(s)) for s in _styles(service, request.bucket).values()))


async def delete_style(service: OssService, request: OssRequest) -> Reply:
    """DeleteStyle; a style that does not exist is not an error."""
    styles = _styles(service, request.bucket)
    styles.pop(request.query.get("styleName", ""), None)
    _store(service, request.bucket, styles)
    return Reply(204)


def style_content(service: OssService, bucket: str, name: str) -> str:
    """Return the actions of ``x-oss-process=style/NAME``. Raises ``NoSuchStyle``."""
    return xml.text_of(_style(service, bucket, name), "Content") or ""


def _style(service: OssService, bucket: str, name: str) -> ET.Element:
    style = _styles(service, bucket).get(name)
    if style is None:
        raise OssError(404, "NoSuchStyle", "The specified style does not exist.", details={"StyleName": name})
    return style


def _styles(service: OssService, bucket: str) -> dict[str, ET.Element]:
    body = service.storage.document(bucket, "style")
    nodes = [] if body is None else read_root(body, "StyleList").findall("Style")
    return {xml.text_of(node, "Name") or "": node for node in nodes}


def _store(service: OssService, bucket: str, styles: dict[str, ET.Element]) -> None:
    root = ET.Element("StyleList")
    root.extend(styles[name] for name in sorted(styles))
    service.storage.put_document(bucket, "style", write_root(root) if styles else None)
