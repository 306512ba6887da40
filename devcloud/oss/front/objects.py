"""Operations on one object, and the deletion of many.

See https://www.alibabacloud.com/help/en/oss/developer-reference/basic-operations-1.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from devcloud.oss import xml
from devcloud.oss.errors import OssError, invalid_argument, malformed_xml
from devcloud.oss.front.callback import answer, read_callback
from devcloud.oss.front.compression import GzipReader, wants_gzip
from devcloud.oss.front.headers import (
    check_conditions,
    check_tags,
    http_date,
    iso_date,
    object_headers,
    overrides,
    read_object_acl,
    read_range,
    restore_info,
    stored_headers,
)
from devcloud.oss.front.service import Service, check_md5, check_version_id, version_of
from devcloud.oss.pacing import Pace, read_traffic_limit
from devcloud.oss.request import Body, OssRequest, Reply, xml_reply
from devcloud.oss.storage import DELETE_MARKER, NULL_VERSION, Attributes, Content, ObjectRecord

MAX_KEY_BYTES = 1023
MAX_DELETED_AT_ONCE = 1000


def check_key(key: str) -> None:
    """Raise ``InvalidObjectName`` unless OSS takes ``key`` as an object's name."""
    if not 1 <= len(key.encode()) <= MAX_KEY_BYTES or key.startswith(("/", "\\")):
        raise OssError(400, "InvalidObjectName", "The specified object is not valid.")


# Write


async def put_object(service: Service, request: OssRequest) -> Reply:
    """PutObject."""
    attributes, callback = service.attributes(request), read_callback(request)
    service.refuse_overwrite(request)
    content, digest = await service.receive(request)
    etag = digest.hex().upper()
    record = ObjectRecord(request.bucket, request.key, content, etag, "Normal", service.clock.now(), attributes)
    reply = Reply(headers=service.store(request, record, "PutObject"))
    return await answer(callback, request, record, reply)


async def put_document(service: Service, request: OssRequest, body: bytes, content_type: str) -> None:
    """Store what the emulator itself made as the object that ``request`` names."""
    blob = service.storage.new_blob()
    blob.write(body)
    etag = blob.md5().hex().upper()
    attributes = Attributes({"content-type": content_type})
    now = service.clock.now()
    record = ObjectRecord(request.bucket, request.key, blob.finish(), etag, "Normal", now, attributes)
    service.store(request, record, "PutObject")


async def append_object(service: Service, request: OssRequest) -> Reply:
    """AppendObject: the position must be the object's length."""
    position = request.query.get("position", "")
    if not position.isdecimal():
        raise invalid_argument("The append position is invalid.", "position", position)
    added, digest = await service.receive(request)
    try:
        previous = _appendable(service, request, int(position))
        # What later appends say of the object is left out, and not even checked.
        attributes = previous.attributes if previous else service.attributes(request)
    except OssError:
        service.storage.release(added)
        raise
    before = previous.content if previous else Content()
    # The real service does not say how it makes this ETag, only that it is not the MD5 of the content.
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
        version_id=previous.version_id if previous else "",  # an append makes no new version
    )
    headers = service.store(request, record, "AppendObject", fresh=added)
    return Reply(headers=headers | {"x-oss-next-append-position": str(record.content.size)})


def _appendable(service: Service, request: OssRequest, position: int) -> ObjectRecord | None:
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


async def copy_object(service: Service, request: OssRequest) -> Reply:
    """CopyObject; onto itself it replaces the metadata."""
    source = copy_source(service, request)
    same = (source.bucket, source.key) == (request.bucket, request.key)
    attributes = service.attributes(request)
    if not same and request.headers.get("x-oss-metadata-directive", "COPY").upper() != "REPLACE":
        attributes = replace(attributes, headers=source.attributes.headers, metadata=source.attributes.metadata)
    elif same and not request.headers.get("content-type"):
        attributes.headers["content-type"] = source.attributes.headers["content-type"]
    if request.headers.get("x-oss-tagging-directive", "Copy").lower() != "replace":
        attributes = replace(attributes, tags=source.attributes.tags)
    if "x-oss-storage-class" not in request.headers:
        attributes = replace(attributes, storage_class=source.attributes.storage_class)
    service.refuse_overwrite(request)
    await Pace(service.clock, read_traffic_limit(request)).passed(source.content.size)
    content = service.storage.copy(source.content)
    now = service.clock.now()
    record = ObjectRecord(request.bucket, request.key, content, source.etag, "Normal", now, attributes)
    headers = service.store(request, record, "CopyObject")
    reply = xml_reply("CopyObjectResult", ("LastModified", iso_date(now)), ("ETag", f'"{record.etag}"'))
    reply.headers |= headers | copy_source_headers(service, source)
    return reply


def copy_source(service: Service, request: OssRequest) -> ObjectRecord:
    """Return the object that ``x-oss-copy-source`` names, once its conditions hold."""
    header = request.headers["x-oss-copy-source"]
    match = re.fullmatch(r"/?([^/?]+)/([^?]+)(?:\?versionId=(.*))?", header)
    if match is None:
        raise invalid_argument("Copy Source must mention the source bucket and key", "x-oss-copy-source", header)
    bucket, key, version_id = match[1], unquote(match[2]), match[3]
    service.storage.bucket(bucket)
    request.admit(_reading(request, bucket, key, version_id))
    source = service.find(bucket, key, None if version_id is None else check_version_id(version_id))
    if source.type == "Symlink":
        source = _target(service, request, source)
    check_conditions(request.headers, source, prefix="x-oss-copy-source-")
    service.check_readable(source)
    return source


def copy_source_headers(service: Service, source: ObjectRecord) -> dict[str, str]:
    """Return the header that names the version that was copied."""
    headers = service.version_headers(source)
    return {name.replace("x-oss-", "x-oss-copy-source-"): value for name, value in headers.items()}


# Read


async def get_object(service: Service, request: OssRequest) -> Reply:
    """GetObject, whole or a range."""
    record, headers = _look_up(service, request)
    service.check_readable(record)
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


async def head_object(service: Service, request: OssRequest) -> Reply:
    """HeadObject."""
    record, headers = _look_up(service, request)
    return Reply(headers=headers | {"content-length": str(record.content.size)})


async def get_object_meta(service: Service, request: OssRequest) -> Reply:
    """GetObjectMeta: the few facts that cost no metadata look-up on the real service."""
    record = service.object(request)
    headers = stored_headers(record) | service.version_headers(record)
    headers["content-length"] = str(record.content.size)
    headers["last-modified"] = http_date(record.modified_at)
    return Reply(headers=headers)


def _look_up(service: Service, request: OssRequest) -> tuple[ObjectRecord, dict[str, str]]:
    """Return the object whose bytes to answer and the headers; a symlink has its target's bytes."""
    record = service.object(request)
    headers = object_headers(record) | service.version_headers(record)
    if info := restore_info(record, service.clock.now()):
        headers["x-oss-restore"] = info
    if record.type == "Symlink":
        target = _target(service, request, record)
        headers |= stored_headers(target) | {"content-type": target.attributes.headers["content-type"]}
        record = target
    check_conditions(request.headers, record)
    return record, headers


# Delete


async def delete_object(service: Service, request: OssRequest) -> Reply:
    """DeleteObject; an object that is not there is no error."""
    version_id = version_of(request)
    deletion = _delete(service, request, [(request.key, version_id)], "DeleteObject")[0]
    headers = {}
    if deletion.version_id:
        headers["x-oss-version-id"] = deletion.version_id
    if deletion.marker_id:
        headers |= {"x-oss-delete-marker": "true", "x-oss-version-id": deletion.marker_id}
    return Reply(204, headers)


async def delete_objects(service: Service, request: OssRequest) -> Reply:
    """DeleteMultipleObjects."""
    body = await request.document()
    check_md5(request, hashlib.md5(body, usedforsecurity=False).digest())
    root = xml.parse(body)
    wanted = [(xml.text_of(node, "Key") or "", xml.text_of(node, "VersionId")) for node in root.iterfind("Object")]
    if root.tag != "Delete" or not 1 <= len(wanted) <= MAX_DELETED_AT_ONCE:
        raise malformed_xml()
    for key, version_id in wanted:
        check_key(key)
        query = {} if version_id is None else {"versionId": check_version_id(version_id)}
        request.admit(replace(request, method="DELETE", key=key, query=query))
    deletions = _delete(service, request, wanted, "DeleteObjects")
    nodes: list[xml.Node] = []
    url_encoded = request.query.get("encoding-type") == "url"
    if url_encoded:
        nodes.append(("EncodingType", "url"))
    if xml.text_of(root, "Quiet") not in ("true", "True"):
        nodes += [("Deleted", _deletion_nodes(deletion, url_encoded=url_encoded)) for deletion in deletions]
    return xml_reply("DeleteResult", *nodes)


@dataclass(frozen=True)
class _Deletion:
    """What became of one deletion: ``version_id`` was asked for; ``marker_id`` is the delete marker made or removed."""

    key: str
    version_id: str | None
    marker_id: str = ""


def _delete(
    service: Service, request: OssRequest, wanted: Sequence[tuple[str, str | None]], event: str
) -> list[_Deletion]:
    """Remove versions; where none is named, the object: in a bucket with versions by a delete marker on top."""
    bucket = request.bucket
    versioned = bool(service.storage.bucket(bucket).versioning)
    exact = [(key, version_id or NULL_VERSION) for key, version_id in wanted if version_id or not versioned]
    for version in exact:
        service.refuse_protected(service.storage.version(bucket, *version))
    removed = service.storage.delete_versions(bucket, exact)
    for record in removed:
        if record.type != DELETE_MARKER:
            service.emit(f"ObjectRemoved:{event}", request, record, -record.content.size)
    markers = {(record.key, record.version_id) for record in removed if record.type == DELETE_MARKER}
    deletions = []
    for key, version_id in wanted:
        if version_id or not versioned:
            marker_id = version_id if (key, version_id) in markers else None
        else:
            marker_id = _put_marker(service, request, key, event)
        deletions.append(_Deletion(key, version_id, marker_id or ""))
    return deletions


def _put_marker(service: Service, request: OssRequest, key: str, event: str) -> str:
    bucket = request.bucket
    hidden = service.storage.object(bucket, key)
    version_id = service.new_version_id(bucket)
    now = service.clock.now()
    marker = ObjectRecord(bucket, key, Content(), "", DELETE_MARKER, now, Attributes(), version_id=version_id)
    service.storage.put_object(marker)
    if hidden is not None:
        lost = hidden.content.size if hidden.version_id == version_id else 0
        service.emit(f"ObjectRemoved:{event}", request, hidden, -lost)
    return version_id


def _deletion_nodes(deletion: _Deletion, *, url_encoded: bool) -> list[xml.Node]:
    nodes: list[xml.Node] = [("Key", quote(deletion.key, safe="") if url_encoded else deletion.key)]
    if deletion.version_id:
        nodes.append(("VersionId", deletion.version_id))
    if deletion.marker_id:
        nodes += [("DeleteMarker", True), ("DeleteMarkerVersionId", deletion.marker_id)]
    return nodes


# Access control, tags, symlinks


async def put_object_acl(service: Service, request: OssRequest) -> Reply:
    """PutObjectACL."""
    return Reply(headers=_replace_attributes(service, request, acl=read_object_acl(request)))


async def get_object_acl(service: Service, request: OssRequest) -> Reply:
    """GetObjectACL."""
    record = service.object(request)
    reply = acl_reply(service, record.attributes.acl)
    reply.headers |= service.version_headers(record)
    return reply


def acl_reply(service: Service, grant: str) -> Reply:
    """Return the answer to ``GET ?acl`` of an object or a bucket."""
    owner = ("Owner", [("ID", service.account_id), ("DisplayName", service.account_id)])
    return xml_reply("AccessControlPolicy", owner, ("AccessControlList", [("Grant", grant)]))


async def put_object_tagging(service: Service, request: OssRequest) -> Reply:
    """PutObjectTagging."""
    root = xml.parse(await request.document())
    if root.tag != "Tagging":
        raise malformed_xml()
    pairs = [(xml.text_of(tag, "Key") or "", xml.text_of(tag, "Value") or "") for tag in root.iterfind("TagSet/Tag")]
    return Reply(headers=_replace_attributes(service, request, tags=check_tags(pairs)))


async def get_object_tagging(service: Service, request: OssRequest) -> Reply:
    """GetObjectTagging."""
    record = service.object(request)
    nodes = [("Tag", [("Key", name), ("Value", value)]) for name, value in record.attributes.tags.items()]
    reply = xml_reply("Tagging", ("TagSet", nodes))
    reply.headers |= service.version_headers(record)
    return reply


async def delete_object_tagging(service: Service, request: OssRequest) -> Reply:
    """DeleteObjectTagging."""
    return Reply(204, _replace_attributes(service, request, tags={}))


def _replace_attributes(service: Service, request: OssRequest, **changes: object) -> dict[str, str]:
    """Store changed attributes of a version and return the header that names it."""
    record = service.object(request)
    attributes = replace(record.attributes, **changes)  # type: ignore[arg-type]  # two callers, each with a field's type
    service.storage.update_object(replace(record, attributes=attributes))
    return service.version_headers(record)


async def put_symlink(service: Service, request: OssRequest) -> Reply:
    """PutSymlink; the target need not exist."""
    target = unquote(request.headers.get("x-oss-symlink-target", ""))
    check_key(target)
    attributes = service.attributes(request)
    etag = hashlib.md5(target.encode(), usedforsecurity=False).hexdigest().upper()
    now = service.clock.now()
    record = ObjectRecord(request.bucket, request.key, Content(), etag, "Symlink", now, attributes, target)
    return Reply(headers=service.store(request, record, "PutSymlink"))


async def get_symlink(service: Service, request: OssRequest) -> Reply:
    """GetSymlink."""
    record = service.object(request)
    if record.symlink_target is None:
        raise OssError(400, "NotSymlink", "The object is not symlink")
    headers = object_headers(record) | service.version_headers(record)
    return Reply(headers=headers | {"x-oss-symlink-target": quote(record.symlink_target, safe="")})


def _reading(request: OssRequest, bucket: str, key: str, version_id: str | None = None) -> OssRequest:
    """Return the request for an object that ``request`` reads on its way."""
    query = {} if version_id is None else {"versionId": version_id}
    return replace(request, method="GET", bucket=bucket, key=key, query=query)


def _target(service: Service, request: OssRequest, link: ObjectRecord) -> ObjectRecord:
    request.admit(_reading(request, link.bucket, link.symlink_target or ""))
    target = service.storage.object(link.bucket, link.symlink_target or "")
    if target is None:
        raise OssError(404, "SymlinkTargetNotExist", "The symlink target object does not exist")
    if target.type == "Symlink":
        raise OssError(400, "InvalidTargetType", "The symbolic link's target object type is invalid.")
    return target
