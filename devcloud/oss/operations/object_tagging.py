"""PutObjectTagging, GetObjectTagging and DeleteObjectTagging.

See https://www.alibabacloud.com/help/en/oss/developer-reference/putobjecttagging.
"""

from devcloud.oss.http import xml
from devcloud.oss.http.object_attributes import check_tags
from devcloud.oss.http.oss_reply import Reply, xml_reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.operations.object_writes import replace_attributes
from devcloud.oss.oss_errors import malformed_xml
from devcloud.oss.oss_service import OssService


async def put_object_tagging(service: OssService, request: OssRequest) -> Reply:
    """PutObjectTagging."""
    root = xml.parse(await request.document())
    if root.tag != "Tagging":
        raise malformed_xml()
    pairs = [(xml.text_of(tag, "Key") or "", xml.text_of(tag, "Value") or "") for tag in root.iterfind("TagSet/Tag")]
    return Reply(headers=replace_attributes(service, request, tags=check_tags(pairs)))


async def get_object_tagging(service: OssService, request: OssRequest) -> Reply:
    """GetObjectTagging."""
    record = service.object(request)
    nodes = [("Tag", [("Key", name), ("Value", value)]) for name, value in record.attributes.tags.items()]
    reply = xml_reply("Tagging", ("TagSet", nodes))
    reply.headers |= service.version_headers(record)
    return reply


async def delete_object_tagging(service: OssService, request: OssRequest) -> Reply:
    """DeleteObjectTagging."""
    return Reply(204, replace_attributes(service, request, tags={}))
