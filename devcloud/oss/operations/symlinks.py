"""PutSymlink and GetSymlink, and the targets that reads follow.

See https://www.alibabacloud.com/help/en/oss/developer-reference/putsymlink.
"""

import hashlib
from dataclasses import replace
from urllib.parse import quote, unquote

from devcloud.oss.http.object_keys import check_key
from devcloud.oss.http.oss_reply import Reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.http.response_headers import object_headers
from devcloud.oss.operations.object_writes import attributes_of, store_object
from devcloud.oss.oss_errors import OssError
from devcloud.oss.oss_service import OssService
from devcloud.oss.storages.port import Content, ObjectRecord


async def put_symlink(service: OssService, request: OssRequest) -> Reply:
    """PutSymlink; the target does not have to exist."""
    target = unquote(request.headers.get("x-oss-symlink-target", ""))
    check_key(target)
    attributes = attributes_of(service, request)
    etag = hashlib.md5(target.encode(), usedforsecurity=False).hexdigest().upper()
    now = service.clock.now()
    record = ObjectRecord(request.bucket, request.key, Content(), etag, "Symlink", now, attributes, target)
    return Reply(headers=store_object(service, request, record, "PutSymlink"))


async def get_symlink(service: OssService, request: OssRequest) -> Reply:
    """GetSymlink."""
    record = service.object(request)
    if record.symlink_target is None:
        raise OssError(400, "NotSymlink", "The object is not symlink")
    headers = object_headers(record) | service.version_headers(record)
    return Reply(headers=headers | {"x-oss-symlink-target": quote(record.symlink_target, safe="")})


def reading(request: OssRequest, bucket: str, key: str, version_id: str | None = None) -> OssRequest:
    """Return a request that reads another object in the name of ``request``'s caller."""
    query = {} if version_id is None else {"versionId": version_id}
    return replace(request, method="GET", bucket=bucket, key=key, query=query)


def target_of(service: OssService, request: OssRequest, link: ObjectRecord) -> ObjectRecord:
    """Return the object that ``link`` leads to. Raises ``AccessDenied`` unless the caller may read that object, too."""
    request.admit(reading(request, link.bucket, link.symlink_target or ""))
    target = service.storage.object(link.bucket, link.symlink_target or "")
    if target is None:
        raise OssError(404, "SymlinkTargetNotExist", "The symlink target object does not exist")
    if target.type == "Symlink":
        raise OssError(400, "InvalidTargetType", "The symbolic link's target object type is invalid.")
    return target
