"""Which operation a request asks for, and who may ask for it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from devcloud.oss.auth import V1_SIGNED_PARAMETERS
from devcloud.oss.documents import DOCUMENTS
from devcloud.oss.errors import OssError, access_denied, not_implemented
from devcloud.oss.front import (
    buckets,
    cors,
    documents,
    forms,
    inventory,
    listing,
    live,
    multipart,
    objects,
    process,
    restore,
    styles,
    versioning,
    worm,
)
from devcloud.oss.front.service import Service
from devcloud.oss.request import OssRequest, Reply

Access = Literal["anybody", "read", "write", "owner"]
PUBLIC_ACLS: dict[Access, tuple[str, ...]] = {
    "anybody": ("private", "public-read", "public-read-write"),
    "read": ("public-read", "public-read-write"),
    "write": ("public-read-write",),
    "owner": (),
}


@dataclass(frozen=True)
class Operation:
    """One operation: asked for by a method on a service, bucket or object with sub-resources (and a header).

    ``access`` is what an ACL must grant to callers who are not the owner; ``takes`` are the query parameters that may
    come along beside those of every operation.
    """

    name: str
    method: str
    level: Literal["service", "bucket", "object"]
    handler: Callable[[Service, OssRequest], Awaitable[Reply]]
    access: Access = "owner"
    needs: tuple[str, ...] = ()
    header: str = ""
    takes: tuple[str, ...] = ()

    def fits(self, request: OssRequest) -> bool:
        """Tell whether ``request``, of this method and level, asks for this operation or a more general one."""
        return all(name in request.query for name in self.needs) and (not self.header or self.header in request.headers)


def route(request: OssRequest) -> Operation:
    """Return the operation that ``request`` asks for. Raises ``MethodNotAllowed`` and ``NotImplemented``."""
    for operation in _BY_TARGET.get((request.method, _level(request)), ()):
        if operation.fits(request):
            _refuse_left_out(request, {*operation.needs, *operation.takes})
            return operation
    _refuse_left_out(request, set())
    message = "The specified method is not allowed against this resource."
    raise OssError(405, "MethodNotAllowed", message, details={"Method": request.method})


def authorise(service: Service, operation: Operation, request: OssRequest) -> None:
    """Raise ``AccessDenied`` unless the ACL of the version, else of the bucket, grants ``operation`` to everybody."""
    if operation.level == "service":
        raise access_denied("Anonymous access is forbidden for this operation.")
    acl, owner = service.storage.bucket(request.bucket).acl, "bucket"
    version_id = request.query.get("versionId")
    record = service.storage.version(request.bucket, request.key, version_id) if request.key else None
    if record is not None and record.attributes.acl != "default":
        acl, owner = record.attributes.acl, "object"
    if acl not in PUBLIC_ACLS[operation.access]:
        raise access_denied(f"You have no right to access this object because of {owner} acl.")


def check_names(operation: Operation, request: OssRequest) -> None:
    """Raise the error of a bucket or object name that OSS does not take."""
    if operation.level != "service":
        buckets.check_bucket_name(request.bucket)
    if operation.level == "object":
        objects.check_key(request.key)


def _level(request: OssRequest) -> str:
    if not request.bucket:
        return "service"
    return "object" if request.key else "bucket"


def _refuse_left_out(request: OssRequest, known: set[str]) -> None:
    """Raise ``NotImplemented`` for what an operation that knows some parameters would leave out in silence.

    That is every sub-resource: OSS marks most of them by a name without a value, and of the others the names are known.
    """
    unknown = request.query.keys() - known - _EVERYWHERE
    left_out = sorted(name for name in unknown if not request.query[name] or name in _SUB_RESOURCES)
    if left_out:
        raise not_implemented(f"{request.method} with ?{left_out[0]}")
    if _ASYNCHRONOUS in request.headers:
        raise not_implemented(_ASYNCHRONOUS)


_PAGE = ("prefix", "marker", "max-keys")
_LIST = (*_PAGE, "delimiter", "encoding-type")
_TIMES = ("startTime", "endTime")
_VERSION = ("versionId",)

# The first that fits is meant: those with more needs stand before those with fewer.
OPERATIONS: tuple[Operation, ...] = (
    Operation("OptionObject", "OPTIONS", "object", cors.option_object, "anybody"),
    Operation("OptionObject", "OPTIONS", "bucket", cors.option_object, "anybody"),
    Operation("GetLiveChannel", "GET", "object", live.get_live_channel, needs=("live",), takes=("comp",)),
    Operation("GetVodPlaylist", "GET", "object", live.get_vod_playlist, needs=("vod",), takes=_TIMES),
    Operation("PutLiveChannelStatus", "PUT", "object", live.put_live_channel_status, needs=("live", "status")),
    Operation("PutLiveChannel", "PUT", "object", live.put_live_channel, needs=("live",)),
    Operation("DeleteLiveChannel", "DELETE", "object", live.delete_live_channel, needs=("live",)),
    Operation("PostVodPlaylist", "POST", "object", live.post_vod_playlist, needs=("vod",), takes=_TIMES),
    Operation(
        "ListParts",
        "GET",
        "object",
        multipart.list_parts,
        needs=("uploadId",),
        takes=("max-parts", "part-number-marker", "encoding-type"),
    ),
    Operation("GetObjectAcl", "GET", "object", objects.get_object_acl, needs=("acl",), takes=_VERSION),
    Operation("GetObjectTagging", "GET", "object", objects.get_object_tagging, needs=("tagging",), takes=_VERSION),
    Operation("GetSymlink", "GET", "object", objects.get_symlink, "read", needs=("symlink",), takes=_VERSION),
    Operation(
        "GetObjectMeta", "HEAD", "object", objects.get_object_meta, "read", needs=("objectMeta",), takes=_VERSION
    ),
    Operation("GetObject", "GET", "object", process.get_processed, "read", needs=("x-oss-process",), takes=_VERSION),
    Operation("RestoreObject", "POST", "object", restore.restore_object, needs=("restore",), takes=_VERSION),
    Operation("PostProcessObject", "POST", "object", process.process_object, needs=("x-oss-process",), takes=_VERSION),
    Operation("GetObject", "GET", "object", objects.get_object, "read", takes=_VERSION),
    Operation("HeadObject", "HEAD", "object", objects.head_object, "read", takes=_VERSION),
    Operation(
        "UploadPartCopy",
        "PUT",
        "object",
        multipart.upload_part_copy,
        needs=("partNumber", "uploadId"),
        header="x-oss-copy-source",
        takes=_VERSION,  # oss2 says it here, too, beside the source
    ),
    Operation("UploadPart", "PUT", "object", multipart.upload_part, "write", needs=("partNumber", "uploadId")),
    Operation("PutObjectAcl", "PUT", "object", objects.put_object_acl, needs=("acl",), takes=_VERSION),
    Operation("PutObjectTagging", "PUT", "object", objects.put_object_tagging, needs=("tagging",), takes=_VERSION),
    Operation("PutSymlink", "PUT", "object", objects.put_symlink, "write", needs=("symlink",)),
    Operation("CopyObject", "PUT", "object", objects.copy_object, header="x-oss-copy-source"),
    Operation("PutObject", "PUT", "object", objects.put_object, "write"),
    Operation(
        "InitiateMultipartUpload",
        "POST",
        "object",
        multipart.initiate_multipart_upload,
        "write",
        needs=("uploads",),
        takes=("encoding-type",),
    ),
    Operation(
        "CompleteMultipartUpload",
        "POST",
        "object",
        multipart.complete_multipart_upload,
        "write",
        needs=("uploadId",),
        takes=("encoding-type",),
    ),
    Operation("AppendObject", "POST", "object", objects.append_object, "write", needs=("append",), takes=("position",)),
    Operation(
        "AbortMultipartUpload",
        "DELETE",
        "object",
        multipart.abort_multipart_upload,
        "write",
        needs=("uploadId",),
    ),
    Operation(
        "DeleteObjectTagging", "DELETE", "object", objects.delete_object_tagging, needs=("tagging",), takes=_VERSION
    ),
    Operation("DeleteObject", "DELETE", "object", objects.delete_object, "write", takes=("symlink", *_VERSION)),
    Operation("GetBucketInfo", "GET", "bucket", buckets.get_bucket_info, needs=("bucketInfo",)),
    Operation("GetBucketStat", "GET", "bucket", buckets.get_bucket_stat, needs=("stat",)),
    Operation("GetBucketLocation", "GET", "bucket", buckets.get_bucket_location, needs=("location",)),
    Operation("GetBucketAcl", "GET", "bucket", buckets.get_bucket_acl, needs=("acl",)),
    Operation(
        "ListMultipartUploads",
        "GET",
        "bucket",
        listing.list_multipart_uploads,
        needs=("uploads",),
        takes=(*_LIST, "max-uploads", "key-marker", "upload-id-marker"),
    ),
    Operation("PutBucketLifecycle", "PUT", "bucket", documents.put_bucket_lifecycle, needs=("lifecycle",)),
    Operation("PutBucketLogging", "PUT", "bucket", documents.put_bucket_logging, needs=("logging",)),
    Operation("DeleteBucketTags", "DELETE", "bucket", documents.delete_bucket_tags, needs=("tagging",)),
    Operation("GetBucketPolicyStatus", "GET", "bucket", documents.get_bucket_policy_status, needs=("policyStatus",)),
    Operation("InitiateBucketWorm", "POST", "bucket", worm.initiate_bucket_worm, needs=("worm",)),
    Operation("ExtendBucketWorm", "POST", "bucket", worm.extend_bucket_worm, needs=("wormId", "wormExtend")),
    Operation("CompleteBucketWorm", "POST", "bucket", worm.complete_bucket_worm, needs=("wormId",)),
    Operation("AbortBucketWorm", "DELETE", "bucket", worm.abort_bucket_worm, needs=("worm",)),
    Operation("GetBucketWorm", "GET", "bucket", worm.get_bucket_worm, needs=("worm",)),
    Operation("PutStyle", "PUT", "bucket", styles.put_style, needs=("style",), takes=("styleName",)),
    Operation("GetStyle", "GET", "bucket", styles.get_style, needs=("style", "styleName")),
    Operation("ListStyle", "GET", "bucket", styles.list_styles, needs=("style",)),
    Operation("DeleteStyle", "DELETE", "bucket", styles.delete_style, needs=("style",), takes=("styleName",)),
    Operation(
        "PutBucketInventory", "PUT", "bucket", inventory.put_inventory, needs=("inventory",), takes=("inventoryId",)
    ),
    Operation("GetBucketInventory", "GET", "bucket", inventory.get_inventory, needs=("inventory", "inventoryId")),
    Operation(
        "ListBucketInventory",
        "GET",
        "bucket",
        inventory.list_inventories,
        needs=("inventory",),
        takes=("continuation-token",),
    ),
    Operation(
        "DeleteBucketInventory",
        "DELETE",
        "bucket",
        inventory.delete_inventory,
        needs=("inventory",),
        takes=("inventoryId",),
    ),
    *(
        Operation(f"{verb}Bucket{document.operation}", method, "bucket", handler, needs=(document.name,))
        for document in DOCUMENTS
        for verb, method, handler in (
            ("Get", "GET", documents.get_bucket_document),
            ("Put", "PUT", documents.put_bucket_document),
            ("Delete", "DELETE", documents.delete_bucket_document),
        )
        if document.deletable or method != "DELETE"
    ),
    Operation("GetBucketVersioning", "GET", "bucket", versioning.get_bucket_versioning, needs=("versioning",)),
    Operation("PutBucketVersioning", "PUT", "bucket", versioning.put_bucket_versioning, needs=("versioning",)),
    Operation(
        "ListObjectVersions",
        "GET",
        "bucket",
        versioning.list_object_versions,
        needs=("versions",),
        takes=(*_LIST, "key-marker", "version-id-marker"),
    ),
    Operation("ListLiveChannel", "GET", "bucket", live.list_live_channels, needs=("live",), takes=_PAGE),
    Operation(
        "ListObjectsV2",
        "GET",
        "bucket",
        listing.list_objects_v2,
        "read",
        needs=("list-type",),
        takes=(*_LIST, "start-after", "continuation-token", "fetch-owner"),
    ),
    Operation("ListObjects", "GET", "bucket", listing.list_objects, "read", takes=_LIST),
    Operation("PutBucketAcl", "PUT", "bucket", buckets.put_bucket_acl, needs=("acl",)),
    Operation("PutBucket", "PUT", "bucket", buckets.put_bucket),
    Operation(
        "DeleteMultipleObjects",
        "POST",
        "bucket",
        objects.delete_objects,
        "write",
        needs=("delete",),
        takes=("encoding-type",),
    ),
    Operation("PostObject", "POST", "bucket", forms.post_object, "write"),
    Operation("DeleteBucket", "DELETE", "bucket", buckets.delete_bucket),
    Operation(
        "ListBuckets",
        "GET",
        "service",
        buckets.list_buckets,
        takes=(*_PAGE, "regionList", "tagging", "tag-key", "tag-value"),
    ),
)
_BY_TARGET: dict[tuple[str, str], list[Operation]] = {}
for _operation in OPERATIONS:
    _BY_TARGET.setdefault((_operation.method, _operation.level), []).append(_operation)

_ASYNCHRONOUS = "x-oss-async-process"
# What requests of every operation may carry: signatures, what they say of their answers, and who pays.
_ALWAYS_TAKEN = (
    "Expires OSSAccessKeyId Signature callback callback-var response-cache-control response-content-disposition"
    " response-content-encoding response-content-language response-content-type response-expires security-token"
    " x-oss-access-key-id x-oss-additional-headers x-oss-credential x-oss-date x-oss-expires"
    " x-oss-request-payer x-oss-security-token x-oss-signature x-oss-signature-version x-oss-traffic-limit"
)
_EVERYWHERE = frozenset(_ALWAYS_TAKEN.split())
# Those of operations that came after signature V1 stand beside its list.
_NEWER = (
    "MetaQuery accessmonitor cleanRestoredObject cloudboxes dataPipeline legalHold metadataConfiguration"
    " metadataInventoryTable metadataJournalTable objectWorm overwriteConfig quota regions retention rtc seal"
    " userDefinedLogFieldsConfig"
)
_SUB_RESOURCES = V1_SIGNED_PARAMETERS | frozenset(_NEWER.split())
