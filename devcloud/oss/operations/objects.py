"""PutObject, GetObject, HeadObject and GetObjectMeta.

See https://www.alibabacloud.com/help/en/oss/developer-reference/basic-operations-1.
"""

from devcloud.oss.http.compression import GzipReader, wants_gzip
from devcloud.oss.http.conditions import check_conditions, refuse_overwrite
from devcloud.oss.http.dates import http_date
from devcloud.oss.http.oss_reply import Body, Reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.http.ranges import read_range
from devcloud.oss.http.response_headers import object_headers, overrides, restore_info, stored_headers
from devcloud.oss.http.traffic_limit import read_traffic_limit
from devcloud.oss.operations.object_writes import attributes_of, receive_body, store_object
from devcloud.oss.operations.restore import check_readable
from devcloud.oss.operations.symlinks import target_of
from devcloud.oss.operations.upload_callback import answer, read_callback
from devcloud.oss.oss_service import OssService
from devcloud.oss.storages.port import Attributes, ObjectRecord


async def put_object(service: OssService, request: OssRequest) -> Reply:
    """PutObject."""
    attributes, callback = attributes_of(service, request), read_callback(request)
    refuse_overwrite(service.storage, request)
    content, digest = await receive_body(service, request)
    etag = digest.hex().upper()
    record = ObjectRecord(request.bucket, request.key, content, etag, "Normal", service.clock.now(), attributes)
    reply = Reply(headers=store_object(service, request, record, "PutObject"))
    return await answer(callback, request, record, reply)


async def put_document(service: OssService, request: OssRequest, body: bytes, content_type: str) -> None:
    """Store ``body``, which the emulator made, as the object that ``request`` names."""
    blob = service.storage.new_blob()
    blob.write(body)
    etag = blob.md5().hex().upper()
    attributes = Attributes({"content-type": content_type})
    now = service.clock.now()
    record = ObjectRecord(request.bucket, request.key, blob.finish(), etag, "Normal", now, attributes)
    store_object(service, request, record, "PutObject")


async def get_object(service: OssService, request: OssRequest) -> Reply:
    """GetObject, whole or a range."""
    record, headers = _look_up(service, request)
    check_readable(service, record)
    headers |= overrides(request.query)
    span = read_range(request.headers, record.content.size)
    start, size = span or (0, record.content.size)
    if span is not None:
        headers["content-range"] = f"bytes {start}-{start + size - 1}/{record.content.size}"
    bits_per_s = read_traffic_limit(request)
    body: Body = service.storage.open(record.content, start, size)
    if span is None and wants_gzip(request.headers, headers, size):
        body = GzipReader(body)
        headers |= {"content-encoding": "gzip", "vary": "Accept-Encoding"}
    return Reply(200 if span is None else 206, headers, body, bits_per_s)


async def head_object(service: OssService, request: OssRequest) -> Reply:
    """HeadObject."""
    record, headers = _look_up(service, request)
    return Reply(headers=headers | {"content-length": str(record.content.size)})


async def get_object_meta(service: OssService, request: OssRequest) -> Reply:
    """GetObjectMeta: ETag, size and time of modification."""
    record = service.object(request)
    headers = stored_headers(record) | service.version_headers(record)
    headers["content-length"] = str(record.content.size)
    headers["last-modified"] = http_date(record.modified_at)
    return Reply(headers=headers)


def _look_up(service: OssService, request: OssRequest) -> tuple[ObjectRecord, dict[str, str]]:
    """Return the object with the bytes of the answer, and the headers; a symlink answers its target's bytes."""
    record = service.object(request)
    headers = object_headers(record) | service.version_headers(record)
    if info := restore_info(record, service.clock.now()):
        headers["x-oss-restore"] = info
    if record.type == "Symlink":
        target = target_of(service, request, record)
        headers |= stored_headers(target) | {"content-type": target.attributes.headers["content-type"]}
        record = target
    check_conditions(request.headers, record)
    return record, headers
