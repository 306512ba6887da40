"""Whether a caller may do an operation: hotlink protection, bucket policy, requester pays and ACLs, in this order.

One account owns all buckets. Callers of other accounts need a bucket policy or an ACL, like anonymous callers, and must
offer to pay where the requester pays. A denial of the bucket policy applies to the owner, too, except for operations on
the policy itself, so that owners cannot lock themselves out.
"""

from datetime import UTC, datetime

from devcloud.credentials import AccessKey
from devcloud.oss.access.acl import check_acl
from devcloud.oss.access.bucket_policy import Ask, Verdict, judge
from devcloud.oss.access.referer import refusal
from devcloud.oss.documents.bucket_settings import is_enabled
from devcloud.oss.http import xml
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.oss_errors import OssError, access_denied
from devcloud.oss.oss_operation import Operation
from devcloud.oss.oss_service import OssService

# The RAM action of an operation, where it differs from the operation's name.
_ACTIONS = {
    **dict.fromkeys(("HeadObject", "GetObjectMeta", "GetSymlink"), "GetObject"),
    **dict.fromkeys(("PutSymlink", "AppendObject", "CopyObject", "PostObject"), "PutObject"),
    **dict.fromkeys(("InitiateMultipartUpload", "UploadPart", "UploadPartCopy"), "PutObject"),
    "CompleteMultipartUpload": "PutObject",
    "DeleteBucketTags": "DeleteBucketTagging",
    "DeleteMultipleObjects": "DeleteObject",
    "GetBucketTags": "GetBucketTagging",
    "ListObjectsV2": "ListObjects",
    "PutBucketTags": "PutBucketTagging",
}


def admit(service: OssService, operation: Operation, request: OssRequest, key: AccessKey | None) -> None:
    """Raise ``AccessDenied`` unless the owner of ``key`` may do this; ``None`` stands for an anonymous caller."""
    if operation.access == "anybody":
        return
    if key is None or "authorization" not in request.headers:
        _check_referer(service, request)
    verdict = _verdict(service, operation, request, key)
    if verdict == "deny":
        raise access_denied("Access denied by bucket policy.", "0003-00000202")
    if _is_owner(service, key):
        return
    if operation.name == "PutBucket":
        raise access_denied("Only the account that owns all buckets may create one.")
    _check_payer(service, request, key)
    if is_enabled(service.storage.document(request.bucket, "publicAccessBlock"), "BlockPublicAccess"):
        raise access_denied("You have no right to access this object because public access is blocked.")
    if verdict == "silent":
        check_acl(service, operation, request)
    if key is None and any(name.startswith("response-") for name in request.query):
        message = "You can not override response header on get content from anonymous."
        raise OssError(400, "InvalidRequest", message)


def _is_owner(service: OssService, key: AccessKey | None) -> bool:
    return key is not None and key.account_id in ("", service.account_id)


def _check_payer(service: OssService, request: OssRequest, key: AccessKey | None) -> None:
    """Raise ``AccessDenied`` if the requester pays, and the caller is anonymous or does not offer to pay."""
    body = service.storage.document(request.bucket, "requestPayment") if request.bucket else None
    if body is None or xml.text_of(xml.parse(body), "Payer") != "Requester":
        return
    offer = request.headers.get("x-oss-request-payer") or request.query.get("x-oss-request-payer")
    if key is None or offer != "requester":
        raise access_denied("Access denied for requester pay bucket", "0003-00000703")


def _check_referer(service: OssService, request: OssRequest) -> None:
    body = service.storage.document(request.bucket, "referer") if request.bucket else None
    refused = None if body is None else refusal(body, request.headers.get("referer", ""))
    if refused is not None:
        raise refused


def _verdict(service: OssService, operation: Operation, request: OssRequest, key: AccessKey | None) -> Verdict:
    body = service.storage.document(request.bucket, "policy") if request.bucket else None
    if body is None or (_is_owner(service, key) and operation.name.endswith("BucketPolicy")):
        return "silent"
    return judge(body, _ask(service, operation, request, key))


def _ask(service: OssService, operation: Operation, request: OssRequest, key: AccessKey | None) -> Ask:
    action = _ACTIONS.get(operation.name, operation.name)
    if "versionId" in request.query:
        action = action.replace("Object", "ObjectVersion", 1)
    # The objects of a batch are in its body, which has not arrived yet.
    path = f"/{request.key}" if request.key else "/*" if operation.name == "DeleteMultipleObjects" else ""
    facts = {
        "acs:CurrentTime": datetime.fromtimestamp(service.clock.now(), UTC).isoformat(),
        "acs:SecureTransport": "false",
        "acs:SourceIp": request.client_ip,
    }
    for fact, header in (("acs:Referer", "referer"), ("acs:UserAgent", "user-agent")):
        if header in request.headers:
            facts[fact] = request.headers[header]
    for fact, name in (("oss:Prefix", "prefix"), ("oss:Delimiter", "delimiter")):
        if name in request.query:
            facts[fact] = request.query[name]
    return Ask(
        frozenset() if key is None else frozenset({key.account_id or service.account_id}),
        f"oss:{action}",
        f"acs:oss:{service.region}:{service.account_id}:{request.bucket}{path}",
        facts,
    )
