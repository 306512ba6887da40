"""ListObjects, ListObjectsV2 and ListMultipartUploads.

See https://www.alibabacloud.com/help/en/oss/developer-reference/listobjectsv2.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from functools import partial

from devcloud.oss.http import xml
from devcloud.oss.http.dates import iso_date
from devcloud.oss.http.oss_reply import Reply, xml_reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.operations.listing_pages import (
    Page,
    echo,
    key_of,
    paginate,
    prefix_nodes,
    read_page,
    record_nodes,
    start_after,
)
from devcloud.oss.oss_errors import invalid_argument
from devcloud.oss.oss_service import OssService
from devcloud.oss.storages.port import ObjectRecord, UploadRecord


async def list_objects(service: OssService, request: OssRequest) -> Reply:
    """GetBucket (ListObjects)."""
    marker = request.query.get("marker", "")
    page, limit, shown = _object_page(service, request, marker)
    nodes: list[xml.Node] = [
        ("Name", request.bucket),
        *echo(request, "Prefix", "Marker", "Delimiter"),
        ("MaxKeys", limit),
        ("IsTruncated", page.truncated),
    ]
    if page.truncated:
        nodes.append(("NextMarker", shown(key_of(page.last))))
    return xml_reply("ListBucketResult", *nodes, *_contents(service, page, shown, with_owner=True))


async def list_objects_v2(service: OssService, request: OssRequest) -> Reply:
    """ListObjectsV2."""
    token, start = request.query.get("continuation-token", ""), request.query.get("start-after", "")
    page, limit, shown = _object_page(service, request, _decode_token(token) if token else start)
    nodes: list[xml.Node] = [
        ("Name", request.bucket),
        *echo(request, "Prefix", "StartAfter", "Delimiter"),
        ("MaxKeys", limit),
        ("KeyCount", len(page.entries) + len(page.prefixes)),
        ("IsTruncated", page.truncated),
    ]
    if token:
        nodes.append(("ContinuationToken", token))
    if page.truncated:
        nodes.append(("NextContinuationToken", b64encode(key_of(page.last).encode()).decode()))
    with_owner = request.query.get("fetch-owner", "").lower() == "true"
    return xml_reply("ListBucketResult", *nodes, *_contents(service, page, shown, with_owner=with_owner))


async def list_multipart_uploads(service: OssService, request: OssRequest) -> Reply:
    """ListMultipartUploads."""
    prefix, delimiter, limit, shown = read_page(request, "max-uploads", 1000)
    key_marker, id_marker = request.query.get("key-marker", ""), request.query.get("upload-id-marker", "")
    start, start_id = start_after(key_marker, prefix, delimiter), ""
    if key_marker and id_marker:
        start, start_id = key_marker, id_marker + "\0"

    scan = partial(service.storage.scan_uploads, request.bucket, prefix)
    page = paginate(scan, start, start_id, prefix, delimiter, limit)
    nodes: list[xml.Node] = [
        ("Bucket", request.bucket),
        *echo(request, "Prefix", "KeyMarker", "Delimiter"),
        ("UploadIdMarker", id_marker),
        ("NextKeyMarker", shown(key_of(page.last)) if page.truncated else ""),
        ("NextUploadIdMarker", page.last.upload_id if page.truncated and isinstance(page.last, UploadRecord) else ""),
        ("MaxUploads", limit),
        ("IsTruncated", page.truncated),
    ]
    for upload in page.entries:
        initiated = iso_date(upload.initiated_at)
        fields: list[xml.Node] = [("Key", shown(upload.key)), ("UploadId", upload.upload_id), ("Initiated", initiated)]
        nodes.append(("Upload", [*fields, ("StorageClass", upload.attributes.storage_class)]))
    return xml_reply("ListMultipartUploadsResult", *nodes, *prefix_nodes(page.prefixes, shown))


def _object_page(
    service: OssService, request: OssRequest, marker: str
) -> tuple[Page[ObjectRecord], int, Callable[[str], str]]:
    prefix, delimiter, limit, shown = read_page(request, "max-keys", 100)

    def scan(start: str, _: str) -> Iterator[ObjectRecord]:
        return service.storage.scan_objects(request.bucket, prefix, start)

    return paginate(scan, start_after(marker, prefix, delimiter), "", prefix, delimiter, limit), limit, shown


def _contents(
    service: OssService, page: Page[ObjectRecord], shown: Callable[[str], str], *, with_owner: bool
) -> list[xml.Node]:
    nodes: list[xml.Node] = []
    for record in page.entries:
        fields = record_nodes(record, shown, service.clock.now())
        if with_owner:
            fields.append(service.owner())
        nodes.append(("Contents", fields))
    return nodes + prefix_nodes(page.prefixes, shown)


def _decode_token(token: str) -> str:
    try:
        return b64decode(token, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise invalid_argument("The continuation token is invalid.", "continuation-token", token) from error
