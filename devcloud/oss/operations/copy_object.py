"""CopyObject, and the source of CopyObject and UploadPartCopy.

See https://www.alibabacloud.com/help/en/oss/developer-reference/copyobject.
"""

import re
from dataclasses import replace
from urllib.parse import unquote

from devcloud.oss.http.conditions import check_conditions, refuse_overwrite
from devcloud.oss.http.dates import iso_date
from devcloud.oss.http.oss_reply import Reply, xml_reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.http.traffic_limit import Pace, read_traffic_limit
from devcloud.oss.operations.object_writes import attributes_of, store_object
from devcloud.oss.operations.restore import check_readable
from devcloud.oss.operations.symlinks import reading, target_of
from devcloud.oss.oss_errors import invalid_argument
from devcloud.oss.oss_service import OssService, check_version_id
from devcloud.oss.storages.port import ObjectRecord


async def copy_object(service: OssService, request: OssRequest) -> Reply:
    """CopyObject; a copy of an object onto itself replaces the metadata."""
    source = copy_source(service, request)
    same = (source.bucket, source.key) == (request.bucket, request.key)
    attributes = attributes_of(service, request)
    if not same and request.headers.get("x-oss-metadata-directive", "COPY").upper() != "REPLACE":
        attributes = replace(attributes, headers=source.attributes.headers, metadata=source.attributes.metadata)
    elif same and not request.headers.get("content-type"):
        attributes.headers["content-type"] = source.attributes.headers["content-type"]
    if request.headers.get("x-oss-tagging-directive", "Copy").lower() != "replace":
        attributes = replace(attributes, tags=source.attributes.tags)
    if "x-oss-storage-class" not in request.headers:
        attributes = replace(attributes, storage_class=source.attributes.storage_class)
    refuse_overwrite(service.storage, request)
    await Pace(service.clock, read_traffic_limit(request)).passed(source.content.size)
    content = service.storage.copy(source.content)
    now = service.clock.now()
    record = ObjectRecord(request.bucket, request.key, content, source.etag, "Normal", now, attributes)
    headers = store_object(service, request, record, "CopyObject")
    reply = xml_reply("CopyObjectResult", ("LastModified", iso_date(now)), ("ETag", f'"{record.etag}"'))
    reply.headers |= headers | copy_source_headers(service, source)
    return reply


def copy_source(service: OssService, request: OssRequest) -> ObjectRecord:
    """Return the object that ``x-oss-copy-source`` names. Raises ``PreconditionFailed`` and ``NotModified``, too."""
    header = request.headers["x-oss-copy-source"]
    match = re.fullmatch(r"/?([^/?]+)/([^?]+)(?:\?versionId=(.*))?", header)
    if match is None:
        raise invalid_argument("Copy Source must mention the source bucket and key", "x-oss-copy-source", header)
    bucket, key, version_id = match[1], unquote(match[2]), match[3]
    service.storage.bucket(bucket)
    request.admit(reading(request, bucket, key, version_id))
    source = service.find(bucket, key, None if version_id is None else check_version_id(version_id))
    if source.type == "Symlink":
        source = target_of(service, request, source)
    check_conditions(request.headers, source, prefix="x-oss-copy-source-")
    check_readable(service, source)
    return source


def copy_source_headers(service: OssService, source: ObjectRecord) -> dict[str, str]:
    """Return the header with the id of the copied version."""
    headers = service.version_headers(source)
    return {name.replace("x-oss-", "x-oss-copy-source-"): value for name, value in headers.items()}
