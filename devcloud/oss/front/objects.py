"""Operations on one object, and the deletion of many.

See https://www.alibabacloud.com/help/en/oss/developer-reference/basic-operations-1.
"""

import hashlib
import re
from dataclasses import replace
from urllib.parse import quote, unquote

from devcloud.oss import xml
from devcloud.oss.errors import OssError, invalid_argument, malformed_xml, no_such_key, not_implemented
from devcloud.oss.front.headers import (
    check_conditions,
    check_tags,
    http_date,
    iso_date,
    object_headers,
    overrides,
    read_object_acl,
    read_range,
    stored_headers,
)
from devcloud.oss.front.service import Service, check_md5
from devcloud.oss.request import OssRequest, Reply, xml_reply
from devcloud.oss.storage import Content, ObjectRecord

MAX_KEY_BYTES = 1023
MAX_DELETED_AT_ONCE = 1000


def check_key(key: str) -> None:
    """Raise ``InvalidObjectName`` unless OSS takes ``key`` as an object's name."""
    if not 1 <= len(key.encode()) <= MAX_KEY_BYTES or key.startswith(("/", "\\")):
        raise OssError(400, "InvalidObjectName", "The specified object is not valid.")


# Write


async def put_object(service: Service, request: OssRequest) -> Reply:
    """PutObject."""
    attributes = service.attributes(request)
    service.refuse_overwrite(request)
    content, digest = await service.receive(request)
    etag = digest.hex().upper()
    record = ObjectRecord(request.bucket, request.key, content, etag, "Normal", service.clock.now(), attributes)
    service.store(request, record, "PutObject")
    return Reply(headers=stored_headers(record))


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
    record = ObjectRecord(request.bucket, request.key, before + added, etag, "Appendable", now, attributes)
    service.store(request, record, "AppendObject", fresh=added)
    position_header = {"x-oss-next-append-position": str(record.content.size)}
    return Reply(headers=stored_headers(record) | position_header)


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
    if request.headers.get("x-oss-tagging-directive", "Copy").lower() != "replace":
        attributes = replace(attributes, tags=source.attributes.tags)
    if "x-oss-storage-class" not in request.headers:
        attributes = replace(attributes, storage_class=source.attributes.storage_class)
    service.refuse_overwrite(request)
    content = service.storage.copy(source.content)
    now = service.clock.now()
    record = ObjectRecord(request.bucket, request.key, content, source.etag, "Normal", now, attributes)
    service.store(request, record, "CopyObject")
    reply = xml_reply("CopyObjectResult", ("LastModified", iso_date(now)), ("ETag", f'"{record.etag}"'))
    reply.headers |= stored_headers(record)
    return reply


def copy_source(service: Service, request: OssRequest) -> ObjectRecord:
    """Return the object that ``x-oss-copy-source`` names, once its conditions hold."""
    header = request.headers["x-oss-copy-source"]
    match = re.fullmatch(r"/?([^/?]+)/([^?]+)(\?.*)?", header)
    if match is None:
        raise invalid_argument("Copy Source must mention the source bucket and key", "x-oss-copy-source", header)
    if match[3]:
        raise not_implemented("versions")
    bucket, key = match[1], unquote(match[2])
    service.storage.bucket(bucket)
    source = service.storage.object(bucket, key)
    if source is None:
        raise no_such_key(key)
    if source.type == "Symlink":
        source = _target(service, source)
    check_conditions(request.headers, source, prefix="x-oss-copy-source-")
    return source


# Read


async def get_object(service: Service, request: OssRequest) -> Reply:
    """GetObject, whole or a range."""
    record, headers = _look_up(service, request)
    headers |= overrides(request.query)
    span = read_range(request.headers, record.content.size)
    start, size = span or (0, record.content.size)
    if span is not None:
        headers["content-range"] = f"bytes {start}-{start + size - 1}/{record.content.size}"
    body = service.storage.open(record.content, start, size)
    return Reply(200 if span is None else 206, headers, body)


async def head_object(service: Service, request: OssRequest) -> Reply:
    """HeadObject."""
    record, headers = _look_up(service, request)
    return Reply(headers=headers | {"content-length": str(record.content.size)})


async def get_object_meta(service: Service, request: OssRequest) -> Reply:
    """GetObjectMeta: the few facts that cost no metadata look-up on the real service."""
    record = service.object(request)
    headers = stored_headers(record)
    headers["content-length"] = str(record.content.size)
    headers["last-modified"] = http_date(record.modified_at)
    return Reply(headers=headers)


def _look_up(service: Service, request: OssRequest) -> tuple[ObjectRecord, dict[str, str]]:
    """Return the object whose bytes to answer and the headers; a symlink has its target's bytes."""
    record = service.object(request)
    headers = object_headers(record)
    if record.type == "Symlink":
        target = _target(service, record)
        headers |= stored_headers(target) | {"content-type": target.attributes.headers["content-type"]}
        record = target
    check_conditions(request.headers, record)
    return record, headers


# Delete


async def delete_object(service: Service, request: OssRequest) -> Reply:
    """DeleteObject; an object that is not there is no error."""
    for removed in service.storage.delete_objects(request.bucket, [request.key]):
        service.emit("ObjectRemoved:DeleteObject", request, removed, -removed.content.size)
    return Reply(204)


async def delete_objects(service: Service, request: OssRequest) -> Reply:
    """DeleteMultipleObjects."""
    body = await request.document()
    check_md5(request, hashlib.md5(body, usedforsecurity=False).digest())
    root = xml.parse(body)
    keys = [xml.text_of(node, "Key") or "" for node in root.iterfind("Object")]
    if root.tag != "Delete" or not 1 <= len(keys) <= MAX_DELETED_AT_ONCE:
        raise malformed_xml()
    for key in keys:
        check_key(key)
    for removed in service.storage.delete_objects(request.bucket, keys):
        service.emit("ObjectRemoved:DeleteObjects", request, removed, -removed.content.size)
    nodes: list[xml.Node] = []
    url_encoded = request.query.get("encoding-type") == "url"
    if url_encoded:
        nodes.append(("EncodingType", "url"))
    if xml.text_of(root, "Quiet") not in ("true", "True"):
        nodes += [("Deleted", [("Key", quote(key, safe="") if url_encoded else key)]) for key in keys]
    return xml_reply("DeleteResult", *nodes)


# Access control, tags, symlinks


async def put_object_acl(service: Service, request: OssRequest) -> Reply:
    """PutObjectACL."""
    _replace_attributes(service, request, acl=read_object_acl(request))
    return Reply()


async def get_object_acl(service: Service, request: OssRequest) -> Reply:
    """GetObjectACL."""
    return acl_reply(service, service.object(request).attributes.acl)


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
    _replace_attributes(service, request, tags=check_tags(pairs))
    return Reply()


async def get_object_tagging(service: Service, request: OssRequest) -> Reply:
    """GetObjectTagging."""
    tags = service.object(request).attributes.tags
    nodes = [("Tag", [("Key", name), ("Value", value)]) for name, value in tags.items()]
    return xml_reply("Tagging", ("TagSet", nodes))


async def delete_object_tagging(service: Service, request: OssRequest) -> Reply:
    """DeleteObjectTagging."""
    _replace_attributes(service, request, tags={})
    return Reply(204)


def _replace_attributes(service: Service, request: OssRequest, **changes: object) -> None:
    record = service.object(request)
    attributes = replace(record.attributes, **changes)  # type: ignore[arg-type]  # two callers, each with a field's type
    service.storage.put_object(replace(record, attributes=attributes))


async def put_symlink(service: Service, request: OssRequest) -> Reply:
    """PutSymlink; the target need not exist."""
    target = unquote(request.headers.get("x-oss-symlink-target", ""))
    check_key(target)
    attributes = service.attributes(request)
    etag = hashlib.md5(target.encode(), usedforsecurity=False).hexdigest().upper()
    now = service.clock.now()
    record = ObjectRecord(request.bucket, request.key, Content(), etag, "Symlink", now, attributes, target)
    service.store(request, record, "PutSymlink")
    return Reply(headers=stored_headers(record))


async def get_symlink(service: Service, request: OssRequest) -> Reply:
    """GetSymlink."""
    record = service.object(request)
    if record.symlink_target is None:
        raise OssError(400, "NotSymlink", "The object is not symlink")
    return Reply(headers=object_headers(record) | {"x-oss-symlink-target": quote(record.symlink_target, safe="")})


def _target(service: Service, link: ObjectRecord) -> ObjectRecord:
    target = service.storage.object(link.bucket, link.symlink_target or "")
    if target is None:
        raise OssError(404, "SymlinkTargetNotExist", "The symlink target object does not exist")
    if target.type == "Symlink":
        raise OssError(400, "InvalidTargetType", "The symbolic link's target object type is invalid.")
    return target
