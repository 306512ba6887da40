"""Operations on the retention policy of a bucket.

See https://www.alibabacloud.com/help/en/oss/user-guide/oss-retention-policies.
"""

import secrets
from dataclasses import replace

from devcloud.oss.documents.worm_policy import MAX_DAYS, Worm, read_worm, write_worm
from devcloud.oss.documents.xml_document import integer, read_root, required
from devcloud.oss.http.oss_reply import Reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.oss_errors import OssError, invalid_argument
from devcloud.oss.oss_service import OssService


async def initiate_bucket_worm(service: OssService, request: OssRequest) -> Reply:
    """InitiateBucketWorm."""
    days = await _days(request, "InitiateWormConfiguration")
    now = service.clock.now()
    if read_worm(service.storage.document(request.bucket, "worm"), now) is not None:
        raise OssError(409, "WORMConfigurationAlreadyExists", "The bucket has a retention policy already.")
    worm = Worm(secrets.token_hex(16).upper(), "InProgress", days, now)
    _store(service, request, worm)
    return Reply(headers={"x-oss-worm-id": worm.worm_id})


async def complete_bucket_worm(service: OssService, request: OssRequest) -> Reply:
    """CompleteBucketWorm: lock the policy permanently."""
    _store(service, request, replace(_named(service, request), state="Locked"))
    return Reply()


async def extend_bucket_worm(service: OssService, request: OssRequest) -> Reply:
    """ExtendBucketWorm: only a locked policy, and only to more days."""
    days = await _days(request, "ExtendWormConfiguration")
    worm = _named(service, request)
    if worm.state != "Locked" or days < worm.days:
        raise _invalid()
    _store(service, request, replace(worm, days=days))
    return Reply()


async def abort_bucket_worm(service: OssService, request: OssRequest) -> Reply:
    """AbortBucketWorm, before it is locked."""
    if _worm(service, request).state == "Locked":
        raise OssError(409, "WORMConfigurationLocked", "The retention policy is locked.")
    service.storage.put_document(request.bucket, "worm", None)
    return Reply(204)


async def get_bucket_worm(service: OssService, request: OssRequest) -> Reply:
    """GetBucketWorm."""
    return Reply(headers={"content-type": "application/xml"}, body=write_worm(_worm(service, request)))


def _worm(service: OssService, request: OssRequest) -> Worm:
    worm = read_worm(service.storage.document(request.bucket, "worm"), service.clock.now())
    if worm is None:
        raise OssError(404, "NoSuchWORMConfiguration", "The bucket has no retention policy.")
    return worm


def _named(service: OssService, request: OssRequest) -> Worm:
    worm = _worm(service, request)
    if worm.worm_id != request.query["wormId"]:
        raise _invalid()
    return worm


def _invalid() -> OssError:
    return OssError(400, "InvalidWORMConfiguration", "The retention policy does not allow this.")


async def _days(request: OssRequest, tag: str) -> int:
    root = read_root(await request.document(), tag)
    required(root, "RetentionPeriodInDays")
    days = integer(root, "RetentionPeriodInDays", least=1) or 0
    if days > MAX_DAYS:
        raise invalid_argument("The retention period is too long.", "RetentionPeriodInDays", str(days))
    return days


def _store(service: OssService, request: OssRequest, worm: Worm) -> None:
    service.storage.put_document(request.bucket, "worm", write_worm(worm))
