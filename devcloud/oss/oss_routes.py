"""Which operation a request asks for: the table of all operations, and the search in it."""

from devcloud.oss.http.object_keys import check_key
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.http.sub_resources import ALWAYS_ALLOWED, SUB_RESOURCES
from devcloud.oss.operations import (
    acls,
    append_object,
    bucket_documents,
    buckets,
    copy_object,
    delete_objects,
    inventory,
    listing,
    live_channels,
    multipart,
    object_processing,
    object_tagging,
    objects,
    oss_cors,
    post_object,
    restore,
    styles,
    symlinks,
    versioning,
    worm,
)
from devcloud.oss.oss_errors import OssError, not_implemented
from devcloud.oss.oss_operation import Operation


def route(request: OssRequest) -> Operation:
    """Return the operation that ``request`` asks for. Raises ``MethodNotAllowed`` and ``NotImplemented``."""
    for operation in _BY_TARGET.get((request.method, _level(request)), ()):
        if operation.fits(request):
            _refuse_unknown(request, {*operation.needs, *operation.takes})
            return operation
    _refuse_unknown(request, set())
    message = "The specified method is not allowed against this resource."
    raise OssError(405, "MethodNotAllowed", message, details={"Method": request.method})


def check_names(operation: Operation, request: OssRequest) -> None:
    """Raise ``InvalidBucketName`` or ``InvalidObjectName``."""
    if operation.level != "service":
        buckets.check_bucket_name(request.bucket)
    if operation.level == "object":
        check_key(request.key)


def _level(request: OssRequest) -> str:
    if not request.bucket:
        return "service"
    return "object" if request.key else "bucket"


def _refuse_unknown(request: OssRequest, known: set[str]) -> None:
    """Raise ``NotImplemented`` for a sub-resource that is not in ``known``: the operation would silently ignore it.

    Most sub-resources are parameters without a value; the names of the others are known.
    """
    unknown = request.query.keys() - known - ALWAYS_ALLOWED
    unknown_names = sorted(name for name in unknown if not request.query[name] or name in SUB_RESOURCES)
    if unknown_names:
        raise not_implemented(f"{request.method} with ?{unknown_names[0]}")
    if _ASYNCHRONOUS in request.headers:
        raise not_implemented(_ASYNCHRONOUS)


_PAGE = ("prefix", "marker", "max-keys")
_LIST = (*_PAGE, "delimiter", "encoding-type")
_TIMES = ("startTime", "endTime")
_VERSION = ("versionId",)

# The first operation that fits is used, so operations with more sub-resources come before those with fewer.
OPERATIONS: tuple[Operation, ...] = (
    Operation("OptionObject", "OPTIONS", "object", oss_cors.option_object, "anybody"),
    Operation("OptionObject", "OPTIONS", "bucket", oss_cors.option_object, "anybody"),
    Operation("GetLiveChannel", "GET", "object", live_channels.get_live_channel, needs=("live",), takes=("comp",)),
    Operation("GetVodPlaylist", "GET", "object", live_channels.get_vod_playlist, needs=("vod",), takes=_TIMES),
    Operation("PutLiveChannelStatus", "PUT", "object", live_channels.put_live_channel_status, needs=("live", "status")),
    Operation("PutLiveChannel", "PUT", "object", live_channels.put_live_channel, needs=("live",)),
    Operation("DeleteLiveChannel", "DELETE", "object", live_channels.delete_live_channel, needs=("live",)),
    Operation("PostVodPlaylist", "POST", "object", live_channels.post_vod_playlist, needs=("vod",), takes=_TIMES),
    Operation(
        "ListParts",
        "GET",
        "object",
        multipart.list_parts,
        needs=("uploadId",),
        takes=("max-parts", "part-number-marker", "encoding-type"),
    ),
    Operation("GetObjectAcl", "GET", "object", acls.get_object_acl, needs=("acl",), takes=_VERSION),
    Operation(
        "GetObjectTagging", "GET", "object", object_tagging.get_object_tagging, needs=("tagging",), takes=_VERSION
    ),
    Operation("GetSymlink", "GET", "object", symlinks.get_symlink, "read", needs=("symlink",), takes=_VERSION),
    Operation(
        "GetObjectMeta", "HEAD", "object", objects.get_object_meta, "read", needs=("objectMeta",), takes=_VERSION
    ),
    Operation(
        "GetObject", "GET", "object", object_processing.get_processed, "read", needs=("x-oss-process",), takes=_VERSION
    ),
    Operation("RestoreObject", "POST", "object", restore.restore_object, needs=("restore",), takes=_VERSION),
    Operation(
        "PostProcessObject",
        "POST",
        "object",
        object_processing.process_object,
        needs=("x-oss-process",),
        takes=_VERSION,
    ),
    Operation("GetObject", "GET", "object", objects.get_object, "read", takes=_VERSION),
    Operation("HeadObject", "HEAD", "object", objects.head_object, "read", takes=_VERSION),
    Operation(
        "UploadPartCopy",
        "PUT",
        "object",
        multipart.upload_part_copy,
        needs=("partNumber", "uploadId"),
        header="x-oss-copy-source",
        takes=_VERSION,  # oss2 sends it here, too, and not only with the source
    ),
    Operation("UploadPart", "PUT", "object", multipart.upload_part, "write", needs=("partNumber", "uploadId")),
    Operation("PutObjectAcl", "PUT", "object", acls.put_object_acl, needs=("acl",), takes=_VERSION),
    Operation(
        "PutObjectTagging", "PUT", "object", object_tagging.put_object_tagging, needs=("tagging",), takes=_VERSION
    ),
    Operation("PutSymlink", "PUT", "object", symlinks.put_symlink, "write", needs=("symlink",)),
    Operation("CopyObject", "PUT", "object", copy_object.copy_object, header="x-oss-copy-source"),
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
    Operation(
        "AppendObject", "POST", "object", append_object.append_object, "write", needs=("append",), takes=("position",)
    ),
    Operation(
        "AbortMultipartUpload",
        "DELETE",
        "object",
        multipart.abort_multipart_upload,
        "write",
        needs=("uploadId",),
    ),
    Operation(
        "DeleteObjectTagging",
        "DELETE",
        "object",
        object_tagging.delete_object_tagging,
        needs=("tagging",),
        takes=_VERSION,
    ),
    Operation("DeleteObject", "DELETE", "object", delete_objects.delete_object, "write", takes=("symlink", *_VERSION)),
    Operation("GetBucketInfo", "GET", "bucket", buckets.get_bucket_info, needs=("bucketInfo",)),
    Operation("GetBucketStat", "GET", "bucket", buckets.get_bucket_stat, needs=("stat",)),
    Operation("GetBucketLocation", "GET", "bucket", buckets.get_bucket_location, needs=("location",)),
    Operation("GetBucketAcl", "GET", "bucket", acls.get_bucket_acl, needs=("acl",)),
    Operation(
        "ListMultipartUploads",
        "GET",
        "bucket",
        listing.list_multipart_uploads,
        needs=("uploads",),
        takes=(*_LIST, "max-uploads", "key-marker", "upload-id-marker"),
    ),
    Operation("PutBucketLifecycle", "PUT", "bucket", bucket_documents.put_bucket_lifecycle, needs=("lifecycle",)),
    Operation("PutBucketLogging", "PUT", "bucket", bucket_documents.put_bucket_logging, needs=("logging",)),
    Operation("DeleteBucketTags", "DELETE", "bucket", bucket_documents.delete_bucket_tags, needs=("tagging",)),
    Operation(
        "GetBucketPolicyStatus", "GET", "bucket", bucket_documents.get_bucket_policy_status, needs=("policyStatus",)
    ),
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
        for document in bucket_documents.DOCUMENTS
        for verb, method, handler in (
            ("Get", "GET", bucket_documents.get_bucket_document),
            ("Put", "PUT", bucket_documents.put_bucket_document),
            ("Delete", "DELETE", bucket_documents.delete_bucket_document),
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
    Operation("ListLiveChannel", "GET", "bucket", live_channels.list_live_channels, needs=("live",), takes=_PAGE),
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
    Operation("PutBucketAcl", "PUT", "bucket", acls.put_bucket_acl, needs=("acl",)),
    Operation("PutBucket", "PUT", "bucket", buckets.put_bucket),
    Operation(
        "DeleteMultipleObjects",
        "POST",
        "bucket",
        delete_objects.delete_objects,
        "write",
        needs=("delete",),
        takes=("encoding-type",),
    ),
    Operation("PostObject", "POST", "bucket", post_object.post_object, "write"),
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
