"""Access control lists: PutBucketAcl, GetBucketAcl, PutObjectACL and GetObjectACL.

``access/acl.py`` decides what an ACL grants. See
https://www.alibabacloud.com/help/en/oss/developer-reference/putbucketacl.
"""

from dataclasses import replace

from devcloud.oss.http.object_attributes import read_object_acl
from devcloud.oss.http.oss_reply import Reply, xml_reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.operations.object_writes import replace_attributes
from devcloud.oss.oss_errors import invalid_argument
from devcloud.oss.oss_service import OssService

BUCKET_ACLS = ("private", "public-read", "public-read-write")


async def put_bucket_acl(service: OssService, request: OssRequest) -> Reply:
    """PutBucketAcl."""
    acl = check_bucket_acl(request.headers.get("x-oss-acl", ""))
    service.storage.create_bucket(replace(service.storage.bucket(request.bucket), acl=acl))
    return Reply()


async def get_bucket_acl(service: OssService, request: OssRequest) -> Reply:
    """GetBucketAcl."""
    return _acl_reply(service, service.storage.bucket(request.bucket).acl)


async def put_object_acl(service: OssService, request: OssRequest) -> Reply:
    """PutObjectACL."""
    return Reply(headers=replace_attributes(service, request, acl=read_object_acl(request)))


async def get_object_acl(service: OssService, request: OssRequest) -> Reply:
    """GetObjectACL."""
    record = service.object(request)
    reply = _acl_reply(service, record.attributes.acl)
    reply.headers |= service.version_headers(record)
    return reply


def check_bucket_acl(acl: str) -> str:
    """Return ``acl``. Raises ``InvalidArgument`` unless a bucket may have it."""
    if acl not in BUCKET_ACLS:
        raise invalid_argument("no such bucket access control exists", "x-oss-acl", acl)
    return acl


def _acl_reply(service: OssService, grant: str) -> Reply:
    """Return the answer to ``GET ?acl`` of an object or a bucket."""
    return xml_reply("AccessControlPolicy", service.owner(), ("AccessControlList", [("Grant", grant)]))
