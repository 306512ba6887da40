"""Operations on buckets and the service.

See https://www.alibabacloud.com/help/en/oss/developer-reference/bucket-operations.
"""

import re
from dataclasses import replace

from devcloud.oss import xml
from devcloud.oss.errors import OssError, invalid_argument
from devcloud.oss.front.headers import STORAGE_CLASSES, iso_date
from devcloud.oss.front.listing import read_count
from devcloud.oss.front.objects import acl_reply
from devcloud.oss.front.service import Service
from devcloud.oss.request import OssRequest, Reply, xml_reply
from devcloud.oss.storage import BucketRecord

BUCKET_ACLS = ("private", "public-read", "public-read-write")

_STAT_TAGS = {name: {"IA": "InfrequentAccess"}.get(name, name) for name in STORAGE_CLASSES}

# Configuration documents: kept and given back as they were put. What a bucket without one answers is either a 404
# with the code on the left or the document on the right.
DOCUMENTS: dict[str, tuple[str, bytes]] = {
    "accessmonitor": (
        "",
        xml.render("AccessMonitorConfiguration", ("Status", "Disabled")),
    ),
    "cors": ("NoSuchCORSConfiguration", b""),
    "encryption": ("NoSuchServerSideEncryptionRule", b""),
    "lifecycle": ("NoSuchLifecycle", b""),
    "logging": ("", xml.render("BucketLoggingStatus")),
    "policy": ("NoSuchBucketPolicy", b""),
    "referer": (
        "",
        xml.render("RefererConfiguration", ("AllowEmptyReferer", True), ("RefererList", [])),
    ),
    "replication": ("NoSuchReplicationConfiguration", b""),
    "requestPayment": ("", xml.render("RequestPaymentConfiguration", ("Payer", "BucketOwner"))),
    "tagging": ("", xml.render("Tagging", ("TagSet", []))),
    "transferAcceleration": ("NoSuchTransferAccelerationConfiguration", b""),
    "website": ("NoSuchWebsiteConfiguration", b""),
}


def check_bucket_name(name: str) -> None:
    """Raise ``InvalidBucketName`` unless OSS takes ``name``."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", name):
        details = {"BucketName": name}
        raise OssError(400, "InvalidBucketName", "The specified bucket is not valid.", details=details)


async def list_buckets(service: Service, request: OssRequest) -> Reply:
    """GetService (ListBuckets)."""
    prefix, marker = request.query.get("prefix", ""), request.query.get("marker", "")
    limit = read_count(request, "max-keys", 100)
    found = [b for b in service.storage.buckets() if b.name.startswith(prefix) and b.name > marker]
    page, truncated = found[:limit], len(found) > limit
    nodes: list[xml.Node] = [
        ("Owner", [("ID", service.account_id), ("DisplayName", service.account_id)]),
        ("Prefix", prefix),
        ("Marker", marker),
        ("MaxKeys", limit),
        ("IsTruncated", truncated),
    ]
    if truncated:
        nodes.append(("NextMarker", page[-1].name))
    buckets: list[xml.Node] = [("Bucket", _properties(service, bucket)) for bucket in page]
    return xml_reply("ListAllMyBucketsResult", *nodes, ("Buckets", buckets))


async def put_bucket(service: Service, request: OssRequest) -> Reply:
    """PutBucket; one's own bucket may be put again."""
    body = await request.document()
    given = xml.text_of(xml.parse(body), "StorageClass") if body.strip() else None
    storage_class = given or "Standard"
    if storage_class not in STORAGE_CLASSES:
        raise invalid_argument("Invalid storage class.", "StorageClass", storage_class)
    try:
        bucket = service.storage.bucket(request.bucket)
    except OssError:
        bucket = BucketRecord(request.bucket, service.clock.now(), "private", storage_class)
    acl = request.headers.get("x-oss-acl", bucket.acl)
    service.storage.create_bucket(replace(bucket, acl=_check_acl(acl)))
    return Reply(headers={"location": f"/{request.bucket}"})


async def delete_bucket(service: Service, request: OssRequest) -> Reply:
    """DeleteBucket; neither objects nor uploads may be left in it."""
    usage = service.storage.usage(request.bucket)
    if usage.classes or usage.uploads:
        message = "The bucket you tried to delete is not empty."
        details = {"BucketName": request.bucket}
        raise OssError(409, "BucketNotEmpty", message, ec="0015-00000301", details=details)
    service.storage.delete_bucket(request.bucket)
    return Reply(204)


async def get_bucket_info(service: Service, request: OssRequest) -> Reply:
    """GetBucketInfo."""
    bucket = service.storage.bucket(request.bucket)
    owner: list[xml.Node] = [("ID", service.account_id), ("DisplayName", service.account_id)]
    nodes: list[xml.Node] = [
        *_properties(service, bucket),
        ("AccessMonitor", "Disabled"),
        ("DataRedundancyType", "LRS"),
        ("CrossRegionReplication", "Disabled"),
        ("TransferAcceleration", "Disabled"),
        ("Owner", owner),
        ("AccessControlList", [("Grant", bucket.acl)]),
    ]
    return xml_reply("BucketInfo", ("Bucket", nodes))


async def get_bucket_stat(service: Service, request: OssRequest) -> Reply:
    """GetBucketStat; the real service counts with a delay, here the counts are current."""
    usage = service.storage.usage(request.bucket)
    return xml_reply(
        "BucketStat",
        ("Storage", sum(size for _, size in usage.classes.values())),
        ("ObjectCount", sum(count for count, _ in usage.classes.values())),
        ("MultipartUploadCount", usage.uploads),
        ("LiveChannelCount", 0),
        ("LastModifiedTime", int(service.clock.now())),
        *(node for name, tag in _STAT_TAGS.items() for node in _class_nodes(tag, *usage.classes.get(name, (0, 0)))),
    )


def _class_nodes(tag: str, count: int, size: int) -> list[xml.Node]:
    nodes: list[xml.Node] = [(f"{tag}Storage", size), (f"{tag}ObjectCount", count)]
    if tag != "Standard":
        nodes.append((f"{tag}RealStorage", size))
    return nodes


async def get_bucket_location(service: Service, request: OssRequest) -> Reply:
    """GetBucketLocation."""
    return xml_reply("LocationConstraint", f"oss-{service.region}")


async def put_bucket_acl(service: Service, request: OssRequest) -> Reply:
    """PutBucketAcl."""
    acl = _check_acl(request.headers.get("x-oss-acl", ""))
    service.storage.create_bucket(replace(service.storage.bucket(request.bucket), acl=acl))
    return Reply()


async def get_bucket_acl(service: Service, request: OssRequest) -> Reply:
    """GetBucketAcl."""
    return acl_reply(service, service.storage.bucket(request.bucket).acl)


async def put_bucket_document(service: Service, request: OssRequest) -> Reply:
    """PutBucketCors, PutBucketLifecycle and the like."""
    body = await request.document()
    # SDKs write booleans their own way; the real service answers in lower case.
    body = body.replace(b">True<", b">true<").replace(b">False<", b">false<")
    service.storage.put_document(request.bucket, _document_name(request), body)
    return Reply()


async def get_bucket_document(service: Service, request: OssRequest) -> Reply:
    """GetBucketCors, GetBucketLifecycle and the like."""
    name = _document_name(request)
    code, default = DOCUMENTS[name]
    body = service.storage.document(request.bucket, name) or default
    if not body:
        details = {"BucketName": request.bucket}
        raise OssError(404, code, f"The bucket has no {name} configuration.", details=details)
    return Reply(headers={"content-type": "application/json" if name == "policy" else "application/xml"}, body=body)


async def delete_bucket_document(service: Service, request: OssRequest) -> Reply:
    """DeleteBucketCors, DeleteBucketLifecycle and the like."""
    service.storage.put_document(request.bucket, _document_name(request), None)
    return Reply(204)


def _document_name(request: OssRequest) -> str:
    return next(name for name in DOCUMENTS if name in request.query)


def _check_acl(acl: str) -> str:
    if acl not in BUCKET_ACLS:
        raise invalid_argument("no such bucket access control exists", "x-oss-acl", acl)
    return acl


def _properties(service: Service, bucket: BucketRecord) -> list[xml.Node]:
    return [
        ("Name", bucket.name),
        ("CreationDate", iso_date(bucket.created_at)),
        ("Location", f"oss-{service.region}"),
        ("Region", service.region),
        ("StorageClass", bucket.storage_class),
        ("ExtranetEndpoint", f"oss-{service.region}.aliyuncs.com"),
        ("IntranetEndpoint", f"oss-{service.region}-internal.aliyuncs.com"),
    ]
