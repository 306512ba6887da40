"""Operations on buckets and the service.

See https://www.alibabacloud.com/help/en/oss/developer-reference/bucket-operations.
"""

import re
from dataclasses import replace

from devcloud.oss.documents.bucket_encryption import ENCRYPTION, encryption_nodes, encryption_of_headers
from devcloud.oss.documents.bucket_settings import is_enabled, resource_group_of
from devcloud.oss.documents.bucket_tags import read_tag_filter, read_tags
from devcloud.oss.http import xml
from devcloud.oss.http.dates import iso_date
from devcloud.oss.http.object_attributes import STORAGE_CLASSES
from devcloud.oss.http.oss_reply import Reply, xml_reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.operations.acls import check_bucket_acl
from devcloud.oss.operations.listing_pages import read_count
from devcloud.oss.operations.live_channels import count_channels
from devcloud.oss.oss_errors import OssError, invalid_argument
from devcloud.oss.oss_service import OssService
from devcloud.oss.storages.port import BucketRecord

REDUNDANCY_TYPES = ("LRS", "ZRS")
_REDUNDANCY = "dataRedundancyType"

_STAT_TAGS = {name: {"IA": "InfrequentAccess"}.get(name, name) for name in STORAGE_CLASSES}


def check_bucket_name(name: str) -> None:
    """Raise ``InvalidBucketName`` unless ``name`` is valid."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", name):
        details = {"BucketName": name}
        raise OssError(400, "InvalidBucketName", "The specified bucket is not valid.", details=details)


async def list_buckets(service: OssService, request: OssRequest) -> Reply:
    """GetService (ListBuckets), which may select by tags and resource group."""
    prefix, marker = request.query.get("prefix", ""), request.query.get("marker", "")
    limit = read_count(request, "max-keys", 100)
    group = request.headers.get("x-oss-resource-group-id")
    found = [
        bucket
        for bucket in service.storage.buckets()
        if bucket.name.startswith(prefix)
        and bucket.name > marker
        and _has_tags(service, bucket, request)
        and group in (None, _resource_group(service, bucket))
    ]
    page, truncated = found[:limit], len(found) > limit
    nodes: list[xml.Node] = [
        service.owner(),
        ("Prefix", prefix),
        ("Marker", marker),
        ("MaxKeys", limit),
        ("IsTruncated", truncated),
    ]
    if truncated:
        nodes.append(("NextMarker", page[-1].name))
    buckets: list[xml.Node] = [("Bucket", _properties(service, request, bucket)) for bucket in page]
    return xml_reply("ListAllMyBucketsResult", *nodes, ("Buckets", buckets))


def _has_tags(service: OssService, bucket: BucketRecord, request: OssRequest) -> bool:
    wanted = read_tag_filter(request.query.get("tagging", ""))
    key, value = request.query.get("tag-key"), request.query.get("tag-value")
    if not wanted and key is None:
        return True
    tags = read_tags(service.storage.document(bucket.name, "tagging"))
    return wanted.items() <= tags.items() and (key is None or (key in tags and value in (None, "", tags[key])))


def _resource_group(service: OssService, bucket: BucketRecord) -> str:
    return resource_group_of(service.storage.document(bucket.name, "resourceGroup"))


async def put_bucket(service: OssService, request: OssRequest) -> Reply:
    """PutBucket; the owner may repeat it."""
    body = await request.document()
    root = xml.parse(body) if body.strip() else None
    storage_class = (xml.text_of(root, "StorageClass") if root is not None else None) or "Standard"
    if storage_class not in STORAGE_CLASSES:
        raise invalid_argument("Invalid storage class.", "StorageClass", storage_class)
    redundancy = (xml.text_of(root, "DataRedundancyType") if root is not None else None) or "LRS"
    if redundancy not in REDUNDANCY_TYPES:
        raise invalid_argument("Invalid data redundancy type.", "DataRedundancyType", redundancy)
    encryption = encryption_of_headers(request.headers)
    acl = check_bucket_acl(request.headers.get("x-oss-acl", "private"))
    try:
        bucket = service.storage.bucket(request.bucket)
    except OssError:
        bucket = BucketRecord(request.bucket, service.clock.now(), acl, storage_class)
        service.storage.create_bucket(bucket)
        service.storage.put_document(bucket.name, _REDUNDANCY, redundancy.encode())
    if "x-oss-acl" in request.headers:
        service.storage.create_bucket(replace(bucket, acl=acl))
    if encryption is not None:
        service.storage.put_document(bucket.name, ENCRYPTION.name, encryption)
    return Reply(headers={"location": f"/{request.bucket}"})


async def delete_bucket(service: OssService, request: OssRequest) -> Reply:
    """DeleteBucket; the bucket must not contain objects, versions or uploads."""
    usage = service.storage.usage(request.bucket)
    if usage.classes or usage.uploads or usage.delete_markers:
        message = "The bucket you tried to delete is not empty."
        details = {"BucketName": request.bucket}
        raise OssError(409, "BucketNotEmpty", message, ec="0015-00000301", details=details)
    service.storage.delete_bucket(request.bucket)
    return Reply(204)


async def get_bucket_info(service: OssService, request: OssRequest) -> Reply:
    """GetBucketInfo."""
    bucket = service.storage.bucket(request.bucket)

    def document(name: str) -> bytes | None:
        return service.storage.document(bucket.name, name)

    def status(name: str, path: str) -> str:
        return "Enabled" if is_enabled(document(name), path) else "Disabled"

    nodes: list[xml.Node] = [
        *_properties(service, request, bucket),
        ("AccessMonitor", status("accessmonitor", "Status")),
        ("BlockPublicAccess", is_enabled(document("publicAccessBlock"), "BlockPublicAccess")),
        ("Comment", ""),
        ("CrossRegionReplication", "Disabled" if document("replication") is None else "Enabled"),
        ("DataRedundancyType", (document(_REDUNDANCY) or b"LRS").decode()),
        ("ServerSideEncryptionRule", encryption_nodes(document("encryption"))),
        ("TransferAcceleration", status("transferAcceleration", "Enabled")),
        *([("Versioning", bucket.versioning)] if bucket.versioning else []),
        service.owner(),
        ("AccessControlList", [("Grant", bucket.acl)]),
    ]
    return xml_reply("BucketInfo", ("Bucket", nodes))


async def get_bucket_stat(service: OssService, request: OssRequest) -> Reply:
    """GetBucketStat; the real service counts with a delay, here the counts are current."""
    usage = service.storage.usage(request.bucket)
    return xml_reply(
        "BucketStat",
        ("Storage", sum(size for _, size in usage.classes.values())),
        ("ObjectCount", sum(count for count, _ in usage.classes.values())),
        ("DeleteMarkerCount", usage.delete_markers),
        ("MultipartUploadCount", usage.uploads),
        ("LiveChannelCount", count_channels(service, request.bucket)),
        ("LastModifiedTime", int(service.clock.now())),
        *(node for name, tag in _STAT_TAGS.items() for node in _class_nodes(tag, *usage.classes.get(name, (0, 0)))),
    )


def _class_nodes(tag: str, count: int, size: int) -> list[xml.Node]:
    nodes: list[xml.Node] = [(f"{tag}Storage", size), (f"{tag}ObjectCount", count)]
    if tag != "Standard":
        nodes.append((f"{tag}RealStorage", size))
    return nodes


async def get_bucket_location(service: OssService, request: OssRequest) -> Reply:
    """GetBucketLocation."""
    return xml_reply("LocationConstraint", f"oss-{service.region}")


def _properties(service: OssService, request: OssRequest, bucket: BucketRecord) -> list[xml.Node]:
    # Clients reach the bucket again at the address of this request.
    endpoint = request.host.removeprefix(f"{request.bucket}.") if request.bucket else request.host
    return [
        ("Name", bucket.name),
        ("CreationDate", iso_date(bucket.created_at)),
        ("Location", f"oss-{service.region}"),
        ("Region", service.region),
        ("StorageClass", bucket.storage_class),
        ("ExtranetEndpoint", endpoint),
        ("IntranetEndpoint", endpoint),
        ("ResourceGroupId", _resource_group(service, bucket)),
    ]
