"""Versioning of a bucket, and the list of versions.

See https://www.alibabacloud.com/help/en/oss/developer-reference/listobjectversions-getbucketversions.
"""

from dataclasses import replace
from functools import partial

from devcloud.oss.http import xml
from devcloud.oss.http.dates import iso_date
from devcloud.oss.http.oss_reply import Reply, xml_reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.operations.listing_pages import (
    echo,
    key_of,
    paginate,
    prefix_nodes,
    read_page,
    record_nodes,
    start_after,
)
from devcloud.oss.oss_errors import invalid_argument, malformed_xml
from devcloud.oss.oss_service import OssService
from devcloud.oss.storages.port import DELETE_MARKER, ObjectRecord


async def put_bucket_versioning(service: OssService, request: OssRequest) -> Reply:
    """PutBucketVersioning: Enabled or Suspended; it cannot be turned off again."""
    root = xml.parse(await request.document())
    status = xml.text_of(root, "Status")
    if root.tag != "VersioningConfiguration" or status not in ("Enabled", "Suspended"):
        raise malformed_xml()
    service.storage.create_bucket(replace(service.storage.bucket(request.bucket), versioning=status))
    return Reply()


async def get_bucket_versioning(service: OssService, request: OssRequest) -> Reply:
    """GetBucketVersioning; without a status if versioning was never enabled."""
    status = service.storage.bucket(request.bucket).versioning
    return xml_reply("VersioningConfiguration", *([("Status", status)] if status else []))


async def list_object_versions(service: OssService, request: OssRequest) -> Reply:
    """ListObjectVersions (GetBucketVersions): all versions and delete markers, the latest of a key first."""
    prefix, delimiter, limit, shown = read_page(request, "max-keys", 100)
    key_marker, id_marker = request.query.get("key-marker", ""), request.query.get("version-id-marker", "")
    if id_marker and not key_marker:
        raise invalid_argument(
            "A version-id marker cannot be specified without a key marker.", "version-id-marker", id_marker
        )
    start = key_marker if id_marker else start_after(key_marker, prefix, delimiter)
    scan = partial(service.storage.scan_versions, request.bucket, prefix)
    page = paginate(scan, start, id_marker, prefix, delimiter, limit)
    nodes: list[xml.Node] = [
        ("Name", request.bucket),
        *echo(request, "Prefix", "KeyMarker", "Delimiter"),
        ("VersionIdMarker", id_marker),
        ("MaxKeys", limit),
        ("IsTruncated", page.truncated),
    ]
    if page.truncated:
        nodes.append(("NextKeyMarker", shown(key_of(page.last))))
        version_id = page.last.version_id if isinstance(page.last, ObjectRecord) else ""
        nodes.append(("NextVersionIdMarker", version_id))
    owner = service.owner()
    for record in page.entries:
        version: list[xml.Node] = [("VersionId", record.version_id), ("IsLatest", record.latest)]
        if record.type == DELETE_MARKER:
            modified: xml.Node = ("LastModified", iso_date(record.modified_at))
            nodes.append(("DeleteMarker", [("Key", shown(record.key)), *version, modified, owner]))
        else:
            nodes.append(("Version", [*record_nodes(record, shown, service.clock.now()), *version, owner]))
    return xml_reply("ListVersionsResult", *nodes, *prefix_nodes(page.prefixes, shown))
