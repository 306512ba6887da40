"""Multipart uploads.

See https://www.alibabacloud.com/help/en/oss/developer-reference/multipart-upload-operations.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from functools import partial
from urllib.parse import quote

from devcloud.oss.http import xml
from devcloud.oss.http.conditions import refuse_overwrite
from devcloud.oss.http.dates import iso_date
from devcloud.oss.http.oss_reply import Reply, xml_reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.http.ranges import read_range
from devcloud.oss.http.traffic_limit import Pace, read_traffic_limit
from devcloud.oss.operations.copy_object import copy_source, copy_source_headers
from devcloud.oss.operations.listing_pages import read_count
from devcloud.oss.operations.object_writes import attributes_of, receive_body, store_object
from devcloud.oss.operations.upload_callback import answer, read_callback
from devcloud.oss.oss_errors import OssError, invalid_argument, malformed_xml
from devcloud.oss.oss_service import OssService
from devcloud.oss.storages.port import Content, ObjectRecord, PartRecord, UploadRecord, join

MAX_PARTS = 10_000
MIN_PART_BYTES = 100 * 1024


async def initiate_multipart_upload(service: OssService, request: OssRequest) -> Reply:
    """InitiateMultipartUpload."""
    refuse_overwrite(service.storage, request)
    upload_id = secrets.token_hex(16).upper()
    attributes = attributes_of(service, request)
    upload = UploadRecord(upload_id, request.bucket, request.key, service.clock.now(), attributes)
    service.storage.create_upload(upload)
    reply = xml_reply("InitiateMultipartUploadResult", *_names(request), ("UploadId", upload_id))
    reply.headers |= attributes.encryption
    return reply


async def upload_part(service: OssService, request: OssRequest) -> Reply:
    """UploadPart."""
    number = _part_number(request)
    upload = _upload(service, request)
    _refuse_encryption(request)
    content, digest = await receive_body(service, request)
    part = _store_part(service, request, number, content, digest)
    return Reply(headers=_part_headers(part) | upload.attributes.encryption)


async def upload_part_copy(service: OssService, request: OssRequest) -> Reply:
    """UploadPartCopy: a part that is copied from a range of an object."""
    number = _part_number(request)
    _upload(service, request)
    source = copy_source(service, request)
    whole = (0, source.content.size)
    start, size = read_range(request.headers, source.content.size, "x-oss-copy-source-range") or whole
    pace = Pace(service.clock, read_traffic_limit(request))
    blob = service.storage.new_blob()
    reader = service.storage.open(source.content, start, size)
    try:
        for chunk in reader:
            blob.write(chunk)
            await pace.passed(len(chunk))
            await asyncio.sleep(0)  # lets other requests in while a large part is copied
        digest = blob.md5()
    except BaseException:
        blob.discard()
        raise
    finally:
        reader.close()
    part = _store_part(service, request, number, blob.finish(), digest)
    reply = xml_reply("CopyPartResult", ("LastModified", iso_date(part.modified_at)), ("ETag", f'"{part.etag}"'))
    reply.headers |= _part_headers(part) | copy_source_headers(service, source)
    return reply


async def complete_multipart_upload(service: OssService, request: OssRequest) -> Reply:
    """CompleteMultipartUpload. Its cost does not depend on the size of the parts: no bytes are copied."""
    upload, callback = _upload(service, request), read_callback(request)
    _refuse_encryption(request)
    body = await request.document()
    stored = {part.number: part for part in service.storage.parts(upload.upload_id)}
    if request.headers.get("x-oss-complete-all", "").lower() == "yes":
        parts = list(stored.values())
    else:
        parts = [_match(stored, number, etag) for number, etag in _read_parts(body)]
    _check_parts(parts)
    _upload(service, request)  # another request may have ended the upload while the body arrived
    digests = b"".join(bytes.fromhex(part.etag) for part in parts)
    etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest().upper()}-{len(parts)}"
    record = ObjectRecord(
        request.bucket,
        request.key,
        join(part.content for part in parts),
        etag,
        "Multipart",
        service.clock.now(),
        upload.attributes,
    )
    complete = partial(service.storage.complete_upload, upload.upload_id)
    # If the completion fails, the upload keeps its parts: there is nothing to release.
    headers = store_object(service, request, record, "CompleteMultipartUpload", put=complete, fresh=Content())
    location = f"http://{request.host}/{quote(request.key)}"
    reply = xml_reply("CompleteMultipartUploadResult", ("Location", location), *_names(request), ("ETag", f'"{etag}"'))
    reply.headers |= headers
    return await answer(callback, request, record, reply)


async def abort_multipart_upload(service: OssService, request: OssRequest) -> Reply:
    """AbortMultipartUpload."""
    service.storage.delete_upload(_upload(service, request).upload_id)
    return Reply(204)


async def list_parts(service: OssService, request: OssRequest) -> Reply:
    """ListParts."""
    upload = _upload(service, request)
    limit = read_count(request, "max-parts", 1000)
    marker = request.query.get("part-number-marker") or "0"
    if not marker.isdecimal():
        raise invalid_argument("The part number marker is invalid.", "part-number-marker", marker)
    parts = [part for part in service.storage.parts(upload.upload_id) if part.number > int(marker)]
    page = parts[:limit]
    return xml_reply(
        "ListPartsResult",
        *_names(request),
        ("UploadId", upload.upload_id),
        ("StorageClass", upload.attributes.storage_class),
        ("PartNumberMarker", int(marker)),
        ("NextPartNumberMarker", page[-1].number if page else int(marker)),
        ("MaxParts", limit),
        ("IsTruncated", len(parts) > limit),
        *(("Part", _part_nodes(part)) for part in page),
    )


def _part_nodes(part: PartRecord) -> list[xml.Node]:
    return [
        ("PartNumber", part.number),
        ("LastModified", iso_date(part.modified_at)),
        ("ETag", f'"{part.etag}"'),
        ("HashCrc64ecma", part.content.crc64),
        ("Size", part.content.size),
    ]


def _names(request: OssRequest) -> list[xml.Node]:
    if request.query.get("encoding-type") == "url":
        return [("EncodingType", "url"), ("Bucket", request.bucket), ("Key", quote(request.key, safe=""))]
    return [("Bucket", request.bucket), ("Key", request.key)]


def _refuse_encryption(request: OssRequest) -> None:
    """Raise ``InvalidArgument`` if ``request`` asks for an encryption: only InitiateMultipartUpload may."""
    for name, value in request.headers.items():
        if name.startswith("x-oss-server-side-"):
            raise invalid_argument("Encryption can only be requested by InitiateMultipartUpload.", name, value)


def _upload(service: OssService, request: OssRequest) -> UploadRecord:
    return service.storage.upload(request.bucket, request.key, request.query["uploadId"])


def _part_number(request: OssRequest) -> int:
    text = request.query["partNumber"]
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PARTS:
        message = f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive"
        raise invalid_argument(message, "partNumber", text)
    return int(text)


def _store_part(service: OssService, request: OssRequest, number: int, content: Content, digest: bytes) -> PartRecord:
    part = PartRecord(number, content, digest.hex().upper(), service.clock.now())
    try:
        _upload(service, request)  # the upload may have ended while the part arrived
        service.storage.put_part(request.query["uploadId"], part)
    except BaseException:
        service.storage.release(content)
        raise
    return part


def _part_headers(part: PartRecord) -> dict[str, str]:
    return {"etag": f'"{part.etag}"', "x-oss-hash-crc64ecma": str(part.content.crc64)}


def _read_parts(body: bytes) -> list[tuple[int, str]]:
    root = xml.parse(body)
    parts = []
    for node in root.iterfind("Part"):
        number, etag = xml.text_of(node, "PartNumber") or "", xml.text_of(node, "ETag") or ""
        if not number.isdecimal():
            raise malformed_xml()
        parts.append((int(number), etag.strip('"').upper()))
    if not parts:
        raise malformed_xml()
    if [number for number, _ in parts] != sorted({number for number, _ in parts}):
        message = "The list of parts was not in ascending order. Parts list must specified in order by part number."
        raise OssError(400, "InvalidPartOrder", message)
    return parts


def _match(stored: dict[int, PartRecord], number: int, etag: str) -> PartRecord:
    part = stored.get(number)
    if part is None or part.etag != etag:
        message = (
            "One or more of the specified parts could not be found"
            " or the specified entity tag might not have matched the part's entity tag."
        )
        raise OssError(400, "InvalidPart", message, details={"PartNumber": str(number), "ETag": etag})
    return part


def _check_parts(parts: Sequence[PartRecord]) -> None:
    if not parts:
        raise malformed_xml()
    for part in parts[:-1]:
        if part.content.size < MIN_PART_BYTES:
            details = {"MinSizeAllowed": str(MIN_PART_BYTES), "ProposedSize": str(part.content.size)}
            message = "Your proposed upload is smaller than the minimum allowed size."
            raise OssError(400, "EntityTooSmall", message, details=details)
