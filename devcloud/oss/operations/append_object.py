"""AppendObject.

See https://www.alibabacloud.com/help/en/oss/developer-reference/appendobject.
"""

import hashlib

from devcloud.oss.http.oss_reply import Reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.http.response_headers import stored_headers
from devcloud.oss.operations.object_writes import attributes_of, receive_body, store_object
from devcloud.oss.oss_errors import OssError, invalid_argument
from devcloud.oss.oss_service import OssService
from devcloud.oss.storages.port import Content, ObjectRecord


async def append_object(service: OssService, request: OssRequest) -> Reply:
    """AppendObject: the position must be the object's length."""
    position = request.query.get("position", "")
    if not position.isdecimal():
        raise invalid_argument("The append position is invalid.", "position", position)
    added, digest = await receive_body(service, request)
    try:
        previous = _appendable(service, request, int(position))
        # The headers of later appends are ignored, and not even checked.
        attributes = previous.attributes if previous else attributes_of(service, request)
    except OssError:
        service.storage.release(added)
        raise
    before = previous.content if previous else Content()
    # The real service does not document this ETag, except that it is not the MD5 of the content.
    chained = (previous.etag if previous else "").encode() + digest
    etag = hashlib.md5(chained, usedforsecurity=False).hexdigest().upper()
    now = service.clock.now()
    record = ObjectRecord(
        request.bucket,
        request.key,
        before + added,
        etag,
        "Appendable",
        now,
        attributes,
        version_id=previous.version_id if previous else "",  # an append does not make a new version
    )
    headers = store_object(service, request, record, "AppendObject", fresh=added)
    return Reply(headers=headers | {"x-oss-next-append-position": str(record.content.size)})


def _appendable(service: OssService, request: OssRequest, position: int) -> ObjectRecord | None:
    record = service.storage.object(request.bucket, request.key)
    if record is not None and record.type != "Appendable":
        raise OssError(409, "ObjectNotAppendable", "The object is not appendable")
    size = record.content.size if record else 0
    if position != size:
        headers = {"x-oss-next-append-position": str(size)}
        if record:
            headers |= stored_headers(record)
        raise OssError(
            409, "PositionNotEqualToLength", "Position is not equal to file length", ec="0026-00000016", headers=headers
        )
    return record
