"""What the ACLs of buckets and objects grant to everybody."""

from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.oss_errors import access_denied
from devcloud.oss.oss_operation import Access, Operation
from devcloud.oss.oss_service import OssService

PUBLIC_ACLS: dict[Access, tuple[str, ...]] = {
    "anybody": ("private", "public-read", "public-read-write"),
    "read": ("public-read", "public-read-write"),
    "write": ("public-read-write",),
    "owner": (),
}


def check_acl(service: OssService, operation: Operation, request: OssRequest) -> None:
    """Raise ``AccessDenied`` unless the object's ACL, or else the bucket's, grants ``operation`` to everybody."""
    if operation.level == "service":
        raise access_denied("Anonymous access is forbidden for this operation.")
    acl, owner = service.storage.bucket(request.bucket).acl, "bucket"
    version_id = request.query.get("versionId")
    record = service.storage.version(request.bucket, request.key, version_id) if request.key else None
    if record is not None and record.attributes.acl != "default":
        acl, owner = record.attributes.acl, "object"
    if acl not in PUBLIC_ACLS[operation.access]:
        raise access_denied(f"You have no right to access this object because of {owner} acl.")
