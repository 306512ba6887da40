"""The common steps of all writes of objects: headers, body, checks, and storing the new version."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace

from devcloud.oss.documents.bucket_encryption import ENCRYPTION, headers_of_encryption
from devcloud.oss.documents.worm_policy import read_worm
from devcloud.oss.http.body_intake import Intake
from devcloud.oss.http.conditions import refuse_overwrite
from devcloud.oss.http.object_attributes import read_attributes
from devcloud.oss.http.oss_request import MAX_PUT_BYTES, OssRequest
from devcloud.oss.http.response_headers import stored_headers
from devcloud.oss.http.traffic_limit import Pace, read_traffic_limit
from devcloud.oss.oss_errors import OssError
from devcloud.oss.oss_service import OssService
from devcloud.oss.storages.port import DELETE_MARKER, Attributes, Content, ObjectRecord


def attributes_of(service: OssService, request: OssRequest) -> Attributes:
    """Read the headers of a write; the bucket has the defaults."""
    body = service.storage.document(request.bucket, ENCRYPTION.name)
    encryption = {} if body is None else headers_of_encryption(body)
    return read_attributes(request, service.storage.bucket(request.bucket).storage_class, encryption)


async def receive_body(service: OssService, request: OssRequest) -> tuple[Content, bytes]:
    """Store the body of ``request`` as a blob and return it with its MD5 digest.

    Raises ``InvalidDigest`` if Content-MD5 announced another digest. An incomplete body is discarded.
    """
    length = request.headers.get("content-length")
    if length is None and request.headers.get("transfer-encoding", "").lower() != "chunked":
        raise OssError(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
    if length is not None and int(length) > MAX_PUT_BYTES:
        raise OssError(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size.")
    pace = Pace(service.clock, read_traffic_limit(request))
    blob = service.storage.new_blob()
    intake = Intake(blob)
    try:
        async for chunk in request.body():
            await intake.write(chunk)
            await pace.passed(len(chunk))
        await intake.finish()
        digest = blob.md5()
        check_md5(request, digest)
    except BaseException:
        intake.stop()
        blob.discard()
        raise
    return blob.finish(), digest


def store_object(
    service: OssService,
    request: OssRequest,
    record: ObjectRecord,
    event: str,
    put: Callable[[ObjectRecord], None] | None = None,
    fresh: Content | None = None,
) -> dict[str, str]:
    """Store an object by ``put`` (``storage.put_object``) and report the event "ObjectCreated:``event``".

    ``fresh`` is the content to release if the object cannot be stored; by default the whole content. A record without
    a version (``version_id`` "") gets a new one. Returns the headers of every answer about stored bytes.
    """
    try:
        # Only now: the bucket may have been deleted, or its versioning changed, while the body arrived.
        record = replace(record, version_id=record.version_id or service.new_version_id(record.bucket))
        refuse_overwrite(service.storage, request)
        previous = service.storage.object(record.bucket, record.key)
        if previous is not None and previous.version_id == record.version_id:
            refuse_protected(service, previous)
        (put or service.storage.put_object)(record)
    except BaseException:
        service.storage.release(record.content if fresh is None else fresh)
        raise
    delta_size = record.content.size - (previous.content.size if previous else 0)
    service.emit(f"ObjectCreated:{event}", request, record, delta_size)
    return stored_headers(record) | service.version_headers(record)


def refuse_protected(service: OssService, record: ObjectRecord | None) -> None:
    """Raise ``FileImmutable`` if the bucket's retention policy protects the version."""
    if record is None or record.type == DELETE_MARKER:
        return
    now = service.clock.now()
    worm = read_worm(service.storage.document(record.bucket, "worm"), now)
    if worm is not None and worm.protects(record.modified_at, now):
        raise OssError(409, "FileImmutable", "The object you specified is immutable.", details={"Key": record.key})


def check_md5(request: OssRequest, digest: bytes) -> None:
    """Raise ``InvalidDigest`` if Content-MD5 announced another body."""
    announced = request.headers.get("content-md5")
    if announced and announced != b64encode(digest).decode():
        details = {"Content-MD5": announced}
        raise OssError(400, "InvalidDigest", "The Content-MD5 you specified was invalid.", details=details)


def replace_attributes(service: OssService, request: OssRequest, **changes: object) -> dict[str, str]:
    """Store changed attributes of a version and return the header with its id."""
    record = service.object(request)
    attributes = replace(record.attributes, **changes)  # type: ignore[arg-type]  # two callers, each with a field's type
    service.storage.update_object(replace(record, attributes=attributes))
    return service.version_headers(record)
