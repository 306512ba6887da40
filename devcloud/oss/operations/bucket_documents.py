"""Operations on the configuration documents of buckets.

See https://www.alibabacloud.com/help/en/oss/developer-reference/bucket-operations.
"""

from devcloud.oss.access.bucket_policy import POLICY, is_public
from devcloud.oss.access.referer import REFERER
from devcloud.oss.documents.bucket_encryption import ENCRYPTION
from devcloud.oss.documents.bucket_settings import SETTINGS, target_of_logging
from devcloud.oss.documents.bucket_tags import TAGGING, read_tags, write_tags
from devcloud.oss.documents.cors_rules import CORS
from devcloud.oss.documents.lifecycle_rules import LIFECYCLE, check_lifecycle
from devcloud.oss.documents.website_rules import WEBSITE
from devcloud.oss.documents.xml_document import Document
from devcloud.oss.http.oss_reply import Reply, xml_reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.oss_errors import OssError
from devcloud.oss.oss_service import OssService

DOCUMENTS: tuple[Document, ...] = (
    *(CORS, ENCRYPTION, LIFECYCLE, POLICY, REFERER, TAGGING, WEBSITE),
    *SETTINGS,
)
"""The storage keeps each document under the name of its sub-resource, in the form in which it is answered."""


async def put_bucket_document(service: OssService, request: OssRequest) -> Reply:
    """PutBucketCors, PutBucketReferer and other documents."""
    document = _asked_for(request)
    service.storage.put_document(request.bucket, document.name, document.read(await request.document()))
    return Reply()


async def get_bucket_document(service: OssService, request: OssRequest) -> Reply:
    """GetBucketCors, GetBucketLifecycle and other documents."""
    document = _asked_for(request)
    body = service.storage.document(request.bucket, document.name) or document.default
    if not body:
        raise document.absent(request.bucket)
    return Reply(headers={"content-type": document.content_type}, body=body)


async def delete_bucket_document(service: OssService, request: OssRequest) -> Reply:
    """DeleteBucketCors, DeleteBucketLifecycle and others; a document that does not exist is not an error."""
    service.storage.put_document(request.bucket, _asked_for(request).name, None)
    return Reply(204)


async def put_bucket_lifecycle(service: OssService, request: OssRequest) -> Reply:
    """PutBucketLifecycle; a header allows rules with the same action for the same objects."""
    allowed = request.headers.get("x-oss-allow-same-action-overlap", "").lower() == "true"
    body = check_lifecycle(await request.document(), overlap_allowed=allowed)
    service.storage.put_document(request.bucket, "lifecycle", body)
    return Reply()


async def put_bucket_logging(service: OssService, request: OssRequest) -> Reply:
    """PutBucketLogging; the target bucket must exist. The emulator does not write logs."""
    document = _asked_for(request)
    body = document.read(await request.document())
    target = target_of_logging(body)
    if target is not None and target not in (bucket.name for bucket in service.storage.buckets()):
        message = "The target bucket for logging does not exist, is not owned by you, or is in another region."
        raise OssError(400, "InvalidTargetBucketForLogging", message, details={"TargetBucket": target})
    service.storage.put_document(request.bucket, document.name, body)
    return Reply()


async def delete_bucket_tags(service: OssService, request: OssRequest) -> Reply:
    """DeleteBucketTags: all tags, or the tags whose keys the parameter names."""
    names = {name for name in request.query["tagging"].split(",") if name}
    tags = read_tags(service.storage.document(request.bucket, "tagging"))
    left = {key: value for key, value in tags.items() if names and key not in names}
    service.storage.put_document(request.bucket, "tagging", write_tags(left) if left else None)
    return Reply(204)


async def get_bucket_policy_status(service: OssService, request: OssRequest) -> Reply:
    """GetBucketPolicyStatus."""
    policy = service.storage.document(request.bucket, "policy")
    return xml_reply("PolicyStatus", ("IsPublic", policy is not None and is_public(policy)))


def _asked_for(request: OssRequest) -> Document:
    return next(document for document in DOCUMENTS if document.name in request.query)
